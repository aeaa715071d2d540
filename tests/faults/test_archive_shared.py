"""Several processes write into one archive while another one searches it: a day's file is shared, record by record."""

import subprocess
import sys

import numpy as np

from edge_runtime.archive import Archive
from edge_runtime.archive.day_file import DayFiles
from edge_runtime.archive.record import intact
from edge_runtime.home import Home

WIDTH = 32
FINGERPRINT = "a" * 16
PROCESSES, WINDOWS = 3, 400
WRITER = f"""
import sys
import numpy as np
from pathlib import Path
from edge_runtime.archive import Archive
from edge_runtime.home import Home
from edge_runtime.listener import Window

archive = Archive(Home.open(Path(sys.argv[1])), {FINGERPRINT!r}, width={WIDTH})
rows = np.random.default_rng(int(sys.argv[2])).standard_normal(({WINDOWS}, {WIDTH})).astype(np.float32)
rows /= np.linalg.norm(rows, axis=1, keepdims=True)
with archive.recording(sys.argv[2], live=True) as writer:
    for index, row in enumerate(rows):
        writer.add(Window(5.0 * index, 5.0 * index + 5, row, True, index))
"""


def test_writers_share_a_day_and_a_search_sees_whole_records_alone(home):
    lines = [[sys.executable, "-c", WRITER, str(home), str(seed)] for seed in range(PROCESSES)]
    writers = [subprocess.Popen(line) for line in lines]
    query = np.full(WIDTH, 1 / np.sqrt(WIDTH), np.float32)
    found = 0
    while any(writer.poll() is None for writer in writers):
        if (reading := Home.open(home, write=False)) is not None:
            hits = Archive(reading, FINGERPRINT, width=WIDTH).search(query, k=10)
            assert all(-1.01 <= hit.score <= 1.01 for hit in hits)
            found = max(found, len(hits))
            reading.close()
    assert [writer.wait() for writer in writers] == [0] * PROCESSES
    assert found == 10
    (day,) = list(DayFiles(home / "archive" / FINGERPRINT, FINGERPRINT, width=WIDTH).all())
    records = DayFiles(day.path.parent, FINGERPRINT, width=WIDTH).records(day)
    assert len(records) == PROCESSES * WINDOWS and intact(records).all()
    for number in range(1, PROCESSES + 1):
        own = records[records["recording"] == number]
        assert (own["start_s"] == 5.0 * np.arange(WINDOWS)).all(), "each one's in its order, none twice"
