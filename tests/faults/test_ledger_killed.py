"""Processes that keep a ledger are killed (SIGKILL) at random moments: two seconds are lost at most, and nothing else.

EARMARK_KILLS=200 python -m pytest -s tests/faults/test_ledger_killed.py      # CI kills less often
"""

import multiprocessing
import os
import random
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from edge_runtime.clock import Clock
from edge_runtime.ledger import Ledger
from edge_runtime.sources.stretch import Stretch

pytestmark = pytest.mark.slow

KILLS = int(os.environ.get("EARMARK_KILLS", "40"))
AT_ONCE = 40
LOST_S = 2.0
RATE_HZ = 1000


def keep(folder, name, began):
    """Hear blocks of 50 ms as they come; every other time 0.3 s too late, which is a drop. So nothing is lost."""
    clock = Clock(trust="system")
    with Ledger(folder).account(name, clock) as account:
        began.send(clock.now())
        while True:
            account.begin(Stretch(name, RATE_HZ, time.monotonic(), lambda: iter(()), missing="dropped"))
            for _ in range(random.randrange(1, 40)):
                time.sleep(0.05)
                account.heard(np.zeros(50, np.float32))
            time.sleep(random.choice([0.0, 0.3]))


def kill_one(context, folder, number):
    """A source's name, and the UTC times when its process began and was killed."""
    name = f"source {number % AT_ONCE}"  # most have a ledger already, which ends where the last kill came
    theirs, ours = context.Pipe()
    child = context.Process(target=keep, args=(folder, name, ours))
    child.start()
    began_at = theirs.recv()
    time.sleep(random.Random(number).uniform(0, 3))
    child.kill()
    killed_at = time.time()
    child.join()
    return name, began_at, killed_at


def test_a_kill_at_any_moment_costs_two_seconds_at_most(tmp_path):
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["edge_runtime.ledger", "edge_runtime.clock"])
    costs, ledger = [], Ledger(tmp_path)
    with ThreadPoolExecutor(AT_ONCE) as pool:
        for first in range(0, KILLS, AT_ONCE):
            numbers = range(first, min(KILLS, first + AT_ONCE))
            for name, began_at, killed_at in pool.map(lambda n: kill_one(context, tmp_path, n), numbers):
                found = ledger.coverage(name, began_at, killed_at)
                costs.append(found["lost"])
                assert sum(found.values()) == pytest.approx(max(0.0, killed_at - began_at), abs=0.01)
    assert len(costs) == KILLS
    assert not ledger.damage
    assert max(costs) <= LOST_S
    print(f"\n{KILLS} kills: {np.median(costs):.2f} s lost in the median, {max(costs):.2f} s at most")
