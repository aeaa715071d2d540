"""`python -m benchmarks profiles`: every precision of every bundle, in every engine, side by side.

Time is the runtime's own path, front end, encoder and head, on one thread: an answer at every hop of 0.32 s of a
recording that has long been running, and 10 s read as a file is. All ways take turns. Memory is that of a process that
listens (benchmarks/resident.py). What rounding costs has two measures: the segments' against PyTorch, as the export
found it on sounds that calibrated nothing, and the embeddings' here, of a minute of field sounds, against the bundle's
first fp32 encoder in onnxruntime (against its own first profile where it has none in fp32: that tells engines apart).

How well each answers is the closed protocol's test split, in onnxruntime: as it was kept with the bundle
(benchmarks/cards.py), else heard now where the sounds are.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import cycle
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.footprint import fresh
from benchmarks.kept import closed_of, kept, profile_tables
from benchmarks.model import WINDOW_S
from benchmarks.report import Report, Table, say
from benchmarks.retrieval.closed import closed
from benchmarks.retrieval.contender import Contender
from benchmarks.retrieval.heard import CLEAN, hear
from benchmarks.retrieval.suites import Settings, spread
from benchmarks.timing import Contender as Timed
from benchmarks.timing import Timing, interleaved
from edge_runtime.bundle import Bundle
from edge_runtime.errors import EarmarkError
from edge_runtime.graph_engine import DEFAULT_ENGINE, installed_engines
from edge_runtime.listener import Listener
from edge_runtime.manifest import Manifest
from training.bootstrap import RESAMPLES
from training.sounds import read_clips

__all__ = ["profiles"]

HOP_CALLS = 4
"""Calls a round: a hop is short, and scatters more."""
COLUMNS = (
    "bundle",
    "profile",
    "engine",
    "encoder",
    "encoder kB",
    "head kB",
    "ms a hop",
    "of processor time",
    "ms for 10 s",
    "of processor time",
    "MiB resident",
    "segments' SNR, dB",
    "lowest cosine",
    "embeddings' mean cosine",
    "lowest",
)


@dataclass(frozen=True)
class Way:
    """One way to run a bundle. `profile` is None in a bundle of one precision."""

    bundle: Bundle
    profile: str | None

    @classmethod
    def all_of(cls, folder: Path) -> list["Way"]:
        """Every profile in every engine that is installed."""
        names = [*Manifest.read(folder).profiles] or [None]
        engines = installed_engines()
        return [cls(Bundle.open(folder, profile=name, engine=each), name) for name in names for each in engines]

    @property
    def name(self) -> str:
        """As contenders of the retrieval suites are called; with the engine where it is another one."""
        own = self.bundle.manifest.name + (f"/{self.profile}" if self.profile else "")
        return own if self.bundle.engine == DEFAULT_ENGINE else f"{own} in {self.bundle.engine}"

    @property
    def precision(self) -> str:
        return self.bundle.manifest.profile(self.profile).encoder.precision

    def sizes_kb(self) -> tuple[float, float]:
        """Of the files of encoder and head."""
        parts = self.bundle.manifest.profile(self.profile)
        encoder, head = ((self.bundle.folder / each.file).stat().st_size / 1000 for each in (parts.encoder, parts.head))
        return encoder, head

    def embeddings(self, sound: np.ndarray) -> np.ndarray:
        """Of the windows (W, E) at every hop of a recording (n,)."""
        listener = Listener(self.bundle, hop=1)
        return np.stack([window.embedding for window in (*listener.push(sound), *listener.flush())])

    def timed(self, sound: np.ndarray) -> list[Timed]:
        """A hop of a running stream, and ten seconds as a file."""
        manifest = self.bundle.manifest
        hop_samples = manifest.encoder.segment_frames * manifest.mel.hop_samples
        hops = cycle(np.split(sound[: len(sound) // hop_samples * hop_samples], len(sound) // hop_samples))
        running = Listener(self.bundle, hop=1)
        while not list(running.push(next(hops))):
            pass
        reading, window = Listener(self.bundle, hop=manifest.window.archive_hop), sound[: round(WINDOW_S * _rate(self))]

        def read() -> None:
            list(reading.push(window))
            list(reading.flush())

        return [
            Timed(f"{self.name}/hop", lambda: list(running.push(next(hops))), manifest.segment_s, calls=HOP_CALLS),
            Timed(f"{self.name}/10 s", read, WINDOW_S),
        ]

    def resident_mib(self, repeats: int) -> float:
        """Median over fresh processes that listen."""
        options = [] if self.bundle.engine == DEFAULT_ENGINE else ["--engine", self.bundle.engine]
        arguments = [self.profile or self.precision, *options]
        return float(np.median([fresh(self.bundle.folder, arguments)["steady"]["resident"] for _ in range(repeats)]))


def profiles(
    folders: Sequence[Path],
    sound_of: Callable[[int], np.ndarray],
    *,
    rounds: int,
    repeats: int,
    hearing: Settings | None,
) -> Report:
    """`sound_of(rate_hz)`: a minute or so. `hearing`: how bundles that keep no figures hear the test split; None: they
    do not. Raises EarmarkError where two bundles are called alike."""
    ways = [way for folder in folders for way in Way.all_of(folder)]
    if len({way.name for way in ways}) < len(ways):
        raise EarmarkError(f"two bundles are called alike, of {sorted({way.name for way in ways})}: give each once")
    say(f"{len(ways)} ways: times …")
    timings = interleaved([each for way in ways for each in way.timed(sound_of(_rate(way)))], rounds=rounds)
    say("memory …")
    resident = {way.name: way.resident_mib(repeats) for way in ways}
    say("embeddings …")
    errors = {name: error for folder in folders for name, error in _errors(folder, ways, sound_of).items()}
    rows = {way.name: _figures(way, timings, resident[way.name], errors[way.name]) for way in ways}
    answers = _answers(folders, hearing)
    tables = [_table(list(rows.values()))]
    notes = [f"times: medians of {rounds} rounds in which all took turns; memory: of {repeats} fresh processes"]
    if answers:
        tables += profile_tables("how well each answers", answers)
        notes.append(
            f"answers: the closed protocol's test split; the middle 95 % of {RESAMPLES} resamples of recordings"
        )
        if hearing is not None and hearing.limit is not None:
            notes.append(f"only {hearing.limit} clips of it were heard: in so small a pool figures are higher")
    told = {name: {each: found[each] for each in ("names", "labels", "captions")} for name, found in answers.items()}
    figures = {"profiles": rows, "timings": {name: vars(each) for name, each in timings.items()}, "closed": told}
    return Report("profiles", figures, tables, notes)


def _rate(way: Way) -> int:
    return way.bundle.manifest.mel.rate_hz


def _errors(folder: Path, ways: Sequence[Way], sound_of: Callable[[int], np.ndarray]) -> dict[str, tuple[float, float]]:
    """Mean and lowest cosine of each way's embeddings with the bundle's reference, by the way's name."""
    own = [way for way in ways if way.bundle.folder == folder]
    usual = [way for way in own if way.bundle.engine == DEFAULT_ENGINE]
    reference = next((way for way in usual if way.precision == "fp32"), usual[0])
    sound = sound_of(_rate(reference))
    exact, found = reference.embeddings(sound), {}
    for way in own:
        cosines = (way.embeddings(sound) * exact).sum(axis=1)
        found[way.name] = float(cosines.mean()), float(cosines.min())
    return found


def _figures(way: Way, timings: dict[str, Timing], resident_mib: float, error: tuple[float, float]) -> dict[str, Any]:
    """One way's figures, in the order of `COLUMNS`."""
    manifest = way.bundle.manifest
    exported = manifest.profile(way.profile).figures
    encoder_kb, head_kb = way.sizes_kb()
    hop, read = (timings[f"{way.name}/{each}"] for each in ("hop", "10 s"))
    return {
        "bundle": manifest.name,
        "profile": way.profile,
        "engine": way.bundle.engine,
        "encoder": way.precision,
        "encoder_kb": encoder_kb,
        "head_kb": head_kb,
        "hop_ms": hop.median_ms,
        "hop_cpu_ms": hop.cpu_ms,
        "read_ms": read.median_ms,
        "read_cpu_ms": read.cpu_ms,
        "resident_mib": resident_mib,
        "segments_snr_db": exported.get("snr_db"),
        "segment_cosine_min": exported.get("segment_cosine"),
        "embedding_cosine_mean": error[0],
        "embedding_cosine_min": error[1],
    }


def _table(rows: Sequence[dict[str, Any]]) -> Table:
    """Cosines with four digits: the usual three would call all of them 1."""
    cells = [
        tuple(f"{value:.4f}" if "cosine" in name and value is not None else value for name, value in row.items())
        for row in rows
    ]
    return Table("every precision in every engine, one thread", COLUMNS, cells)


def _answers(folders: Sequence[Path], hearing: Settings | None) -> dict[str, Any]:
    """The closed protocol's figures, by contender: kept, or heard now. Those of a few clips stand beside no others."""
    few = hearing is not None and hearing.limit is not None
    found: dict[str, Any] = {}
    for folder in folders:
        known = kept(folder)
        if known and not known["limit"] and not few:
            found |= closed_of(known)
        elif hearing is not None:
            names = [*Manifest.read(folder).profiles] or [None]
            found |= dict(_heard(Contender.open(folder, profile=name), hearing) for name in names)
    return found


def _heard(contender: Contender, hearing: Settings) -> tuple[str, dict[str, Any]]:
    clips = spread([clip for clip in read_clips(hearing.sounds) if clip.split == "test"], hearing.limit)
    partners = [0] * len(clips)
    heard = hear(contender, clips, partners, (), seed=hearing.seed, jobs=hearing.jobs, cache=hearing.cache)
    return contender.name, closed(contender, clips, heard[CLEAN], seed=hearing.seed)[0]
