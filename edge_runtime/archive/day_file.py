"""The embeddings of one day, one model: an append-only file of records, sealed by a checksum when the day is over.

    days = DayFiles(folder, fingerprint, width=512)
    days.append(record)                     # to today's file (UTC), by one write
    days.seal_past()                        # those of other days that nobody writes to any more
    for day in days.all(): …                # Day(path, rows, seal)

A record has a fixed size: a file that a power failure cut is good up to its last whole record, and what is torn goes
before the next one is written. A sealed file is never written to: where the clock was set back, a second file of that
date begins (`2026-03-01.1.emb`). The file is locked for each record and for sealing, so several processes may share it.
"""

import errno
import fcntl
import hashlib
import json
import logging
import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from io import FileIO
from pathlib import Path

import numpy as np

from edge_runtime.archive.record import intact, record_type, with_checksums

__all__ = ["SYNC_S", "Day", "DayFiles", "Seal", "header_of"]

log = logging.getLogger(__name__)

MAGIC = b"EARMARK2"
HEADER_BYTES = 32
SYNC_S = 5.0
"""What a power cut costs at most; more often would wear an SD card."""
CHECKED_ROWS = 8192
MAX_SEAL_BYTES = 16 << 20
MAX_WIDTH = 1 << 16


@dataclass(frozen=True)
class Seal:
    """What a sealed file must be, and which seconds (first, last) of which recordings it has."""

    rows: int
    sha256: str
    spans: dict[int, tuple[float, float]]

    def write(self, path: Path) -> None:
        told = {"rows": self.rows, "sha256": self.sha256, "spans": [[each, *span] for each, span in self.spans.items()]}
        part = path.with_suffix(".part")
        with part.open("w", encoding="ascii") as file:
            json.dump(told, file)
            file.flush()
            os.fsync(file.fileno())
        part.replace(path)

    @classmethod
    def read(cls, path: Path) -> "Seal":
        """Raises ValueError where it is none."""
        if path.stat().st_size > MAX_SEAL_BYTES:
            raise ValueError(f"it has {path.stat().st_size} bytes")
        try:
            found = json.loads(path.read_bytes())
            spans = {int(each): (float(first), float(last)) for each, first, last in found["spans"]}
            return cls(int(found["rows"]), str(found["sha256"]), spans)
        except (KeyError, TypeError, OverflowError, RecursionError) as error:
            raise ValueError(f"it lacks {error}") from error


@dataclass(frozen=True)
class Day:
    """One file and its whole records; `seal` is None while the day goes on."""

    path: Path
    rows: int
    seal: Seal | None


class DayFiles:
    """All days of one model. Threads may share it. `sealed` is told of each file that was sealed here."""

    def __init__(
        self, folder: Path, fingerprint: str, *, width: int, sealed: Callable[[Path], object] | None = None
    ) -> None:
        self.folder = folder
        self._tell = sealed
        self.type = record_type(width)
        self._header = MAGIC + fingerprint.encode().ljust(16)[:16] + width.to_bytes(8, "little")
        self._sealed: dict[Path, tuple[tuple[int, int], Day]] = {}
        self._date, self._number = "", 0
        self._path: Path | None = None
        self._file: FileIO | None = None
        self._turned = False
        self._synced_s = 0.0
        self._lock = threading.Lock()

    def append(self, record: bytes) -> None:
        """Raises OSError where the disk takes no whole record."""
        with self._lock, self._todays() as file:
            size = os.fstat(file.fileno()).st_size
            if size < HEADER_BYTES:
                file.truncate(0)
                _write(file, self._header)
            elif torn := (size - HEADER_BYTES) % self.type.itemsize:
                file.truncate(size - torn)
            _write(file, record)
        if self._turned:  # a new day has begun
            self._turned = False
            self.seal_past()
        if time.monotonic() - self._synced_s > SYNC_S:
            self.sync()

    def sync(self) -> None:
        """What was appended is on the disk."""
        if self._file is not None:
            os.fdatasync(self._file.fileno())
            self._synced_s = time.monotonic()

    def close(self) -> None:
        """What was appended is on the disk, and no file is open until the next record."""
        with self._lock:
            self._let_go()

    def _let_go(self) -> None:
        if self._file is not None:
            self.sync()
            self._file.close()
        self._file = None

    def all(self) -> Iterator[Day]:
        """In the order of their dates, damaged ones (`is_ours`, `is_whole`) among them. A sealed day is the same object
        each time while its file's size and time are the same."""
        for path in sorted(self.folder.glob("*.emb"), key=_order) if self.folder.is_dir() else []:
            stat = path.stat()
            signs = stat.st_size, stat.st_mtime_ns
            known = self._sealed.get(path)
            if known and known[0] == signs:
                yield known[1]
                continue
            seal = self._seal_of(path)
            if seal is None and stat.st_size < HEADER_BYTES:  # cut before its first record
                continue
            day = Day(path, max(0, stat.st_size - HEADER_BYTES) // self.type.itemsize, seal)
            if seal is not None:
                self._sealed[path] = signs, day
            yield day

    def _seal_of(self, path: Path) -> Seal | None:
        seal_path = path.with_suffix(".seal")
        try:
            return Seal.read(seal_path) if seal_path.exists() else None
        except (ValueError, OSError) as error:
            log.warning("%s is damaged (%s): the day counts as not sealed", seal_path, error)
            return None

    def is_ours(self, day: Day) -> bool:
        """Whether its first bytes name this model and layout."""
        return _begins(day.path, self._header)

    def records(self, day: Day, first: int = 0, count: int | None = None) -> np.ndarray:
        """Records [first, first + count) of a day (n,), read into memory."""
        count = day.rows - first if count is None else min(count, day.rows - first)
        found = np.empty(max(0, count), self.type)
        with day.path.open("rb", buffering=0) as file:
            file.seek(HEADER_BYTES + first * self.type.itemsize)
            filled = file.readinto(memoryview(found).cast("B"))  # type: ignore[arg-type]
        return found[: (filled or 0) // self.type.itemsize]

    def spans(self, day: Day) -> dict[int, tuple[float, float]]:
        """The recordings of a day, by their ids: the first and the last second of each that is in it."""
        if day.seal is not None:
            return day.seal.spans
        spans: dict[int, tuple[float, float]] = {}
        for first in range(0, day.rows, CHECKED_ROWS):
            records = self.records(day, first, CHECKED_ROWS)
            _widen(spans, records[intact(records)])
        return spans

    def write_whole(self, path: Path, records: np.ndarray) -> None:
        """A file of these records (n,), which get their checksums here."""
        with path.open("wb") as file:
            file.write(self._header)
            file.write(with_checksums(records).tobytes())
            file.flush()
            os.fsync(file.fileno())

    def seal_past(self) -> None:
        """Seal the files of other days than today's that nobody has open."""
        today = time.strftime("%Y-%m-%d", time.gmtime())
        for day in list(self.all()):
            if day.seal is None and not day.path.name.startswith(today) and self.is_ours(day):
                self._seal(day)

    def is_whole(self, day: Day) -> bool:
        """Whether a sealed file is what was sealed; a second or two for each GB."""
        assert day.seal is not None
        return day.rows == day.seal.rows and _sha256(day.path) == day.seal.sha256

    @contextmanager
    def _todays(self) -> Iterator[FileIO]:
        """Today's file, locked: the first of its date that is not sealed, and is ours."""
        date = time.strftime("%Y-%m-%d", time.gmtime())
        if date != self._date:
            self._date, self._number = date, 0
        while True:
            path = self.folder / (f"{date}.{self._number}.emb" if self._number else f"{date}.emb")
            file = self._opened(path)
            fcntl.flock(file.fileno(), fcntl.LOCK_EX)
            try:
                begun = os.fstat(file.fileno()).st_size >= HEADER_BYTES
                if path.with_suffix(".seal").exists():  # seen under the lock: nobody seals it now
                    self._number += 1
                elif begun and not _begins(path, self._header):
                    log.warning("%s is of another model or damaged: another file is begun", path)
                    self._number += 1
                else:
                    yield file
                    return
            finally:
                fcntl.flock(file.fileno(), fcntl.LOCK_UN)

    def _opened(self, path: Path) -> FileIO:
        if self._file is None or self._path != path:
            self._turned |= self._path not in (None, path)
            self._let_go()
            self.folder.mkdir(parents=True, exist_ok=True)
            self._file, self._path = path.open("ab", buffering=0), path
        return self._file

    def _seal(self, day: Day) -> None:
        with day.path.open("r+b", buffering=0) as file:
            fcntl.flock(file.fileno(), fcntl.LOCK_EX)
            seal_path = day.path.with_suffix(".seal")
            if seal_path.exists() and seal_path.stat().st_size:
                try:
                    Seal.read(seal_path)
                    return  # another process was first
                except ValueError:
                    pass
            rows = (os.fstat(file.fileno()).st_size - HEADER_BYTES) // self.type.itemsize
            day = replace(day, rows=rows)
            file.truncate(HEADER_BYTES + rows * self.type.itemsize)
            for first in range(0, day.rows, CHECKED_ROWS):
                for row in np.flatnonzero(~intact(self.records(day, first, CHECKED_ROWS))):
                    log.warning("record %d of %s is damaged and is left out", first + row, day.path)
                    file.seek(HEADER_BYTES + (first + int(row)) * self.type.itemsize)
                    file.write(bytes(self.type.itemsize))  # recording 0 is none
            os.fsync(file.fileno())
            Seal(day.rows, _sha256(day.path), self.spans(day)).write(seal_path)
            log.info("sealed %s: %d windows", day.path.name, day.rows)
        if self._tell:
            self._tell(day.path)


def header_of(path: Path) -> tuple[str, int] | None:
    """The fingerprint and width that a file of this layout says it has."""
    with path.open("rb") as file:
        header = file.read(HEADER_BYTES)
    width = int.from_bytes(header[24:], "little")
    if len(header) < HEADER_BYTES or not header.startswith(MAGIC) or not 0 < width <= MAX_WIDTH:
        return None
    return header[8:24].decode(errors="replace").rstrip(), width


def _widen(spans: dict[int, tuple[float, float]], records: np.ndarray) -> None:
    for recording in np.unique(records["recording"]):
        own = records[records["recording"] == recording]
        first, last = spans.get(int(recording), (np.inf, -np.inf))
        spans[int(recording)] = min(first, float(own["start_s"].min())), max(last, float(own["end_s"].max()))


def _order(path: Path) -> tuple[str, int]:
    date, _, number = path.stem.partition(".")
    return date, int(number) if number.isdecimal() else 0


def _begins(path: Path, header: bytes) -> bool:
    with path.open("rb") as file:
        return file.read(len(header)) == header


def _write(file: FileIO, data: bytes) -> None:
    if file.write(data) != len(data):  # the next append drops what is torn
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
