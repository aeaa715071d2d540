"""Two runs of the emulated boards at once: the second waits for the first, however that one ends."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from conftest import ROOT

RUN = """
import sys
from pathlib import Path
from benchmarks.arm64.turns import one_at_a_time
with one_at_a_time(Path(sys.argv[1])):
    print("in", flush=True)
    sys.stdin.read()
print("out", flush=True)
"""

Runner = Callable[[], subprocess.Popen[str]]


@pytest.fixture
def run(tmp_path: Path) -> Iterator[Runner]:
    """Start a process that stays in the folder until its standard input ends."""
    started: list[subprocess.Popen[str]] = []

    def start() -> subprocess.Popen[str]:
        pipe = subprocess.PIPE
        command = [sys.executable, "-c", RUN, str(tmp_path / "cache")]
        started.append(subprocess.Popen(command, cwd=ROOT, stdin=pipe, stdout=pipe, stderr=pipe, text=True))
        return started[-1]

    yield start
    for process in started:
        with process:  # closes its pipes
            process.kill()


@pytest.mark.parametrize("ending", ["returns", "is killed", "is interrupted"])
def test_the_second_run_says_that_it_waits_and_goes_on_when_the_first(ending, run, tmp_path):
    first = run()
    assert first.stdout.readline() == "in\n"
    second = run()
    assert second.stderr.readline() == f"waiting: another run is using {tmp_path / 'cache'}\n"
    os.set_blocking(second.stdout.fileno(), False)
    assert second.stdout.readline() == ""
    if ending == "returns":
        first.stdin.close()
    else:
        first.send_signal(signal.SIGKILL if ending == "is killed" else signal.SIGINT)
    first.wait(30)
    os.set_blocking(second.stdout.fileno(), True)
    assert second.stdout.readline() == "in\n"


def test_a_run_alone_says_nothing(run):
    process = run()
    assert process.communicate("", timeout=30) == ("in\nout\n", "")
