"""What sources give: each stretch as it is on disk or in the pipe, folders as their files come, and an end within half
a second of `stop`."""

import os
import threading
import time

import numpy as np
import pytest
import soundfile

from edge_runtime.errors import AudioError
from edge_runtime.sources import open_source
from edge_runtime.sources.folder import FolderSource
from edge_runtime.sources.pipe import PcmPipe

RATE_HZ = 16_000


@pytest.fixture
def write(tmp_path, noise):
    def write_one(name, seconds=1.0, seed=0):
        path = tmp_path / name
        soundfile.write(path, noise(seconds, RATE_HZ, seed=seed), RATE_HZ, subtype="PCM_16")
        return path

    return write_one


def heard(stretches):
    return [(stretch.path.name, np.concatenate([*stretch.blocks()])) for stretch in stretches]


def test_a_file_is_one_stretch_of_its_samples(write):
    path = write("a.wav", 12)
    source = open_source(str(path), name="garden")
    before_s = time.monotonic()
    ((_, samples),) = heard(source.stretches())
    np.testing.assert_array_equal(samples, soundfile.read(path, dtype="float32")[0])
    assert (source.state, source.lost_s, source.trouble) == ("ended", 0, None)
    assert before_s <= source.last_audio_s <= time.monotonic()


def test_a_folder_is_heard_in_order_and_what_cannot_be_heard_is_told(write):
    for name in ("b.wav", "a.wav"):
        write(name)
    (write("c.wav").parent / "bad.wav").write_text("no sound")
    refused = []
    source = open_source(str(write("a.wav").parent), refused=refused.append)
    assert [name for name, _ in heard(source.stretches())] == ["a.wav", "b.wav", "c.wav"]
    (error,) = refused
    assert "bad.wav is no audio" in str(error)


def test_a_file_that_breaks_off_ends_its_stretch_and_not_its_folder(write):
    whole = write("a.flac", 20)
    whole.write_bytes(whole.read_bytes()[: whole.stat().st_size // 2])
    write("b.wav")
    names = []
    for stretch in open_source(str(whole.parent)).stretches():
        names.append(stretch.path.name)
        if stretch.path == whole:
            with pytest.raises(AudioError, match="damaged"):
                list(stretch.blocks())
        else:
            assert sum(map(len, stretch.blocks())) == RATE_HZ
    assert names == ["a.flac", "b.wav"]


@pytest.mark.parametrize("folder", [False, True], ids=["a file", "a folder"])
def test_stop_ends_a_file_between_two_blocks(write, folder):
    path = write("a.wav", 60)
    write("b.wav")
    source = open_source(str(path.parent if folder else path))
    for stretch in source.stretches():
        blocks = stretch.blocks()
        next(blocks)
        source.stop()
        assert list(blocks) == []
    assert source.state == "stopped"


class Watched:
    """A folder's source in a thread, and what it gave."""

    def __init__(self, folder, **options):
        self.names, self.refused = [], []
        self.source = FolderSource(folder, watch=True, refused=self.refused.append, **options)
        self.thread = threading.Thread(target=self._run)
        self.thread.start()

    def _run(self):
        for stretch in self.source.stretches():
            try:
                samples = sum(map(len, stretch.blocks()))
            except AudioError as error:
                self.refused.append(error)
            else:
                self.names.append((stretch.path.name, samples))

    def until(self, condition, within_s=5.0):
        until_s = time.monotonic() + within_s
        while not condition():
            assert time.monotonic() < until_s, (self.names, self.refused, self.source.trouble)
            time.sleep(0.02)

    def stop(self):
        started_s = time.monotonic()
        self.source.stop()
        self.thread.join(5)
        assert time.monotonic() - started_s < 0.5
        assert self.source.state == "stopped"


@pytest.fixture
def watched(tmp_path, monkeypatch):
    monkeypatch.setattr("edge_runtime.sources.folder.SETTLE_S", 0.3)
    monkeypatch.setattr("edge_runtime.sources.folder.LOOK_S", 0.05)
    folder = tmp_path / "inbox"
    begun = []

    def watch(**options):
        begun.append(Watched(folder, **options))
        return begun[-1]

    yield folder, watch
    for each in begun:
        each.stop()


def test_a_watched_folder_gives_files_as_they_come_each_once(watched, write):
    folder, watch = watched
    folder.mkdir()
    found = watch(known=lambda path: path.name == "old.wav")
    write("inbox/old.wav")
    write("inbox/a.wav")
    found.until(lambda: found.names == [("a.wav", RATE_HZ)])
    write("inbox/deeper.wav", 2)
    found.until(lambda: found.names[1:] == [("deeper.wav", 2 * RATE_HZ)])
    found.until(lambda: found.source.state == "waiting")
    assert not found.refused


def test_a_file_that_grows_is_heard_when_it_is_whole(watched, write, tmp_path):
    folder, watch = watched
    folder.mkdir()
    data = write("whole.wav", 3).read_bytes()
    found = watch()
    with (folder / "a.wav").open("wb", buffering=0) as file:
        for part in range(6):
            file.write(data[part * len(data) // 6 : (part + 1) * len(data) // 6])
            time.sleep(0.1)
            assert not found.names, "it has not settled"
    found.until(lambda: found.names == [("a.wav", 3 * RATE_HZ)])
    assert not found.refused


def test_a_file_that_stays_cut_is_told_once_and_heard_when_it_is_mended(watched, write):
    folder, watch = watched
    folder.mkdir()
    data = write("whole.wav", 1).read_bytes()
    (folder / "a.wav").write_bytes(data[:1000])
    found = watch()
    found.until(lambda: found.refused)
    time.sleep(0.5)
    assert ["cut short" in str(error) for error in found.refused] == [True]
    (folder / "a.wav").write_bytes(data)
    found.until(lambda: found.names == [("a.wav", RATE_HZ)])


def test_a_folder_that_is_not_there_is_waited_for_and_may_vanish(watched, write):
    folder, watch = watched
    found = watch()
    found.until(lambda: found.source.trouble)
    assert "inbox cannot be read" in found.source.trouble
    folder.mkdir()
    path = write("inbox/a.wav")
    found.until(lambda: found.names == [("a.wav", RATE_HZ)])
    path.unlink()
    folder.rmdir()
    found.until(lambda: found.source.trouble)
    folder.mkdir()
    write("inbox/b.wav")
    found.until(lambda: found.names[1:] == [("b.wav", RATE_HZ)])


def test_stop_ends_a_pipe_that_gives_nothing_and_what_was_sent_is_heard():
    reads, writes = os.pipe()
    pcm = np.arange(1000, dtype="<i2")
    with os.fdopen(reads, "rb") as stream, os.fdopen(writes, "wb", buffering=0) as sends:
        source = PcmPipe(stream, rate_hz=RATE_HZ)
        got = []
        thread = threading.Thread(target=lambda: got.extend(b for s in source.stretches() for b in s.blocks()))
        thread.start()
        sends.write(pcm[:500].tobytes())
        while not got:
            time.sleep(0.01)
        sends.write(pcm[500:].tobytes())
        started_s = time.monotonic()
        source.stop()
        thread.join(5)
        assert time.monotonic() - started_s < 0.5
    np.testing.assert_array_equal(np.concatenate(got), pcm / np.float32(32768))
    assert source.state == "stopped"


def test_a_pipe_of_an_impossible_rate_is_refused(tmp_path):
    with (tmp_path / "none").open("wb+") as stream, pytest.raises(AudioError, match="0 Hz"):
        next(PcmPipe(stream, rate_hz=0).stretches())
