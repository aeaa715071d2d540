"""A year of windows that never sounded, in a home of its own, and what float32 answers to questions about it.

    year = Year.made(Path("runs/bench"), days=365)
    year.home, year.queries, year.best      # a home; (Q, E) float32; (Q, 20) rows, best first

Each window mixes two of the default bundle's background in a share drawn by chance, and adds noise of its own: they lie
where windows of sound lie, and no two are the same. Phrases of the vocabulary ask for them, and other windows. What
float32 answers is found on the way, from the embeddings as they were before the archive rounded them.
"""

import json
import shutil
import time
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from benchmarks.report import say
from edge_runtime.archive import Archive
from edge_runtime.archive.day_file import DayFiles
from edge_runtime.archive.record import quantised
from edge_runtime.archive.recordings import Recordings
from edge_runtime.bundle import Bundle
from edge_runtime.clock import Stamp, boot_id
from edge_runtime.errors import EarmarkError
from edge_runtime.home import Home
from edge_runtime.phrases import default_phrases

__all__ = ["DAY_S", "HOP_S", "SOURCE", "K", "Year", "windows_like"]

DAY_S = 86_400.0
HOP_S = 5.0
K = 20
SOURCE = "garden"
QUERIES = 20
"""Of each kind."""
NOISE = 0.3
"""The length of the noise that is added to a window of unit length."""
MAKER = 3
"""Goes up when another year is made."""


@dataclass(frozen=True)
class Year:
    """`best`: rows of the year, counted from its first window; `fingerprint` and `width` are the bundle's."""

    folder: Path
    days: int
    first_at: float
    fingerprint: str
    width: int
    queries: np.ndarray
    best: np.ndarray

    @property
    def home(self) -> Path:
        return self.folder / "home"

    @property
    def windows(self) -> int:
        return self.days * rows_a_day()

    def row_of(self, started_at: float, start_s: float) -> int:
        """Which window of the year began so many seconds into the recording of a day."""
        return round((started_at - self.first_at + start_s) / HOP_S)

    @classmethod
    def made(cls, cache: Path, *, days: int) -> "Year":
        """The one that is kept in `cache`, or a new one, which takes a second a day and 14 MB."""
        folder = cache / f"archive-{days}"
        recipe = {"maker": MAKER, "days": days, "bundle": Bundle.open().fingerprint}
        told = folder / "recipe.json"
        if not told.exists() or json.loads(told.read_text()) | recipe != json.loads(told.read_text()):
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir(parents=True)
            first_at = _make(folder, days)
            told.write_text(json.dumps(recipe | {"first_at": first_at}))
        kept = np.load(folder / "asked.npz")
        queries, fingerprint = kept["queries"], str(recipe["bundle"])
        first_at = json.loads(told.read_text())["first_at"]
        return cls(folder, days, first_at, fingerprint, queries.shape[1], queries, kept["best"])


def rows_a_day() -> int:
    return round(DAY_S / HOP_S)


def windows_like(heard: np.ndarray, count: int, rng: np.random.Generator) -> np.ndarray:
    """(count, E) float32, unit length: mixtures of two rows of `heard (n, E)`, and noise."""
    one, other = rng.integers(0, len(heard), (2, count))
    share = rng.random((count, 1), np.float32)
    rows = heard[one] * (1 - share) + heard[other] * share
    rows += rng.standard_normal(rows.shape, np.float32) * np.float32(NOISE / np.sqrt(heard.shape[1]))
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def _make(folder: Path, days: int) -> float:
    """Write the year and what float32 answers; when it began."""
    bundle = Bundle.open()
    if bundle.background is None:
        raise EarmarkError("the default bundle has no background to make windows of: export it again")
    rng = np.random.default_rng(0)
    heard = bundle.background.rows.vectors()
    phrases = default_phrases(bundle)
    asked = [phrases[i] for i in np.linspace(0, len(phrases) - 1, QUERIES).round().astype(int)]
    queries = np.concatenate([bundle.embed_text(asked), windows_like(heard, QUERIES, rng)])
    home = Home.open(folder / "home")
    assert home is not None
    width = bundle.manifest.head.width
    recordings = Recordings(home, bundle.fingerprint)
    files = DayFiles(folder / "home" / "archive" / bundle.fingerprint, bundle.fingerprint, width=width)
    files.folder.mkdir(parents=True)
    first_at = (time.time() // DAY_S - days) * DAY_S
    start_s = np.arange(rows_a_day()) * HOP_S
    best = _Best(len(queries))
    for day in range(days):
        began_at = first_at + day * DAY_S
        number = recordings.begin(SOURCE, partial(Stamp, boot_id(), 0.0, began_at, trusted=True), live=True)
        rows = windows_like(heard, rows_a_day(), rng)
        best.add(rows @ queries.T, first=day * rows_a_day())
        records = quantised(rows, width=width)
        records["recording"], records["start_s"], records["end_s"] = number, start_s, start_s + HOP_S
        files.write_whole(files.folder / time.strftime("%Y-%m-%d.emb", time.gmtime(began_at)), records)
        recordings.end(number, heard_s=DAY_S, lost_s=0.0)
        if day % 30 == 0:
            say(f"made {day} of {days} days")
    Archive(home, bundle.fingerprint, width=width).check()  # seals them
    home.close()
    np.savez(folder / "asked.npz", queries=queries, best=best.rows.T)
    return first_at


class _Best:
    """The K best rows of each query so far."""

    def __init__(self, queries: int) -> None:
        self._cosines = np.full((K, queries), -np.inf, np.float32)
        self.rows = np.full((K, queries), -1)

    def add(self, cosines: np.ndarray, *, first: int) -> None:
        """Cosines (n, Q) of rows from `first` on."""
        near = np.argpartition(-cosines, K, axis=0)[:K]
        cosines = np.concatenate([self._cosines, np.take_along_axis(cosines, near, axis=0)])
        rows = np.concatenate([self.rows, near + first])
        order = np.argsort(-cosines, axis=0)[:K]
        self._cosines, self.rows = np.take_along_axis(cosines, order, axis=0), np.take_along_axis(rows, order, axis=0)
