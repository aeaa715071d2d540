"""The archive's catalogue: which recordings there are, in SQLite, each change noted in the home's journal first.

A recording counts once it is whole (or live). `started_at` is its wall time (UTC seconds); one that was stamped by a
clock which nobody had set keeps boot and monotonic seconds, and is told its time later.
"""

import os
import sqlite3
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from math import isfinite
from pathlib import Path
from typing import Any

from edge_runtime.clock import Clock, Stamp
from edge_runtime.errors import AudioError
from edge_runtime.home import Home

__all__ = ["COLUMNS", "Known", "Recordings", "insert", "name_of", "repair", "restore"]

COLUMNS = (
    *("id", "name", "fingerprint", "size", "mtime_ns", "started_at", "heard_s", "lost_s", "whole", "live"),
    *("boot", "monotonic_s", "trusted"),
)
MAX_ID = 10_000_000
"""A home that begins a recording each minute has one in 19 years. Searches take 8 bytes for each id there is."""


@dataclass(frozen=True)
class Known:
    """A recording that searches see."""

    id: int
    name: str
    started_at: float


class Recordings:
    """Those of one model."""

    def __init__(self, home: Home, fingerprint: str) -> None:
        self._home = home
        self._fingerprint = fingerprint

    def begin(self, name: str, began: Callable[[], Stamp], *, live: bool) -> int:
        """Its id. `began` is asked once the disk is ready for the answer."""
        row: dict[str, Any] = dict.fromkeys(COLUMNS) | {"name": name, "fingerprint": self._fingerprint}
        row |= {"heard_s": 0.0, "lost_s": 0.0, "whole": live, "live": live}
        with self._home.transaction():  # `repair` comes wholly before it or after
            stamp = began()
            row |= {"started_at": stamp.wall_s, "boot": stamp.boot, "monotonic_s": stamp.monotonic_s}
            row["trusted"] = stamp.trusted
            query = "select coalesce(max(id), 0) + 1 from recording where id between 1 and ?"
            row["id"] = int(self._home.db.execute(query, (MAX_ID,)).fetchone()[0])
            insert(self._home.db, row)
            self._home.journal.note("recording", row, sync=True)
        return int(row["id"])

    def end(
        self, recording: int, *, heard_s: float, lost_s: float, file: Path | None = None, complete: bool = True
    ) -> None:
        """It is whole. A file replaces what there was of the same one, unless that was heard for longer and this is not
        `complete`."""
        db = self._home.db
        stat = _stat(file) if file and complete else None
        whole, gone = True, []
        with self._home.transaction():
            if file:
                query = "select id, heard_s from recording where name = ? and fingerprint = ? and id < ? and whole = 1"
                older = db.execute(query, (name_of(file), self._fingerprint, recording)).fetchall()
                whole = complete or all(length <= heard_s for _, length in older)
                gone = [number for number, _ in older] if whole else []
            fields = {
                "id": recording,
                "whole": whole,
                "size": stat.st_size if stat else None,
                "mtime_ns": stat.st_mtime_ns if stat else None,
                "heard_s": heard_s,
                "lost_s": lost_s,
                "replaces": gone,
            }
            _end(db, fields)
            self._home.journal.note("recorded", fields)

    def end_killed(self, recording: int, *, heard_s: float) -> None:
        """It ended where its process was killed, unless it had ended before that."""
        query = "select 1 from recording where id = ? and heard_s = 0"
        if self._home.db.execute(query, (recording,)).fetchone():
            self.end(recording, heard_s=heard_s, lost_s=0.0)

    def holds(self, path: Path) -> bool:
        """Whether this very file (name, size, modification time) is there, whole."""
        stat = path.stat()
        query = "select 1 from recording where fingerprint = ? and name = ? and size = ? and mtime_ns = ? and whole = 1"
        key = (self._fingerprint, name_of(path), stat.st_size, stat.st_mtime_ns)
        return self._home.db.execute(query, key).fetchone() is not None

    def known(self, sources: Sequence[str] = ()) -> list[Known]:
        """All that are whole or live, or those of these names, or in folders of these names."""
        query = "select id, name, started_at from recording where fingerprint = ? and whole = 1 and id between 1 and ?"
        rows = self._home.db.execute(query, (self._fingerprint, MAX_ID)).fetchall()
        within = tuple(f"{source.rstrip('/')}/" for source in sources)
        return [Known(*row) for row in rows if not sources or row[1] in sources or row[1].startswith(within)]

    def of_other_models(self) -> int:
        query = "select count(*) from recording where fingerprint <> ? and whole = 1"
        return int(self._home.db.execute(query, (self._fingerprint,)).fetchone()[0])


def _stat(file: Path) -> os.stat_result | None:
    """None where it has vanished since it was opened: what was heard of it counts all the same."""
    try:
        return file.stat()
    except OSError:
        return None


def repair(home: Home, clock: Clock) -> None:
    """Tell the wall times of this boot's recordings anew, by what the clock says now."""
    with home.transaction():
        rows = home.db.execute("select id, monotonic_s from recording where boot = ?", (clock.boot,)).fetchall()
        times = [(clock.wall(began_s), clock.trusted, number) for number, began_s in rows]
        home.db.executemany("update recording set started_at = ?, trusted = ? where id = ?", times)


def restore(db: sqlite3.Connection, kind: str, fields: Mapping[str, Any]) -> bool:
    """Put back what a line of the journal tells, in the order of the lines; False where it is none of ours. Raises
    KeyError, TypeError, ValueError, OverflowError or sqlite3.Error where it is damaged."""
    if kind == "recording":
        insert(db, fields)
    elif kind == "recorded":
        _end(db, fields)
    elif kind == "clock":
        offset_s = float(fields["wall_s"]) - float(fields["monotonic_s"])
        db.execute(
            "update recording set started_at = monotonic_s + ?, trusted = ? where boot = ?",
            (offset_s, bool(fields["trusted"]), str(fields["boot"])),
        )
    else:
        return False
    return True


def insert(db: sqlite3.Connection, fields: Mapping[str, Any]) -> None:
    """A row of these COLUMNS."""
    row = {name: fields[name] for name in COLUMNS}
    if type(row["id"]) is not int or not 0 < row["id"] <= MAX_ID:
        raise ValueError(f"a recording cannot have the id {row['id']}")
    for name in ("started_at", "heard_s", "lost_s", "monotonic_s"):
        if not isfinite(row[name]):
            raise ValueError(f"a recording cannot have {row[name]} as its {name}")
    db.execute(
        f"insert or replace into recording ({', '.join(COLUMNS)}) values ({','.join('?' * len(COLUMNS))})",  # noqa: S608
        list(row.values()),
    )


def _end(db: sqlite3.Connection, fields: Mapping[str, Any]) -> None:
    db.executemany("delete from recording where id = ?", [(int(number),) for number in fields["replaces"]])
    db.execute(
        "update recording set whole = ?, size = ?, mtime_ns = ?, heard_s = ?, lost_s = ? where id = ?",
        [fields[name] for name in ("whole", "size", "mtime_ns", "heard_s", "lost_s", "id")],
    )


def name_of(path: Path) -> str:
    """The name by which the archive knows a file."""
    name = str(path.absolute())
    try:
        name.encode()
    except UnicodeEncodeError as error:
        raise AudioError(f"{name!a} has a name that the archive cannot keep (not UTF-8): rename the file") from error
    return name
