"""Files of a home that were turned, cut or put there by somebody: no crash, no answer that was never heard.

EARMARK_FUZZ=20 python -m pytest tests/test_archive_fuzz.py      # twenty times as many
"""

import os
import shutil
import sqlite3
import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_runtime.archive import Archive
from edge_runtime.archive.day_file import DayFiles
from edge_runtime.archive.tail import Tail
from edge_runtime.clock import Stamp, boot_id
from edge_runtime.errors import HomeError
from edge_runtime.home import Home
from edge_runtime.journal import Journal
from edge_runtime.listener import Window

TENS = 10 * int(os.environ.get("EARMARK_FUZZ", "1"))
WIDTH = 32
FINGERPRINT = "f" * 16
DAYS = ("2020-01-01", "2020-01-02", "2020-01-03")
A_DAY = 6
"""Windows."""
ROWS = np.random.default_rng(0).standard_normal((len(DAYS) * A_DAY, WIDTH)).astype(np.float32)
ROWS /= np.linalg.norm(ROWS, axis=1, keepdims=True)


@pytest.fixture(scope="module")
def pristine(tmp_path_factory):
    """Three days of six windows, each its own: two sealed, one that goes on, a tail that was left behind."""
    home = tmp_path_factory.mktemp("pristine") / "home"
    store = Home.open(home)
    store.keep_phrases(["a dog", "an owl"], kept=True)
    for number, day in enumerate(DAYS):
        archive = Archive(store, FINGERPRINT, width=WIDTH)
        stamp = Stamp(boot_id(), 0.0, number * 1000.0, trusted=True)
        with archive.recording(day, live=True, began=lambda stamp=stamp: stamp) as writer:
            for row in range(A_DAY):
                writer.add(Window(row * 5.0, row * 5.0 + 5, ROWS[number * A_DAY + row], True, row))
            writer.heard_s = 5.0 * A_DAY
        archive.close()
        if number < 2:
            (today,) = [each for each in home.glob("archive/*/*.emb") if not each.with_suffix(".seal").exists()]
            today.rename(today.with_name(f"{day}.emb"))
    Archive(store, FINGERPRINT, width=WIDTH).close()
    assert len(list(home.glob("archive/*/*.seal"))) == 2
    tail = Tail(home / "archive" / FINGERPRINT / "tails", 3)
    tail.keep(next(home.glob(f"archive/*/{time.strftime('%Y')}*.emb")).read_bytes()[-len(_record()) :])
    store.db.execute("pragma wal_checkpoint(truncate)")
    store.close()
    return home


def _record():
    return bytes(DayFiles(None, FINGERPRINT, width=WIDTH).type.itemsize)


def copied(pristine, folder):
    return shutil.copytree(pristine, folder / "home")


def damage(data, path):
    """Draw one: bytes turned, written over, cut off, put in."""
    held = bytearray(path.read_bytes())
    at = data.draw(st.integers(0, max(0, len(held) - 1)), label="at")
    kind = data.draw(st.sampled_from(["turn", "over", "cut", "in", "grow"]), label="kind")
    some = data.draw(st.binary(min_size=1, max_size=40), label="some")
    if kind == "turn" and held:
        held[at] ^= data.draw(st.integers(1, 255))
    elif kind == "over":
        held[at : at + len(some)] = some
    elif kind == "cut":
        del held[at:]
    elif kind == "in":
        held[at:at] = some
    else:
        held += some
    changed = bytes(held) != path.read_bytes()
    path.write_bytes(held)
    return changed


def heard(archive, since=None):
    """The windows of the three days that a search for each finds, and no other: {row}."""
    found = set()
    for query in ROWS:
        for hit in archive.search(query, k=50):
            number = DAYS.index(hit.file)
            own = number * A_DAY + round(hit.start_s / 5)
            assert hit.start_s == (own % A_DAY) * 5 and hit.end_s == hit.start_s + 5, "it was heard"
            assert hit.cosine == pytest.approx(float(ROWS[own] @ query), abs=0.01), "as it sounded"
            found.add(own)
    return found


@given(st.data())
@settings(max_examples=4 * TENS, deadline=None)
def test_a_damaged_day_or_seal_costs_that_day_at_most_and_answers_nothing_wrong(pristine, tmp_path_factory, data):
    home = copied(pristine, tmp_path_factory.mktemp("fuzz"))
    files = sorted(home.glob("archive/*/*.*"))
    number = data.draw(st.integers(0, len(files) - 1))
    changed = damage(data, files[number])
    store = Home.open(home, write=data.draw(st.booleans(), label="write"))
    archive = Archive(store, FINGERPRINT, width=WIDTH)
    found = heard(archive)
    date = files[number].name[:10]
    mine = DAYS.index(date) if date in DAYS else 2
    others = {row for row in range(len(ROWS)) if row // A_DAY != mine}
    assert others <= found, "the other days are searched"
    if files[number].suffix == ".emb" and date in DAYS and changed:
        assert found == others and files[number] in archive.damaged, (
            "a sealed day that has changed is refused and named"
        )
    archive.close()
    store.close()


@given(st.data())
@settings(max_examples=3 * TENS, deadline=None)
def test_a_damaged_tail_or_journal_costs_nothing_that_was_archived(pristine, tmp_path_factory, data):
    home = copied(pristine, tmp_path_factory.mktemp("fuzz"))
    damage(data, data.draw(st.sampled_from(sorted([*home.glob("archive/*/tails/*"), *home.glob("journal/*")]))))
    store = Home.open(home)
    assert heard(Archive(store, FINGERPRINT, width=WIDTH)) == set(range(len(ROWS)))
    store.close()


@given(st.data())
@settings(max_examples=3 * TENS, deadline=None)
def test_a_damaged_database_is_used_or_made_again(pristine, tmp_path_factory, data):
    """SQLite has no checksums: a name or a time that turned in it is not seen. What cannot be read is."""
    home = copied(pristine, tmp_path_factory.mktemp("fuzz"))
    damage(data, home / "earmark.sqlite")
    try:
        reader = Home.open(home, write=False)
        Archive(reader, FINGERPRINT, width=WIDTH).search(ROWS[0], k=3)
    except (HomeError, sqlite3.Error):
        pass  # each is told in a line by the command
    try:
        store = Home.open(home)
    except HomeError as error:
        assert "newer earmark" in str(error), "its number was turned into one that is still to come"
        return
    Archive(store, FINGERPRINT, width=WIDTH).search(ROWS[0], k=3)
    assert "ok" in store.db.execute("pragma quick_check(1)").fetchone()
    if list(home.glob("earmark.sqlite.damaged-*")):
        assert heard(Archive(store, FINGERPRINT, width=WIDTH)) == set(range(len(ROWS)))
        assert store.vocabulary([]) == ["a dog", "an owl"]
    store.close()


ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats() | st.text(max_size=4),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=3), inner, max_size=2),
    max_leaves=4,
)


@given(st.data())
@settings(max_examples=6 * TENS, deadline=None)
def test_a_journal_of_a_stranger_makes_a_home_that_opens(pristine, tmp_path_factory, data):
    """Whole lines, of the kinds that there are, with anything in their fields."""
    home = tmp_path_factory.mktemp("fuzz")
    own = list(Journal(pristine / "journal").entries())
    journal = Journal(home / "journal")
    for entry in data.draw(st.lists(st.sampled_from(own), max_size=6)):
        fields = dict(entry.fields)
        for name in data.draw(st.lists(st.sampled_from([*fields, "other"]), max_size=2)):
            fields[name] = data.draw(ANYTHING)
        journal.note(entry.kind, fields)
    store = Home.open(home)
    archive = Archive(store, FINGERPRINT, width=WIDTH)
    archive.search(ROWS[0], k=3)
    with archive.recording("new", live=True) as writer:
        writer.add(Window(0.0, 5.0, ROWS[0], True, 0))
    assert archive.search(ROWS[0], k=1)[0].file == "new"
    store.vocabulary([])
    store.close()
