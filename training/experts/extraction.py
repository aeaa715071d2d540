"""An expert's features of a whole collection, extracted in parallel and kept by clip id.

    python -m training features --expert vggish --weights vggish-10086976.pth --collection clotho --data data/CLOTHO

The result is one HDF5 file, `NAME.h5`, that `FeatureStore` reads. While it grows, finished clips lie in `NAME.parts/`,
a few dozen a file: a run that was killed or stopped goes on from there. Clips without audio and files that cannot be
read are left out, counted, and listed with their reasons in `NAME.skipped.csv`.
"""

import csv
import os
import shutil
import signal
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from multiprocessing import get_context, parent_process
from pathlib import Path

import numpy as np

from edge_runtime.errors import EarmarkError
from training.datasets.collection import Collection, Item, Skipped
from training.experts.extractors import Extractor, extractor, fingerprint
from training.experts.hdf5 import Hdf5Features
from training.sounds import load_samples

__all__ = ["Extracted", "extract"]

PART_CLIPS = 64
PART_S = 30.0
"""A part is written when it has so many clips, or so long after the last one: what a kill can cost."""

Heard = tuple[Item, np.ndarray | None, str]
"""A clip with its rows, or with the reason why there are none."""


@dataclass(frozen=True)
class Extracted:
    path: Path
    clips: int
    skipped: tuple[Skipped, ...]

    def lines(self, *, listed: int = 10) -> list[str]:
        """What a command prints: the file, and each clip that is not in it, `listed` of them."""
        told = [f"{self.path}: {self.clips} clips, {len(self.skipped)} left out"]
        told += [f"  {each.split} {each.id}: {each.reason}" for each in self.skipped[:listed]]
        if len(self.skipped) > listed:
            told.append(f"  and {len(self.skipped) - listed} more: {self.path.with_suffix('.skipped.csv')}")
        return told


def extract(
    collection: Collection,
    name: str,
    *,
    weights: Path | None = None,
    out: Path,
    workers: int = 1,
) -> Extracted:
    """Write `out/NAME.h5` with what it lacks of the collection. One worker runs in this process.

    Ctrl-C keeps what is finished and raises KeyboardInterrupt. EarmarkError: the weights are not those of the expert,
    or what lies in `out` was extracted with others.
    """
    made_with = fingerprint(name, weights)
    path, parts = out / f"{name}.h5", out / f"{name}.parts"
    parts.mkdir(parents=True, exist_ok=True)
    done = _done(path, parts, made_with)
    todo = [item for item in collection.items if item.id not in done]
    skipped: list[Skipped] = []
    if todo:
        hear = extractor(name, weights)  # here first: a worker that cannot load its weights ends without a word
        heard = (_hear(hear, item) for item in todo) if workers == 1 else _heard(todo, name, weights, workers)
        writer = _PartWriter(parts, made_with)
        try:
            for item, rows, reason in _with_progress(heard, name, done, collection):
                if rows is None:
                    skipped.append(Skipped(item.id, item.split, reason))
                else:
                    writer.add(item.id, rows)
        finally:
            writer.flush()
    _merge(path, parts, made_with)
    _write_skipped(path.with_suffix(".skipped.csv"), skipped)
    with Hdf5Features(path) as features:
        return Extracted(path, sum(item.id in features for item in collection.items), tuple(skipped))


def _heard(items: Sequence[Item], name: str, weights: Path | None, workers: int) -> Iterator[Heard]:
    """Every clip, in the order in which they are finished, by so many processes. EarmarkError: one of them ended."""
    with _interrupts_held_back():  # the workers inherit it: Ctrl-C is this process's to answer
        pool = ProcessPoolExecutor(workers, get_context("spawn"), initializer=_start, initargs=(name, weights))
        left = iter(items)
        running = {pool.submit(_work, item) for item in islice(left, 4 * workers)}
    try:
        while running:
            finished, running = wait(running, return_when=FIRST_COMPLETED)
            for each in finished:
                yield each.result()
            running |= {pool.submit(_work, item) for item in islice(left, len(finished))}
    except BrokenProcessPool as error:
        raise EarmarkError(
            f"a worker process of {name} ended, by lack of memory perhaps: what is finished stays, the same command "
            "goes on from there, with --workers 1 in less memory"
        ) from error
    finally:
        for process in list((pool._processes or {}).values()):  # those that hear a long clip would go on with it
            if running:
                process.terminate()
        pool.shutdown(wait=True, cancel_futures=True)


_worker: Extractor | None = None
"""What this worker process hears with: built once, as a network takes seconds to load."""


def _start(name: str, weights: Path | None) -> None:
    import torch

    global _worker  # noqa: PLW0603  a process pool hands its workers nothing else
    torch.set_num_threads(1)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    _worker = extractor(name, weights)


def _end_with_parent() -> None:
    """A parent that was killed cannot end its workers: they watch it."""
    parent = parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def _work(item: Item) -> Heard:
    assert _worker is not None
    return _hear(_worker, item)


def _hear(hear: Extractor, item: Item) -> Heard:
    if item.audio is None:
        return item, None, "it has no audio"
    try:
        rows = hear(load_samples(item.audio, hear.rate_hz))
    except EarmarkError as error:
        return item, None, str(error)
    if not np.isfinite(rows).all():
        return item, None, f"{item.audio} gives features that are not finite"
    return item, rows.astype(np.float32), ""


class _PartWriter:
    """Collects clips and writes them, each part whole or not at all."""

    def __init__(self, folder: Path, made_with: str) -> None:
        self._folder, self._made_with = folder, made_with
        self._clips: dict[str, np.ndarray] = {}
        self._since = time.monotonic()

    def add(self, clip: str, rows: np.ndarray) -> None:
        self._clips[clip] = rows
        if len(self._clips) >= PART_CLIPS or time.monotonic() > self._since + PART_S:
            self.flush()

    def flush(self) -> None:
        if self._clips:
            taken = [int(path.stem) for path in self._folder.glob("*.h5")]
            _write(self._folder / f"{max(taken, default=0) + 1:06}.h5", self._made_with, [self._clips.items()])
        self._clips = {}
        self._since = time.monotonic()


def _done(path: Path, parts: Path, made_with: str) -> set[str]:
    """The clips that are there. A part that is damaged is thrown away; EarmarkError: one of other weights."""
    done: set[str] = set()
    for each in [*([path] if path.exists() else []), *sorted(parts.glob("*.h5"))]:
        try:
            with Hdf5Features(each) as features:
                found = str(features.attributes.get("made_with", ""))
                done |= set(features)
        except EarmarkError:
            if each == path:
                raise
            each.unlink()
            continue
        if found != made_with:
            raise EarmarkError(
                f"{each} was extracted with {found or 'something unknown'}, this is {made_with}: give another --out, "
                "or remove it"
            )
    return done


def _merge(path: Path, parts: Path, made_with: str) -> None:
    """All parts into the one file; they go when it is whole."""
    files = sorted(parts.glob("*.h5"))
    if files or not path.exists():
        opened = [Hdf5Features(each) for each in [*([path] if path.exists() else []), *files]]
        try:
            _write(path, made_with, [each.items() for each in opened])
        finally:
            for each in opened:
                each.close()
    shutil.rmtree(parts)


def _write(path: Path, made_with: str, sources: Sequence) -> None:
    """Clips and rows of all sources, of two with one id the later; the file takes its name when it is whole."""
    import h5py

    part = path.with_suffix(".part")
    with h5py.File(part, "w") as file:
        file.attrs["made_with"] = made_with
        for source in sources:
            for clip, rows in source:
                if clip in file:
                    del file[clip]
                file[clip] = rows
    part.replace(path)


def _write_skipped(path: Path, skipped: Sequence[Skipped]) -> None:
    if not skipped:
        path.unlink(missing_ok=True)
        return
    with path.open("w", encoding="utf-8", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(("id", "split", "reason"))
        rows.writerows((each.id, each.split, each.reason) for each in skipped)


def _with_progress(heard: Iterator[Heard], name: str, done: set[str], collection: Collection) -> Iterator[Heard]:
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns) as progress:
        there = sum(item.id in done for item in collection.items)
        task = progress.add_task(name, total=len(collection.items), completed=there)
        for each in heard:
            progress.advance(task)
            yield each


@contextmanager
def _interrupts_held_back() -> Iterator[None]:
    """What is started meanwhile ignores Ctrl-C."""
    before: Callable | int | None = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
