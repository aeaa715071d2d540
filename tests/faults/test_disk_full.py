"""The disk is full while a service listens: clips are given up first, listening goes on, and later sound is kept."""

import time

import numpy as np
import pytest

from edge_runtime.scene import demo_scene
from tests.disk_case import fill, small_disk
from tests.service_case import PIPE, RATE_HZ, moments, running

pytestmark = pytest.mark.slow

DISK_MB = 6
CONFIGURATION = f"{PIPE}\n[clips]\nmin_free_bytes = 1500000\n[events]\nhold_s = 0\n[retention]\nmin_free_bytes = 0\n"


@pytest.fixture
def disk(home):
    """The home, on a file system of its own."""
    with small_disk(home, megabytes=DISK_MB):
        yield home


def a_minute_part():
    """Crickets, then silence long enough for their event to be over: 28 s."""
    scene, events = demo_scene()
    start = round((events[-1].start_s + 1) * RATE_HZ)
    crickets = np.tile(scene[start : start + 6 * RATE_HZ], 2)
    return np.concatenate([crickets, np.zeros(16 * RATE_HZ, np.float32)])


def hears(service, count):
    """Another part; returns once its crickets are told."""
    service.hear(a_minute_part())
    for _ in moments():
        found = [line for line in service.told("event") if line["name"] == "crickets chirping"]
        if len(found) == count:
            return
    raise AssertionError((found, service.errors))


def status(earmark):
    return earmark("status", "--json").rows[0]["sources"][0]


def test_a_full_disk_costs_clips_first_then_what_does_not_fit_and_nothing_afterwards(earmark, disk):
    def crickets():
        """Of each event of crickets that is kept, whether it has a clip."""
        rows = earmark("events", "list", "--json").rows
        return [row["clip"] is not None for row in rows if row["name"] == "crickets chirping"]

    with running(earmark, CONFIGURATION) as service:
        hears(service, 1)
        assert crickets() == [True]
        fill(disk, leaving=1_000_000)
        hears(service, 2)
        assert crickets() == [True, False], "below its bound no clip is written; the event is"
        fill(disk, leaving=0)
        hears(service, 3)
        assert service.process.poll() is None
        (disk / "filler").unlink()
        time.sleep(6)  # a keeper that was refused waits five seconds
        hears(service, 4)
        assert crickets() == [True, False, False, True], "an event that found no room waited for it"
        assert service.stop() == 0
        assert "the home takes nothing" in service.errors
        assert "the home takes what is heard again" in service.errors
        assert "clips are given up for now" in service.errors
        assert "Traceback" not in service.errors
    assert status(earmark)["heard_s"] == pytest.approx(4 * 28)
    assert status(earmark)["unkept_windows"] > 0, "what found no room is counted"
    found = earmark("search", "crickets chirping", "--json", "--top", 20)
    assert found.code == 0
    assert max(row["end_s"] for row in found.rows) > 80
