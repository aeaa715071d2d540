"""The windows nearest to a query, of all that an archive holds: exact, at the speed at which memory can be read.

    found = nearest(parts, query, count=1024, wanted=wanted, record=record_type(512))
    found.records, found.cosines            # (n,), (n,), best first; found.all: no other window was wanted

Records are multiplied as they lie in the file (product.py). One that is sealed is mapped slice by slice, and each slice
let go, since all that is mapped counts as the process's memory; one that goes on is read, for it may become shorter.
Mapping takes half the time of reading, but a card that fails under it ends the process (SIGBUS): what listens does not
search. Only rows that beat the worst of the best so far are looked at more closely; their cosines are then computed
again in floats.
"""

import mmap
import os
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from io import FileIO
from pathlib import Path

import numpy as np

from edge_runtime.archive.product import Product
from edge_runtime.archive.record import cosines as exact_cosines

__all__ = ["Nearest", "Part", "above", "nearest"]

SLICE_ROWS = 8192
"""6 MB at E = 512."""
READ_ROWS = 2048
"""1.5 MB at E = 512: in the second cache of most processors."""
JOB_ROWS = 8 * SLICE_ROWS
THREADS = 2
Wanted = Callable[[np.ndarray], np.ndarray]
"""Records (n,) -> (n,) bool: whether each may be an answer."""


@dataclass(frozen=True)
class Part:
    """Records [first, first + rows) of a file, which begin at byte `start` of it. `sealed`: it stays as it is."""

    path: Path
    start: int
    rows: int
    sealed: bool = False


@dataclass(frozen=True)
class Nearest:
    """Best first. `all`: every wanted record is here."""

    records: np.ndarray
    cosines: np.ndarray
    all: bool


class _Best:
    """The best `count` rows that one or several threads have seen, and how good a row must be to be among them."""

    def __init__(self, count: int, record: np.dtype) -> None:
        self._count = count
        self.floor = -np.inf
        self._records = [np.empty(0, record)]
        self._scores = [np.empty(0, np.float32)]
        self._held = 0
        self.dropped = False

    def add(self, records: np.ndarray, scores: np.ndarray) -> None:
        self._records.append(records)
        self._scores.append(scores)
        self._held += len(scores)
        if self._held > 4 * self._count:
            self.settle()

    def settle(self) -> tuple[np.ndarray, np.ndarray]:
        records, scores = np.concatenate(self._records), np.concatenate(self._scores)
        if len(scores) > self._count:
            kept = np.argpartition(-scores, self._count - 1)[: self._count]
            records, scores = records[kept], scores[kept]
            self.floor = float(scores.min())
            self.dropped = True
        self._records, self._scores, self._held = [records], [scores], len(scores)
        return records, scores


def nearest(parts: Iterable[Part], query: np.ndarray, *, count: int, wanted: Wanted, record: np.dtype) -> Nearest:
    """The `count` wanted records with the highest cosines with `query (E,)`, unit length."""
    product = Product(query, record_bytes=record.itemsize)
    best = [_Best(count, record) for _ in range(THREADS)]
    jobs = list(_jobs(parts, record.itemsize))

    def work(number: int) -> None:
        own, others = best[number], best[1 - number]
        while jobs:
            try:
                job = jobs.pop()
            except IndexError:
                return
            for part in _slices(job, record):
                scores = product(_raw(part)) * part["scale"]
                floor = max(own.floor, others.floor)
                passing = np.flatnonzero(scores > floor) if floor > -np.inf else np.arange(len(part))
                own.dropped |= len(passing) < len(part)
                if not len(passing):
                    continue
                records = part[passing] if len(passing) < len(part) else part
                good = np.flatnonzero(wanted(records))
                if len(good) > count:
                    good = good[np.argpartition(-scores[passing[good]], count - 1)[:count]]
                    own.dropped = True
                own.add(records[good], scores[passing[good]])

    if len(jobs) == 1:
        work(0)
    else:
        with ThreadPoolExecutor(THREADS) as pool:
            for done in [pool.submit(work, number) for number in range(THREADS)]:
                done.result()
    both = _Best(count, record)
    for each in best:
        both.add(*each.settle())
    records, _ = both.settle()
    scores = exact_cosines(records, query)
    order = np.argsort(-scores, kind="stable")
    return Nearest(records[order], scores[order], not any(each.dropped for each in (both, *best)))


def above(
    parts: Iterable[Part], query: np.ndarray, least: float, *, wanted: Wanted, record: np.dtype
) -> Iterator[np.ndarray]:
    """Wanted records (n,), n > 0, slice by slice: all whose cosine with `query (E,)` is `least`, and some that are near
    to that."""
    product = Product(query, record_bytes=record.itemsize)
    length = float(np.abs(query).sum())
    for part in parts:
        for records in _slices(part, record):
            scales = records["scale"]
            slack = scales * (length / 2) + product.error  # half a step in each number: the bits that it does not see
            near = records[product(_raw(records)) * scales + slack >= least]
            if (good := wanted(near)).any():
                yield near[good]


def _jobs(parts: Iterable[Part], record_bytes: int) -> Iterator[Part]:
    for part in parts:
        for first in range(0, part.rows, JOB_ROWS):
            start, rows = part.start + first * record_bytes, min(JOB_ROWS, part.rows - first)
            yield replace(part, start=start, rows=rows)


def _slices(job: Part, record: np.dtype) -> Iterator[np.ndarray]:
    """The records of a job, slice by slice, each (n,), n > 0: to be let go of before the next."""
    with job.path.open("rb", buffering=0) as file:
        if job.sealed:
            yield from _mapped(file.fileno(), job, record)
        else:
            yield from _read(file, job, record)


def _mapped(handle: int, job: Part, record: np.dtype) -> Iterator[np.ndarray]:
    at_once = {"prot": mmap.PROT_READ, "flags": mmap.MAP_SHARED | getattr(mmap, "MAP_POPULATE", 0)}
    for first in range(0, job.rows, SLICE_ROWS):
        rows = min(SLICE_ROWS, job.rows - first)
        start = job.start + first * record.itemsize
        page = start // mmap.ALLOCATIONGRANULARITY * mmap.ALLOCATIONGRANULARITY
        end = start + rows * record.itemsize
        if os.fstat(handle).st_size < end:  # somebody has cut it since it was found to be whole
            return
        yield np.frombuffer(mmap.mmap(handle, end - page, offset=page, **at_once), record, rows, start - page)


def _read(file: FileIO, job: Part, record: np.dtype) -> Iterator[np.ndarray]:
    buffer = np.empty(READ_ROWS, record)
    file.seek(job.start)
    left = job.rows
    while left:
        rows = min(left, len(buffer))
        filled = file.readinto(memoryview(buffer[:rows]).cast("B")) or 0  # type: ignore[arg-type]
        whole = filled // record.itemsize
        if whole:
            yield buffer[:whole]
        if whole < rows:  # it became shorter meanwhile
            return
        left -= rows


def _raw(records: np.ndarray) -> np.ndarray:
    """Records (n,) as the bytes that they are, (n, bytes) uint8."""
    return records.view(np.uint8).reshape(len(records), records.dtype.itemsize)
