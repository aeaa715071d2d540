"""Processes that write an archive are killed (SIGKILL) at random moments: what they had kept is there, whole and once.

EARMARK_KILLS=200 python -m pytest tests/faults/test_archive_killed.py      # CI kills less often
"""

import fcntl
import os
import random
import struct
import subprocess
import sys
import termios
import time

import numpy as np
import pytest

from edge_runtime.archive import Archive
from edge_runtime.archive.day_file import HEADER_BYTES, DayFiles
from edge_runtime.archive.record import intact, record_type
from edge_runtime.bundle import Bundle
from edge_runtime.home import Home
from tests.service_case import PIPE, RATE_HZ, listening, running

pytestmark = pytest.mark.slow

SERVICE_KILLS = int(os.environ.get("EARMARK_KILLS", "5"))
WRITER_KILLS = int(os.environ.get("EARMARK_KILLS", "25"))
LOST_S = 2.0
"""What a kill may cost."""
WIDTH = 32
FINGERPRINT = "a" * 16
WRITER = f"""
import itertools, sys
import numpy as np
from pathlib import Path
from edge_runtime.archive import Archive
from edge_runtime.home import Home
from edge_runtime.listener import Window

archive = Archive(Home.open(Path(sys.argv[1])), {FINGERPRINT!r}, width={WIDTH})
rng = np.random.default_rng(int(sys.argv[2]))
for number in itertools.count():
    with archive.recording(f"{{sys.argv[2]}}-{{number}}", live=True) as writer:
        for index in range(int(rng.integers(1, 60))):
            row = rng.standard_normal({WIDTH}).astype(np.float32)
            writer.add(Window(index * 1.0, index + 5.0, row / np.linalg.norm(row), True, index), every=4)
            print(number, index, flush=True)
"""


def kept(home_folder, fingerprint, width):
    """Open the archive as its next process does; the name and windows [(start_s, end_s), …] of each recording, in the
    order in which they began and were kept.

    Every record is whole, none is there twice, and a recording's come in the order of time. The last append may have
    been cut; what is torn goes with the next one."""
    home = Home.open(home_folder)
    Archive(home, fingerprint, width=width)
    assert not list(home_folder.glob("archive/*/tails/*")), "what was left behind is taken back"
    names = dict(home.db.execute("select id, name from recording where whole = 1 order by id"))
    found: dict[int, list[tuple[float, float]]] = {number: [] for number in names}
    days = DayFiles(home_folder / "archive" / fingerprint, fingerprint, width=width)
    for day in days.all():
        torn = day.path.stat().st_size - HEADER_BYTES - day.rows * record_type(width).itemsize
        assert 0 <= torn < record_type(width).itemsize
        records = days.records(day)
        assert intact(records).all()
        for record in records:
            found[int(record["recording"])].append((float(record["start_s"]), float(record["end_s"])))
    home.close()
    for spans in found.values():
        assert spans == sorted(set(spans))
    return [(names[number], spans) for number, spans in found.items()]


def test_a_writer_killed_at_any_moment_loses_nothing_that_it_had_kept(tmp_path):
    """Each kill falls into another step: a recording's beginning, an append, the tail, its end."""
    dice = random.Random(1)
    for kill in range(WRITER_KILLS):
        home = tmp_path / str(kill % 5)  # several runs over one home, too
        before = len(kept(home, FINGERPRINT, WIDTH)) if (home / "earmark.sqlite").exists() else 0
        line = [sys.executable, "-c", WRITER, str(home), str(kill)]
        with subprocess.Popen(line, stdout=subprocess.PIPE, text=True, bufsize=1) as process:
            assert process.stdout is not None
            process.stdout.readline()
            time.sleep(dice.random() * 0.25)
            process.kill()
            told = [tuple(map(int, row.split())) for row in process.stdout.read().splitlines() if row.count(" ") == 1]
        found = dict(kept(home, FINGERPRINT, WIDTH))
        assert len(found) > before or len(told) < 2
        last: dict[int, int] = {}
        for number, index in told[:-1]:  # the last line may be cut
            last[number] = index
        for number, index in last.items():
            spans = found[f"{kill}-{number}"]
            assert spans[-1][1] >= index + 5.0, "the newest window is there"
            assert {(each, each + 5.0) for each in range(0, index + 1, 4)} <= set(spans), "and those of each hop"


def unread_samples(pipe):
    """What was written into it and nobody has taken yet."""
    (count,) = struct.unpack("i", fcntl.ioctl(pipe, termios.FIONREAD, b"\0" * 4))
    return count // 2


def heard_until_killed(started_now, sound, dice):
    """Let it listen as time goes by, and kill it; the seconds that it had heard, and to which it had told."""
    with started_now as service:
        at_once = round((3 + 4 * dice.random()) * RATE_HZ)
        service.hear(sound[:at_once])
        service.wait_for("window", lambda line: (line["end_s"] + 3) * RATE_HZ > at_once)
        written, started, going_on_s = at_once, time.monotonic(), 2.6 * dice.random()
        while (now := time.monotonic() - started) < going_on_s:
            due = at_once + round(now * RATE_HZ)
            service.hear(sound[written:due])
            written = due
            time.sleep(0.02)
        heard = written - unread_samples(service.process.stdin)
        service.process.kill()
        service.process.wait()
        return heard / RATE_HZ, max(line["end_s"] for line in service.told("window"))


@pytest.mark.parametrize("start", [lambda earmark: running(earmark, PIPE), listening], ids=["run", "listen"])
def test_what_listens_is_killed_at_any_moment_and_loses_two_seconds_at_most(start, earmark, noise):
    dice = random.Random(2)
    sound = np.concatenate([noise(9, seed=seed) for seed in (1, 2)])
    bundle = Bundle.open()
    losses = []
    for _ in range(SERVICE_KILLS):
        (earmark.home.parent / "told.jsonl").unlink(missing_ok=True)
        heard_s, told_s = heard_until_killed(start(earmark), sound, dice)
        kept_s = kept(earmark.home, bundle.fingerprint, bundle.manifest.head.width)[-1][1][-1][1]
        assert kept_s >= told_s, "what was told is kept"
        losses.append(heard_s - kept_s)
    print(f"{SERVICE_KILLS} kills: {np.median(losses):.2f} s lost in the median, {max(losses):.2f} s at most")
    assert max(losses) <= LOST_S
