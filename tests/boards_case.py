"""The run of the emulated boards: four minutes of one core, which a whole suite spends beside its other tests."""

import os
import signal
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent


@dataclass(frozen=True)
class Boards:
    """`python -m benchmarks.arm64`, running, and where it writes."""

    process: subprocess.Popen[bytes]
    said: Path

    @classmethod
    def started(cls, said: Path) -> "Boards":
        """At the lowest priority: what else is tested has the processor first."""
        command = ["nice", "-n", "19", sys.executable, "-m", "benchmarks.arm64"]
        with said.open("wb") as file:
            process = subprocess.Popen(command, stdout=file, stderr=subprocess.STDOUT, cwd=ROOT, start_new_session=True)
        return cls(process, said)

    def ended(self) -> tuple[int, str]:
        """Wait for it: exit code, and what it printed."""
        return self.process.wait(), self.said.read_text(encoding="utf-8")

    def stop(self) -> None:
        """With all that it has started, if it still runs."""
        if self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGTERM)
            self.process.wait()


BOARDS = pytest.StashKey[Boards]()
