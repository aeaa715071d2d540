"""A stream whose ffmpeg is killed or hangs, whose server falls silent or dies, that loses sound on its way, and whose
listener is too slow: real ffmpeg, real sockets. It comes back, what is missing is counted, and no process stays.
"""

import os
import signal
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from edge_runtime.sources import intake, open_source, stream
from edge_runtime.sources.arrivals import NETWORK
from tests.service_case import PIPE, moments, running
from tests.stream_case import RtspServer, needs_ffmpeg

pytestmark = [pytest.mark.slow, needs_ffmpeg]

RATE_HZ = 16_000
SOUND = np.random.default_rng(0).uniform(-1, 1, RATE_HZ).astype(np.float32)
SEEN_S = 5.0
BACK_S = 10.0
REAPED_S = 2.0
"""From the end of a process until its parent's thread has read its exit: one that nobody waits for stays a zombie."""


class Listening:
    """A server and a source on it, which a thread of its own hears; both end with it."""

    def __enter__(self):
        self.server = RtspServer(SOUND, RATE_HZ)
        self.source = open_source(self.server.url)
        self.begun, self.heard_s, self.stall_s = [], 0.0, 0.0
        self._thread = threading.Thread(target=self._run)
        self._thread.start()
        return self

    def __exit__(self, *_):
        self.source.stop()
        self._thread.join(5)
        assert not self._thread.is_alive()
        self.server.close()
        until_s = time.monotonic() + REAPED_S
        while (left := ffmpegs(self.server)) and time.monotonic() < until_s:
            time.sleep(0.02)
        assert not left

    def _run(self):
        for stretch in self.source.stretches():
            self.begun.append(stretch)
            for block in stretch.blocks():
                self.heard_s += len(block) / stretch.rate_hz
                if self.stall_s:
                    time.sleep(self.stall_s)
                    self.stall_s = 0.0

    def until(self, condition, within_s):
        """How long that took."""
        started_s = time.monotonic()
        while not condition():
            assert time.monotonic() - started_s < within_s, (self.source.state, self.source.trouble, self.begun)
            time.sleep(0.02)
        return time.monotonic() - started_s

    def stretches(self, number, within_s=BACK_S):
        """Until so many have begun."""
        return self.until(lambda: len(self.begun) >= number, within_s)

    def assert_adds_up(self):
        """Heard and lost make up the time, to within one per cent of it, or of ten seconds where it was less: the
        newest block may be a tenth of a second late on a busy machine."""
        elapsed_s = self.source.last_audio_s - self.begun[0].started_s
        off = (self.heard_s + self.source.lost_s) / elapsed_s - 1
        print(
            f"\n{self.heard_s:.3f} s heard + {self.source.lost_s:.3f} s lost in {elapsed_s:.3f} s: {100 * off:+.2f} %"
        )
        assert abs(off) < 0.01


def ffmpegs(server):
    """The processes that hear this server, zombies of ours included: {pid: state}."""
    found = {}
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            about = (folder / "stat").read_text().rsplit(") ", 1)
            words = (folder / "cmdline").read_bytes()
        except OSError:  # ended since
            continue
        state, parent = about[1].split()[:2]
        ours = f"127.0.0.1:{server.port}/".encode() in words
        if about[0].endswith("(ffmpeg") and (ours or (state == "Z" and int(parent) == os.getpid())):
            found[int(folder.name)] = state
    return found


def the_ffmpeg(listening):
    (pid,) = (pid for pid, state in ffmpegs(listening.server).items() if state != "Z")
    return pid


def a_killed_ffmpeg_is_started_again(listening):
    listening.stretches(1)
    killed = the_ffmpeg(listening)
    os.kill(killed, signal.SIGKILL)
    back_s = listening.stretches(2)
    assert listening.begun[1].missing == "lost"
    assert killed not in ffmpegs(listening.server)
    print(f"\nffmpeg killed: back after {back_s:.2f} s")
    time.sleep(2)
    listening.assert_adds_up()


def an_ffmpeg_that_hangs_is_seen_and_replaced(listening):
    listening.stretches(1)
    hangs = the_ffmpeg(listening)
    os.kill(hangs, signal.SIGSTOP)
    seen_s = listening.until(lambda: listening.source.state == "reopening", SEEN_S)
    assert "no sound for 4 s" in listening.source.trouble
    listening.stretches(2)
    assert hangs not in ffmpegs(listening.server)
    print(f"\nffmpeg hangs: seen after {seen_s:.2f} s")


def a_server_that_falls_silent_is_seen_and_heard_again(listening):
    listening.stretches(1)
    listening.server.hold(7)
    seen_s = listening.until(lambda: listening.source.state == "reopening", SEEN_S)
    back_s = listening.stretches(2, 7 + BACK_S)
    print(
        f"\nserver silent for 7 s: seen after {seen_s:.2f} s, back {seen_s + back_s - 7:.2f} s after it sounded again"
    )


def a_server_that_dies_is_waited_for(listening):
    listening.stretches(1)
    listening.server.close()
    seen_s = listening.until(lambda: listening.source.state == "reopening", SEEN_S)
    time.sleep(3)
    assert "Connection refused" in listening.source.trouble
    assert "secret" not in listening.source.trouble
    listening.server = RtspServer(SOUND, RATE_HZ, port=listening.server.port)
    back_s = listening.stretches(2)
    print(f"\nserver killed: seen after {seen_s:.2f} s, back {back_s:.2f} s after it was")


def what_never_comes_is_counted(listening):
    """A second and a half of judging stands for ten."""
    listening.stretches(1)
    time.sleep(2)
    listening.server.lose(3)
    listening.stretches(2, 3 + BACK_S)
    assert listening.begun[1].missing == "lost"
    assert listening.source.lost_s == pytest.approx(3, abs=0.1), "frames of 20 ms, on a busy machine"
    time.sleep(2)
    listening.assert_adds_up()


def what_only_comes_late_is_heard(listening):
    listening.stretches(1)
    listening.server.hold(1.3)  # which fits into the ring
    heard_s = listening.heard_s
    listening.until(lambda: listening.heard_s > heard_s + 4, BACK_S)
    assert (len(listening.begun), listening.source.lost_s) == (1, 0), listening.begun
    listening.assert_adds_up()


def what_a_stalled_listener_drops_is_counted(listening):
    """Two seconds fit into the ring that this test has, so that of seven five are dropped."""
    listening.stretches(1)
    listening.stall_s = 7.0
    listening.stretches(2, 7 + BACK_S)
    assert listening.begun[1].missing == "dropped"
    time.sleep(2)
    listening.assert_adds_up()
    assert listening.source.lost_s == pytest.approx(5, abs=0.3), "the pause begins within a block, and blocks fit whole"


SCENARIOS = (
    a_killed_ffmpeg_is_started_again,
    an_ffmpeg_that_hangs_is_seen_and_replaced,
    a_server_that_falls_silent_is_seen_and_heard_again,
    a_server_that_dies_is_waited_for,
    what_never_comes_is_counted,
    what_only_comes_late_is_heard,
    what_a_stalled_listener_drops_is_counted,
)


@pytest.fixture(scope="module")
def scenarios():
    """All at once, each with a server of its own: they wait rather than work."""

    def play(scenario):
        with Listening() as listening:
            scenario(listening)

    with pytest.MonkeyPatch.context() as patch, ThreadPoolExecutor(len(SCENARIOS)) as pool:
        patch.setattr(intake, "RING_S", 2.0)
        patch.setattr(stream, "NETWORK", replace(NETWORK, settle_s=1.5))
        yield {scenario.__name__: pool.submit(play, scenario) for scenario in SCENARIOS}


@pytest.mark.parametrize("name", [scenario.__name__ for scenario in SCENARIOS])
def test_a_stream_and_its_faults(name, scenarios):
    scenarios[name].result()


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGKILL])
def test_no_ffmpeg_outlives_its_service(how, earmark):
    with RtspServer(SOUND, RATE_HZ) as server:
        config = PIPE.replace("\nrate_hz = 32000", "").replace('input = "-"', f'input = "{server.url}"')
        with running(earmark, config) as service:
            service.wait_for("window")
            assert len(ffmpegs(server)) == 1
            assert service.stop(how) == (0 if how == signal.SIGTERM else -signal.SIGKILL)
            for _ in moments(5):
                if not ffmpegs(server):
                    break
            assert not ffmpegs(server)
            assert "secret" not in service.errors
