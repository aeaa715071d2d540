"""The home's SQLite file: opened, checked, brought up to date; where it is damaged, made again from the journal.

    db = opened(path / FILE, journal)       # for writing
    db = read_only(path / FILE)             # None where there is none yet

SQLite keeps no checksums. What can be seen is a file that it cannot read (`quick_check`), and tables that are not those
that this version makes. A damaged file that another process still writes to is left to it: what that one goes on to
write would go with the file.
"""

import fcntl
import os
import sqlite3
from collections.abc import Callable
from functools import cache
from pathlib import Path

from edge_runtime.errors import HomeError
from edge_runtime.journal import Journal
from edge_runtime.rebuild import moved_aside, restore, write_down

__all__ = ["FILE", "damaged", "locked", "opened", "read_only"]

FILE = "earmark.sqlite"
BUSY_S = 10.0
UNREADABLE = (sqlite3.DatabaseError, UnicodeDecodeError)
"""What a damaged file raises: SQLite's message names what it cannot read, with bytes that may be no text."""
PAGE_BYTES = 4096
"""SQLite's default."""


def _v1_phrases_and_recordings(db: sqlite3.Connection) -> None:
    db.execute("create table phrase (text text primary key, kept integer not null, changed_at real not null)")
    db.execute(
        "create table recording (id integer primary key, name text not null, fingerprint text not null, "
        "size integer, mtime_ns integer, started_at real not null, heard_s real not null default 0, "
        "lost_s real not null default 0, whole integer not null default 0)"
    )
    db.execute("create index recording_by_name on recording (fingerprint, name)")


def _v2_events_and_limits(db: sqlite3.Connection) -> None:
    """events/catalogue.py and matching/site.py have what stands in them."""
    db.execute(
        "create table event (boot text not null, source text not null, name text not null, kind text not null, "
        "phrases text not null, start_s real not null, end_s real not null, peak_s real not null, "
        "start_at real not null, stretch_s real not null, score real not null, threshold real not null, "
        "heard_s real not null, trusted integer not null, windows integer not null, file text, "
        "primary key (boot, source, name, start_s))"
    )
    db.execute("create index event_by_time on event (start_at)")
    db.execute(
        "create table clip (path text primary key, boot text not null, source text not null, name text not null, "
        "start_s real not null, end_s real not null, start_at real not null, gated_s real not null, "
        "excess real not null)"
    )
    db.execute(
        "create table clip_event (clip text not null, boot text not null, source text not null, name text not null, "
        "start_s real not null, primary key (boot, source, name, start_s, clip))"
    )
    db.execute(
        "create table site_limit (fingerprint text not null, source text not null, phrase text not null, "
        "above real not null, low real not null, high real not null, "
        "a_day real not null, alerts integer not null, days real not null, "
        "found_at real not null, primary key (fingerprint, source, phrase))"
    )


def _v3_stamps_and_checked_days(db: sqlite3.Connection) -> None:
    """archive/recordings.py has what stands in the one, archive/archive.py in the other."""
    db.execute("alter table recording add column live integer not null default 0")
    db.execute("alter table recording add column boot text not null default ''")
    db.execute("alter table recording add column monotonic_s real not null default 0")
    db.execute("alter table recording add column trusted integer not null default 1")
    db.execute(
        "create table checked (path text primary key, size integer not null, mtime_ns integer not null, "
        "checked_at real not null)"
    )


MIGRATIONS: tuple[Callable[[sqlite3.Connection], None], ...] = (
    _v1_phrases_and_recordings,
    _v2_events_and_limits,
    _v3_stamps_and_checked_days,
)


def locked(folder: Path) -> int:
    """A file handle that says, until it is closed, that this process writes here."""
    handle = os.open(folder / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    fcntl.flock(handle, fcntl.LOCK_SH)
    return handle


def opened(file: Path, journal: Journal, *, lock: int) -> sqlite3.Connection:
    """For writing, under a lock (`locked`); made where it is absent. A damaged one is moved aside and made again."""
    db, damage = _looked_at(file)
    if damage:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise HomeError(
                f"{file} is damaged ({damage}), and another process writes to it: stop `earmark run` and what else "
                "listens, and start it again: it makes the file again"
            ) from None
        db, damage = _looked_at(file)  # another process may have been first
    if damage:
        moved_aside(file, why=damage)
        db, _ = _looked_at(file)
    assert db is not None
    _migrate(db, journal, home=file.parent)
    write_down(db, journal)
    fcntl.flock(lock, fcntl.LOCK_SH)
    return db


def _looked_at(file: Path) -> tuple[sqlite3.Connection | None, str | None]:
    """The database, or what is wrong with it."""
    log = file.with_name(f"{file.name}-wal")
    logged = log.exists() and log.stat().st_size  # what a crash left undone is done by the log
    size = file.stat().st_size if file.exists() and not logged else 0
    if size > 1 and size % PAGE_BYTES:  # SQLite reads zeros in the place of what is missing; one byte is an empty file
        return None, f"its last page has {size % PAGE_BYTES} bytes of {PAGE_BYTES}"
    try:
        db = _connected(file)
        damage = _damage(db)
    except sqlite3.OperationalError:  # busy, or a disk that cannot be written: no damage
        raise
    except UNREADABLE as error:
        return None, str(error)
    if damage:
        db.close()
        return None, damage
    return db, None


def read_only(file: Path) -> sqlite3.Connection | None:
    """None where there is none, or where one is being made. Raises HomeError where it is seen to be damaged."""
    if not file.exists():
        return None
    log = file.with_name(f"{file.name}-wal")
    unlogged = not (log.exists() and log.stat().st_size)
    fixed = unlogged and not os.access(file.parent, os.W_OK)  # SQLite would want to put its lock files beside it
    try:
        db, version, damage = _read(file, fixed=fixed)
    except sqlite3.OperationalError:
        if fixed or not unlogged:
            raise
        db, version, damage = _read(file, fixed=True)  # a full disk takes no lock files: nobody can write either
    if damage:
        raise damaged(file, f"is damaged ({damage})")
    if db and version:
        return db
    return None


def _read(file: Path, *, fixed: bool) -> tuple[sqlite3.Connection | None, int, str | None]:
    """The database, its layout, and what is wrong with it. `fixed`: nobody writes to it meanwhile."""
    where = f"{file.absolute().as_uri()}?{'immutable=1' if fixed else 'mode=ro'}"
    db = sqlite3.connect(where, uri=True, timeout=BUSY_S, isolation_level=None)
    db.text_factory = _text
    try:
        version = _version(db)
        return db, version, _other_tables(db) if version == len(MIGRATIONS) else None
    except sqlite3.OperationalError:
        raise
    except UNREADABLE as error:
        return None, 0, str(error)


def damaged(file: Path, what: str) -> HomeError:
    return HomeError(f"{file} {what}: `earmark doctor --repair` makes it again from the home's journal")


def _connected(file: Path) -> sqlite3.Connection:
    db = sqlite3.connect(file, timeout=BUSY_S, isolation_level=None, check_same_thread=False)
    db.text_factory = _text
    db.execute(f"pragma page_size = {PAGE_BYTES}")  # of a new file
    db.execute("pragma journal_mode = wal")
    db.execute("pragma synchronous = normal")
    return db


def _text(data: bytes) -> str:
    """A bit that turned in a name costs a letter."""
    return data.decode(errors="replace")


def _version(db: sqlite3.Connection) -> int:
    version = int(db.execute("pragma user_version").fetchone()[0])
    if version > len(MIGRATIONS):
        raise HomeError(f"the home was written by a newer earmark (layout {version}): update earmark")
    return version


def _damage(db: sqlite3.Connection) -> str | None:
    found = str(db.execute("pragma quick_check(1)").fetchone()[0])
    if found != "ok":
        return found
    version = _version(db)
    if version == len(MIGRATIONS):
        return _other_tables(db) or _impossible(db)
    return None if _other_tables(db) else f"it calls its layout {version}, and has that of {len(MIGRATIONS)}"


def _impossible(db: sqlite3.Connection) -> str | None:
    """A recording's number that none can have: its windows would be those of another."""
    from edge_runtime.archive.recordings import MAX_ID  # which imports the home

    found = db.execute("select id from recording where id not between 1 and ? limit 1", (MAX_ID,)).fetchone()
    return f"it has a recording {found[0]}" if found else None


def _other_tables(db: sqlite3.Connection) -> str | None:
    """What is not as this version makes it. A definition that was turned into another one reads well."""
    there = _tables(db)
    wrong = [name for name, columns in _made().items() if there.get(name) != columns]
    return f"its table {wrong[0]} is not as it was made" if wrong else None


def _tables(db: sqlite3.Connection) -> dict[str, list[tuple[object, ...]]]:
    """Names -> columns: name, type, whether it must be there, place in the key."""
    names = [name for (name,) in db.execute("select name from sqlite_master where type = 'table'")]
    query = 'select name, type, "notnull", pk from pragma_table_info(?) order by cid'
    return {name: db.execute(query, (name,)).fetchall() for name in names}


@cache
def _made() -> dict[str, list[tuple[object, ...]]]:
    db = sqlite3.connect(":memory:")
    for step in MIGRATIONS:
        step(db)
    return _tables(db)


def _migrate(db: sqlite3.Connection, journal: Journal, *, home: Path) -> None:
    """Bring the tables up to date. A new database is filled from the journal, if its home has one."""
    if _version(db) == len(MIGRATIONS):
        return
    db.execute("begin immediate")
    version = _version(db)  # another process may have been first
    for step in MIGRATIONS[version:]:
        step(db)
    if version == 0:
        restore(db, journal, home=home)
    db.execute(f"pragma user_version = {len(MIGRATIONS)}")
    db.execute("commit")
