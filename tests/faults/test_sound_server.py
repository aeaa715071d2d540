"""A microphone whose sound server is killed, suspended or outrun: real PulseAudio, PortAudio, and
processes. `pytest -s` shows what was measured.

The server's null sink has a monitor, which ALSA's pulse plugin shows to PortAudio as a microphone called `field`.
"""

import ctypes.util
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from edge_runtime.ledger import Ledger

PLUGINS = list(Path("/usr/lib").glob("*/alsa-lib/libasound_module_pcm_pulse.so"))
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(ctypes.util.find_library("portaudio") is None, reason="apt install libportaudio2"),
    pytest.mark.skipif(shutil.which("pulseaudio") is None, reason="apt install pulseaudio"),
    pytest.mark.skipif(shutil.which("pactl") is None, reason="apt install pulseaudio-utils"),
    pytest.mark.skipif(not PLUGINS, reason="apt install libasound2-plugins"),
]

ASOUNDRC = 'pcm.field { type pulse server "unix:SOCKET" device "sink.monitor" }'
LISTENER = """
import json, sys, time
from dataclasses import replace
from pathlib import Path
from edge_runtime.clock import Clock
from edge_runtime.ledger import Ledger
from edge_runtime.sources import intake, microphone, open_source
from edge_runtime.sources.devices import find_device

rate_hz, ring_s, stall_at_s, stall_s, for_s = map(float, sys.argv[2:])
intake.RING_S = ring_s

def find(wanted, memory):  # ALSA's plugin takes any rate and is asked for its usual one first
    return replace(find_device(wanted, memory), rate_hz=int(rate_hz))

microphone.find_device = find

source = open_source("mic:field", name="field")
heard, began = 0.0, None

def tell(**fields):
    print(json.dumps({"now": time.monotonic(), "heard": heard, "lost": source.lost_s, **fields}), flush=True)

clock = Clock(trust="system")
with Ledger(Path(sys.argv[1])).account("field", clock) as account:
    for stretch in source.stretches():
        began = began or stretch.started_s
        tell(stretch=stretch.started_s, missing=stretch.missing, wall=clock.wall(stretch.started_s))
        account.begin(stretch)
        for block in stretch.blocks():
            heard += len(block) / stretch.rate_hz
            account.heard(block)
            if stall_s and time.monotonic() - began > stall_at_s:
                time.sleep(stall_s)
                stall_s = 0.0
            if time.monotonic() - began > for_s:
                source.stop()
        tell(state=source.state, trouble=source.trouble)
tell(began=began, until=source.last_audio_s, wall=clock.wall(time.monotonic()))
"""

TWO = """
import json, sys, threading, time
from edge_runtime.sources import microphone, open_source

microphone.LOOK_EVERY_S = 1.0

def listen(name):
    for stretch in open_source(f"mic:{name}", name=name, patient=True).stretches():
        print(json.dumps({"stretch": name, "missing": stretch.missing, "now": time.monotonic()}), flush=True)
        for block in stretch.blocks():
            pass

for name in ("field", "barn"):
    threading.Thread(target=listen, args=(name,)).start()
"""


class SoundServer:
    """PulseAudio in a folder, with nothing of the machine's."""

    def __init__(self, folder):
        self.folder, self.socket, self.process = folder, folder / "socket", None
        folder.mkdir(exist_ok=True)
        (folder / ".asoundrc").write_text(ASOUNDRC.replace("SOCKET", str(self.socket)))
        self.env = {**os.environ, "HOME": str(folder), "XDG_RUNTIME_DIR": str(folder), "XDG_CONFIG_HOME": str(folder)}
        self.env["PULSE_SERVER"] = f"unix:{self.socket}"
        self.env["PYTHONPATH"] = str(Path(__file__).parents[2])

    def start(self):
        self.socket.unlink(missing_ok=True)
        loaded = [f"module-native-protocol-unix socket={self.socket} auth-anonymous=1"]
        loaded.append("module-null-sink sink_name=sink rate=48000")
        command = [
            "pulseaudio",
            "-n",
            "--daemonize=no",
            "--exit-idle-time=-1",
            "--disable-shm=yes",
            "--use-pid-file=no",
        ]
        options = [f"--load={module}" for module in loaded]
        log = (self.folder / "pulse.log").open("ab")
        self.process = subprocess.Popen([*command, *options], env=self.env, stdout=log, stderr=log)
        log.close()
        until_s = time.monotonic() + 10
        while self.control("info").returncode:
            assert time.monotonic() < until_s, (self.folder / "pulse.log").read_text()
            time.sleep(0.05)

    def control(self, *words):
        return subprocess.run(["pactl", *words], env=self.env, capture_output=True, check=False)

    def kill(self):
        self.process.kill()
        self.process.wait()


class Listener:
    """A process that hears `field`, keeps a ledger, and tells what happens, a JSON line at a time."""

    def __init__(self, server, *, script=LISTENER, rate_hz=48_000, ring_s=10, stall_at_s=0, stall_s=0, for_s=600):
        self.ledger, self.log = server.folder / "ledger", server.folder / "listener.log"
        log = self.log.open("ab")
        numbers = map(str, (rate_hz, ring_s, stall_at_s, stall_s, for_s))
        self.process = subprocess.Popen(
            [sys.executable, "-c", script, str(self.ledger), *numbers],
            env=server.env,
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
        )
        log.close()

    def line(self, wanted):
        """The next line that tells `wanted`."""
        while row := self.process.stdout.readline():
            told = json.loads(row)
            if wanted in told:
                return told
        raise AssertionError(f"the listener ended before it told {wanted}: {self.log.read_text()}")


class Field:
    """A folder with one server and one listener; both end with it."""

    def __enter__(self):
        self.folder = tempfile.TemporaryDirectory(prefix="earmark-")  # pytest's own are too long for a socket's name
        self.started = []
        return self

    def begin(self, **options):
        server = SoundServer(Path(self.folder.name))
        self.started.append(server)
        server.start()
        listener = Listener(server, **options)
        self.started.append(listener)
        return server, listener

    def __exit__(self, *_):
        for each in reversed(self.started):
            if each.process:
                each.process.kill()
                each.process.wait()
                if each.process.stdout:
                    each.process.stdout.close()
        self.folder.cleanup()


def in_a_field(scenario):
    with Field() as field:
        scenario(field.begin)


@pytest.fixture(scope="module")
def scenarios():
    """All at once, each with a server of its own: they wait rather than work."""
    with ThreadPoolExecutor(len(SCENARIOS)) as pool:
        return {scenario.__name__: pool.submit(in_a_field, scenario) for scenario in SCENARIOS}


def assert_adds_up(end, first, lost_s, *, states):
    """Heard and lost make up the time, and the loss is what was done, to within one per cent of all."""
    elapsed_s = end["until"] - end["began"]
    assert end["heard"] + end["lost"] == pytest.approx(elapsed_s, rel=0.01)
    assert end["lost"] == pytest.approx(lost_s, abs=0.01 * elapsed_s)
    coverage = Ledger(states).coverage("field", first["wall"], end["wall"])
    assert coverage["heard"] == pytest.approx(end["heard"], abs=0.1)
    return coverage


def tell_sum(what, end):
    """What was counted against what the clock says."""
    elapsed_s = end["until"] - end["began"]
    off = (end["heard"] + end["lost"]) / elapsed_s - 1
    print(f"\n{what}: {end['heard']:.3f} s heard + {end['lost']:.3f} s lost in {elapsed_s:.3f} s: {100 * off:+.2f} %")


def a_killed_sound_server_is_seen_at_once_and_listened_to_again_within_ten_seconds(begin):
    server, listener = begin(for_s=8)
    first = listener.line("stretch")
    time.sleep(2)
    server.kill()
    killed_s = time.monotonic()
    assert listener.line("state")["state"] == "reopening"
    seen_s = time.monotonic() - killed_s
    assert seen_s < 5
    time.sleep(1)
    server.start()
    restarted_s = time.monotonic()
    again = listener.line("stretch")
    assert again["missing"] == "lost"
    assert again["now"] - restarted_s < 10
    print(f"\nkilled: seen after {seen_s:.2f} s, back {again['now'] - restarted_s:.2f} s after the server was")
    end = listener.line("until")
    coverage = assert_adds_up(end, first, again["stretch"] - killed_s, states=listener.ledger)
    assert coverage["lost"] == pytest.approx(end["lost"], abs=1.0), "the last second may not be written yet"


def a_microphone_that_falls_silent_is_seen_within_five_seconds(begin):
    """Suspended, the server gives no blocks and says nothing; it is alive and so is the stream."""
    server, listener = begin(for_s=12)
    listener.line("stretch")
    time.sleep(1)
    assert server.control("suspend-sink", "sink", "1").returncode == 0
    suspended_s = time.monotonic()
    told = listener.line("state")
    seen_s = time.monotonic() - suspended_s
    assert seen_s < 5
    assert "no sound for 4 s" in told["trouble"]
    server.control("suspend-sink", "sink", "0")
    resumed_s = time.monotonic()
    again = listener.line("stretch")
    assert again["missing"] == "lost"
    assert again["now"] - resumed_s < 10
    print(f"\nsilent: seen after {seen_s:.2f} s, back {again['now'] - resumed_s:.2f} s after it sounded again")


def a_sound_server_that_hangs_stops_nobody(begin):
    """It answers nobody, so that opening and closing its devices hangs; then it goes on."""
    server, listener = begin(for_s=16)
    listener.line("stretch")
    time.sleep(1)
    server.process.send_signal(signal.SIGSTOP)
    try:
        stopped_s = time.monotonic()
        assert "no sound for 4 s" in listener.line("state")["trouble"]
        assert time.monotonic() - stopped_s < 5
        time.sleep(3)
    finally:
        server.process.send_signal(signal.SIGCONT)
    resumed_s = time.monotonic()
    assert listener.line("stretch")["missing"] == "lost"
    assert time.monotonic() - resumed_s < 10
    end = listener.line("until")
    assert end["heard"] + end["lost"] == pytest.approx(end["until"] - end["began"], rel=0.01)


def what_a_stalled_consumer_drops_is_counted_to_within_one_per_cent(begin):
    _, listener = begin(ring_s=2, stall_at_s=2, stall_s=7, for_s=12)
    first = listener.line("stretch")
    listener.line("state")
    again = listener.line("stretch")
    assert again["missing"] == "dropped"
    end = listener.line("until")
    # two of the seven seconds wait in the ring, and one block that does not quite fit
    coverage = assert_adds_up(end, first, 7 - 2, states=listener.ledger)
    tell_sum("stalled", end)
    assert coverage["dropped"] == pytest.approx(end["lost"], abs=0.01)


def what_a_stopped_process_misses_is_counted_without_any_flag(begin):
    """The server keeps four megabytes for a client: at 192 kHz less than three seconds of the eight."""
    _, listener = begin(rate_hz=192_000, for_s=14)
    first = listener.line("stretch")
    time.sleep(3)
    listener.process.send_signal(signal.SIGSTOP)
    time.sleep(8)
    listener.process.send_signal(signal.SIGCONT)
    end = listener.line("until")
    elapsed_s = end["until"] - end["began"]
    assert end["heard"] + end["lost"] == pytest.approx(elapsed_s, rel=0.01)
    tell_sum("stopped", end)
    assert 3 < end["lost"] < 8 + 1.5, "the second in which it is found out counts as lost, too"
    assert Ledger(listener.ledger).coverage("field", first["wall"], end["wall"])["heard"] <= end["heard"] + 0.1


def a_microphone_that_comes_while_another_sounds_is_found(begin):
    """PortAudio looks for devices once: the other gives way for a moment, and is back."""
    server, listener = begin(script=TWO)
    assert listener.line("stretch")["stretch"] == "field"
    time.sleep(2)
    settings = server.folder / ".asoundrc"
    settings.write_text(settings.read_text() + settings.read_text().replace("pcm.field", "pcm.barn"))
    came_s = time.monotonic()
    told = {row["stretch"]: row for row in (listener.line("stretch"), listener.line("stretch"))}
    assert told.keys() == {"field", "barn"}
    assert told["field"]["missing"] == "lost"
    back_s = max(row["now"] for row in told.values()) - came_s
    assert back_s < 10
    print(f"\nplugged in: both sound after {back_s:.2f} s")


SCENARIOS = (
    a_microphone_that_comes_while_another_sounds_is_found,
    a_killed_sound_server_is_seen_at_once_and_listened_to_again_within_ten_seconds,
    a_microphone_that_falls_silent_is_seen_within_five_seconds,
    a_sound_server_that_hangs_stops_nobody,
    what_a_stalled_consumer_drops_is_counted_to_within_one_per_cent,
    what_a_stopped_process_misses_is_counted_without_any_flag,
)


@pytest.mark.parametrize("name", [scenario.__name__ for scenario in SCENARIOS])
def test_a_microphone_and_its_sound_server(name, scenarios):
    scenarios[name].result()
