"""A ring of frames between a device's callback and whoever listens, made once; it says where frames did not fit.

    ring.write(block)           # in the callback: one copy, no lock, no memory taken
    ring.read()                 # elsewhere: what has come, up to the next gap
    ring.dropped()              # frames that are missing right here

One thread writes, one reads.
"""

from collections import deque

import numpy as np

__all__ = ["Ring"]


class Ring:
    """`frames` of `channels` float32 samples."""

    def __init__(self, frames: int, channels: int) -> None:
        self.channels = channels
        self._samples = np.empty((frames, channels), np.float32)
        self._written = 0
        self._taken = 0
        self._gaps: deque[list[int]] = deque()
        """[position, frames dropped there]: appended and added to by the writer, taken away by the reader."""
        self._open_gap: list[int] | None = None

    @property
    def position(self) -> int:
        """Frames written so far."""
        return self._written

    @property
    def taken(self) -> int:
        """Frames read so far."""
        return self._taken

    def write(self, block: np.ndarray) -> bool:
        """Take in (n, C) float32, whole or, where it does not fit, not at all; whether it was taken."""
        frames, size = len(block), len(self._samples)
        if frames > size - (self._written - self._taken):
            if self._open_gap is None:
                self._open_gap = [self._written, 0]
                self._gaps.append(self._open_gap)
            self._open_gap[1] += frames
            return False
        self._open_gap = None
        at = self._written % size
        head = min(frames, size - at)
        self._samples[at : at + head] = block[:head]
        self._samples[: frames - head] = block[head:]
        self._written += frames
        return True

    def read(self, most: int) -> np.ndarray:
        """Up to `most` frames (n, C), a copy; none where none has come, or a gap is next."""
        until = self._written
        if self._gaps:
            until = min(until, self._gaps[0][0])
        at, size = self._taken % len(self._samples), len(self._samples)
        frames = min(until - self._taken, most, size - at)
        block = self._samples[at : at + frames].copy()
        self._taken += frames
        return block

    def dropped(self) -> int:
        """Frames that are missing before the next one, once all before them are read and something follows."""
        if not self._gaps or self._gaps[0][0] > self._taken or self._gaps[0] is self._open_gap:
            return 0
        return self._gaps.popleft()[1]

    def skip_to(self, position: int) -> int:
        """Leave out all frames before `position`; how many were dropped among them."""
        dropped = 0
        while self._gaps and self._gaps[0][0] < position:
            dropped += self._gaps.popleft()[1]
        self._taken = max(self._taken, position)
        return dropped
