"""`python -m benchmarks archive`: the year that it makes is asked rightly, and float32 finds what it should."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from benchmarks.archive_year import HOP_S, K, Year, _Best, rows_a_day, windows_like
from edge_runtime.archive import Archive
from edge_runtime.home import Home

ROOT = Path(__file__).parents[1]


def test_the_best_of_parts_are_the_best_of_all():
    rng = np.random.default_rng(0)
    cosines = rng.standard_normal((500, 3)).astype(np.float32)
    best = _Best(3)
    for first in range(0, 500, 100):
        best.add(cosines[first : first + 100], first=first)
    np.testing.assert_array_equal(best.rows, np.argsort(-cosines, axis=0)[:K])


def test_windows_lie_between_those_that_they_are_made_of():
    rng = np.random.default_rng(1)
    heard = rng.standard_normal((5, 512)).astype(np.float32)
    heard /= np.linalg.norm(heard, axis=1, keepdims=True)
    rows = windows_like(heard, 300, rng)
    np.testing.assert_allclose(np.linalg.norm(rows, axis=1), 1, atol=1e-5)
    assert (rows @ heard.T).max(axis=1).min() > 0.6, "half of each of two, and noise of 0.3: 0.68 but for luck"
    assert len(np.unique(rows, axis=0)) == len(rows)


@pytest.mark.slow
def test_a_day_is_made_once_searched_as_a_user_does_and_told(tmp_path):
    command = [sys.executable, "-m", "benchmarks", "archive", "--days", "1", "--rounds", "1", "--cache", str(tmp_path)]
    done = subprocess.run([*command, "--json"], capture_output=True, text=True, check=True, cwd=ROOT)
    told = json.loads(done.stdout)
    assert told["windows"] == rows_a_day() == 86_400 / HOP_S
    assert told["recall"] >= told["goals"]["recall"]
    assert told["peak_mib"] <= told["goals"]["peak_mib"]
    assert told["damaged"] == 0
    year = Year.made(tmp_path, days=1)
    home = Home.open(year.home, write=False)
    assert home is not None
    archive = Archive(home, year.fingerprint, width=year.width)
    assert archive.windows() == year.windows
    hits = archive.search(year.queries[0], k=1)
    assert year.row_of(hits[0].started_at, hits[0].start_s) == year.best[0, 0]
