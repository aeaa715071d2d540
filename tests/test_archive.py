"""The archive: what was heard is found again, exactly, and nothing that was kept is lost."""

import dataclasses
import errno
import os
import shutil
from itertools import pairwise

import numpy as np
import pytest

from edge_runtime import Engine
from edge_runtime.archive import Archive
from edge_runtime.archive.day_file import DayFiles
from edge_runtime.archive.record import record_type
from edge_runtime.bundle import Bundle
from edge_runtime.errors import HomeError
from edge_runtime.home import Home
from edge_runtime.listener import Window
from edge_runtime.manifest import Manifest, sha256_of

WIDTH = 64
WINDOW_S, HOP_S = 10.0, 5.0


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


def test_records_have_one_size():
    assert record_type(512).itemsize == 4 + 4 + 4 + 8 + 8 + 4 * 64 + 512
