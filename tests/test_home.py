"""The home: made once, refused where it is not one, changed as a whole or not at all."""

import sqlite3
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from edge_runtime import Engine
from edge_runtime.database import MIGRATIONS
from edge_runtime.errors import HomeError
from edge_runtime.home import Home


def test_a_home_that_two_make_at_once_is_made_once(home):
    """The other process holds the lock when this one finds no tables, and has made them when this one gets it."""
    home.mkdir()
    other = sqlite3.connect(home / "earmark.sqlite", isolation_level=None)
    other.execute("pragma journal_mode = wal")
    other.execute("begin immediate")
    with ThreadPoolExecutor() as pool:
        mine = pool.submit(Home.open, home)
        time.sleep(0.3)
        MIGRATIONS[0](other)
        other.execute("pragma user_version = 1")
        other.execute("insert into phrase values ('a dog', 1, 0)")
        other.execute("commit")
        assert mine.result(timeout=30).vocabulary([]) == ["a dog"]


def test_a_home_that_was_never_finished_reads_as_absent(home):
    home.mkdir()
    (home / "earmark.sqlite").touch()
    assert Home.open(home, write=False) is None
    assert Home.open(home).vocabulary(["rain"]) == ["rain"]


def test_a_home_of_a_newer_earmark_is_refused(home):
    store = Home.open(home)
    store.db.execute("pragma user_version = 99")
    for write in (True, False):
        with pytest.raises(HomeError, match="newer earmark"):
            Home.open(home, write=write)


def test_a_home_that_is_no_database_is_refused_when_read_and_made_again_when_written(home, caplog):
    store = Home.open(home)
    store.keep_phrases(["a dog"], kept=True)
    store.close()
    (home / "earmark.sqlite").write_text("not a database " * 100)
    with pytest.raises(HomeError, match="doctor --repair"):
        Home.open(home, write=False)
    assert Home.open(home).vocabulary([]) == ["a dog"]
    (aside,) = home.glob("earmark.sqlite.damaged-*")
    assert aside.read_text().startswith("not a database")
    assert aside.name in caplog.text


def test_a_transaction_is_all_or_nothing(home):
    store = Home.open(home)
    store.keep_phrases(["a dog"], kept=True)
    with pytest.raises(sqlite3.Error), store.transaction():
        store.db.execute("delete from phrase")
        store.db.execute("no such statement")
    assert store.vocabulary([]) == ["a dog"]


def test_reading_a_home_writes_nothing(home, recordings):
    writer = Engine.open(home=home)
    writer.index(recordings / "five.wav")
    writer.home.close()
    before = _listing(home)
    engine = Engine.open(home=home, write=False)
    engine.search("rain")
    engine.caption(recordings / "five.wav")
    engine.home.close()
    assert _listing(home) == before


def _listing(folder):
    """Names, sizes and times of all files but those that SQLite makes to lock by, whoever reads."""
    files = (path for path in folder.rglob("*") if path.is_file() and not path.name.endswith(("-shm", "-wal")))
    return {path: (path.stat().st_size, path.stat().st_mtime_ns) for path in files}
