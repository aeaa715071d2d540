"""Choose anew from which score a bundle's phrases count as heard; its graphs, words and vocabulary stay as they are.

    python -m benchmarks.calibrate                          # the default bundle
    python -m benchmarks.calibrate my-bundle --false-alerts 10

Remakes the bundle's background (export/background.py) and its label bank, and writes them with what was chosen on the
validation split: how a search holds down hubs and how far its texts go towards sounds that they bring to mind, on
single sounds, and the margin above the reference, on scenes: the
lowest at which the bundle's own vocabulary has no more than `--false-alerts` an hour. Nothing of the test split is
heard but ambience that is held back, of which no threshold is made. The same bundle and sounds give the same bytes.
Figures of detection that stand in a card are then those of other thresholds: `python -m benchmarks.cards BUNDLE --suite
detection` measures them anew.
"""

import dataclasses
import json
import shutil
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from benchmarks.__main__ import SHARED
from benchmarks.alone import run_alone
from benchmarks.report import say
from benchmarks.retrieval.alerts import loosest, scored
from benchmarks.retrieval.contender import Contender
from benchmarks.retrieval.detection import ABOVE_REFERENCE, Heard, hear_scenes, scenes_of
from edge_runtime.background import FILE, Background
from edge_runtime.bundle import DEFAULT_BUNDLE, Bundle
from edge_runtime.errors import EarmarkError
from edge_runtime.manifest import Manifest, MatchSpec, sha256_of
from export.background import background_of, calibrated
from training.sounds import Clip, read_clips

__all__ = ["calibrate", "margin_on"]

FALSE_ALERTS_PER_HOUR = 20.0
"""With the bundle's own phrases, among hours of scenes that are full of events."""
HOURS = 1.0
SEED = 7
MARGINS = (0.0, 0.6)
NO_MARGIN = -1.0
"""With it thresholds are what noise alone asks for."""
REPLACED = (
    "background_alerts",
    "equal_error_raw",
    "equal_error_calibrated",
    "search_map10_reworded",
    "search_map10_recalled",
)
"""Figures of an earlier calibration, by any rule."""


def calibrate(folder: Path, clips: Sequence[Clip], *, rate: float, hours: float) -> dict[str, float]:
    """Rewrite the background and the manifest of the bundle in `folder`; what was chosen, and its figures.

    Raises EarmarkError where the bundle cannot be calibrated, which then stays as it is.
    """
    manifest = Manifest.read(folder)
    profile = next(iter(manifest.profiles), None)
    before = Contender.open(folder, profile=profile)
    say(f"{before.name}: noise, ambience and the validation split …")
    background = background_of(before.engine, clips)
    if background.bank is None:
        raise EarmarkError(f"the sounds and {folder} name too few labels for a bank: give more --sounds")
    validation = [clip for clip in clips if clip.split == "val"]
    windows = [before.recording(clip.path) for clip in validation]
    recall = before.engine.bundle.remembered
    match, figures = calibrated(before.engine, background, validation, windows, recall=recall)
    with tempfile.TemporaryDirectory() as scratch:
        copy = Path(shutil.copytree(folder, Path(scratch) / folder.resolve().name))
        _write(copy, manifest, background, dataclasses.replace(match, margin=NO_MARGIN), {})
        contender = Contender.open(copy, profile=profile)
        heard = hear_scenes(contender, scenes_of(contender, clips, split="val", hours=hours, seed=SEED))
        floors = dict(zip(contender.engine.phrases, contender.engine.phrases.thresholds().tolist(), strict=True))
    margin, on_scenes = margin_on(heard, floors, rate, memory_s=manifest.window_s)
    figures |= on_scenes
    match = dataclasses.replace(match, margin=margin)
    _write(folder, manifest, background, match, figures)
    return {"margin": margin, "sharpness": match.sharpness, "recall": match.recall} | figures


def margin_on(
    heard: Sequence[Heard], floors: dict[str, float], rate: float, *, memory_s: float
) -> tuple[float, dict[str, float]]:
    """The lowest margin with no more than `rate` false alerts an hour, and what it gives. `heard`: answers to scenes by
    how far they are above `floors`, which noise alone asks of each phrase."""
    scenes = [
        (
            [
                dataclasses.replace(each, score=each.score + floors[each.phrase])
                for each in scene.by_rule[ABOVE_REFERENCE]
                if each.score >= 0
            ],
            scene.truth,
        )
        for scene in heard
    ]
    hours = sum(scene.scene.seconds for scene in heard) / 3600
    low, high = MARGINS
    margin = loosest(scenes, rate * hours, memory_s=memory_s, low=low, high=high)
    outcomes = [scored(answers, truth, threshold=margin, memory_s=memory_s) for answers, truth in scenes]
    delays = [delay for outcome in outcomes for delay in outcome.delays_s]
    return margin, {
        "scenes_hits": round(100 * sum(delay is not None for delay in delays) / len(delays), 2),
        "scenes_false_alerts_per_hour": round(sum(len(outcome.false) for outcome in outcomes) / hours, 2),
    }


def _write(
    folder: Path, manifest: Manifest, background: Background, match: MatchSpec, figures: dict[str, float]
) -> None:
    """The background first: until the manifest names it, the bundle is refused, not misread."""
    part = folder / f"part-{FILE}"
    background.save(part)
    part.replace(folder / FILE)
    quality = {name: value for name, value in manifest.quality.items() if name not in {*REPLACED, *figures}} | figures
    files = dict(sorted((manifest.files | {FILE: sha256_of(folder / FILE)}).items()))
    dataclasses.replace(manifest, match=match, quality=quality, files=files).write(folder)
    Bundle.open(folder)


def main(
    bundle: Annotated[Path, typer.Argument(help="The bundle's folder.")] = DEFAULT_BUNDLE,
    sounds: Annotated[Path, typer.Option(help="The folder with clips.csv.")] = SHARED / "data/sounds",
    false_alerts: Annotated[float, typer.Option(min=0, help="At most so many an hour on validation scenes.")] = (
        FALSE_ALERTS_PER_HOUR
    ),
    hours: Annotated[float, typer.Option(help="Of synthesised scenes at each SNR.")] = HOURS,
) -> None:
    """Choose a bundle's thresholds anew; the last line is JSON."""
    print(json.dumps(calibrate(bundle, read_clips(sounds), rate=false_alerts, hours=hours)))


def run() -> int:
    return run_alone(main)


if __name__ == "__main__":
    sys.exit(run())
