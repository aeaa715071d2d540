"""Recordings into the archive, and found there: again, anew, half a window apart, best first."""

import os
import shutil

import numpy as np
import pytest
import soundfile

from edge_runtime import Engine, synthesis
from edge_runtime.errors import AudioError
from tests.test_archive import int8_bound

SOUNDS = {
    "dog.wav": synthesis.dog,
    "bell.wav": synthesis.church_bell,
    "rain.wav": synthesis.rain,
    "siren.wav": synthesis.siren,
}


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
    plainly, asked = (
        windows @ embed(["a dog barking"])[0] for embed in (engine.bundle.embed_text, engine.bundle.queries)
    )
    popularity = engine.bundle.popularity(windows)
    rounding = 1e-2  # int8 moves a cosine of trained embeddings by a few thousandths, a mean of cosines by no more
    assert abs(plainly.max() - (asked - popularity).max()) > 2 * rounding, "else one could pass for the other"
    for plain, cosines, scores in ((True, plainly, plainly), (False, asked, asked - popularity)):
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
