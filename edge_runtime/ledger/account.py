"""Writes one source's ledger: a small entry a second, to the day's log.

    account.begin(stretch)      # what lies between it and the stretch before was dropped or lost
    account.heard(block)        # float32 mono samples that follow on
    account.add("gated", start_s, end_s)

A full disk stops no listening: the newest hour waits in memory and is written when there is room.
"""

import fcntl
import logging
import os
import time
from collections import deque
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Self

import numpy as np

from edge_runtime.clock import Clock
from edge_runtime.ledger.record import ENTRY_BYTES, Anchor, Entry, Repair, Span, State, boot_key, pack
from edge_runtime.sources.stretch import Stretch

__all__ = ["Account"]

log = logging.getLogger(__name__)

ENTRY_S = 1.0
STEP_MS = 50
ANCHOR_S = 600.0
"""A damaged anchor costs no more than this."""
FULL_SCALE = 0.999
CLIPPED_SAMPLES = 3
"""In a row, as no sound below full scale has them. Of a mono mix: one channel of several that clips goes unseen."""
AHEAD_S = 5.0
WAITING = 3600
LONGEST_S = 86_400.0


class Account:
    """`log_of` names the log of a UTC second, and `day_over` is called when another one's has begun. `told_of`: a
    monotonic moment of this boot and the wall time that this ledger has for it, to be mended if the clock knows better;
    default: now, as the clock has it."""

    def __init__(
        self,
        clock: Clock,
        *,
        log_of: Callable[[float], Path],
        day_over: Callable[[], None],
        told_of: tuple[float, float] | None = None,
    ) -> None:
        self._clock = clock
        self._log_of = log_of
        self._day_over = day_over
        self._boot = boot_key(clock.boot)
        moment_s = time.monotonic()
        self._told_of = told_of or (moment_s, clock.wall(moment_s))
        self._next_s: float | None = None
        self._rate_hz, self._live = 1, True
        self._state: State = "heard"
        self._since_s = 0.0
        self._waiting: deque[Span] = deque(maxlen=WAITING)
        self._path: Path | None = None
        self._file = -1
        self._offset_ms: int | None = None
        self._anchored_ns = 0
        self._told = False

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.flush()
        self._close()

    def begin(self, stretch: Stretch) -> None:
        """Of a file nothing is written: its seconds are of no time of ours."""
        self._end_second()
        if stretch.missing == "dropped" and self._next_s is not None:
            self.add("dropped", self._next_s, stretch.started_s)
        self._next_s = self._since_s = stretch.started_s
        self._rate_hz = stretch.rate_hz
        self._live = stretch.live

    def heard(self, block: np.ndarray) -> None:
        """Samples (n,) float32 of the stretch, which follow on."""
        if self._next_s is None or not self._live:
            return
        if self._state == "heard" and _clips(block):
            self._state = "clipped"
        self._next_s += len(block) / self._rate_hz
        if self._next_s - self._since_s >= ENTRY_S:
            self._end_second()

    def add(self, state: State, start_s: float, end_s: float) -> None:
        """A span of monotonic seconds was so; where several are told, see ledger/spans.py. Lost needs no telling, and
        what has not been yet (a file that is piped in) is not told."""
        to_come = self._clock.wall(end_s) > self._clock.now() + AHEAD_S
        if state != "lost" and 0 < end_s - start_s <= LONGEST_S and not to_come:
            self._waiting.append(Span(state, round(1000 * start_s), round(1000 * end_s), self._boot))
            self._write()

    def flush(self) -> None:
        """Write what has been heard of this second."""
        self._end_second()
        self._write()

    def _end_second(self) -> None:
        if self._next_s is not None and self._next_s > self._since_s:
            self.add(self._state, self._since_s, self._next_s)
            self._since_s = self._next_s
        self._state = "heard"

    def _write(self) -> None:
        try:
            while self._waiting:
                self._ready(self._waiting[0])
                self._append(self._waiting[0])
                self._waiting.popleft()
            self._told = False
        except OSError as error:
            self._close()
            if not self._told:
                log.warning("the ledger cannot be written (%s): free some disk; listening goes on", error.strerror)
            self._told = True

    def _ready(self, span: Span) -> None:
        """Open the day's log, and tie it to wall time as that is known now."""
        at_ns = time.monotonic_ns()
        path = self._log_of(self._clock.wall(span.start_ms / 1000))
        if path != self._path:
            over = self._path is not None
            self._close()
            self._file, self._path = _opened(path), path
            if torn := os.fstat(self._file).st_size % ENTRY_BYTES:
                os.write(self._file, bytes(ENTRY_BYTES - torn))
        else:
            over = False
        wall_s = self._clock.wall(self._told_of[0])
        if abs(shift_ms := round(1000 * (wall_s - self._told_of[1]))) > STEP_MS:
            self._append(Repair(self._boot, at_ns, shift_ms))
            self._told_of = self._told_of[0], wall_s
            self._offset_ms = None
        start_s = span.start_ms / 1000
        offset_ms = round(1000 * (self._clock.wall(start_s) - start_s))
        moved = self._offset_ms is None or abs(offset_ms - self._offset_ms) > STEP_MS
        if moved or at_ns - self._anchored_ns > ANCHOR_S * 1e9:
            self._append(Anchor(self._boot, at_ns, offset_ms, self._clock.trusted))
            self._offset_ms, self._anchored_ns = offset_ms, at_ns
        if over:
            self._day_over()

    def _append(self, entry: Entry) -> None:
        data = pack(entry)
        if (done := os.write(self._file, data)) < len(data):
            self._close()  # opened again, it is made whole
            raise OSError(28, f"{done} of {len(data)} bytes were written, is the disk full?")

    def _close(self) -> None:
        if self._file >= 0:
            os.close(self._file)
        self._file, self._path, self._offset_ms = -1, None, None


def _opened(path: Path) -> int:
    """A handle that appends, locked so that nobody makes runs of the log meanwhile."""
    path.parent.mkdir(parents=True, exist_ok=True)
    while True:
        file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o644)
        fcntl.flock(file, fcntl.LOCK_SH)
        if os.fstat(file).st_nlink:
            return file
        os.close(file)  # it has just become runs


def _clips(block: np.ndarray) -> bool:
    """Whether several samples in a row are at full scale."""
    beyond = np.abs(block) >= FULL_SCALE
    if np.count_nonzero(beyond) < CLIPPED_SAMPLES:
        return False
    run = beyond[CLIPPED_SAMPLES - 1 :].copy()
    for back in range(1, CLIPPED_SAMPLES):
        run &= beyond[CLIPPED_SAMPLES - 1 - back : -back]
    return bool(run.any())
