"""Recordings whose catalogue and journal are gone: what they heard is found all the same."""

import os
import shutil
import time

import numpy as np
import pytest

from edge_runtime.archive import Archive
from edge_runtime.archive.orphans import NAME
from edge_runtime.errors import HomeError
from edge_runtime.home import Home
from edge_runtime.listener import Window

FINGERPRINT = "b" * 16
ROWS = np.eye(3, 32, dtype=np.float32)


def kept(home, rows, name, **options):
    archive = Archive(home, FINGERPRINT, width=32)
    with archive.recording(name, **options) as writer:
        for number, row in enumerate(rows):
            writer.add(Window(5.0 * number, 5.0 * number + 5, row, True, number))
    archive.close()


def without_database(folder, *, journal):
    for path in folder.glob("earmark.sqlite*"):
        path.unlink()
    if not journal:
        shutil.rmtree(folder / "journal")


def test_windows_without_a_note_are_found_under_an_unknown_name(home, caplog):
    store = Home.open(home)
    kept(store, ROWS[:2], "garden", live=True)
    store.close()
    (day,) = home.glob("archive/*/*.emb")
    written_at = time.time() - 60
    os.utime(day, (written_at, written_at))
    without_database(home, journal=False)
    store = Home.open(home)
    archive = Archive(store, FINGERPRINT, width=32)
    (hit,) = archive.search(ROWS[1], k=1)
    assert (hit.file, hit.start_s) == (NAME, 5)
    assert hit.started_at == pytest.approx(written_at - 10), "its last window ended when the file was last written to"
    assert "1 recordings have windows but no note" in caplog.text
    kept(store, ROWS[2:], "attic", live=True)
    assert archive.search(ROWS[2], k=1)[0].file == "attic", "a new recording gets a number of its own"
    assert archive.search(ROWS[1], k=1)[0].file == NAME


def test_what_the_journal_took_out_stays_out(home, tmp_path):
    store = Home.open(home)
    path = tmp_path / "a.wav"
    for version, row in enumerate(ROWS[:2]):
        path.write_bytes(bytes(version + 1))
        kept(store, [row], "a", path=path)
    with pytest.raises(KeyboardInterrupt), Archive(store, FINGERPRINT, width=32).recording("b") as writer:
        writer.add(Window(0.0, 5.0, ROWS[2], True, 0))
        raise KeyboardInterrupt
    store.close()
    without_database(home, journal=True)
    found = Archive(Home.open(home), FINGERPRINT, width=32).search(ROWS[0], k=9)
    assert [(hit.file, round(hit.cosine)) for hit in found] == [(str(path), 0)], "the newer of two; none interrupted"


def test_a_damaged_database_that_another_process_writes_to_is_left_to_it(home):
    first = Home.open(home)
    kept(first, ROWS[:1], "garden", live=True)
    first.db.execute("pragma wal_checkpoint(truncate)")
    file = home / "earmark.sqlite"
    with file.open("r+b") as damaged:
        damaged.seek(100)
        damaged.write(bytes(2000))
    with pytest.raises(HomeError, match="another process writes to it: stop"):
        Home.open(home)
    first.close()
    store = Home.open(home)
    assert Archive(store, FINGERPRINT, width=32).search(ROWS[0], k=1)[0].file == "garden"
    assert list(home.glob("earmark.sqlite.damaged-*"))


@pytest.mark.parametrize("number", [0, -1, 2**31, 2**40, 2**70, "3", None, 1.5, True])
def test_a_note_with_an_impossible_number_makes_no_recording(home, number):
    """A search takes memory by the largest number."""
    store = Home.open(home)
    kept(store, ROWS[:1], "garden", live=True)
    (entry, *_) = [entry for entry in store.journal.entries() if entry.kind == "recording"]
    store.journal.note("recording", dict(entry.fields) | {"id": number, "name": "bad"})
    store.close()
    without_database(home, journal=True)
    store = Home.open(home)
    names = store.db.execute("select name from recording").fetchall()
    assert names == [("garden",)]


def test_a_database_with_an_impossible_number_is_made_again(home):
    """A bit that turned in it. A search takes memory by the largest number, and the next recording is one more."""
    store = Home.open(home)
    for name, row in zip("abc", ROWS, strict=True):
        kept(store, row[None], name, live=True)
    store.db.execute("update recording set id = 1 << 40 where name = 'b'")
    archive = Archive(store, FINGERPRINT, width=32)
    assert archive.search(ROWS[0], k=1)[0].file == "a", "what reads it meanwhile passes it over"
    store.close()
    archive = Archive(Home.open(home), FINGERPRINT, width=32)
    assert [archive.search(row, k=1)[0].file for row in ROWS] == ["a", "b", "c"]
