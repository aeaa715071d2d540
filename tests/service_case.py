"""A service as its owner runs it: a process of its own, fed PCM on standard input, asked and told from outside."""

import json
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from tests.conftest import Earmark

RATE_HZ = 32_000
WAIT_S = 60.0
"""What a busy machine may take for what takes a tenth of a second. The newest window waits for its look-ahead: the one
that ends at 6.4 s comes with 8 s of sound."""
PIPE = f"""
[[sources]]
name = "pipe"
input = "-"
rate_hz = {RATE_HZ}

[[sinks]]
to = "told.jsonl"
tell = ["windows", "events", "sources", "clock"]
"""


class Service:
    """`told`: what its sink has by now."""

    def __init__(self, process: "subprocess.Popen[bytes]", folder: Path) -> None:
        self.process = process
        self.folder = folder

    def hear(self, samples: np.ndarray) -> None:
        """Give it samples (n,) as PCM; returns when the pipe has taken them."""
        assert self.process.stdin is not None
        self.process.stdin.write((samples * 32767).astype("<i2").tobytes())
        self.process.stdin.flush()

    def end(self) -> int:
        """Close its standard input and wait for it; its exit code."""
        assert self.process.stdin is not None
        self.process.stdin.close()
        return self.process.wait(WAIT_S)

    def told(self, what: str) -> list[dict[str, Any]]:
        path = self.folder / "told.jsonl"
        lines = path.read_text().splitlines() if path.exists() else []
        return [line for line in map(json.loads, lines) if line["type"] == what]

    def wait_for(self, what: str, wanted: Any = lambda line: True) -> dict[str, Any]:
        """The first such line."""
        for _ in moments():
            if found := [line for line in self.told(what) if wanted(line)]:
                return found[0]
            if self.process.poll() is not None:
                break
        raise AssertionError((what, self.process.poll(), self.errors))

    def stop(self, how: signal.Signals = signal.SIGTERM) -> int:
        """Stop it as systemd does, its standard input still open; its exit code."""
        self.process.send_signal(how)
        return self.process.wait(WAIT_S)

    @property
    def errors(self) -> str:
        """What it said on standard error."""
        return (self.folder / "errors.txt").read_text()


def moments(within_s: float = WAIT_S) -> Iterator[float]:
    """Look again twenty times a second, until the time is over."""
    end = time.monotonic() + within_s
    while (left := end - time.monotonic()) > 0:
        yield left
        time.sleep(0.05)


@contextmanager
def running(earmark: Earmark, configuration: str, *, env: dict[str, str] | None = None) -> Iterator[Service]:
    """The service of this configuration, on the home that `earmark` has; killed at the end where it still runs."""
    path = earmark.home.parent / "field.toml"
    path.write_text(configuration)
    with _fed(earmark, "run", path, output=Path("/dev/null"), env=env) as service:
        yield service


@contextmanager
def listening(earmark: Earmark) -> Iterator[Service]:
    """`earmark listen -`, told as a service is."""
    arguments = ("listen", "-", "--rate", str(RATE_HZ), "--json")
    with _fed(earmark, *arguments, output=earmark.home.parent / "told.jsonl") as service:
        yield service


@contextmanager
def _fed(earmark: Earmark, *arguments: object, output: Path, env: dict[str, str] | None = None) -> Iterator[Service]:
    folder = earmark.home.parent
    with (folder / "errors.txt").open("wb") as errors, output.open("wb") as told:
        process = subprocess.Popen(
            earmark.line(*arguments),
            stdin=subprocess.PIPE,
            stdout=told,
            stderr=errors,
            env={**earmark.env, **(env or {})},
        )
        try:
            yield Service(process, folder)
        finally:
            process.kill()
            process.wait()


class Systemd:
    """The end of the notification protocol that systemd has."""

    def __init__(self, folder: Path) -> None:
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(str(folder / "n"))
        self._socket.settimeout(0.05)
        self.messages: list[str] = []
        self.env = {"NOTIFY_SOCKET": str(folder / "n")}

    def read(self) -> list[str]:
        """All messages so far."""
        try:
            while True:
                self.messages.append(self._socket.recv(4096).decode())
        except TimeoutError:
            return self.messages

    def count(self, message: str) -> int:
        return sum(found.startswith(message) for found in self.read())

    def wait_for(self, message: str, *, count: int = 1) -> None:
        for _ in moments():
            if self.count(message) >= count:
                return
        raise AssertionError((message, self.messages))

    def close(self) -> None:
        self._socket.close()
