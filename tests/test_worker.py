"""A source's thread outlives what fails in it, and a new boot comes after the last one."""

import time

import numpy as np
import pytest

from edge_runtime.errors import AudioError
from edge_runtime.home import Home
from edge_runtime.service import worker as module
from edge_runtime.service.configuration import ClockSettings, Configuration, SourceSettings
from edge_runtime.service.station import Station
from edge_runtime.service.worker import Worker
from edge_runtime.sources import Stretch

RATE_HZ = 32_000
SETTINGS = SourceSettings("garden", "mic")


class Source:
    """Gives what its script has, one entry after another: an error is raised, seconds are a stretch of sound."""

    name = "garden"
    state = "listening"
    last_audio_s = None
    lost_s = 0.0
    trouble = None

    def __init__(self, *script):
        self._script = list(script)

    def stop(self):
        self._script = []

    def stretches(self):
        while self._script:
            match self._script.pop(0):
                case Exception() as error:
                    raise error
                case seconds:
                    sound = np.random.default_rng(0).normal(0, 0.1, round(seconds * RATE_HZ)).astype(np.float32)
                    blocks = np.array_split(sound, 10)
                    yield Stretch("garden", RATE_HZ, time.monotonic(), lambda blocks=blocks: iter(blocks))


@pytest.fixture
def station(home):
    opened = Station.open(Configuration(sources=(SETTINGS,)), home)
    yield opened
    opened.close()


def heard_by(station, source):
    worker = Worker(SETTINGS, source, station)
    worker.start()
    assert worker.join(60)
    return worker.report()


def test_a_defect_ends_a_stretch_and_not_the_source(station, monkeypatch, caplog):
    monkeypatch.setattr(module, "AGAIN_S", (0.01,))
    report = heard_by(station, Source(6, RuntimeError("a defect"), ZeroDivisionError("another"), 7))
    assert (report.state, report.restarts, report.heard_s) == ("ended", 2, 13.0)
    assert sum("begins anew" in record.message for record in caplog.records) == 2
    assert "a defect" in caplog.text, "with its trace"


def test_a_source_that_cannot_be_is_given_up_and_says_why(station, caplog):
    report = heard_by(station, Source(6, AudioError("there is no file x: check the name"), 7))
    assert (report.state, report.heard_s, report.restarts) == ("failed", 6.0, 0)
    assert report.trouble == "there is no file x: check the name"


def test_a_stop_in_the_pause_after_a_defect_is_taken_at_once(station, monkeypatch):
    monkeypatch.setattr(module, "AGAIN_S", (3600.0,))
    worker = Worker(SETTINGS, Source(RuntimeError("a defect")), station)
    worker.start()
    while worker.report().restarts == 0:
        time.sleep(0.01)
    worker.stop()
    assert worker.join(5)
    assert worker.report().state == "stopped"


def test_a_boot_whose_clock_is_not_trusted_begins_after_what_the_home_has(home, monkeypatch):
    Station.open(Configuration(sources=(SETTINGS,)), home).close()
    late = time.time() + 86_400
    store = Home.open(home)
    with store.transaction():
        store.db.execute(
            "insert into event (boot, source, name, kind, phrases, start_s, end_s, peak_s, start_at, stretch_s, score, "
            "threshold, heard_s, trusted, windows) "
            "values ('b', 's', 'n', 'phrase', '[]', 0, 10, 5, ?, 0, 1, 0, 10, 0, 1)",
            (late - 10,),
        )
    store.close()
    monkeypatch.setattr("edge_runtime.clock.synchronised", lambda: False)
    for trust, expected in (("ntp", late), ("system", late - 86_400)):
        opened = Station.open(Configuration(sources=(SETTINGS,), clock=ClockSettings(trust)), home)
        assert opened.clock.now() == pytest.approx(expected, abs=60)
        opened.close()
