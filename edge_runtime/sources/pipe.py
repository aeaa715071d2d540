"""PCM on a pipe as a source: one stretch, until the pipe closes.

PcmPipe(sys.stdin.buffer, rate_hz=16_000)       # 16-bit little-endian mono
"""

import io
import os
import select
import time
from collections.abc import Iterator
from typing import IO

import numpy as np

from edge_runtime.resample import check_rate
from edge_runtime.sources.stop import Stop
from edge_runtime.sources.stretch import SourceState, Stretch

__all__ = ["PcmPipe"]

READ_BYTES = 1 << 14
PIPE_BYTES = 1 << 16
"""What a pipe holds: it was sent before the stop, and is still heard."""
WAIT_S = 60.0


class PcmPipe:
    lost_s = 0.0
    trouble: str | None = None

    def __init__(self, stream: IO[bytes], *, rate_hz: int, name: str = "-") -> None:
        self.name = name
        self.rate_hz = rate_hz
        self.state: SourceState = "idle"
        self.last_audio_s: float | None = None
        self._stream = stream
        self._stop = Stop()

    def stop(self) -> None:
        self._stop.set()

    def stretches(self) -> Iterator[Stretch]:
        """One: it starts when its first samples arrive. Raises AudioError for a rate that is none."""
        check_rate(self.rate_hz)
        self.state = "opening"
        blocks = self._samples()
        first = next(blocks, None)
        if first is not None:
            self.state = "listening"
            started_s = time.monotonic() - len(first) / self.rate_hz

            def read() -> Iterator[np.ndarray]:
                yield first
                yield from blocks

            yield Stretch(self.name, self.rate_hz, started_s, read)
        self.state = "stopped" if self._stop else "ended"

    def _samples(self) -> Iterator[np.ndarray]:
        rest = b""
        for piece in self._pieces():
            data = rest + piece
            whole = len(data) & ~1
            rest = data[whole:]
            self.last_audio_s = time.monotonic()
            if whole:
                yield np.frombuffer(data[:whole], "<i2").astype(np.float32) / np.float32(32768)

    def _pieces(self) -> Iterator[bytes]:
        """What is there, without waiting for more, until the end or the stop."""
        left = PIPE_BYTES
        try:
            handle = self._stream.fileno()
        except io.UnsupportedOperation:  # bytes in memory
            while not self._stop and (data := self._stream.read(READ_BYTES)):
                yield data
            return
        while left > 0:
            if not self._stop.wait_for(self._stream, within_s=WAIT_S) and not self._stop:
                continue
            if self._stop:
                left -= READ_BYTES
                if not select.select([handle], [], [], 0)[0]:
                    return
            if not (data := os.read(handle, READ_BYTES)):
                return
            yield data
