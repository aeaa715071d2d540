"""The home folder: the vocabulary's changes and the archive's catalogue in one SQLite file, embeddings beside it.

    home = Home.open(path)                  # for writing; created where it is absent
    home = Home.open(path, write=False)     # for reading; writes nothing but SQLite's lock files, nor makes a folder

    home/earmark.sqlite                     phrases added and removed, recordings, events, clips, limits of the site
    home/journal/*.jsonl                    what all of that is made from, line by line (journal.py)
    home/archive/<fingerprint>/*.emb        embeddings (archive/)
    home/clips/DATE/*.flac                  the sound of events (events/clip_folder.py)
    home/index/<fingerprint>.hnsw           the phrase index, a cache
    home/bundles/                           installed models (bundle_store.py)

The SQLite file is checked when it is opened for writing. One that is damaged is moved aside and made again
(database.py, rebuild.py). Phrases are kept as changes to the bundle's own list, so that a new bundle brings its new
phrases along.
"""

import os
import sqlite3
import time
import weakref
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Self

from edge_runtime.database import FILE, damaged, locked, opened, read_only
from edge_runtime.errors import HomeError
from edge_runtime.journal import Journal

__all__ = ["Home", "default_home", "keep_phrase"]


def default_home() -> Path:
    """$EARMARK_HOME, else the XDG data folder."""
    if home := os.environ.get("EARMARK_HOME"):
        return Path(home)
    return Path(os.environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share") / "earmark"


class Home:
    """`db` is an open connection; `path` the folder; `journal` its notes; `writable`: opened for writing."""

    def __init__(self, path: Path, db: sqlite3.Connection, *, lock: int | None = None) -> None:
        self.path = path
        self.db = db
        self.journal = Journal(path / "journal")
        self.writable = lock is not None
        self._unlock = weakref.finalize(self, os.close, lock) if lock is not None else None

    @classmethod
    def open(cls, path: Path, *, write: bool = True) -> Self | None:
        """Open the home in `path`. Reading a home that does not exist gives None. Opened for writing, a damaged
        database is moved aside and made again from the journal."""
        file = path / FILE
        try:
            if write:
                path.mkdir(parents=True, exist_ok=True)
                lock = locked(path)
                try:
                    return cls(path, opened(file, Journal(path / "journal"), lock=lock), lock=lock)
                except BaseException:
                    os.close(lock)
                    raise
            db = read_only(file)
        except OSError as error:
            raise HomeError(
                f"cannot write to {path} ({error.strerror}): free some disk, make the folder writable, "
                "or choose another folder with --home"
            ) from error
        except sqlite3.Error as error:
            raise HomeError(
                f"cannot open {file} ({error}): free some disk, make the folder writable, "
                "or choose another folder with --home"
            ) from error
        if db is None and Journal(path / "journal"):
            raise damaged(file, "is gone or empty")
        return cls(path, db) if db else None

    def close(self) -> None:
        self.db.close()
        if self._unlock:
            self._unlock()

    def index_file(self, fingerprint: str) -> Path:
        return self.path / "index" / f"{fingerprint}.hnsw"

    def vocabulary(self, default: Iterable[str]) -> list[str]:
        """The bundle's phrases, less those removed, then those added, oldest first."""
        changes = self.db.execute("select text, kept from phrase order by changed_at, rowid").fetchall()
        removed = {text for text, kept in changes if not kept}
        return [t for t in default if t not in removed] + [text for text, kept in changes if kept]

    def keep_phrases(self, texts: Iterable[str], *, kept: bool) -> None:
        """Record that phrases were added (`kept`) or removed, all or none."""
        now = time.time()
        with self.transaction():
            for text in texts:
                fields = {"text": text, "kept": kept, "changed_at": now}
                keep_phrase(self.db, fields)
                self.journal.note("phrase", fields)

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """All or nothing, for the statements inside."""
        try:
            self.db.execute("begin immediate")
        except sqlite3.OperationalError as error:
            raise HomeError(f"cannot write to {self.path} ({error}): choose another folder with --home") from error
        try:
            yield
        except BaseException:
            self.db.execute("rollback")
            raise
        self.db.execute("commit")

    def was_checked(self, path: Path, stat: os.stat_result, *, within_s: float) -> bool:
        """Whether a file of this size and time was found to be whole, not long ago."""
        query = "select 1 from checked where path = ? and size = ? and mtime_ns = ? and checked_at > ?"
        key = (str(path.relative_to(self.path)), stat.st_size, stat.st_mtime_ns, time.time() - within_s)
        try:
            return self.db.execute(query, key).fetchone() is not None
        except sqlite3.OperationalError:  # only read, and of an older layout
            return False

    def keep_checked(self, path: Path, stat: os.stat_result) -> None:
        """It is whole. A home that is only read forgets it."""
        if self.writable:
            row = (str(path.relative_to(self.path)), stat.st_size, stat.st_mtime_ns, time.time())
            self.db.execute("insert or replace into checked values (?, ?, ?, ?)", row)

    def forget_checked(self) -> None:
        if self.writable:
            self.db.execute("delete from checked")

    def changes_elsewhere(self) -> int:
        """A number that moves when another process has written here."""
        return int(self.db.execute("pragma data_version").fetchone()[0])

    def hearing_version(self) -> tuple[float, ...]:
        """Another one where phrases or a site's thresholds have changed; most of what is written here is neither."""
        query = (
            "select (select count(*) from phrase), (select total(changed_at) from phrase), "
            "(select count(*) from site_limit), (select total(found_at) from site_limit)"
        )
        return tuple(self.db.execute(query).fetchone())


def keep_phrase(db: sqlite3.Connection, fields: Mapping[str, Any]) -> None:
    """`text` was added or removed (`kept`) at `changed_at`."""
    db.execute(
        "insert into phrase values (?, ?, ?) on conflict (text) do update set kept = excluded.kept, "
        "changed_at = excluded.changed_at",
        (str(fields["text"]), bool(fields["kept"]), float(fields["changed_at"])),
    )
