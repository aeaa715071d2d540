"""What was heard: append-only daily files of int8 embeddings, and a catalogue of recordings.

    archive = Archive(home, bundle.fingerprint, width=512)
    with archive.recording("field.wav") as recording:
        recording.add(window)
    for hit in archive.search(query, k=10): …

A record has a fixed size, so a file cut by a power failure is good up to its last whole record. Each fingerprint has
a folder of its own: embeddings of two models never meet. A recording counts once it is whole (or live); indexing one
again replaces it, and a recording left half done is ignored and done again.
"""

import errno
import os
import sqlite3
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from io import FileIO
from pathlib import Path

import numpy as np

from edge_runtime.errors import AudioError, HomeError
from edge_runtime.home import Home
from edge_runtime.listener import Window

__all__ = ["Archive", "Hit", "RecordingWriter"]

MAGIC = b"EARMARK1"
Moment = tuple[float, int, float, float]
"""Score, recording, start and end in seconds."""

CHUNK_ROWS = 8192
"""Records searched at a time: 4 MB of int8 at E = 512, in cache and far from the memory of a small board."""


@dataclass(frozen=True)
class Hit:
    """A moment that a search found: `score` is the cosine of its embedding with the query."""

    file: str
    start_s: float
    end_s: float
    score: float
    started_at: float


def record_type(width: int) -> np.dtype:
    """One record: recording id, start and end in seconds from its start, scale, and E int8 numbers."""
    return np.dtype(
        [
            ("recording", "<u4"),
            ("scale", "<f4"),
            ("start_s", "<f8"),
            ("end_s", "<f8"),
            ("embedding", "i1", (width,)),
        ]
    )


class Archive:
    """The archive of one model under one home."""

    def __init__(self, home: Home, fingerprint: str, *, width: int) -> None:
        self._home = home
        self._fingerprint = fingerprint
        self._type = record_type(width)
        self._folder = home.path / "archive" / fingerprint
        self._header = MAGIC + fingerprint.encode().ljust(16) + width.to_bytes(8, "little")

    def holds(self, path: Path) -> bool:
        """Whether this very file (name, size, modification time) is in the archive, whole."""
        name, stat = _name_of(path), path.stat()
        query = "select 1 from recording where fingerprint = ? and name = ? and size = ? and mtime_ns = ? and whole = 1"
        key = (self._fingerprint, name, stat.st_size, stat.st_mtime_ns)
        return self._home.db.execute(query, key).fetchone() is not None

    @contextmanager
    def recording(self, name: str, *, path: Path | None = None, live: bool = False) -> Iterator["RecordingWriter"]:
        """Write one recording. It appears in searches when the block ends without an error, a `live` one at once.

        A file (`path`) replaces what the archive had of it, and `holds` knows it unless the writer's `complete` was
        set to False.
        """
        started_at = time.time()
        name = _name_of(path) if path else name
        db = self._home.db
        try:
            cursor = db.execute(
                "insert into recording (name, fingerprint, started_at, whole) values (?, ?, ?, ?)",
                (name, self._fingerprint, started_at, live),
            )
            recording_id = int(cursor.lastrowid or 0)
            file = self._day_file(started_at)
        except (OSError, sqlite3.OperationalError) as error:
            raise HomeError(
                f"cannot write to {self._home.path} ({error}): choose another folder with --home"
            ) from error
        with file:
            writer = RecordingWriter(recording_id, file, self._type)
            try:
                yield writer
            except BaseException:
                if live:
                    writer.complete = False
                    self._close(writer, recording_id, name, path)
                raise
            self._close(writer, recording_id, name, path)

    def _close(self, writer: "RecordingWriter", recording_id: int, name: str, path: Path | None) -> None:
        """Make one recording whole. It replaces what the archive had of the same file, unless that is longer."""
        writer.finish()
        stat = path.stat() if path and writer.complete else None
        whole, db = True, self._home.db
        with self._home.transaction():
            if path:
                older = (name, self._fingerprint, recording_id)
                same = "where name = ? and fingerprint = ? and id < ?"
                if not writer.complete:
                    query = f"select max(heard_s) from recording {same} and whole = 1"  # noqa: S608
                    whole = (db.execute(query, older).fetchone()[0] or 0.0) <= writer.heard_s
                if whole:
                    db.execute(f"delete from recording {same}", older)  # noqa: S608
            db.execute(
                "update recording set whole = ?, size = ?, mtime_ns = ?, heard_s = ?, lost_s = ? where id = ?",
                (
                    whole,
                    stat.st_size if stat else None,
                    stat.st_mtime_ns if stat else None,
                    writer.heard_s,
                    writer.lost_s,
                    recording_id,
                ),
            )

    def windows(self) -> int:
        """How many windows a search of this archive looks at."""
        return sum(len(records) for records in self._days())

    def other_models(self) -> int:
        """Recordings in this home that another model made; a search cannot see them."""
        query = "select count(*) from recording where fingerprint <> ? and whole = 1"
        return int(self._home.db.execute(query, (self._fingerprint,)).fetchone()[0])

    def search(self, query: np.ndarray, *, k: int) -> list[Hit]:
        """The k moments nearest to `query (E,)`, best first. Exact: every window is compared.

        Windows of one recording that overlap are one moment, told by its best window.
        """
        rows = self._home.db.execute(
            "select id, name, started_at from recording where fingerprint = ? and whole = 1",
            (self._fingerprint,),
        )
        recordings = {number: (name, started_at) for number, name, started_at in rows}
        known = np.array(sorted(recordings), np.uint32)
        found: list[Moment] = []
        for records in self._days():
            for start in range(0, len(records), CHUNK_ROWS):
                part = records[start : start + CHUNK_ROWS]
                scores = (part["embedding"].astype(np.float32) @ query) * part["scale"]
                scores[~np.isin(part["recording"], known)] = -np.inf
                best = _best_of_each_moment(part, scores)
                best = best[np.isfinite(scores[best])]
                ranked = best[np.argsort(-scores[best], kind="stable")]
                moments = (
                    (float(scores[i]), int(part["recording"][i]), float(part["start_s"][i]), float(part["end_s"][i]))
                    for i in ranked
                )
                found += _apart(moments, k)
        hits = []
        for score, recording, start_s, end_s in _apart(sorted(found, key=lambda row: -row[0]), k):
            name, started_at = recordings[recording]
            hits.append(Hit(name, start_s, end_s, score, started_at))
        return hits

    def _days(self) -> Iterator[np.ndarray]:
        for path in sorted(self._folder.glob("*.emb")) if self._folder.is_dir() else []:
            count = (path.stat().st_size - len(self._header)) // self._type.itemsize
            if count <= 0:
                continue
            with path.open("rb") as file:
                found = file.read(len(self._header))
            if found != self._header:
                raise HomeError(
                    f"{path} is of another model or damaged (header {found[:24]!r}): move it out of the archive"
                )
            yield np.memmap(path, self._type, "r", offset=len(self._header), shape=(count,))

    def _day_file(self, moment: float) -> FileIO:
        self._folder.mkdir(parents=True, exist_ok=True)
        path = self._folder / time.strftime("%Y-%m-%d.emb", time.gmtime(moment))
        file = path.open("ab", buffering=0)
        size = os.fstat(file.fileno()).st_size
        if size < len(self._header):
            file.truncate(0)
            file.write(self._header)
        elif torn := (size - len(self._header)) % self._type.itemsize:
            file.truncate(size - torn)  # a record cut by a power failure
        return file


class RecordingWriter:
    """Appends the windows of one recording."""

    def __init__(self, recording_id: int, file: FileIO, record: np.dtype) -> None:
        self._id = recording_id
        self._file = file
        self._type = record
        self._waiting: Window | None = None
        self.complete = True
        self.heard_s = 0.0
        self.lost_s = 0.0

    def add(self, window: Window, *, every: int = 1) -> None:
        """Keep a settled window if its index is a multiple of `every` segments; the newest one is kept in any case."""
        if not window.settled:
            return
        if window.index % every:
            self._waiting = window
            return
        self._write(window)

    def finish(self) -> None:
        """The recording ends here: its last window is kept, and all of them are on the disk."""
        if self._waiting is not None:
            self._write(self._waiting)
        os.fsync(self._file.fileno())

    def _write(self, window: Window) -> None:
        peak = max(float(np.abs(window.embedding).max()), 1e-12)
        record = np.zeros(1, self._type)
        record["recording"], record["scale"] = self._id, peak / 127
        record["start_s"], record["end_s"] = window.start_s, window.end_s
        record["embedding"] = np.rint(window.embedding * (127 / peak))
        try:
            if self._file.write(record.tobytes()) != record.nbytes:  # the next append drops the torn record
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        except OSError as error:
            raise HomeError(
                f"the archive cannot grow ({error.strerror}): free some disk, or use --no-archive"
            ) from error
        self._waiting = None


def _name_of(path: Path) -> str:
    """The name by which the archive knows a file."""
    name = str(path.absolute())
    try:
        name.encode()
    except UnicodeEncodeError as error:
        raise AudioError(f"{name!a} has a name that the archive cannot keep (not UTF-8): rename the file") from error
    return name


def _apart(ranked: Iterable[Moment], k: int) -> list[Moment]:
    """The first k that overlap none before them in the same recording."""
    kept: list[Moment] = []
    taken: dict[int, list[tuple[float, float]]] = {}
    for moment in ranked:
        _, recording, start_s, end_s = moment
        spans = taken.setdefault(recording, [])
        if not any(start_s < end and begin < end_s for begin, end in spans):
            spans.append((start_s, end_s))
            kept.append(moment)
            if len(kept) == k:
                break
    return kept


def _best_of_each_moment(part: np.ndarray, scores: np.ndarray) -> np.ndarray:
    """Rows no worse than their neighbours in the same recording; the others tell no moment of their own."""
    same = part["recording"][1:] == part["recording"][:-1]
    same &= part["start_s"][1:] < part["end_s"][:-1]
    beaten = np.zeros(len(part), bool)
    beaten[:-1] |= same & (scores[1:] > scores[:-1])
    beaten[1:] |= same & (scores[:-1] > scores[1:])
    return np.flatnonzero(~beaten)
