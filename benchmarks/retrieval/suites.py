"""Runs the suites over one or several bundles, and makes one report of them.

    report = retrieval([Contender.open(None, profile=None)], Settings(sounds=Path("../shared/data/sounds")))

Each bundle hears each clip once, and each variant of it once.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks.report import Report, Table
from benchmarks.retrieval.bootstrap import RESAMPLES
from benchmarks.retrieval.closed import closed
from benchmarks.retrieval.closed_tables import closed_tables, draw_confusion
from benchmarks.retrieval.contender import Contender, watched
from benchmarks.retrieval.detection import detection, detection_tables, draw_detection
from benchmarks.retrieval.robust import robust, robust_tables
from benchmarks.retrieval.wording import wording, wording_tables
from edge_runtime.errors import EarmarkError
from training.sounds import Clip, read_clips

__all__ = ["SUITES", "Settings", "retrieval"]

SUITES = ("closed", "robust", "detection", "open")


@dataclass(frozen=True)
class Settings:
    """`suites` to run; `limit`: only so many clips; `hours` of scenes at each SNR; the rest is for `open` alone."""

    sounds: Path
    suites: Sequence[str] = SUITES[:3]
    limit: int | None = None
    hours: float = 0.5
    seed: int = 0
    checkpoint: Path | None = None
    features: Path = Path("runs/features")
    weights: Path | None = None

    def __post_init__(self) -> None:
        if unknown := [suite for suite in self.suites if suite not in SUITES]:
            raise EarmarkError(f"there is no suite {unknown[0]!r}: choose of {', '.join(SUITES)} and all")
        if self.hours <= 0:
            raise EarmarkError(f"scenes of {self.hours} hours cannot be made: give more than 0")
        if "open" in self.suites and (self.checkpoint is None or self.weights is None):
            raise EarmarkError("the open suite asks a checkpoint that was trained for it: give --checkpoint")


def retrieval(contenders: Sequence[Contender], settings: Settings) -> Report:
    """Raises EarmarkError, FileNotFoundError or ValueError that say what to do."""
    if len({each.name for each in contenders}) < len(contenders):
        raise EarmarkError(f"two bundles are called alike, of {[each.name for each in contenders]}: give each once")
    clips = read_clips(settings.sounds)
    test = _some([clip for clip in clips if clip.split == "test"], settings.limit)
    if not test:
        raise EarmarkError(f"{settings.sounds} has no clips of the test split: give another --sounds")
    figures: dict[str, Any] = {
        "suites": list(settings.suites),
        "seed": settings.seed,
        "resamples": RESAMPLES,
        "test_clips": len(test),
        "test_recordings": len({clip.recording for clip in test}),
        "by": {},
    }
    tables: list[Table] = []
    draw: dict[str, Any] = {}
    for contender in contenders:
        found = figures["by"][contender.name] = {}
        if {"closed", "robust"} & set(settings.suites):
            windows = [contender.recording(clip.path) for clip in watched(test, f"{contender.name}, the test split")]
        if "closed" in settings.suites:
            found["closed"], guesses = closed(contender, test, windows, seed=settings.seed)
            tables += closed_tables(contender.name, found["closed"])
            draw[f"confusion-{contender.name.replace('/', '-')}"] = partial(
                draw_confusion,
                labels=[clip.label for clip in test],
                guesses=guesses.tolist(),
                title=f"What {contender.name} takes each label for",
            )
        if "robust" in settings.suites:
            found["robust"] = robust(contender, test, windows, seed=settings.seed)
            found["wording"] = wording(contender, test, windows, seed=settings.seed)
            tables += robust_tables(contender.name, found["robust"])
            tables += wording_tables(contender.name, found["wording"])
        if "detection" in settings.suites:
            found["detection"] = detection(contender, clips, hours=settings.hours, seed=settings.seed)
            tables += detection_tables(contender.name, found["detection"])
    if "detection" in settings.suites:
        curves = {name: found["detection"] for name, found in figures["by"].items()}
        draw["detection"] = partial(draw_detection, found=curves)
    if "open" in settings.suites:
        from benchmarks.retrieval.open import open_protocol, open_tables  # the one suite that needs torch

        assert settings.checkpoint is not None and settings.weights is not None  # Settings has checked it
        figures["open"] = open_protocol(
            clips,
            settings.checkpoint,
            contenders,
            features=settings.features,
            weights=settings.weights,
            limit=settings.limit,
            seed=settings.seed,
        )
        tables += open_tables(figures["open"])
    return Report("retrieval", figures, tables, _notes(settings, len(test)), draw)


def _some(clips: Sequence[Clip], limit: int | None) -> list[Clip]:
    """At most `limit` clips, spread over all of them."""
    return list(clips[:: max(1, len(clips) // limit)][:limit]) if limit else list(clips)


def _notes(settings: Settings, clips: int) -> list[str]:
    notes = [f"intervals: the middle 95 % of {RESAMPLES} resamples of whole recordings, seed {settings.seed}"]
    if settings.limit:
        notes.append(f"only {clips} test clips were heard (--limit): their pool is smaller, so figures are higher")
    return notes
