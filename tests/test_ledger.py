"""The ledger: what was told is what is read, whatever the clock, the disk or a killed process does."""

import errno
import os
import signal
import subprocess
import sys
import time
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_runtime.clock import Clock
from edge_runtime.ledger import STATES, Ledger
from edge_runtime.ledger.record import ENTRY_BYTES, Anchor, Repair, Span, boot_key, pack, read_entries
from edge_runtime.ledger.spans import seconds_of, settled
from edge_runtime.sources.stretch import Stretch

RATE_HZ = 1000
DAY_S = 86_400


class Hand:
    """A clock that is turned by hand: `monotonic_s` goes on, `step_s` is what the system's clock is off."""

    def __init__(self, wall_s, *, trusted=True):
        self.monotonic_s, self.trusted = time.monotonic() // 1, trusted
        self.wall_s = wall_s - self.monotonic_s
        self.clock = Clock(
            system_s=lambda: self.wall_s + self.monotonic_s,
            monotonic_s=lambda: self.monotonic_s,
            sleeping_s=lambda: 0.0,
            disciplined=lambda: self.trusted,
        )

    def set(self, wall_s, *, trusted=True):
        self.wall_s, self.trusted = wall_s - self.monotonic_s, trusted
        return self.clock.look()


@pytest.fixture
def ledger(tmp_path):
    return Ledger(tmp_path / "ledger")


def hear(account, hand, seconds, *, missing=None, level=0.1):
    """So many seconds of one stretch, in real blocks of a second."""
    account.begin(Stretch("garden", RATE_HZ, hand.monotonic_s, lambda: iter(()), missing=missing))
    block = np.full(RATE_HZ, level, np.float32)
    for _ in range(seconds):
        hand.monotonic_s += 1
        account.heard(block)


NOON = 20_000 * DAY_S + DAY_S // 2


def test_what_is_heard_dropped_clipped_and_gated_is_told_and_the_rest_is_lost(ledger):
    hand = Hand(NOON)
    with ledger.account("garden", hand.clock) as account:
        hear(account, hand, 10)
        hand.monotonic_s += 5
        hear(account, hand, 4, missing="dropped")
        hand.monotonic_s += 3
        hear(account, hand, 2, missing="lost", level=1.0)
        account.add("gated", hand.monotonic_s - 1, hand.monotonic_s)
    found = ledger.coverage("garden", NOON - 6, NOON + 30)
    assert found == {"heard": 14, "clipped": 1, "gated": 1, "dropped": 5, "lost": 6 + 3 + 6}
    assert list(found) == list(STATES)
    assert ledger.sources() == ["garden"]
    assert not ledger.damage


def test_reading_creates_nothing(ledger, tmp_path):
    assert ledger.coverage("garden", 0, 60) == {"heard": 0, "clipped": 0, "gated": 0, "dropped": 0, "lost": 60}
    assert ledger.sources() == []
    assert not list(tmp_path.iterdir())


def test_a_second_costs_one_small_entry(ledger, tmp_path):
    hand = Hand(NOON)
    with ledger.account("garden", hand.clock) as account:
        hear(account, hand, 100)
    (log,) = tmp_path.rglob("*.log")
    assert log.stat().st_size == 101 * ENTRY_BYTES, "and one anchor"


def test_a_file_has_no_seconds_of_the_day(ledger):
    hand = Hand(NOON)
    with ledger.account("garden", hand.clock) as account:
        account.begin(Stretch("garden", RATE_HZ, hand.monotonic_s, lambda: iter(()), path=Path("a.wav")))
        account.heard(np.zeros(5000, np.float32))
    assert ledger.coverage("garden", NOON - 60, NOON + 60)["heard"] == 0


def test_one_sample_at_full_scale_is_no_clipping(ledger):
    hand = Hand(NOON)
    block = np.zeros(RATE_HZ, np.float32)
    with ledger.account("garden", hand.clock) as account:
        account.begin(Stretch("garden", RATE_HZ, hand.monotonic_s, lambda: iter(())))
        for loud in ([10, 11, 13, 14], [20, 21, 22], []):
            block[:] = 0
            block[loud] = -1.0
            account.heard(block)
    assert ledger.coverage("garden", NOON, NOON + 3) == {**dict.fromkeys(STATES, 0), "heard": 2, "clipped": 1}


def test_a_day_that_is_over_becomes_runs_and_says_the_same(ledger, tmp_path):
    hand = Hand(NOON + DAY_S // 2 - 100)
    with ledger.account("garden", hand.clock) as account:
        hear(account, hand, 50)
        hand.monotonic_s += 10
        hear(account, hand, 200, missing="lost")
    assert sorted(path.suffix for path in tmp_path.rglob("20*")) == [".log", ".runs"]
    (runs,) = tmp_path.rglob("*.runs")
    assert runs.stat().st_size == 2 * ENTRY_BYTES
    start = NOON + DAY_S // 2 - 100
    assert ledger.coverage("garden", start, start + 260) == {**dict.fromkeys(STATES, 0), "heard": 250, "lost": 10}
    ledger.account("garden", Hand(NOON + 3 * DAY_S).clock)
    assert [path.suffix for path in tmp_path.rglob("20*")] == [".runs", ".runs"]
    assert ledger.coverage("garden", start, start + 260)["heard"] == 250
    assert ledger.coverage("garden", NOON + DAY_S // 2, NOON + DAY_S)["heard"] == 160


def test_seconds_of_an_untrusted_clock_move_when_it_is_set(ledger, tmp_path):
    """A board without a battery starts in 1970, hears an hour, and learns the time; one restart in between."""
    hand = Hand(1000, trusted=False)
    for _ in range(2):
        with ledger.account("garden", hand.clock) as account:
            hear(account, hand, 30)
        hand.monotonic_s += 1
    assert ledger.coverage("garden", 1000, 1062)["heard"] == 60
    with ledger.account("garden", hand.clock) as account:
        hear(account, hand, 30)
        assert hand.set(NOON).trusted
        hear(account, hand, 30)
    assert ledger.coverage("garden", 0, DAY_S)["heard"] == 0
    began = NOON - 30 - 62
    assert ledger.coverage("garden", began, NOON + 30) == {**dict.fromkeys(STATES, 0), "heard": 120, "lost": 2}
    hand.monotonic_s += 2 * DAY_S
    ledger.account("garden", hand.clock)
    assert [path.name for path in tmp_path.rglob("*.*")] == ["2024-10-04.runs"]
    assert ledger.coverage("garden", began, NOON + 30)["heard"] == 120


def test_seconds_of_an_untrusted_clock_move_when_it_was_set_between_two_processes(ledger):
    hand = Hand(1000, trusted=False)
    with ledger.account("garden", hand.clock) as account:
        hear(account, hand, 30)
    hand.set(NOON)
    with ledger.account("garden", hand.clock) as account:
        hear(account, hand, 30)
    assert ledger.coverage("garden", NOON - 30, NOON + 30)["heard"] == 60
    hand.set(NOON + 30)
    with ledger.account("garden", hand.clock) as account:
        hear(account, hand, 30)
    assert ledger.coverage("garden", NOON - 30, NOON + 60)["heard"] == 90, "what is mended is not mended again"


def test_the_seconds_of_an_untrusted_clock_stay_movable(ledger, tmp_path):
    hand = Hand(1000, trusted=False)
    with ledger.account("garden", hand.clock) as account:
        hear(account, hand, 5)
        hand.monotonic_s += DAY_S
        hear(account, hand, 5)
    assert not list(tmp_path.rglob("*.runs"))
    assert len(list(tmp_path.rglob("*.log"))) == 2


def test_a_step_of_a_day_breaks_no_order(ledger):
    """The clock is trusted and is stepped: what was told before is told anew, and nothing is told twice."""
    for step_s in (DAY_S, -DAY_S):
        hand = Hand(NOON)
        name = f"stepped {step_s}"
        with ledger.account(name, hand.clock) as account:
            hear(account, hand, 60)
            hand.set(NOON + 60 + step_s)
            hear(account, hand, 60)
        spans = ledger.spans(name)
        assert [(span.state, span.end_ms - span.start_ms) for span in spans] == [("heard", 120_000)]
        assert spans[0].start_ms == pytest.approx(1000 * (NOON + step_s), abs=2)


def test_damage_is_named_and_costs_its_seconds_only(ledger, tmp_path):
    hand = Hand(NOON)
    with ledger.account("garden", hand.clock) as account:
        hear(account, hand, 100)
    (log,) = tmp_path.rglob("*.log")
    data = bytearray(log.read_bytes())
    data[50 * ENTRY_BYTES + 9] ^= 4
    log.write_bytes(data[:-8])
    assert ledger.coverage("garden", NOON, NOON + 100)["heard"] == 98
    (told,) = ledger.damage.values()
    assert log.name in told and "2 damaged" in told
    with ledger.account("garden", hand.clock) as account:
        hear(account, hand, 10)
    assert ledger.coverage("garden", NOON, NOON + 110)["heard"] == 108, "what follows a torn entry is read"


def test_a_full_disk_stops_nothing_and_is_made_up_for(ledger, monkeypatch):
    hand = Hand(NOON)
    write, full = os.write, True

    def full_disk(file, data):
        if full and len(data) == ENTRY_BYTES:
            if hand.monotonic_s % 2 < 1:  # half of an entry fits
                return write(file, data[:10])
            raise OSError(errno.ENOSPC, "No space left on device")
        return write(file, data)

    with ledger.account("garden", hand.clock) as account:
        hear(account, hand, 10)
        monkeypatch.setattr(os, "write", full_disk)
        hear(account, hand, 10)
        full = False
        hear(account, hand, 10)
    assert ledger.coverage("garden", NOON, NOON + 30)["heard"] == 30


@pytest.mark.parametrize("name", ["..", "a/b", "mic:USB Audio (hw:1,0)", "Ж" * 300, "con\0", "\udcff"])
def test_any_source_has_a_ledger_of_its_own(ledger, name, tmp_path):
    hand = Hand(NOON)
    with ledger.account(name, hand.clock) as account:
        hear(account, hand, 3)
    assert ledger.sources() == [name]
    assert ledger.coverage(name, NOON, NOON + 3)["heard"] == 3
    assert [path.name for path in tmp_path.iterdir()] == ["ledger"]


spans_of_a_minute = st.lists(
    st.builds(
        lambda state, start, length: Span(state, start, start + length),
        st.sampled_from(STATES),
        st.integers(0, 60),
        st.integers(0, 20),
    ),
    max_size=12,
)


@given(spans=spans_of_a_minute, start=st.integers(0, 60), length=st.integers(0, 60))
@settings(deadline=None)
def test_spans_are_what_painting_each_moment_gives(spans, start, length):
    painted = ["lost"] * 120
    for state in ("dropped", "heard", "clipped", "gated"):
        for span in spans:
            if span.state == state:
                painted[span.start_ms : span.end_ms] = [state] * (span.end_ms - span.start_ms)
    found = settled(spans)
    assert all(one.end_ms <= other.start_ms for one, other in pairwise(found))
    expected = {state: painted[start : start + length].count(state) / 1000 for state in STATES}
    assert seconds_of(found, start, start + length) == pytest.approx(expected)
    assert settled(found) == found


@given(data=st.binary(max_size=400), at=st.integers(0, 95), flipped=st.integers(1, 255))
@settings(deadline=None)
def test_no_bytes_crash_a_ledger_and_no_flipped_entry_is_believed(data, at, flipped):
    entries, damaged = read_entries(data)
    assert len(entries) + damaged == -(-len(data) // ENTRY_BYTES)
    boot = boot_key("this one")
    good = [Anchor(boot, 5, -(2**60), trusted=True), Span("gated", 3, 4, boot), Repair(boot, 2**62, 1)]
    packed = bytearray(b"".join(map(pack, good)))
    assert read_entries(bytes(packed)) == (good, 0)
    packed[at] ^= flipped
    assert read_entries(bytes(packed)) == ([e for i, e in enumerate(good) if i != at // ENTRY_BYTES], 1)


CHILD = """
import sys, time, numpy as np
from pathlib import Path
from edge_runtime.clock import Clock
from edge_runtime.ledger import Ledger
from edge_runtime.sources.stretch import Stretch
clock = Clock(trust="system")
with Ledger(Path(sys.argv[1])).account("garden", clock) as account:
    account.begin(Stretch("garden", 1000, time.monotonic(), lambda: iter(())))
    print(repr(clock.now()), flush=True)
    while True:
        time.sleep(0.05)
        account.heard(np.zeros(50, np.float32))
"""


@pytest.mark.parametrize("after_s", [0.4, 2.3])
def test_kill_9_costs_two_seconds_at_most(ledger, tmp_path, after_s):
    child = subprocess.Popen([sys.executable, "-c", CHILD, str(tmp_path / "ledger")], stdout=subprocess.PIPE)
    began = float(child.stdout.readline())
    time.sleep(after_s)
    child.send_signal(signal.SIGKILL)
    killed = time.time()
    child.wait()
    child.stdout.close()
    found = ledger.coverage("garden", began, killed)
    assert found["lost"] <= 2
    assert found["heard"] == pytest.approx(max(0.0, killed - began - found["lost"]), abs=2e-3), "in milliseconds"
    assert not ledger.damage
