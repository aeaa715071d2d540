"""Each source's thresholds, found anew as its archive grows: by `earmark phrases calibrate`, in a process of its own.

    calibrator = Calibrator(home, bundle)
    calibrator.tick(settings, {"garden": "mic", "yard": "recordings"}, also=watch.phrases)      # as often as you like
    calibrator.stop()

That process takes its memory with it when it ends. What it found is in the home, from where a running service takes it
at the next window (hearing.py). It yields to everything else, and there is one at a time.
"""

import contextlib
import logging
import os
import subprocess
import sys
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from edge_runtime.service.toml_file import Between

__all__ = ["CalibrationSettings", "Calibrator"]

log = logging.getLogger(__name__)

FIRST_S = 3660.0
"""A site says nothing before an hour of it was heard (matching/site.py)."""
NICENESS = 15
STOP_S = 5.0


@dataclass(frozen=True)
class CalibrationSettings:
    """At most `false_alerts_a_day` of each phrase, by the sounds of so many `days`, found anew `every_h` hours."""

    false_alerts_a_day: Annotated[float, Between(0.001, 720)] = 1.0
    days: Annotated[int, Between(1, 3660)] = 30
    every_h: Annotated[float, Between(1, 8784)] = 24.0


class Calibrator:
    """Of one thread. `first_s`: when a source's turn first comes, after it was first seen."""

    def __init__(self, home: Path, bundle: Path | None, *, first_s: float = FIRST_S) -> None:
        self._home = home
        self._bundle = bundle
        self._first_s = first_s
        self._due_s: dict[str, float] = {}
        self._running: tuple[str, subprocess.Popen[str]] | None = None

    def tick(
        self, settings: CalibrationSettings | None, sources: Mapping[str, str], *, also: Iterable[str] = ()
    ) -> None:
        """See to the process that runs, or start the next one that is due. `sources`: the input of each, by name;
        `also`: phrases of groups and rules."""
        if self._running:
            self._look()
            return
        now = time.monotonic()
        self._due_s = {name: self._due_s.get(name, now + self._first_s) for name in sources} if settings else {}
        due = [name for name, due_s in self._due_s.items() if due_s <= now]
        if settings and due:
            self._due_s[due[0]] = now + 3600 * settings.every_h
            self._start(due[0], sources[due[0]], settings, also)

    def stop(self) -> None:
        """End what runs; it leaves the thresholds as they were."""
        if self._running:
            _, process = self._running
            process.terminate()
            try:
                process.communicate(timeout=STOP_S)
            except subprocess.TimeoutExpired:
                process.kill()
                process.communicate()
            self._running = None

    def _start(self, source: str, heard: str, settings: CalibrationSettings, also: Iterable[str]) -> None:
        command = [sys.executable, "-m", "edge_runtime", "phrases", "calibrate", f"--home={self._home}"]
        command += [f"--false-alerts-a-day={settings.false_alerts_a_day}", f"--since={settings.days}d"]
        command += [f"--bundle={self._bundle}"] if self._bundle else []
        command += [f"--recordings={heard}"] if Path(heard).exists() else []
        command += [f"--also={text}" for text in also]
        pipe = subprocess.PIPE
        try:
            process = subprocess.Popen(  # noqa: S603 - this very program, a list of arguments, no shell
                [*command, "--", source], stdin=subprocess.DEVNULL, stdout=pipe, stderr=subprocess.STDOUT, text=True
            )
        except OSError as error:
            log.warning("%s: thresholds cannot be found now (%s)", source, error.strerror)
            return
        with contextlib.suppress(OSError):
            os.setpriority(os.PRIO_PROCESS, process.pid, NICENESS)
        self._running = source, process

    def _look(self) -> None:
        assert self._running is not None
        source, process = self._running
        if process.poll() is None:
            return
        told, _ = process.communicate()  # some lines: less than a pipe holds
        self._running = None
        for line in told.splitlines():
            important = process.returncode == 0 and line.startswith("drift: ")
            log.log(logging.WARNING if important else logging.INFO, "%s: %s", source, line)
