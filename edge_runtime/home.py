"""The home folder: the vocabulary's changes and the archive's catalogue in one SQLite file, embeddings beside it.

    home = Home.open(path)                  # for writing; created where it is absent
    home = Home.open(path, write=False)     # for reading; writes nothing but SQLite's lock files, nor makes a folder

    home/earmark.sqlite                     phrases added and removed, recordings
    home/archive/<fingerprint>/*.emb        embeddings (archive.py)
    home/index/<fingerprint>.hnsw           the phrase index, a cache
    home/bundles/                           installed models (bundle_store.py)

Phrases are kept as changes to the bundle's own list, so that a new bundle brings its new phrases along.
"""

import os
import sqlite3
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Self

from edge_runtime.errors import HomeError

__all__ = ["Home", "default_home"]

BUSY_S = 10.0


def _v1_phrases_and_recordings(db: sqlite3.Connection) -> None:
    db.execute("create table phrase (text text primary key, kept integer not null, changed_at real not null)")
    db.execute(
        "create table recording (id integer primary key, name text not null, fingerprint text not null, "
        "size integer, mtime_ns integer, started_at real not null, heard_s real not null default 0, "
        "lost_s real not null default 0, whole integer not null default 0)"
    )
    db.execute("create index recording_by_name on recording (fingerprint, name)")


MIGRATIONS: tuple[Callable[[sqlite3.Connection], None], ...] = (_v1_phrases_and_recordings,)


def default_home() -> Path:
    """$EARMARK_HOME, else the XDG data folder."""
    if home := os.environ.get("EARMARK_HOME"):
        return Path(home)
    return Path(os.environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share") / "earmark"


class Home:
    """`db` is an open connection; `path` the folder."""

    def __init__(self, path: Path, db: sqlite3.Connection) -> None:
        self.path = path
        self.db = db

    @classmethod
    def open(cls, path: Path, *, write: bool = True) -> Self | None:
        """Open the home in `path`. Reading a home that does not exist gives None."""
        file = path / "earmark.sqlite"
        try:
            if write:
                path.mkdir(parents=True, exist_ok=True)
                db = sqlite3.connect(file, timeout=BUSY_S, isolation_level=None, check_same_thread=False)
                db.execute("pragma journal_mode = wal")
                db.execute("pragma synchronous = normal")
            elif not file.exists():
                return None
            else:
                # a closed database on a read-only disk: SQLite would want to put its lock files beside it
                log = file.with_name(f"{file.name}-wal")
                closed = not os.access(path, os.W_OK) and not (log.exists() and log.stat().st_size)
                where = f"{file.absolute().as_uri()}?{'immutable=1' if closed else 'mode=ro'}"
                db = sqlite3.connect(where, uri=True, timeout=BUSY_S, isolation_level=None)
            version = db.execute("pragma user_version").fetchone()[0]
            if version > len(MIGRATIONS):
                raise HomeError(f"{path} was written by a newer earmark (layout {version}): update earmark")
            if write and version < len(MIGRATIONS):
                _migrate(db)
            elif version == 0:  # made by nobody yet
                db.close()
                return None
        except OSError as error:
            raise HomeError(f"cannot write to {path} ({error.strerror}): choose another folder with --home") from error
        except sqlite3.Error as error:
            raise HomeError(
                f"cannot open {file} ({error}): make the folder writable, move a damaged file aside, "
                "or choose another folder with --home"
            ) from error
        return cls(path, db)

    def close(self) -> None:
        self.db.close()

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
            self.db.executemany(
                "insert into phrase values (?, ?, ?) on conflict (text) do update set kept = excluded.kept, "
                "changed_at = excluded.changed_at",
                [(text, kept, now) for text in texts],
            )

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

    def changes_elsewhere(self) -> int:
        """A number that moves when another process has written here."""
        return int(self.db.execute("pragma data_version").fetchone()[0])


def _migrate(db: sqlite3.Connection) -> None:
    db.execute("begin immediate")
    version = db.execute("pragma user_version").fetchone()[0]  # another process may have been first
    for step in MIGRATIONS[version:]:
        step(db)
    db.execute(f"pragma user_version = {len(MIGRATIONS)}")
    db.execute("commit")
