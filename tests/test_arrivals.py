"""Frames against the clock: losses that no flag tells are found and measured, late frames and drifting clocks are none.

The device is made up, and so is its clock; benchmarks and faults use real ones.
"""

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_runtime.sources.arrivals import DEVICE, MAX_DRIFT, NETWORK, Arrivals, Verdict

RATE_HZ = 48_000
BLOCK = 480


class Device:
    """Captures `rate` frames a second of our clock and delivers them in blocks, some of them late; `losses`: at which
    second how many seconds are lost."""

    def __init__(self, *, drift=0.0, jitter_s=0.0, seed=0, tolerance=DEVICE):
        self.rate = RATE_HZ * (1 + drift)
        self.jitter_s = jitter_s
        self.random = random.Random(seed)
        self.arrivals = Arrivals(RATE_HZ, tolerance)
        self.now_s = 1000.0
        self.behind_s = 0.0
        self.told = 0

    def run(self, seconds, *, flagged=False):
        for _ in range(int(seconds * RATE_HZ / BLOCK)):
            self.now_s += BLOCK / self.rate
            if self.behind_s == 0 and self.random.random() < 0.02:
                self.behind_s = self.random.uniform(0, self.jitter_s)
            at_s = self.now_s + self.behind_s
            self.behind_s = max(0.0, self.behind_s - BLOCK / self.rate)
            self.arrivals.arrived(BLOCK, at_s, flagged=flagged)
            flagged = False
            self.told += self.arrivals.verdict is Verdict.LOST

    def lose(self, seconds):
        self.now_s += seconds


@given(drift=st.floats(-MAX_DRIFT / 2, MAX_DRIFT / 2), jitter_s=st.floats(0, 0.9), seed=st.integers(0, 99))
@settings(deadline=None, max_examples=30)
def test_late_frames_and_a_drifting_clock_are_no_loss(drift, jitter_s, seed):
    device = Device(drift=drift, jitter_s=jitter_s, seed=seed)
    device.run(5)
    before_s = device.arrivals.lag_s
    device.run(60)
    assert device.told == 0
    # a second's least lag is at most a block and a second's drift away from the device's own
    assert device.arrivals.lag_s - before_s == pytest.approx(
        60 / (1 + drift) - 60, abs=0.02 + DEVICE.settle_s * MAX_DRIFT
    )


@given(lost_s=st.floats(2 * DEVICE.loss_s, 20), drift=st.floats(-MAX_DRIFT / 2, MAX_DRIFT / 2), seed=st.integers(0, 99))
@settings(deadline=None, max_examples=30)
def test_a_loss_is_found_once_and_measured(lost_s, drift, seed):
    device = Device(drift=drift, jitter_s=0.1, seed=seed)
    device.run(20)
    before_s = device.arrivals.lag_s
    device.lose(lost_s)
    device.run(2.5 * DEVICE.settle_s)
    assert device.told == 1
    assert device.arrivals.lag_s - before_s == pytest.approx(lost_s, abs=0.02 + 4 * MAX_DRIFT)


def test_nothing_after_a_late_block_is_sure_until_it_is_judged():
    device = Device()
    device.run(5)
    device.lose(2 * DEVICE.late_s)
    device.run(0.1)
    assert device.arrivals.verdict is Verdict.SUSPECT
    device.run(DEVICE.settle_s)
    assert (device.arrivals.verdict, device.told) == (Verdict.GOOD, 1)


def test_a_flag_is_a_loss_however_small():
    device = Device()
    device.run(5)
    device.run(2, flagged=True)
    assert device.told == 1
    assert device.arrivals.lag_s == pytest.approx(0, abs=1e-6)


def test_losses_without_a_pause_add_up_to_what_is_lost():
    """A device that loses every third block, evenly: no block is ever late."""
    arrivals, lost_s, now_s = Arrivals(RATE_HZ), 0.0, 0.0
    for block in range(3000):
        now_s += BLOCK / RATE_HZ
        if block > 1000 and block % 3 == 0:
            lost_s += BLOCK / RATE_HZ
            continue
        arrivals.arrived(BLOCK, now_s)
    # a third of the last second is not judged yet, and the second before counts as it began
    assert arrivals.lag_s == pytest.approx(lost_s, abs=2 / 3 * DEVICE.settle_s + 0.02)
    assert lost_s > 6


@given(jitter_s=st.floats(0, 8), lost_s=st.floats(2 * NETWORK.loss_s, 20), seed=st.integers(0, 99))
@settings(deadline=None, max_examples=10)
def test_of_a_network_seconds_late_are_no_loss_and_what_never_comes_is(jitter_s, lost_s, seed):
    device = Device(jitter_s=jitter_s, seed=seed, tolerance=NETWORK)
    device.run(60)
    assert device.told == 0
    device.jitter_s = 0
    device.run(2.5 * NETWORK.settle_s)
    before_s = device.arrivals.lag_s
    device.lose(lost_s)
    device.run(2.5 * NETWORK.settle_s)
    assert device.told == 1
    assert device.arrivals.lag_s - before_s == pytest.approx(lost_s, abs=0.02 + 25 * MAX_DRIFT)
