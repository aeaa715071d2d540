"""Runs the suites over one or several bundles, and makes one report of them.

    report = retrieval([Contender.open(None, profile=None)], Settings(sounds=Path("../shared/data/sounds")))

Each bundle hears each clip once, and each variant of it once (heard.py). With `fp32`, the checkpoint that the bundle
was made from, its unquantised form hears the clips as well.
"""

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.report import Report, Table
from benchmarks.retrieval.closed import closed
from benchmarks.retrieval.closed_tables import closed_tables, draw_confusion
from benchmarks.retrieval.contender import Contender
from benchmarks.retrieval.detection import detection
from benchmarks.retrieval.detection_tables import detection_tables, draw_detection
from benchmarks.retrieval.heard import CLEAN, hear
from benchmarks.retrieval.lines import fp32_table, line_table, lines, told_lines
from benchmarks.retrieval.no_sound import no_sound, no_sound_tables
from benchmarks.retrieval.robust import partners_of, robust, robust_tables
from benchmarks.retrieval.search import search, search_tables
from benchmarks.retrieval.variants import RATE_HZ, VARIANTS
from benchmarks.retrieval.wording import wording, wording_tables
from edge_runtime.errors import EarmarkError
from training.bootstrap import RESAMPLES
from training.sounds import Clip, read_clips

__all__ = ["SUITES", "Settings", "retrieval", "spread", "suite_tables"]

SUITES = ("closed", "robust", "detection", "search", "open")


@dataclass(frozen=True)
class Settings:
    """`suites` to run; `limit`: only so many clips; `hours` of scenes at each SNR; `fp32`: the bundle's checkpoint, and
    `encoder` what it was exported from where the bundle has that quantised alone; `jobs` processes hear, and what they
    heard is kept in `cache`; the rest is for `open` alone."""

    sounds: Path
    suites: Sequence[str] = SUITES[:4]
    limit: int | None = None
    hours: float = 0.5
    seed: int = 0
    checkpoints: Sequence[Path] = ()
    features: Path = Path("runs/features")
    weights: Path | None = None
    fp32: Path | None = None
    encoder: Path | None = None
    jobs: int = 1
    cache: Path | None = None

    def __post_init__(self) -> None:
        if unknown := [suite for suite in self.suites if suite not in SUITES]:
            raise EarmarkError(f"there is no suite {unknown[0]!r}: choose of {', '.join(SUITES)} and all")
        if self.jobs < 1:
            raise EarmarkError(f"{self.jobs} processes hear nothing: give 1 or more --jobs")
        if self.encoder and not self.fp32:
            raise EarmarkError("an encoder alone is no bundle in fp32: give its checkpoint with --fp32 as well")
        if self.hours <= 0:
            raise EarmarkError(f"scenes of {self.hours} hours cannot be made: give more than 0")
        if "open" in self.suites and (not self.checkpoints or self.weights is None):
            raise EarmarkError("the open suite asks a checkpoint that was trained for it: give --checkpoint")


def retrieval(contenders: Sequence[Contender], settings: Settings) -> Report:
    """Raises EarmarkError, FileNotFoundError or ValueError that say what to do."""
    if len({each.name for each in contenders}) < len(contenders):
        raise EarmarkError(f"two bundles are called alike, of {[each.name for each in contenders]}: give each once")
    clips = read_clips(settings.sounds)
    test = spread([clip for clip in clips if clip.split == "test"], settings.limit)
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
        found, drawn = _of_bundle(contender, clips, test, settings)
        figures["by"][contender.name] = found
        tables += suite_tables(contender.name, found)
        draw |= drawn
    if "detection" in settings.suites:
        curves = {name: found["detection"] for name, found in figures["by"].items()}
        draw["detection"] = partial(draw_detection, found=curves)
    if "open" in settings.suites:
        from benchmarks.retrieval.open import open_protocol, open_tables  # the one suite that needs torch

        assert settings.weights is not None  # Settings has checked it
        figures["open"] = open_protocol(
            clips,
            settings.checkpoints,
            contenders,
            features=settings.features,
            weights=settings.weights,
            limit=settings.limit,
            seed=settings.seed,
        )
        tables += open_tables(figures["open"])
    return Report("retrieval", figures, tables, _notes(settings, len(test)), draw)


def suite_tables(name: str, found: dict[str, Any]) -> list[Table]:
    """All tables of one bundle, for people."""
    tables = [line_table(name, found)] if lines(found) else []
    for suite, tables_of in TABLES.items():
        if suite in found:
            tables += tables_of(name, found[suite])
    return [*tables, fp32_table(name, found)] if "fp32" in found else tables


TABLES = {
    "closed": closed_tables,
    "robust": robust_tables,
    "no_sound": no_sound_tables,
    "wording": wording_tables,
    "detection": detection_tables,
    "search": search_tables,
}


def _of_bundle(
    contender: Contender, clips: Sequence[Clip], test: Sequence[Clip], settings: Settings
) -> tuple[dict[str, Any], dict[str, Any]]:
    """The figures of one bundle by suite, and what to draw of them. `clips`: of all splits."""
    found: dict[str, Any] = {}
    drawn: dict[str, Any] = {}
    seed, suites = settings.seed, settings.suites
    hearing = {"seed": seed, "jobs": settings.jobs, "cache": settings.cache}
    if "robust" in suites and contender.rate_hz != RATE_HZ:
        raise EarmarkError(
            f"{contender.name} hears {contender.rate_hz} Hz, the variants are made at {RATE_HZ} Hz: "
            "run the other suites with --suite"
        )
    if {"closed", "robust"} & set(suites):
        variants = VARIANTS if "robust" in suites else ()
        partners = partners_of(test, seed=seed) if variants else np.zeros(len(test), int)
        heard = hear(contender, test, partners.tolist(), variants, **hearing)
    if "closed" in suites:
        found["closed"], guesses = closed(contender, test, heard[CLEAN], seed=seed)
        drawn[f"confusion-{contender.name.replace('/', '-')}"] = partial(
            draw_confusion,
            labels=[clip.label for clip in test],
            guesses=guesses.tolist(),
            title=f"What {contender.name} takes each label for",
        )
        if settings.fp32:
            from benchmarks.retrieval.unquantised import unquantised  # needs torch

            with tempfile.TemporaryDirectory() as scratch:
                exact = unquantised(contender, settings.fp32, Path(scratch), encoder=settings.encoder)
                windows = hear(exact, test, [0] * len(test), (), **hearing)[CLEAN]
                found["fp32"] = {"closed": closed(exact, test, windows, seed=seed)[0]}
    if "robust" in suites:
        found["robust"] = robust(contender, test, heard, partners, seed=seed)
        found["wording"] = wording(contender, test, heard[CLEAN], seed=seed)
    if "detection" in suites:
        found["no_sound"] = no_sound(contender, seed=seed)
        found["detection"] = detection(contender, clips, hours=settings.hours, seed=seed)
    if "search" in suites:
        found["search"] = search(contender, test, seed=seed)
    if told := told_lines(found):
        found["lines"] = told
    return found, drawn


def spread(clips: Sequence[Clip], limit: int | None) -> list[Clip]:
    """At most `limit` clips, spread over all of them."""
    return list(clips[:: max(1, len(clips) // limit)][:limit]) if limit else list(clips)


def _notes(settings: Settings, clips: int) -> list[str]:
    notes = [f"intervals: the middle 95 % of {RESAMPLES} resamples of whole recordings, seed {settings.seed}"]
    if settings.limit:
        notes.append(f"only {clips} test clips were heard (--limit): their pool is smaller, so figures are higher")
    return notes
