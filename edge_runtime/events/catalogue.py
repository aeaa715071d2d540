"""Events and their clips in the home's SQLite file, each noted in the home's journal, which makes it anew.

    catalogue = Catalogue(home, clock)
    catalogue.keep(event, stretch_s=stretch.started_s, file=None)
    catalogue.keep_clip(clip)
    for kept in events_of(home, since=…, until=…): …        # KeptEvent, oldest first
    catalogue.repair()                                      # after `clock.look()` told that wall times are right now

An event is known by boot, source, name and start: keeping it again, as when it has gone on, replaces it.
"""

import json
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from math import isfinite
from typing import Any

from edge_runtime.clock import Clock
from edge_runtime.errors import HomeError
from edge_runtime.events.clips import Clip
from edge_runtime.events.event import Event
from edge_runtime.events.retention import KnownClip
from edge_runtime.home import Home
from edge_runtime.matching.firing import Kind

__all__ = ["Catalogue", "KeptEvent", "events_of", "restore"]

NUMBERS = ("start_s", "end_s", "peak_s", "start_at", "stretch_s", "score", "threshold", "heard_s")


@dataclass(frozen=True)
class KeptEvent:
    """An event as it is kept. `start_at`, `end_at`, `peak_at`: UTC seconds, and whether they are `trusted`. `start_s`
    and `end_s`: in its stretch, which is the recording where there is a `file`. `clip`: within the home."""

    source: str
    name: str
    kind: Kind
    phrases: tuple[str, ...]
    start_at: float
    end_at: float
    peak_at: float
    trusted: bool
    score: float
    threshold: float
    windows: int
    coverage: float
    start_s: float
    end_s: float
    file: str | None
    clip: str | None
    clip_start_at: float | None


class Catalogue:
    """Threads that share it share the home's connection. What cannot be noted is not kept: HomeError."""

    def __init__(self, home: Home, clock: Clock) -> None:
        self._home = home
        self._clock = clock

    def keep(self, event: Event, *, stretch_s: float, file: str | None = None) -> None:
        """`stretch_s`: when the event's stretch began (monotonic); `file`: the recording, if it is one."""
        row = {
            **asdict(event),
            "phrases": list(event.phrases),
            "boot": self._clock.boot,
            "stretch_s": stretch_s,
            "file": file,
        }
        with self._home.transaction():  # `repair` comes wholly before it or after
            row |= {"start_at": self._clock.wall(event.start_s), "trusted": self._clock.trusted}
            _insert(self._home.db, row)
            self._home.journal.note("event", row)

    def keep_clip(self, clip: Clip) -> None:
        row = {**asdict(clip), "events": [list(each) for each in clip.events], "boot": self._clock.boot}
        with self._home.transaction():  # `repair` comes wholly before it or after
            row["start_at"] = self._clock.wall(clip.start_s)
            _insert_clip(self._home.db, row)
            self._home.journal.note("clip", row)

    def forget_clips(self, paths: Sequence[str]) -> None:
        """They are no longer on the disk; their events stay."""
        with self._home.transaction():
            _forget_clips(self._home.db, {"paths": paths})
            self._home.journal.note("clips gone", {"paths": list(paths)})

    def clips(self) -> dict[str, KnownClip]:
        """All that are kept, by path."""
        rows = self._home.db.execute("select path, name, excess, start_at from clip")
        return {path: KnownClip(name, excess, start_at) for path, name, excess, start_at in rows}

    def repair(self) -> None:
        """Tell the wall times of this boot anew, by what the clock says now."""
        db, boot = self._home.db, self._clock.boot
        with self._home.transaction():
            for table in ("event", "clip"):
                rows = db.execute(f"select rowid, start_s from {table} where boot = ?", (boot,)).fetchall()  # noqa: S608
                times = [(self._clock.wall(start_s), rowid) for rowid, start_s in rows]
                db.executemany(f"update {table} set start_at = ? where rowid = ?", times)  # noqa: S608
            db.execute("update event set trusted = ? where boot = ?", (self._clock.trusted, boot))
            self._home.journal.note("clock", asdict(self._clock.stamp()))


def events_of(
    home: Home,
    *,
    since: float | None = None,
    until: float | None = None,
    names: Sequence[str] = (),
    sources: Sequence[str] = (),
    newest: int | None = None,
) -> Iterator[KeptEvent]:
    """A home's events that go on within [since, until) (UTC seconds), of these names and sources (none: of all), oldest
    first; of more than `newest` the last ones. Raises HomeError where the home holds no table of them."""
    where: list[str] = ["1"]
    values: list[object] = []
    if since is not None:
        where.append("e.start_at + e.end_s - e.start_s > ?")
        values.append(since)
    if until is not None:
        where.append("e.start_at < ?")
        values.append(until)
    for column, wanted in (("name", names), ("source", sources)):
        if wanted:
            where.append(f"e.{column} in ({','.join('?' * len(wanted))})")
            values += wanted
    query = (
        "select e.*, c.path as clip, c.start_at as clip_start_at from event e left join clip_event l "  # noqa: S608
        "on l.boot = e.boot and l.source = e.source and l.name = e.name and l.start_s = e.start_s "
        f"left join clip c on c.path = l.clip where {' and '.join(where)} "
        "group by e.rowid order by e.start_at desc, e.rowid desc limit ?"
    )
    cursor = home.db.cursor()
    cursor.row_factory = sqlite3.Row
    try:
        rows = cursor.execute(query, (*values, -1 if newest is None else newest)).fetchall()
    except sqlite3.OperationalError as error:
        raise HomeError(
            f"the home {home.path} holds no events ({error}): run `earmark run` there first, or choose another --home"
        ) from error
    return map(_kept, reversed(rows))


def restore(db: sqlite3.Connection, kind: str, fields: Mapping[str, Any]) -> bool:
    """Put back what a line of the journal tells, in the order of the lines; False where it is none of ours. Raises
    KeyError, TypeError, ValueError or sqlite3.Error where it is damaged."""
    insert = {"event": _insert, "clip": _insert_clip, "clips gone": _forget_clips, "clock": _repair}.get(kind)
    if insert is not None:
        insert(db, fields)
    return insert is not None


def _insert(db: sqlite3.Connection, row: Mapping[str, Any]) -> None:
    numbers = [_number(row, name) for name in NUMBERS]
    if not float(row["start_s"]) < float(row["end_s"]):
        raise ValueError(f"it ends at {row['end_s']} s, and begins at {row['start_s']} s: leave the note out")
    texts = [_text(row, name) for name in ("boot", "source", "name", "kind")]
    phrases = [str(text) for text in row["phrases"]]
    file = None if row["file"] is None else _text(row, "file")
    values = (
        *texts,
        json.dumps(phrases, ensure_ascii=False),
        *numbers,
        bool(row["trusted"]),
        int(row["windows"]),
        file,
    )
    columns = ("boot", "source", "name", "kind", "phrases", *NUMBERS, "trusted", "windows", "file")
    db.execute(
        f"insert or replace into event ({', '.join(columns)}) values ({','.join('?' * len(columns))})",  # noqa: S608
        values,
    )


def _insert_clip(db: sqlite3.Connection, row: Mapping[str, Any]) -> None:
    path, boot, source = (_text(row, name) for name in ("path", "boot", "source"))
    numbers = [_number(row, name) for name in ("start_s", "end_s", "start_at", "gated_s", "excess")]
    events = [(path, boot, source, str(name), float(start_s)) for name, start_s in row["events"]]
    db.execute(
        "insert or replace into clip (path, boot, source, name, start_s, end_s, start_at, gated_s, excess) "
        "values (?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (path, boot, source, _text(row, "name"), *numbers),
    )
    db.executemany(
        "insert or replace into clip_event (clip, boot, source, name, start_s) values (?, ?, ?, ?, ?)",
        events,
    )


def _forget_clips(db: sqlite3.Connection, row: Mapping[str, Any]) -> None:
    paths = [(str(path),) for path in row["paths"]]
    db.executemany("delete from clip where path = ?", paths)
    db.executemany("delete from clip_event where clip = ?", paths)


def _repair(db: sqlite3.Connection, stamp: Mapping[str, Any]) -> None:
    """Wall times of a boot by a later stamp of it, which was right; what the system slept between is not known here."""
    offset_s, boot = _number(stamp, "wall_s") - _number(stamp, "monotonic_s"), _text(stamp, "boot")
    db.execute(
        "update event set start_at = start_s + ?, trusted = ? where boot = ?", (offset_s, bool(stamp["trusted"]), boot)
    )
    db.execute("update clip set start_at = start_s + ? where boot = ?", (offset_s, boot))


def _number(row: Mapping[str, Any], name: str) -> float:
    number = float(row[name])
    if not isfinite(number):
        raise ValueError(f"{name} is {number}: leave the note out")
    return number


def _text(row: Mapping[str, Any], name: str) -> str:
    if not isinstance(row[name], str):
        raise ValueError(f"{name} is {row[name]!r}, expected a text: leave the note out")
    return str(row[name])


def _kept(row: sqlite3.Row) -> KeptEvent:
    seconds = row["end_s"] - row["start_s"]
    return KeptEvent(
        row["source"],
        row["name"],
        row["kind"],
        tuple(json.loads(row["phrases"])),
        row["start_at"],
        row["start_at"] + seconds,
        row["start_at"] + row["peak_s"] - row["start_s"],
        bool(row["trusted"]),
        row["score"],
        row["threshold"],
        row["windows"],
        min(1.0, row["heard_s"] / seconds),
        row["start_s"] - row["stretch_s"],
        row["end_s"] - row["stretch_s"],
        row["file"],
        row["clip"],
        row["clip_start_at"],
    )
