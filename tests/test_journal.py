"""The journal, and the database made from it: a line that is damaged costs itself alone."""

import json
import sqlite3
import time
import zlib
from contextlib import contextmanager

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_runtime.archive.recordings import repair
from edge_runtime.clock import Clock, Stamp, boot_id
from edge_runtime.home import Home
from edge_runtime.journal import Journal
from tests.archive_case import again, keep, unit


@pytest.fixture
def store(home):
    store = Home.open(home)
    yield store
    store.close()


@given(st.lists(st.dictionaries(st.text(max_size=5), st.integers(), max_size=3), max_size=6), st.data())
@settings(deadline=None)
def test_a_line_that_is_damaged_costs_itself_alone(tmp_path_factory, notes, data):
    folder = tmp_path_factory.mktemp("journal")
    journal = Journal(folder)
    for note in notes:
        journal.note("kind", note)
    assert [entry.fields for entry in journal.entries()] == notes
    if not notes:
        return
    (path,) = folder.glob("*.jsonl")
    lines = path.read_bytes().splitlines(keepends=True)
    bad = data.draw(st.integers(0, len(lines) - 1))
    at = data.draw(st.integers(0, 1 << 16)) % (len(lines[bad]) - 1)
    changed = lines[bad][at] ^ data.draw(st.integers(1, 255))
    lines[bad] = lines[bad][:at] + bytes([changed]) + lines[bad][at + 1 :]
    path.write_bytes(b"".join(lines))
    left = [entry.fields for entry in journal.entries()]
    assert left == notes[:bad] + notes[bad + 1 :]


def test_a_line_that_was_cut_does_not_take_the_next_with_it(tmp_path):
    journal = Journal(tmp_path)
    journal.note("kind", {"number": 1})
    journal.note("kind", {"number": 2})
    (path,) = tmp_path.glob("*.jsonl")
    path.write_bytes(path.read_bytes()[:-7])
    journal.note("kind", {"number": 3})
    assert [entry.fields["number"] for entry in journal.entries()] == [1, 3]


def test_lines_of_a_stranger_are_passed_over(tmp_path):
    journal = Journal(tmp_path)
    journal.note("kind", {})
    (path,) = tmp_path.glob("*.jsonl")
    strange = [b"[" * 100_000, b'{"kind": 1}', b"null", b'{"kind":"a","at":"x","fields":{}}', b"\xff\xfe"]
    with path.open("ab") as file:
        for text in strange:
            file.write(b"%08x %s\n" % (zlib.crc32(text), text))
    assert len(list(journal.entries())) == 1


@pytest.mark.parametrize("cut", [None, 0, 100, 4096, 5000])
def test_a_database_that_was_cut_is_made_again_with_all_that_it_held(home, cut, caplog):
    store = Home.open(home)
    archive = again(store)
    rows = unit(9, 4)
    store.keep_phrases(["a dog", "an owl"], kept=True)
    store.keep_phrases(["a dog"], kept=False)
    for number in range(3):
        keep(archive, rows[number : number + 1], f"{number}.wav")
    keep(archive, rows[3:], "mic", live=True)
    archive.close()
    before = store.db.execute("select * from recording order by id").fetchall()
    store.db.execute("pragma wal_checkpoint(truncate)")
    store.close()
    file = home / "earmark.sqlite"
    if cut is None:
        file.unlink()
    else:
        file.write_bytes(file.read_bytes()[:cut])
    store = Home.open(home)
    assert "taken over from the journal" in caplog.text
    assert (len(list(home.glob("earmark.sqlite.damaged-*"))) > 0) == bool(cut), "nothing and an empty file are no loss"
    assert store.vocabulary([]) == ["an owl"]
    assert store.db.execute("select * from recording order by id").fetchall() == before
    found = again(store)
    for number, row in enumerate(rows):
        assert found.search(row, k=1)[0].file == ("mic" if number == 3 else f"{number}.wav")
    store.close()


def test_a_home_older_than_its_journal_is_written_down_once(home):
    store = Home.open(home)
    store.keep_phrases(["a dog"], kept=True)
    keep(again(store), unit(10, 1))
    for path in home.glob("journal/*"):
        path.unlink()
    store.close()
    store = Home.open(home)
    kinds = [entry.kind for entry in store.journal.entries()]
    assert kinds == ["phrase", "recording"]
    Home.open(home)
    assert [entry.kind for entry in store.journal.entries()] == kinds


def test_wall_times_of_a_boot_are_told_anew_and_again_after_a_rebuild(store, home):
    archive = again(store)
    keep(archive, unit(11, 1), "mic", began=lambda: Stamp(boot_id(), 1000.0, 50.0, trusted=False))
    assert archive.search(unit(11, 1)[0], k=1)[0].started_at == 50
    clock = Clock(system_s=lambda: 1.7e9 + time.monotonic(), disciplined=lambda: True)
    repair(store, clock)
    (hit,) = archive.search(unit(11, 1)[0], k=1)
    assert hit.started_at == pytest.approx(clock.wall(1000.0))


def test_a_recording_that_waits_for_the_disk_while_the_clock_steps_is_told_right(store, monkeypatch):
    offset = [1.6e9]
    clock = Clock(system_s=lambda: offset[0] + time.monotonic(), disciplined=lambda: True)
    began_s, at_once = time.monotonic(), store.transaction

    @contextmanager
    def after_a_step():
        monkeypatch.setattr(store, "transaction", at_once)
        offset[0] += 3600
        assert clock.look().followed
        repair(store, clock)
        with at_once():
            yield

    archive = again(store)
    monkeypatch.setattr(store, "transaction", after_a_step)
    keep(archive, unit(11, 1), "mic", began=lambda: clock.stamp(began_s))
    (hit,) = archive.search(unit(11, 1)[0], k=1)
    assert hit.started_at == clock.wall(began_s) == pytest.approx(1.6e9 + 3600 + began_s)
    repair(store, clock)
    assert archive.search(unit(11, 1)[0], k=1) == [hit], "it was told by the clock as it stood"


def test_the_journal_holds_what_the_database_holds(store, home):
    keep(again(store), unit(18, 2), "garden", live=True)
    lines = [
        json.loads(line.split(" ", 1)[1]) for path in home.glob("journal/*") for line in path.read_text().splitlines()
    ]
    assert [line["kind"] for line in lines] == ["recording", "recorded"]
    assert lines[1]["fields"]["heard_s"] == 10
    with sqlite3.connect(home / "earmark.sqlite") as db:
        assert db.execute("select heard_s, whole, live from recording").fetchall() == [(10, 1, 1)]
