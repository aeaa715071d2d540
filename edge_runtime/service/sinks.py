"""Where a service tells what it hears: JSON lines on standard output or in a file.

    sinks = Sinks(configuration.sinks)
    sinks.tell("event", source="garden", phrase="a dog barking", …)     # to those that want events

A sink that fails is told of once and tried again with the next line: a full disk or a reader that left stops no
listening. A file that reaches its bound begins anew; the one before it is kept as `NAME.1`.
"""

import errno
import json
import logging
import os
import sys
import threading
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, get_args

from edge_runtime.service.toml_file import Between

__all__ = ["Sink", "Sinks", "Told"]

log = logging.getLogger(__name__)

Told = Literal["windows", "events", "sources", "clock"]
"""What there is to tell: each window's best phrases, events, what became of a source, steps of the clock."""


@dataclass(frozen=True)
class Sink:
    """`to`: a file, or - for standard output. `tell`: of what. `max_mb`: of a file, before it begins anew."""

    to: Path
    tell: tuple[Told, ...] = ("events", "sources")
    max_mb: Annotated[float, Between(0.01, 100_000)] = 100.0

    def __post_init__(self) -> None:
        if not self.tell:
            raise ValueError(f"tell is empty, expected some of {', '.join(get_args(Told))}: name what to tell")

    @property
    def is_stdout(self) -> bool:
        return self.to.name == "-"


class Sinks:
    """Threads may share it."""

    def __init__(self, sinks: Iterable[Sink]) -> None:
        self._sinks = tuple(sinks)
        self._lock = threading.Lock()
        self._failed: set[Sink] = set()

    def wants(self, what: Told) -> bool:
        """Whether any sink asks for such lines."""
        return any(what in sink.tell for sink in self._sinks)

    def tell(self, what: Told, **fields: Any) -> None:
        """One line {"type": what, …} to each sink that asks for such."""
        line = json.dumps({"type": what.removesuffix("s"), **fields}, ensure_ascii=False) + "\n"
        with self._lock:
            for sink in self._sinks:
                if what in sink.tell:
                    self._write(sink, line)

    def _write(self, sink: Sink, line: str) -> None:
        try:
            if sink.is_stdout:
                sys.stdout.write(line)
                sys.stdout.flush()
            else:
                _append(sink.to, line.encode(errors="backslashreplace"), most=int(sink.max_mb * 1e6))
        except (OSError, ValueError) as error:  # ValueError: standard output was closed
            if sink not in self._failed:
                log.warning(
                    "the sink %s takes no line (%s): free its disk or mend it; listening goes on", sink.to, error
                )
            self._failed.add(sink)
        else:
            if sink in self._failed:
                log.warning("the sink %s takes lines again", sink.to)
            self._failed.discard(sink)


def _append(path: Path, line: bytes, *, most: int) -> None:
    """All of the line, or nothing of it."""
    if path.exists() and path.stat().st_size + len(line) > most:
        path.replace(path.with_name(path.name + ".1"))
    handle = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        size = os.fstat(handle).st_size
        if os.write(handle, line) != len(line):
            os.ftruncate(handle, size)
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    finally:
        os.close(handle)
