"""A folder of ledgers, one a source: read, and made small when a day is over.

    folder/garden-1f0c33d2/name             the source
    folder/garden-1f0c33d2/2026-11-26.log   as it was written, tied to wall time by its anchors
    folder/garden-1f0c33d2/2026-11-25.runs  a day that is over: spans in UTC

A log becomes runs only when no later step of the clock can move it: when the clock is trusted, or its boot is over.
"""

import fcntl
import hashlib
import logging
import os
import re
import time
from collections import defaultdict
from collections.abc import Iterable
from contextlib import ExitStack
from functools import partial
from pathlib import Path

from edge_runtime.clock import Clock
from edge_runtime.errors import HomeError
from edge_runtime.ledger.account import Account
from edge_runtime.ledger.record import (
    Anchor,
    Entry,
    Repair,
    Span,
    State,
    boot_key,
    in_wall_time,
    mended,
    pack,
    read_entries,
)
from edge_runtime.ledger.spans import seconds_of, settled

__all__ = ["Ledger"]

log = logging.getLogger(__name__)

DAY_S = 86_400
DAY_MS = 1000 * DAY_S
LAST_DAY = 2_932_896
"""9999-12-31: what is beyond is no time."""


class Ledger:
    """Reading creates nothing. `damage`: what was found damaged so far, a line a file; its seconds count as lost."""

    def __init__(self, folder: Path) -> None:
        self.damage: dict[Path, str] = {}
        self._folder = folder

    def account(self, source: str, clock: Clock) -> Account:
        """Write a source's seconds. Days that are over become runs now and at each midnight."""
        folder = self._folder / _folder_name(source)
        try:
            folder.mkdir(parents=True, exist_ok=True)
            (folder / "name").write_text(source, encoding="utf-8", errors="surrogateescape")
        except OSError as error:
            raise HomeError(
                f"cannot write to {folder} ({error.strerror}): free some disk, or choose another folder with --home"
            ) from error
        told_of = self._untrusted_moment(folder, clock)
        day_over = partial(self._make_runs, folder, clock)
        if told_of is None:  # else once that is mended
            day_over()
        return Account(clock, log_of=partial(_log_of, folder), day_over=day_over, told_of=told_of)

    def sources(self) -> list[str]:
        """Those that have a ledger here."""
        if not self._folder.is_dir():
            return []
        return sorted(_source_of(each) for each in self._folder.iterdir() if each.is_dir())

    def coverage(self, source: str, start_at: float, end_at: float) -> dict[State, float]:
        """Seconds of each state between two UTC times."""
        start_ms, end_ms = round(1000 * start_at), round(1000 * max(start_at, end_at))
        return seconds_of(self.spans(source, start_at, end_at), start_ms, end_ms)

    def spans(self, source: str, start_at: float = 0.0, end_at: float = LAST_DAY * DAY_S) -> list[Span]:
        """What is known of a source, in UTC milliseconds, apart and in order; all of the days that are asked for."""
        folder = self._folder / _folder_name(source)
        first, last = _day(start_at), _day(end_at)
        logs = list(map(self._entries, sorted(folder.glob("*.log"))))
        found = list(in_wall_time(logs, _repairs(logs)))
        for path in sorted(folder.glob("*.runs")):
            if first <= path.stem <= last:
                found += [entry for entry in self._entries(path) if isinstance(entry, Span)]
        return settled(found)

    def _entries(self, path: Path) -> list[Entry]:
        """Of one file; what is damaged is left out, and told."""
        try:
            entries, damaged = read_entries(path.read_bytes())
        except FileNotFoundError:  # made into runs since
            return []
        except OSError as error:
            self.damage[path] = f"{path} cannot be read ({error.strerror}): its seconds count as lost"
            return []
        if damaged:
            self.damage[path] = f"{path} has {damaged} damaged entries: their seconds count as lost"
        return entries

    def _untrusted_moment(self, folder: Path, clock: Clock) -> tuple[float, float] | None:
        """The newest moment of this boot whose wall time was told by a clock that nobody trusted, and that time."""
        logs = list(map(self._entries, sorted(folder.glob("*.log"))))
        own = boot_key(clock.boot)
        anchors = [entry for log in logs for entry in log if isinstance(entry, Anchor) and entry.boot == own]
        newest = max(anchors, key=lambda anchor: anchor.at_ns, default=None)
        if newest is None or newest.trusted:
            return None
        moment_s = newest.at_ns / 1e9
        return moment_s, moment_s + mended(newest, _repairs(logs)).offset_ms / 1000

    def _make_runs(self, folder: Path, clock: Clock) -> None:
        """Of logs whose day is over and whose times are final. Cut short at any point, it is done again: what is told
        twice counts once."""
        with ExitStack() as held:
            paths = sorted(folder.glob("*.log"))
            locked = [path for path in paths if path.stem != _day(clock.now()) and _lock(path, held)]
            logs = {path: self._entries(path) for path in paths}
            final = {p: logs[p] for p in locked if p not in self.damage and not _may_move(logs[p], clock)}
            others = [entry for path in logs if path not in final for entry in logs[path]]
            try:
                _merge_runs(folder, in_wall_time(final.values(), _repairs(logs.values())))
                for path, entries in final.items():
                    if not _still_mends(entries, others):
                        path.unlink()
            except OSError as error:  # a full disk: they are made another day
                log.info("no runs of %s could be made (%s)", folder, error.strerror)


def _lock(path: Path, held: ExitStack) -> bool:
    """False where somebody writes to it."""
    try:
        fcntl.flock(held.enter_context(path.open("rb")), fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True


def _may_move(entries: list[Entry], clock: Clock) -> bool:
    """Whether the clock, once trusted, may say that it was at another time."""
    own = boot_key(clock.boot)
    return not clock.trusted and any(isinstance(entry, Anchor) and entry.boot == own for entry in entries)


def _repairs(logs: Iterable[list[Entry]]) -> list[Repair]:
    return [entry for entries in logs for entry in entries if isinstance(entry, Repair)]


def _still_mends(entries: list[Entry], others: list[Entry]) -> bool:
    return any(repair.mends(entry) for repair in _repairs([entries]) for entry in others if isinstance(entry, Anchor))


def _merge_runs(folder: Path, spans: Iterable[Span]) -> None:
    by_day: dict[int, list[Span]] = defaultdict(list)
    for span in settled(spans):
        for day in range(max(0, span.start_ms // DAY_MS), min(LAST_DAY, (span.end_ms - 1) // DAY_MS) + 1):
            start, end = max(span.start_ms, day * DAY_MS), min(span.end_ms, (day + 1) * DAY_MS)
            by_day[day].append(Span(span.state, start, end))
    for day, found in by_day.items():
        path = folder / f"{_day(day * DAY_S)}.runs"
        known = read_entries(path.read_bytes())[0] if path.exists() else []
        runs = settled([*found, *(entry for entry in known if isinstance(entry, Span))])
        part = path.with_suffix(".part")
        with part.open("wb") as file:
            file.write(b"".join(map(pack, runs)))
            file.flush()
            os.fsync(file.fileno())
        part.replace(path)


def _day(moment: float) -> str:
    """The UTC day of a time, by its name."""
    return time.strftime("%Y-%m-%d", time.gmtime(min(max(0.0, moment), LAST_DAY * DAY_S)))


def _log_of(folder: Path, moment: float) -> Path:
    return folder / f"{_day(moment)}.log"


def _folder_name(source: str) -> str:
    """Safe on every disk, and another one for every source."""
    slug = re.sub("[^a-z0-9]+", "-", source.lower()).strip("-")[:40]
    return f"{slug or 'source'}-{hashlib.sha256(source.encode('utf-8', 'surrogateescape')).hexdigest()[:8]}"


def _source_of(folder: Path) -> str:
    try:
        with (folder / "name").open("rb") as file:
            name = file.read(4096).decode("utf-8", "surrogateescape")
    except OSError:
        return folder.name
    return name if _folder_name(name) == folder.name else folder.name
