"""A service finds its sources' thresholds anew by itself, in a process that ends when the service does."""

import logging
import os
import time
from pathlib import Path

import numpy as np
import pytest

from edge_runtime import Engine
from edge_runtime.home import Home
from edge_runtime.listener import Window
from edge_runtime.matching.site import SiteLimit, keep_limits, limits_of
from edge_runtime.service.calibrator import CalibrationSettings, Calibrator

NOW = 0.0


@pytest.fixture
def listened(home):
    """Two hours of one place in the archive."""
    engine = Engine.open(home=home)
    rng = np.random.default_rng(0)
    place = rng.standard_normal(512)
    with engine.archive.recording("garden", live=True) as writer:
        for number in range(2 * 720):
            vector = place + rng.standard_normal(512)
            vector = (vector / np.linalg.norm(vector)).astype(np.float32)
            writer.add(Window(5.0 * number, 5.0 * number + 5, vector, True, number))
    engine.home.db.execute("update recording set started_at = (cast(started_at as integer) - 7300) / 30 * 30")
    old = SiteLimit("a dog barking", 5.0, 4.0, 6.0, 1.0, 0, 7.0)
    keep_limits(engine.home, engine.bundle.fingerprint, "garden", [old])
    engine.home.close()
    return home, engine.bundle.fingerprint


def until(calibrator, settings, done, sources=None, **options):
    end = time.monotonic() + 300  # it yields to everything else
    while not done():
        assert time.monotonic() < end
        calibrator.tick(settings, sources or {"garden": "mic"}, **options)
        time.sleep(0.05)


def test_thresholds_are_found_and_drift_is_told(listened, caplog):
    home, fingerprint = listened
    store = Home.open(home)
    calibrator = Calibrator(home, None, first_s=NOW)
    with caplog.at_level(logging.WARNING):
        until(
            calibrator,
            CalibrationSettings(false_alerts_a_day=2),
            lambda: calibrator._running is None and len(limits_of(store, fingerprint, "garden")) > 1,
            also=["the squeak of a gate"],
        )
    limits = limits_of(store, fingerprint, "garden")
    assert len(limits) == 367
    assert {limit.a_day for limit in limits.values()} == {2.0}
    assert "the squeak of a gate" in limits
    (line,) = [record.message for record in caplog.records if "drift" in record.message]
    assert line.startswith("garden: drift: a dog barking: ")
    assert "it was 4.00 to 6.00" in line
    calibrator.tick(CalibrationSettings(), {"garden": "mic"})
    assert calibrator._running is None, "its next turn is in a day"


def test_a_source_without_sound_is_passed_over_and_the_next_one_has_its_turn(listened, caplog):
    home, fingerprint = listened
    store = Home.open(home)
    calibrator = Calibrator(home, None, first_s=NOW)
    with caplog.at_level(logging.INFO):
        until(
            calibrator,
            CalibrationSettings(),
            lambda: calibrator._running is None and len(limits_of(store, fingerprint, "garden")) > 1,
            sources={"--home=/etc": "mic", "garden": "mic"},
        )
    assert any("--home=/etc: earmark: 0 minutes of this source" in record.message for record in caplog.records)
    assert limits_of(store, fingerprint, "--home=/etc") == {}


def test_a_folder_is_a_site_by_its_recordings(listened, earmark, tmp_path):
    home, fingerprint = listened
    store = Home.open(home)
    (tmp_path / "recordings").mkdir()
    file = tmp_path / "recordings" / "first.wav"
    store.db.execute("update recording set name = ? where name = 'garden'", (str(file),))
    assert earmark("phrases", "calibrate", "yard", "--recordings", tmp_path / "record").refused("0 minutes")
    calibrator = Calibrator(home, None, first_s=NOW)
    sources = {"yard": str(file.parent)}
    until(calibrator, CalibrationSettings(), lambda: limits_of(store, fingerprint, "yard"), sources)
    calibrator.stop()


def test_nothing_starts_without_settings_or_before_its_time(listened):
    calibrator = Calibrator(listened[0], None, first_s=NOW)
    calibrator.tick(None, {"garden": "mic"})
    assert calibrator._running is None
    later = Calibrator(listened[0], None)
    later.tick(CalibrationSettings(), {"garden": "mic"})
    assert later._running is None


def test_a_service_that_stops_leaves_no_process(listened):
    calibrator = Calibrator(listened[0], None, first_s=NOW)
    calibrator.tick(CalibrationSettings(), {"garden": "mic"})
    _, process = calibrator._running
    assert os.getpriority(os.PRIO_PROCESS, process.pid) > os.getpriority(os.PRIO_PROCESS, 0)
    calibrator.stop()
    assert process.returncode is not None
    assert not Path(f"/proc/{process.pid}").exists(), "reaped"
    calibrator.stop()
