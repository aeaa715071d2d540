"""Days of the archive: sealed, checked, taken back after a kill, searched; files of strangers."""

import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_runtime.archive import Archive
from edge_runtime.archive.day_file import HEADER_BYTES, DayFiles
from edge_runtime.archive.old_layout import MAGIC as OLD_MAGIC
from edge_runtime.archive.record import embeddings, encoded, record_type
from edge_runtime.archive.tail import Tail, left_behind
from edge_runtime.clock import Stamp, boot_id
from edge_runtime.home import Home
from edge_runtime.listener import Window
from tests.archive_case import DAY_S, FINGERPRINT, WIDTH, again, keep, of_a_past_day, unit, window


@pytest.fixture
def store(home):
    store = Home.open(home)
    yield store
    store.close()


# --- sealed days


def test_a_day_that_is_over_is_sealed_and_searched_as_before(store, home):
    rows = unit(0, 5)
    archive = again(store)
    keep(archive, rows)
    archive.close()
    path = of_a_past_day(home)
    archive = again(store)
    assert path.with_suffix(".seal").exists()
    assert archive.windows() == 5
    assert archive.search(rows[3], k=1)[0].start_s == 15
    keep(archive, unit(1, 2), "today")
    assert archive.windows() == 7
    assert not any(each.with_suffix(".seal").exists() for each in home.glob("archive/*/2*.emb") if each != path)


@pytest.mark.parametrize("place", ["header", "embedding", "checksum", "end"])
def test_a_bit_flipped_in_a_sealed_day_refuses_that_day_alone(store, home, place, caplog):
    archive = again(store)
    rows = unit(2, 6)
    keep(archive, rows[:3], "old")
    archive.close()
    path = of_a_past_day(home)
    archive = again(store)
    keep(archive, rows[3:], "new")
    data = bytearray(path.read_bytes())
    at = {"header": 3, "embedding": HEADER_BYTES + 60, "checksum": HEADER_BYTES, "end": len(data) - 1}[place]
    data[at] ^= 1
    path.write_bytes(data)
    assert {hit.file for hit in archive.search(rows[0], k=10)} == {"new"}
    assert list(archive.damaged) == [path]
    assert path.name in caplog.text
    data[at] ^= 1
    path.write_bytes(data)
    assert archive.search(rows[0], k=1)[0].file == "old", "restored, it is searched again"


def test_a_day_that_was_checked_is_not_read_again_until_it_changes(store, home, monkeypatch):
    archive = again(store)
    keep(archive, unit(3, 3))
    archive.close()
    of_a_past_day(home)
    archive = again(store)
    archive.windows()
    looked = []
    monkeypatch.setattr(DayFiles, "is_whole", lambda days, day: looked.append(day.path) or True)
    archive.windows()
    assert looked == []
    archive.check()
    assert len(looked) == 1


def test_a_damaged_record_of_a_day_that_goes_on_is_never_an_answer_and_is_dropped_at_its_seal(store, home, caplog):
    archive = again(store)
    rows = unit(4, 3)
    keep(archive, rows)
    archive.close()
    (path,) = home.glob("archive/*/*.emb")
    data = bytearray(path.read_bytes())
    data[HEADER_BYTES + record_type(WIDTH).itemsize + 40] ^= 0x10
    path.write_bytes(data)
    assert {hit.start_s for hit in archive.search(rows[1], k=5)} == {0, 10}
    of_a_past_day(home)
    archive = again(store)
    assert "record 1 of" in caplog.text
    assert {hit.start_s for hit in archive.search(rows[1], k=5)} == {0, 10}
    assert archive.damaged == {}


def test_a_clock_that_goes_back_begins_a_second_file_of_a_sealed_date(store, home):
    archive = again(store)
    keep(archive, unit(5, 2), "before")
    archive.close()
    (path,) = home.glob("archive/*/*.emb")
    today = path.name
    of_a_past_day(home)
    archive = again(store)
    (sealed,) = home.glob("archive/*/*.seal")
    sealed.with_suffix(".emb").rename(path)
    sealed.rename(path.with_suffix(".seal"))
    keep(archive, unit(6, 2), "after")
    assert sorted(each.name for each in path.parent.glob("*.emb")) == [today.replace(".emb", ".1.emb"), today]
    assert archive.windows() == 4
    assert {hit.file for hit in archive.search(unit(6, 2)[0], k=9)} == {"before", "after"}


def test_a_writer_that_goes_on_past_midnight_seals_the_day_that_is_over(store, home, monkeypatch):
    archive = again(store)
    rows = unit(19, 4)
    with archive.recording("mic", live=True) as writer:
        now = time.time()
        for number, row in enumerate(rows):
            monkeypatch.setattr(time, "gmtime", lambda at=None, day=number // 2: _gmtime(now + day * DAY_S))
            writer.add(window(row, number))
    assert [each.with_suffix(".seal").exists() for each in sorted(home.glob("archive/*/*.emb"))] == [True, False]
    assert [archive.search(row, k=1)[0].start_s for row in rows] == [0, 5, 10, 15]


_gmtime = time.gmtime


# --- killed processes


def test_the_newest_window_outlives_its_process(store, home):
    """As a kill would leave it: the lock goes with the process, the tail stays."""
    archive = again(store)
    rows = unit(7, 3)
    with pytest.raises(SystemExit), archive.recording("mic", live=True) as writer:
        writer.add(window(rows[0], 0), every=4)
        writer.add(window(rows[1], 1), every=4)
        writer.add(window(rows[2], 2), every=4)
        writer._tail._file.close()
        writer.finish = writer.drop_tail = lambda: None
        raise SystemExit
    assert {hit.start_s for hit in archive.search(rows[2], k=9)} == {0}
    taken = again(store)
    assert taken.search(rows[2], k=1)[0].start_s == 10
    assert again(store).windows() == taken.windows() == 2, "taken once"
    assert list(home.glob("archive/*/tails/*")) == []


def test_a_recording_that_still_goes_on_keeps_its_tail_to_itself(store, home):
    archive = again(store)
    rows = unit(8, 2)
    with archive.recording("mic", live=True) as writer:
        writer.add(window(rows[0], 1), every=4)
        other = again(store)
        assert other.windows() == 0
        assert len(list(home.glob("archive/*/tails/*"))) == 1
    assert archive.windows() == 1


@given(st.lists(st.binary(min_size=10, max_size=10), min_size=1, max_size=5), st.data())
@settings(deadline=None)
def test_a_tail_cut_anywhere_gives_the_newest_whole_record_or_the_one_before(tmp_path_factory, records, data):
    folder = tmp_path_factory.mktemp("tails")
    tail = Tail(folder, 7)
    for record in records:
        tail.keep(record)
    tail._file.close()
    path = folder / "7.tail"
    held = bytearray(path.read_bytes())
    slot = 8 + 10 + 4
    newest = (len(records) - 1) % 2 * slot
    at = data.draw(st.integers(newest, newest + slot - 1))
    held[at] ^= data.draw(st.integers(1, 255))
    path.write_bytes(held)
    found = list(left_behind(folder, record_bytes=10))
    assert found == ([(7, records[-2])] if len(records) > 1 else [])


# --- what is asked of it


def test_a_search_keeps_to_its_time_and_its_sources(store, home):
    archive = again(store)
    rows = unit(12, 6)
    for number, began in enumerate((0.0, DAY_S, 2 * DAY_S)):
        stamp = Stamp(boot_id(), began, began, trusted=True)
        keep(archive, rows[2 * number : 2 * number + 2], f"{number}", began=lambda stamp=stamp: stamp)
    archive.close()
    of_a_past_day(home)
    for found in (archive, again(store)):  # in a day that goes on, and in a sealed one
        everything = found.search(rows[0], k=9)
        assert {hit.file for hit in everything} == {"0", "1", "2"}
        within = found.search(rows[0], k=9, since=DAY_S - 1, until=DAY_S + 1)
        assert [(hit.file, hit.start_s) for hit in within] == [("1", 0)]
        assert found.search(rows[0], k=9, since=DAY_S + 10, until=2 * DAY_S) == []
        assert {hit.file for hit in found.search(rows[0], k=9, sources=["2"])} == {"2"}
        assert [at.tolist() for _, at in found.windows_of("1")] == [[DAY_S + 5, DAY_S + 10]]
        assert list(found.windows_of("1", until=DAY_S)) == []


@given(st.integers(0, 2**32), st.integers(1, 12), st.integers(1, 60))
@settings(max_examples=15, deadline=None)
def test_any_search_is_that_of_a_brute_force(tmp_path_factory, seed, k, count):
    """Oracle: every window, greedily, best first. Windows overlap by half; int8 rounds both alike."""
    rng = np.random.default_rng(seed)
    store = Home.open(tmp_path_factory.mktemp("home"))
    archive = Archive(store, FINGERPRINT, width=16)
    rows = unit(seed, count, 16)
    with archive.recording("a") as writer:
        for number, row in enumerate(rows):
            writer.add(Window(number * 2.5, number * 2.5 + 5, row, True, number))
    query = unit(rng.integers(2**32), 1, 16)[0]
    data = b"".join(encoded(1, window(row), width=16) for row in rows)
    cosines = embeddings(np.frombuffer(data, record_type(16))) @ query
    taken: list[int] = []
    for number in np.argsort(-cosines, kind="stable").tolist():
        if all(abs(number - other) >= 2 for other in taken) and len(taken) < k:
            taken.append(number)
    hits = archive.search(query, k=k)
    assert [round(hit.start_s / 2.5) for hit in hits] == taken
    store.close()


def test_a_phrase_is_searched_back_in_runs(store):
    """Windows 0 to 9; it lies above its threshold in 2, 3 and 7, and in 5 only where there were no reference."""
    archive = again(store)
    phrase, other = unit(13, 2)
    other -= (other @ phrase) * phrase
    other /= np.linalg.norm(other)
    near = [0.1, 0.1, 0.6, 0.7, 0.1, 0.55, 0.1, 0.9, 0.1, 0.1]
    rows = [cosine * phrase + np.sqrt(1 - cosine**2) * other for cosine in near]
    stamp = Stamp(boot_id(), 0.0, 1000.0, trusted=True)
    keep(archive, rows, "mic", began=lambda: stamp)

    def reference(windows):
        return np.where(np.abs(windows @ phrase - 0.55) < 0.02, 0.3, 0.05).astype(np.float32)

    hits = archive.fired(phrase, 0.5, reference=reference)
    assert [(hit.start_at, hit.end_s) for hit in hits] == [(1010, 20), (1035, 40)]
    assert hits[0].score == pytest.approx(0.7, abs=0.02)
    (late,) = archive.fired(phrase, 0.5, reference=reference, since=1025)
    assert (late.start_at, late.end_s) == (1035, 40)


# --- the first layout


def test_an_archive_of_the_first_layout_is_brought_into_this_one(store, home):
    rows = unit(14, 3)
    old = np.dtype(
        [("recording", "<u4"), ("scale", "<f4"), ("start_s", "<f8"), ("end_s", "<f8"), ("embedding", "i1", (WIDTH,))]
    )
    stamp = Stamp(boot_id(), 0.0, 1000.0, trusted=True)
    archive = again(store)
    keep(archive, [], "mic", began=lambda: stamp)
    records = np.zeros(3, old)
    peaks = np.abs(rows).max(axis=1)
    records["recording"], records["scale"] = 1, peaks / 127
    records["start_s"], records["end_s"] = [0, 5, 10], [5, 10, 15]
    records["embedding"] = np.rint(rows * (127 / peaks[:, None]))
    folder = home / "archive" / FINGERPRINT
    folder.mkdir(parents=True, exist_ok=True)
    header = OLD_MAGIC + FINGERPRINT.encode() + WIDTH.to_bytes(8, "little")
    (folder / "2025-01-01.emb").write_bytes(header + records.tobytes() + b"torn")
    reader = Archive(Home.open(home, write=False), FINGERPRINT, width=WIDTH)
    assert reader.search(rows[1], k=1) == []
    assert "older layout" in next(iter(reader.damaged.values()))
    archive = again(store)
    (hit,) = archive.search(rows[1], k=1)
    assert (hit.start_s, archive.damaged) == (5, {})
    assert hit.score == pytest.approx(1, abs=0.01)


# --- hostile files


@given(st.binary(max_size=400), st.sampled_from(["2020-01-01.emb", "2020-01-01.seal", "tails/3.tail", "tails/x.tail"]))
@settings(max_examples=60, deadline=None)
def test_whatever_lies_in_the_folder_costs_no_search(tmp_path_factory, data, name):
    home = tmp_path_factory.mktemp("home")
    store = Home.open(home)
    rows = unit(15, 2)
    keep(again(store), rows)
    path = home / "archive" / FINGERPRINT / name
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(data)
    if name.endswith(".seal"):
        path.with_suffix(".emb").write_bytes(data)
    hits = again(store).search(rows[1], k=1)
    assert [hit.start_s for hit in hits] == [5]
    store.close()


@pytest.mark.parametrize(
    "seal", ["{}", "[]", '{"rows": 1e999, "sha256": 1, "spans": []}', '{"rows":1,"sha256":"","spans":[[1,"a",2]]}', "["]
)
def test_a_seal_that_is_none_leaves_its_day_unsealed(store, home, seal, caplog):
    archive = again(store)
    rows = unit(16, 2)
    keep(archive, rows)
    (path,) = home.glob("archive/*/*.emb")
    path.with_suffix(".seal").write_text(seal)
    assert archive.search(rows[0], k=1)[0].start_s == 0
    assert "counts as not sealed" in caplog.text


# --- what a long life brings


def test_what_is_heard_goes_into_another_file_where_todays_is_damaged(store, home, caplog):
    archive = again(store)
    rows = unit(20, 4)
    keep(archive, rows[:2], "before")
    archive.close()
    (path,) = home.glob("archive/*/*.emb")
    path.write_bytes(b"X" + path.read_bytes()[1:])
    archive = again(store)
    keep(archive, rows[2:], "after")
    assert len(list(home.glob("archive/*/*.emb"))) == 2
    assert [hit.file for hit in archive.search(rows[3], k=9)] == ["after", "after"]
    assert list(archive.damaged) == [path]
    assert "another file is begun" in caplog.text


def test_a_home_that_is_only_read_need_not_read_a_sealed_day_whole(store, home, monkeypatch):
    archive = again(store)
    keep(archive, unit(21, 3))
    archive.close()
    of_a_past_day(home)
    again(store)
    monkeypatch.setattr(DayFiles, "is_whole", lambda self, day: pytest.fail("its sealing told that it is whole"))
    reading = Home.open(home, write=False)
    assert Archive(reading, FINGERPRINT, width=WIDTH).windows() == 3
    reading.close()


def test_a_sealed_day_that_changes_is_seen_by_an_archive_that_has_searched_it(store, home):
    archive = again(store)
    rows = unit(22, 3)
    keep(archive, rows)
    archive.close()
    path = of_a_past_day(home)
    archive = again(store)
    assert len(archive.search(rows[0], k=3)) == 3
    path.write_bytes(path.read_bytes()[:-1])
    assert archive.search(rows[0], k=3) == []
    assert list(archive.damaged) == [path]


def test_a_sealed_day_cut_to_nothing_is_named(store, home):
    archive = again(store)
    keep(archive, unit(23, 3))
    archive.close()
    path = of_a_past_day(home)
    archive = again(store)
    path.write_bytes(b"")
    assert archive.windows() == 0
    assert list(archive.damaged) == [path]


@pytest.mark.parametrize("scale", [np.nan, np.inf, -1.0, 0.0])
def test_damaged_records_of_today_hide_no_others(store, home, scale):
    """More of them than a search looks closely at, each nearer than any other by its damage."""
    archive = again(store)
    rows = unit(24, 400)
    keep(archive, rows)
    archive.close()
    (path,) = home.glob("archive/*/*.emb")
    data = bytearray(path.read_bytes())
    records = np.frombuffer(memoryview(data)[HEADER_BYTES:], record_type(WIDTH))
    records["scale"][:390] = scale
    path.write_bytes(data)
    hits = again(store).search(rows[395], k=10)
    assert len(hits) == 10
    assert hits[0].start_s == 395 * 5.0
