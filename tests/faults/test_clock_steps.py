"""The system's clock is stepped by a day while a service listens; libfaketime holds its clock."""

import ctypes.util
import time
from datetime import datetime
from pathlib import Path

import numpy as np
import pytest

from edge_runtime.clock import synchronised
from edge_runtime.scene import demo_scene
from tests.service_case import PIPE, RATE_HZ, moments, running

pytestmark = pytest.mark.slow

DAY_S = 86_400.0
SEEN_WITHIN_S = 2.0
"""A second, and what a busy machine may take besides."""


class FakeClock:
    """The clock of processes with this `env`: `step` moves it while they run."""

    def __init__(self, library: Path, folder: Path) -> None:
        self._file = folder / "faketime.txt"
        self.step(0)
        self.env = {
            "LD_PRELOAD": str(library),
            "FAKETIME_TIMESTAMP_FILE": str(self._file),
            "FAKETIME_NO_CACHE": "1",
            "DONT_FAKE_MONOTONIC": "1",
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",
        }

    def step(self, seconds: float) -> None:
        """So far from the true time from now on."""
        part = self._file.with_suffix(".part")
        part.write_text(f"{seconds:+.0f}\n")
        part.replace(self._file)


@pytest.fixture
def fake_clock(tmp_path):
    # its other library, not the one for threads, now and then gives one thread the true time while another asks
    found = sorted(Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1"))
    if not found or not ctypes.util.find_library("c"):
        pytest.skip("needs libfaketime: sudo apt install faketime")
    return FakeClock(found[0], tmp_path)


def crickets():
    scene, events = demo_scene()
    start = round((events[-1].start_s + 1) * RATE_HZ)
    return np.tile(scene[start : start + 6 * RATE_HZ], 2)


def crickets_kept(earmark):
    """When the events of crickets that are kept began and ended, UTC seconds."""
    rows = [row for row in earmark("events", "list", "--json").rows if row["name"] == "crickets chirping"]
    return [tuple(datetime.fromisoformat(row[end]).timestamp() for end in ("start", "end")) for row in rows]


def hears_a_day_apart(service, fake_clock, step_s):
    """Crickets, a step of the clock, crickets; how long the step took to be seen, and what was told of it."""
    service.hear(crickets())
    service.wait_for("window", lambda line: line["end_s"] > 9)
    fake_clock.step(step_s)
    stepped_s = time.monotonic()
    change = service.wait_for("clock")
    seen_s = time.monotonic() - stepped_s
    service.hear(crickets())
    assert service.end() == 0
    return seen_s, change


@pytest.mark.parametrize("step_s", [DAY_S, -DAY_S], ids=["a day on", "a day back"])
def test_an_untrusted_step_breaks_no_order(earmark, fake_clock, step_s):
    if synchronised():
        pytest.skip("a time server holds this machine's clock, so its steps are trusted")
    before = time.time()
    with running(earmark, PIPE, env=fake_clock.env) as service:
        seen_s, change = hears_a_day_apart(service, fake_clock, step_s)
        walls = [line["at"] for line in service.told("window")]
    assert seen_s < SEEN_WITHIN_S
    assert change["step_s"] == pytest.approx(step_s, abs=5) and not change["followed"]
    starts = [line["start_s"] for line in service.told("window")]
    full = [wall - start for wall, start in zip(walls, starts, strict=True)]
    assert max(full) - min(full) < 0.01, "one stretch, one offset"
    assert before - 1 < walls[0] < before + 60
    ((start_at, end_at),) = crickets_kept(earmark)
    assert before - 1 < start_at < end_at < before + 120


@pytest.mark.parametrize("step_s", [DAY_S, -DAY_S], ids=["a day on", "a day back"])
def test_a_trusted_step_sets_all_of_this_boot_right(earmark, fake_clock, step_s):
    before = time.time()
    config = f'{PIPE}\n[clock]\ntrust = "system"\n[events]\nhold_s = 0\n'
    with running(earmark, config, env=fake_clock.env) as service:
        service.hear(np.concatenate([crickets(), np.zeros(16 * RATE_HZ, np.float32)]))
        told = service.wait_for("event", lambda line: line["name"] == "crickets chirping")
        assert before - 1 < told["start_at"] < before + 60
        seen_s, change = hears_a_day_apart(service, fake_clock, step_s)
    assert seen_s < SEEN_WITHIN_S
    assert change["step_s"] == pytest.approx(step_s, abs=5) and change["followed"] and change["trusted"]
    (first, second) = crickets_kept(earmark)
    assert first[0] == pytest.approx(told["start_at"] + step_s, abs=5), "it moves with the clock"
    assert first[1] < second[0]


def test_status_tells_whether_the_clock_is_trusted(earmark):
    for trust, trusted in (("system", True), ("ntp", synchronised())):
        with running(earmark, f'{PIPE}\n[clock]\ntrust = "{trust}"\n'):
            for _ in moments():
                if (ran := earmark("status", "--json")).code == 0:
                    break
            assert ran.rows[0]["clock_trusted"] == trusted
