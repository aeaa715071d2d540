"""`earmark coverage` tells what a live source's seconds were, a day a line."""

import time
from datetime import date, datetime, timedelta

import numpy as np
import pytest

from edge_runtime.clock import Clock
from edge_runtime.ledger import STATES, Ledger
from edge_runtime.sources.stretch import Stretch

RATE_HZ = 1000


def heard_before(folder, *, seconds, ago_s, name="garden"):
    """A source that began `ago_s` before now and heard so many seconds."""
    with Ledger(folder).account(name, Clock(trust="system")) as account:
        account.begin(Stretch(name, RATE_HZ, time.monotonic() - ago_s, lambda: iter(())))
        for _ in range(seconds):
            account.heard(np.zeros(RATE_HZ, np.float32))


def test_each_day_since_a_source_began_is_told_and_adds_up(earmark):
    noon = datetime.combine(date.today() - timedelta(days=2), datetime.min.time()) + timedelta(hours=12)
    heard_before(earmark.home / "ledger", seconds=600, ago_s=time.time() - noon.timestamp())
    ran = earmark("coverage", "--json")
    assert (ran.code, ran.err) == (0, "")
    assert [row["day"] for row in ran.rows] == [str(noon.date() + timedelta(days=n)) for n in range(3)]
    assert {row["source"] for row in ran.rows} == {"garden"}
    total = {state: sum(row[f"{state}_s"] for row in ran.rows) for state in STATES}
    assert total["heard"] == pytest.approx(600)
    for row in ran.rows:
        assert sum(row[f"{state}_s"] for state in STATES) == pytest.approx(row["end_at"] - row["start_at"], abs=0.01)
    assert earmark("coverage", "--json", "--days", 1).rows[0]["heard_s"] == 0
    table = earmark("coverage", "garden").out.splitlines()
    assert len(table) == 1 + len(ran.rows)
    assert "10:00" in table[1] and table[1].endswith("garden")


def test_what_a_pipe_gives_in_its_own_time_is_in_the_ledger(earmark):
    """Piped in faster than it was heard, it is of no time of ours: only what may have been counts."""
    pcm = np.zeros(60 * 32_000, "<i2").tobytes()
    assert earmark("listen", "-", "--rate", 32_000, "--json", stdin=pcm).rows[-1]["heard_s"] == 60
    (row,) = earmark("coverage", "--json", "--days", 1).rows
    assert row["source"] == "-"
    assert row["heard_s"] <= row["end_at"] - row["start_at"] + 0.01


def test_without_a_ledger_or_source_coverage_says_what_to_do(earmark):
    assert earmark("coverage").refused("no live source has been heard")
    heard_before(earmark.home / "ledger", seconds=1, ago_s=5)
    assert earmark("coverage", "barn").refused("it has: garden")


def test_a_damaged_ledger_is_named(earmark):
    heard_before(earmark.home / "ledger", seconds=10, ago_s=20)
    (log,) = earmark.home.rglob("*.log")
    log.write_bytes(log.read_bytes() + b"rubbish")
    ran = earmark("coverage", "--json")
    assert ran.code == 0
    assert f"{log} has 1 damaged" in ran.err
