"""What systemd is told and when: the notification protocol, the watchdog's food, the unit file."""

import os
import shutil
import socket
import subprocess
from pathlib import Path

import pytest

from edge_runtime.service.notify import Notifier
from edge_runtime.service.watchdog import STUCK_S, Pulse, Watchdog

UNIT = Path(__file__).parents[1] / "edge_runtime/service/earmark.service"


class Heard(Notifier):
    """Counts what it would tell."""

    def __init__(self, watchdog_s):
        super().__init__("/nowhere", watchdog_s=watchdog_s)
        self.fed = 0

    def alive(self):
        self.fed += 1


def test_messages_reach_an_abstract_socket():
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd:
        systemd.bind(f"\0earmark-test-{os.getpid()}")
        systemd.settimeout(5)
        notifier = Notifier(f"@earmark-test-{os.getpid()}")
        notifier.status("garden:\n listening")
        notifier.alive()
        assert [systemd.recv(100) for _ in range(2)] == [b"STATUS=garden: listening", b"WATCHDOG=1"]


@pytest.mark.parametrize("address", [None, "", "vsock:2:1", "/nowhere/at/all"])
def test_without_systemd_nothing_happens(address):
    notifier = Notifier(address)
    notifier.ready()
    notifier.stopping()
    assert notifier.watchdog_s is None


@pytest.mark.parametrize(
    ("env", "expected"),
    [
        ({"NOTIFY_SOCKET": "/x", "WATCHDOG_USEC": "20000000"}, 20.0),
        ({"NOTIFY_SOCKET": "/x", "WATCHDOG_USEC": "20000000", "WATCHDOG_PID": str(os.getpid())}, 20.0),
        ({"NOTIFY_SOCKET": "/x", "WATCHDOG_USEC": "20000000", "WATCHDOG_PID": "1"}, None),
        ({"NOTIFY_SOCKET": "/x", "WATCHDOG_USEC": "soon"}, None),
        ({"NOTIFY_SOCKET": "/x", "WATCHDOG_USEC": "0"}, None),
        ({"WATCHDOG_USEC": "20000000"}, None),
    ],
    ids=["on", "ours", "another's", "no number", "zero", "no socket"],
)
def test_the_watchdogs_period_is_what_systemd_says(monkeypatch, env, expected):
    for name in ("NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID"):
        monkeypatch.delenv(name, raising=False)
    for name, value in env.items():
        monkeypatch.setenv(name, value)
    assert Notifier.of_environment().watchdog_s == expected


def pulse(progress_s=None, busy_since_s=None, *, owes_sound=True):
    return Pulse(progress_s, busy_since_s, owes_sound)


def test_the_watchdog_is_fed_four_times_a_period_while_sound_goes_through():
    notifier = Heard(20.0)
    watchdog = Watchdog(notifier)
    for tick in range(100, 140):
        watchdog.look([pulse(tick - 0.1)], now_s=float(tick))
    assert notifier.fed == 8


@pytest.mark.parametrize(
    ("pulses", "fed"),
    [
        ([pulse(None)], False),
        ([pulse(99.0)], False),
        ([pulse(199.0)], True),
        ([pulse(99.0), pulse(199.0)], True),
        ([pulse(199.0), pulse(199.0, busy_since_s=200 - STUCK_S - 1)], False),
        ([pulse(199.0), pulse(199.0, busy_since_s=199.5)], True),
        ([pulse(99.0, owes_sound=False)], True),
        ([pulse(99.0, owes_sound=False), pulse(99.0)], False),
    ],
    ids=["not yet", "no more", "heard", "one of two", "hangs", "works", "a folder that waits", "and a dead microphone"],
)
def test_what_the_watchdog_is_fed_by(pulses, fed):
    watchdog = Watchdog(Heard(20.0))
    assert watchdog.look([pulse(99.9)], now_s=100.0)
    assert watchdog.look(pulses, now_s=200.0) == fed


def test_systemd_reads_the_unit(tmp_path):
    """`systemd-analyze` wants the program to be there: true stands for it."""
    if not shutil.which("systemd-analyze"):
        pytest.skip("needs systemd-analyze")
    unit = tmp_path / "earmark.service"
    unit.write_text(UNIT.read_text().replace("/opt/earmark/bin/earmark", "/bin/true"))
    done = subprocess.run(["systemd-analyze", "verify", unit], capture_output=True, text=True, check=False, timeout=60)
    assert not [line for line in done.stderr.splitlines() if "earmark.service" in line], done.stderr
