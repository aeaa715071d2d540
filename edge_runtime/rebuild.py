"""A home's database, made again from its journal: phrases, recordings, events, clips, in the order in which they were.

    moved_aside(file, why="database disk image is malformed")
    restore(db, journal, home=home)         # into a new database

A damaged file is kept (`earmark.sqlite.damaged-…`). Embeddings need no making: they stand in files of their own
(archive/), by the ids of recordings that the journal has. Where its line is lost, a recording is made up from its
windows (archive/orphans.py).
"""

import logging
import sqlite3
import time
from itertools import count
from pathlib import Path

from edge_runtime.journal import Entry, Journal

__all__ = ["moved_aside", "restore", "taken_over", "write_down"]

log = logging.getLogger(__name__)


def moved_aside(file: Path, *, why: str) -> None:
    """Rename a damaged database, with what SQLite keeps beside it."""
    name = time.strftime(f"{file.name}.damaged-%Y%m%dT%H%M%S", time.gmtime())
    aside = next(each for n in count() if not (each := file.with_name(f"{name}.{n}" if n else name)).exists())
    for suffix in ("", "-wal", "-shm"):
        part = file.with_name(file.name + suffix)
        if part.exists():
            part.rename(aside.with_name(aside.name + suffix))
    log.warning("%s is damaged (%s): it is %s now, and is made again from the journal", file, why, aside.name)


def restore(db: sqlite3.Connection, journal: Journal, *, home: Path) -> None:
    """Take over what the journal tells, into empty tables, within the caller's transaction; then recordings that no
    line tells of any more and whose windows are there."""
    from edge_runtime.archive.orphans import adopt  # what is restored into imports the home

    taken = passed = 0
    told: set[int] = set()
    for entry in journal.entries():
        good = taken_over(db, entry)
        taken, passed = taken + good, passed + (not good)
        if good and entry.kind == "recording":
            told.add(int(entry.fields["id"]))
    found = adopt(db, home / "archive", told=told)
    if taken or passed or found:
        log.warning("taken over from the journal: %d notes; %d say nothing to this version", taken, passed)
    if found:
        log.warning("%d recordings have windows but no note; they are called unknown, and timed by their days", found)


def taken_over(db: sqlite3.Connection, entry: Entry) -> bool:
    """One note. False where it is of nothing that is known here, or says nonsense: then nothing has changed."""
    from edge_runtime.archive import recordings
    from edge_runtime.events import catalogue
    from edge_runtime.home import keep_phrase
    from edge_runtime.matching import site

    db.execute("savepoint note")
    try:
        if entry.kind == "phrase":
            keep_phrase(db, entry.fields)
            return True
        found = [each.restore(db, entry.kind, entry.fields) for each in (site, recordings, catalogue)]
        return any(found)
    except (KeyError, TypeError, ValueError, OverflowError, sqlite3.Error):
        db.execute("rollback to note")
        return False
    finally:
        db.execute("release note")


def write_down(db: sqlite3.Connection, journal: Journal) -> None:
    """Begin the journal of a home that is older than that: phrases and recordings, as they are."""
    from edge_runtime.archive.recordings import COLUMNS

    if journal:
        return
    for text, kept, changed_at in db.execute("select text, kept, changed_at from phrase order by changed_at, rowid"):
        journal.note("phrase", {"text": text, "kept": bool(kept), "changed_at": changed_at})
    for row in db.execute(f"select {', '.join(COLUMNS)} from recording order by id"):  # noqa: S608
        journal.note("recording", dict(zip(COLUMNS, row, strict=True)))
