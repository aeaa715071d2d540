"""The archive: what was heard is found again, exactly, and nothing that was kept is lost."""

import dataclasses
import errno
import os
import shutil
import sqlite3
import time
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise

import numpy as np
import pytest
import soundfile

from edge_runtime import Engine, synthesis
from edge_runtime.archive import Archive
from edge_runtime.archive.day_file import DayFiles
from edge_runtime.archive.record import record_type
from edge_runtime.bundle import Bundle
from edge_runtime.database import MIGRATIONS
from edge_runtime.errors import AudioError, HomeError
from edge_runtime.home import Home
from edge_runtime.listener import Window
from edge_runtime.manifest import Manifest, sha256_of

WIDTH = 64
WINDOW_S, HOP_S = 10.0, 5.0
SOUNDS = {
    "dog.wav": synthesis.dog,
    "bell.wav": synthesis.church_bell,
    "rain.wav": synthesis.rain,
    "siren.wav": synthesis.siren,
}


@pytest.fixture
def store(home):
    store = Home.open(home)
    yield store
    store.close()


@pytest.fixture
def archive(store):
    return Archive(store, "a" * 16, width=WIDTH)


def unit(rng, count, width=WIDTH):
    rows = rng.standard_normal((count, width)).astype(np.float32)
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def window(embedding, number=0, settled=True):
    return Window(number * HOP_S, number * HOP_S + WINDOW_S, embedding, settled, index=number)


def keep(archive, embeddings, name="a.wav", **options):
    with archive.recording(name, **options) as writer:
        for number, embedding in enumerate(embeddings):
            writer.add(window(embedding, number))
        writer.heard_s = len(embeddings) * HOP_S


def day_file(home):
    (path,) = home.glob("archive/*/*.emb")
    return path


def int8_bound(embedding):
    """Each of E numbers is rounded by at most half a step of peak / 127; by Cauchy and Schwarz the cosine with a unit
    vector changes by at most the length of that error."""
    return np.sqrt(embedding.shape[-1]) * np.abs(embedding).max(axis=-1) / 254


def test_hits_are_the_exact_ones_within_the_rounding_of_int8(archive):
    """Oracle: float32 cosines of the embeddings as they went in."""
    rng = np.random.default_rng(0)
    recordings = {f"{i}.wav": unit(rng, 40) for i in range(6)}
    for name, embeddings in recordings.items():
        keep(archive, embeddings, name)
    for query in unit(rng, 20):
        hits = archive.search(query, k=5)
        assert len(hits) == 5
        for hit in hits:
            embedding = recordings[hit.file][round(hit.start_s / HOP_S)]
            assert abs(hit.score - embedding @ query) <= int8_bound(embedding)
        best = max(float((embeddings @ query).max()) for embeddings in recordings.values())
        bound = max(int8_bound(embeddings).max() for embeddings in recordings.values())
        assert hits[0].score >= best - bound
        assert [hit.score for hit in hits] == sorted((hit.score for hit in hits), reverse=True)


def test_int8_keeps_a_models_embedding_within_a_thousandth(bundle, store, noise):
    """A trained embedding spreads over its numbers: its error is random, far under the bound."""
    archive = Archive(store, bundle.fingerprint, width=bundle.manifest.head.width)
    embedding = bundle.answers(noise(8), np.array([1])).embedding
    keep(archive, [embedding])
    (hit,) = archive.search(embedding, k=1)
    assert abs(hit.score - 1) < 1e-3


def test_windows_that_overlap_are_one_moment_told_by_its_best(archive):
    rng = np.random.default_rng(1)
    query, other = unit(rng, 2)
    mixed = [query + level * other for level in (3.0, 0.5, 0.1, 0.6, 4.0)]
    keep(archive, [row / np.linalg.norm(row) for row in mixed])
    hits = archive.search(query, k=10)
    assert hits[0].start_s == 2 * HOP_S, "the best of the five"
    spans = sorted((hit.start_s, hit.end_s) for hit in hits)
    assert all(before[1] <= after[0] for before, after in pairwise(spans))


def test_recordings_of_the_same_seconds_are_moments_of_their_own(archive):
    query = unit(np.random.default_rng(2), 1)[0]
    keep(archive, [query], "a.wav")
    keep(archive, [query], "b.wav")
    assert {hit.file for hit in archive.search(query, k=5)} == {"a.wav", "b.wav"}


@pytest.mark.parametrize("k", [1, 2, 7, 1000])
def test_no_more_than_k_hits_and_as_many_as_there_are_moments(archive, k):
    embeddings = unit(np.random.default_rng(3), 5)
    for number, embedding in enumerate(embeddings):
        keep(archive, [embedding], f"{number}.wav")
    assert len(archive.search(embeddings[0], k=k)) == min(k, 5)


def test_a_long_silence_fills_k_with_moments_apart(archive):
    """Equal scores everywhere: the first k windows overlap each other, but k separate ones are there."""
    silent = unit(np.random.default_rng(4), 1)[0]
    keep(archive, [silent] * 50)
    hits = archive.search(silent, k=5)
    assert len(hits) == 5
    assert len({round(hit.start_s / WINDOW_S) for hit in hits}) == 5


@pytest.mark.parametrize("row", [0, 8191, 8192, 8193, 16_384, 20_000])
def test_a_moment_is_found_wherever_it_lies_in_a_long_archive(archive, row):
    """Around the borders of what is searched at a time."""
    rng = np.random.default_rng(5)
    embeddings = unit(rng, 20_001)
    query = embeddings[row]
    keep(archive, embeddings)
    hits = archive.search(query, k=3)
    assert hits[0].start_s == row * HOP_S
    assert abs(hits[0].score - 1) <= int8_bound(query)


def test_an_empty_archive_has_no_hits(archive):
    assert archive.search(unit(np.random.default_rng(0), 1)[0], k=5) == []
    assert archive.windows() == 0


def test_only_settled_windows_are_kept_and_the_newest_in_any_case(archive):
    rows = unit(np.random.default_rng(6), 8)
    with archive.recording("a.wav") as writer:
        writer.add(window(rows[0], 0, settled=False), every=4)
        for number in range(7):
            writer.add(window(rows[number], number), every=4)
    kept = [archive.search(row, k=1)[0].start_s / HOP_S for row in rows[[0, 4, 6]]]
    assert kept == [0, 4, 6]
    assert archive.windows() == 3


# --- power cuts and interruptions


@pytest.mark.parametrize("torn", [1, 24, 24 + WIDTH - 1])
def test_a_torn_last_record_is_passed_over_and_dropped_by_the_next_append(archive, home, torn):
    rows = unit(np.random.default_rng(7), 6)
    keep(archive, rows[:3], "a.wav")
    with day_file(home).open("ab") as file:
        file.write(b"\xff" * torn)
    assert archive.windows() == 3
    assert archive.search(rows[2], k=1)[0].start_s == 2 * HOP_S
    keep(archive, rows[3:], "b.wav")
    assert archive.windows() == 6
    for number, row in enumerate(rows):
        (hit,) = archive.search(row, k=1)
        assert (hit.file, hit.start_s) == (("a.wav", "b.wav")[number // 3], number % 3 * HOP_S)


def test_a_torn_header_is_written_anew(archive, home):
    row = unit(np.random.default_rng(8), 1)
    keep(archive, row)
    day_file(home).write_bytes(day_file(home).read_bytes()[:5])
    assert archive.search(row[0], k=1) == []
    keep(archive, row, "b.wav")
    assert [hit.file for hit in archive.search(row[0], k=5)] == ["b.wav"]


def test_a_recording_that_was_interrupted_is_invisible(archive, tmp_path):
    rows = unit(np.random.default_rng(9), 4)
    path = tmp_path / "a.wav"
    path.write_bytes(b"sound")
    with pytest.raises(KeyboardInterrupt), archive.recording("a", path=path) as writer:
        writer.add(window(rows[0]))
        raise KeyboardInterrupt
    assert archive.search(rows[0], k=5) == []
    assert not archive.holds(path)
    keep(archive, rows, path=path)
    assert archive.holds(path)
    assert len(archive.search(rows[0], k=10)) >= 1


def test_an_interrupted_recording_leaves_the_older_one_of_the_same_file(archive, tmp_path):
    rows = unit(np.random.default_rng(10), 2)
    path = tmp_path / "a.wav"
    path.write_bytes(b"sound")
    keep(archive, rows[:1], path=path)
    with pytest.raises(RuntimeError), archive.recording("a", path=path) as writer:
        writer.add(window(rows[1]))
        raise RuntimeError
    assert archive.holds(path)
    assert archive.search(rows[0], k=5)[0].score > 0.9


def test_a_live_recording_is_found_while_it_goes_on_and_keeps_its_tail_when_stopped(archive):
    rows = unit(np.random.default_rng(11), 3)
    with pytest.raises(KeyboardInterrupt), archive.recording("mic", live=True) as writer:
        writer.add(window(rows[0], 0), every=4)
        assert archive.search(rows[0], k=1)[0].file == "mic"
        writer.add(window(rows[1], 1), every=4)
        raise KeyboardInterrupt
    assert archive.search(rows[1], k=1)[0].score > 0.9


def test_a_full_disk_is_refused_in_one_line_and_costs_one_record(archive, home, monkeypatch):
    rows = unit(np.random.default_rng(12), 3)
    keep(archive, rows[:1])

    class FullDisk:
        def __init__(self, file):
            self.file = file

        def write(self, data):
            return self.file.write(data[:50])  # what write(2) does on a disk with 50 bytes left

        def __getattr__(self, name):
            return getattr(self.file, name)

    opened = DayFiles._opened
    monkeypatch.setattr(DayFiles, "_opened", lambda days, path: FullDisk(opened(days, path)))
    with pytest.raises(HomeError, match=f"cannot grow .*{os.strerror(errno.ENOSPC)}"):
        keep(archive, rows[1:2], "b.wav")
    monkeypatch.undo()
    keep(archive, rows[2:], "c.wav")
    assert archive.search(rows[2], k=1)[0].file == "c.wav"
    assert archive.search(rows[0], k=1)[0].file == "a.wav"


def test_a_damaged_day_is_named_and_the_others_are_searched(archive, home, caplog):
    rows = unit(np.random.default_rng(13), 2)
    keep(archive, rows[:1], "a.wav")
    path = day_file(home)
    archive.close()
    path.rename(path.with_name("2001-02-03.emb"))
    keep(archive, rows[1:], "b.wav")
    path = path.with_name("2001-02-03.emb")
    path.write_bytes(b"X" + path.read_bytes()[1:])
    assert [hit.file for hit in archive.search(rows[0], k=5)] == ["b.wav"]
    assert list(archive.damaged) == [path]
    assert path.name in caplog.text
    assert "damaged" in caplog.text


# --- models


def test_two_fingerprints_never_meet(store):
    rows = unit(np.random.default_rng(14), 1)
    one, two = (Archive(store, letter * 16, width=WIDTH) for letter in "ab")
    keep(one, rows, "one.wav")
    assert two.search(rows[0], k=5) == []
    assert (one.other_models(), two.other_models()) == (0, 1)
    keep(two, rows, "two.wav")
    assert [hit.file for hit in one.search(rows[0], k=5)] == ["one.wav"]
    assert [hit.file for hit in two.search(rows[0], k=5)] == ["two.wav"]


def test_a_file_of_another_model_moved_into_the_folder_is_refused(store, home):
    one, two = (Archive(store, letter * 16, width=WIDTH) for letter in "ab")
    rows = unit(np.random.default_rng(15), 1)
    keep(one, rows)
    source = day_file(home)
    keep(two, rows)
    shutil.copy(source, home / "archive" / ("b" * 16) / "2000-01-01.emb")
    assert len(two.search(rows[0], k=5)) == 1
    ((path, why),) = two.damaged.items()
    assert path.name == "2000-01-01.emb"
    assert "another model" in why


def test_another_bundle_does_not_search_what_this_one_heard(recordings, home, bundle_copy):
    """The copy differs in one number of the front end, so it has a fingerprint of its own."""
    Engine.open(home=home).index(recordings / "five.wav")
    tables = dict(np.load(bundle_copy / "mel.npz"))
    tables["offset"] = tables["offset"] + np.float32(1e-7)
    tables["offset"][0] += np.float32(1e-4)
    np.savez(bundle_copy / "mel.npz", **tables)
    manifest = Manifest.read(bundle_copy)
    files = {**manifest.files, "mel.npz": sha256_of(bundle_copy / "mel.npz")}
    dataclasses.replace(manifest, files=files).write(bundle_copy)
    other = Engine.open(bundle_copy, home=home)
    assert other.bundle.fingerprint != Bundle.open().fingerprint
    assert other.search("rain") == []
    assert other.archive.other_models() == 1


# --- files


def test_indexing_an_unchanged_file_again_is_not_needed_and_a_changed_one_is_replaced(recordings, home, tmp_path):
    path = tmp_path / "a.wav"
    shutil.copy(recordings / "twelve.wav", path)
    engine = Engine.open(home=home)
    assert not engine.archive.holds(path)
    engine.index(path)
    assert engine.archive.holds(path)
    before = engine.embed_audio(path)
    shutil.copy(recordings / "twenty-five.flac", path)
    assert not engine.archive.holds(path)
    engine.index(path)
    assert engine.archive.holds(path)
    assert engine.archive.search(before[0], k=1)[0].score < 0.99, "the old sound is gone"
    hits = engine.archive.search(engine.embed_audio(path)[-1], k=10)
    assert hits[0].end_s == pytest.approx(25, abs=0.01)
    assert {hit.file for hit in hits} == {str(path)}


def test_the_same_size_and_another_time_is_another_file(recordings, home, tmp_path):
    path = tmp_path / "a.wav"
    shutil.copy(recordings / "five.wav", path)
    engine = Engine.open(home=home)
    engine.index(path)
    os.utime(path, ns=(1, 1))
    assert not engine.archive.holds(path)


def test_indexing_a_file_twice_leaves_each_moment_once(recordings, home):
    engine = Engine.open(home=home)
    engine.index(recordings / "five.wav")
    engine.index(recordings / "five.wav")
    assert len(engine.archive.search(engine.embed_text("rain"), k=10)) == 1


def test_search_finds_the_right_one_of_several_sounds(home, tmp_path):
    """Asked by another performance of the same sound, as long as one window; oracle: float32 cosines over the same
    windows, from which int8 may part by its rounding."""
    engine = Engine.open(home=home)
    for name, make in SOUNDS.items():
        soundfile.write(tmp_path / name, _performed(make, seed=0, seconds=12), 32_000)
        engine.index(tmp_path / name)
    exact = {name: engine.embed_audio(tmp_path / name) for name in SOUNDS}
    for name, make in SOUNDS.items():
        soundfile.write(tmp_path / "again.wav", _performed(make, seed=1, seconds=10), 32_000)
        query = engine.embed_audio(tmp_path / "again.wav")[0]
        hits = engine.archive.search(query, k=4)
        assert hits[0].file == str(tmp_path / name)
        for hit in hits:
            cosines = exact[hit.file.rpartition("/")[2]] @ query
            bound = int8_bound(exact[hit.file.rpartition("/")[2]]).max()
            assert np.abs(cosines - hit.score).min() <= bound
            assert hit.score >= cosines.max() - 2 * bound


def _performed(make, seed, seconds):
    sound = make(synthesis.Studio(32_000, seed), float(seconds))
    return (0.5 * sound / np.abs(sound).max()).astype(np.float32)


def test_text_search_reaches_every_recording_best_first(recordings, home):
    """Oracle: float32 embeddings of the same windows."""
    engine = Engine.open(home=home)
    for path in sorted(recordings.iterdir()):
        engine.index(path)
    windows = np.concatenate([engine.embed_audio(path) for path in recordings.iterdir()])  # (W, E)
    cosines, popularity = windows @ engine.embed_text("a dog barking"), engine.bundle.popularity(windows)
    rounding = 1e-2  # int8 moves a cosine of trained embeddings by a few thousandths, a mean of cosines by no more
    assert np.abs(popularity).max() > 5 * rounding, "else one order could pass for the other"
    for plain, scores in ((True, cosines), (False, cosines - popularity)):
        hits = engine.search("a dog barking", k=20, plain=plain)
        assert {hit.file for hit in hits} == {str(path) for path in recordings.iterdir()}
        assert hits == sorted(hits, key=lambda hit: -hit.score)
        assert abs(hits[0].score - scores.max()) < rounding
        assert all(np.abs(cosines - hit.cosine).min() < rounding for hit in hits)


def test_half_a_window_between_archived_windows(recordings, home):
    """25 s: windows at each half window, and the tail."""
    engine = Engine.open(home=home)
    engine.index(recordings / "twenty-five.flac")
    assert engine.archive.windows() == len(engine.embed_audio(recordings / "twenty-five.flac"))


def test_a_recording_of_a_sample_is_refused_and_not_archived(home, tmp_path):
    soundfile.write(tmp_path / "one.wav", np.ones(1, np.float32), 32_000)
    engine = Engine.open(home=home)
    for refused in (engine.index, engine.embed_audio, engine.caption):
        with pytest.raises(AudioError, match="too short"):
            refused(tmp_path / "one.wav")
    assert not engine.archive.holds(tmp_path / "one.wav")


def test_progress_reaches_the_end(recordings, home):
    told: list[float] = []
    assert Engine.open(home=home).index(recordings / "twelve.wav", progress=told.append) == pytest.approx(12)
    assert told == sorted(told)
    assert told[-1] == pytest.approx(12)


# --- the home


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


def test_records_have_one_size():
    assert record_type(512).itemsize == 4 + 4 + 4 + 8 + 8 + 4 * 64 + 512
