"""`earmark listen` fed by hand, while other processes change, stop or kill what it does."""

import json
import os
import select
import signal
import time

import pytest

from edge_runtime import Engine
from edge_runtime.mel import BLOCK_FRAMES
from tests.test_cli import PATIENCE_S, RATE_HZ, names


class Live:
    """`earmark listen -` in a process, fed by hand: a few seconds at a time, or the two pipes block each other."""

    def __init__(self, process, bundle):
        self.process = process
        self.bundle = bundle
        self._left = b""

    @property
    def withheld_s(self):
        """Of sound, that an answer waits for after its window's end: a streaming encoder's look-ahead, in whole blocks
        of the front end."""
        spec = self.bundle.manifest.encoder
        ahead = spec.stream.prime_frames - spec.segment_frames if spec.stream else 0
        return -(-ahead // BLOCK_FRAMES) * BLOCK_FRAMES * self.bundle.manifest.mel.hop_s

    def answers(self, heard_s):
        """How many windows have been told when so much has been heard; a frame is known half an FFT later (16 ms)."""
        return int((heard_s - self.withheld_s - 0.016) / self.bundle.manifest.hop_s)

    def feed(self, sound):
        self.process.stdin.write((sound * 32767).astype("<i2").tobytes())

    def row(self):
        """The next line, parsed; fails after a while."""
        end = time.monotonic() + PATIENCE_S
        while b"\n" not in self._left:
            ready, _, _ = select.select([self.process.stdout], [], [], max(0, end - time.monotonic()))
            assert ready, "no line came"
            data = os.read(self.process.stdout.fileno(), 1 << 16)
            assert data, self.process.stderr.read().decode()
            self._left += data
        line, _, self._left = self._left.partition(b"\n")
        return json.loads(line)

    def rest(self):
        out, err = self.process.communicate(timeout=PATIENCE_S)
        return [json.loads(line) for line in (self._left + out).splitlines()], err.decode()


@pytest.fixture(params=["bundle", "windowed"], ids=["streaming", "windowed"])
def live(request, earmark):
    bundle = request.getfixturevalue(request.param)
    options = ("--rate", RATE_HZ, "--json", "--top", 1000, "--bundle", bundle.folder)
    with earmark.start("listen", "-", *options) as process:
        try:
            yield Live(process, bundle)
        finally:
            process.kill()


def test_a_phrase_that_another_process_adds_is_heard_at_the_next_window(live, earmark, noise):
    hop_s, added = live.bundle.manifest.hop_s, "a wooden cart on cobbles"
    sound = noise(60)
    fed = round((1.5 * hop_s + live.withheld_s) * RATE_HZ)
    live.feed(sound[:fed])
    before = live.row()
    assert added not in names(before)
    assert earmark("phrases", "add", added).code == 0
    live.feed(sound[fed : fed + round(hop_s * RATE_HZ)])
    heard = live.row()
    assert heard["end_s"] == pytest.approx(2 * hop_s, abs=0.01)
    assert added in names(heard)
    assert earmark("phrases", "remove", added, before["matches"][0]["phrase"]).code == 0
    live.feed(sound[fed : fed + round(hop_s * RATE_HZ)])
    assert set(names(before)) - set(names(live.row())) == {before["matches"][0]["phrase"]}


def test_ctrl_c_ends_listening_with_the_tail_and_the_coverage(live, earmark, noise):
    live.feed(noise(3.3))
    told = [live.row()["end_s"] for _ in range(live.answers(3.3))]
    time.sleep(0.3)  # it waits for sound now
    live.process.send_signal(signal.SIGINT)
    rows, err = live.rest()
    assert (live.process.returncode, err) == (0, "")
    *windows, coverage = rows
    assert [*told, *(row["end_s"] for row in windows)] == [1.28, 2.56, 3.3]
    assert told and windows and coverage["type"] == "coverage"
    assert coverage["heard_s"] == 3.3
    (hit,) = Engine.open(live.bundle.folder, home=earmark.home, write=False).search("rain")
    assert (hit.file, hit.end_s) == ("-", 3.3)


def test_a_killed_listener_leaves_what_it_heard(live, earmark, noise):
    """No warning at all, as when the power goes: full windows of a live recording are on the disk already."""
    sound, step = noise(16), round(live.bundle.manifest.hop_s * RATE_HZ)
    told = 0
    for start in range(0, len(sound), step):
        live.feed(sound[start : start + step])
        while told < live.answers(min(start + step, len(sound)) / RATE_HZ):
            live.row()
            told += 1
    live.process.kill()
    live.process.wait()
    hits = Engine.open(live.bundle.folder, home=earmark.home, write=False).search("rain")
    assert {hit.file for hit in hits} == {"-"}
    assert max(hit.end_s for hit in hits) >= 10.24  # a window of either bundle ends there, and its look-ahead was heard


def test_a_reader_that_goes_away_ends_the_command_quietly(recordings, earmark):
    for arguments in (("listen", recordings, "--json", "--no-archive"), ("phrases", "list")):
        with earmark.start(*arguments) as process:
            assert process.stdout.readline()
            process.stdout.close()
            assert process.stderr.read() == b""
        assert process.returncode == 0
