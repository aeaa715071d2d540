"""How loud a source has come lately: what tells a microphone that is too quiet, or that gives nothing but zeros.

level = Level()
level.hear(block, seconds)      # float32 (n,), of so many seconds
level.peak_dbfs                 # of the last hour, or None where nothing was heard
"""

import math
from collections import deque

import numpy as np

__all__ = ["Level"]

MINUTES = 60
SILENCE = 1e-5
"""Told as -100 dBFS: 24 bits reach no lower than that in practice."""


class Level:
    """The highest sample of each of the last `MINUTES` minutes of sound. Belongs to one thread; any may read."""

    def __init__(self) -> None:
        self._peaks: deque[float] = deque(maxlen=MINUTES)
        self._left_s = 0.0

    def hear(self, block: np.ndarray, seconds: float) -> None:
        """The next samples (n,) of a source."""
        if not len(block):
            return
        peak = max(float(block.max()), -float(block.min()))
        if self._left_s <= 0:
            self._peaks.append(peak)
            self._left_s = 60.0
        else:
            self._peaks[-1] = max(self._peaks[-1], peak)
        self._left_s -= seconds

    @property
    def peak_dbfs(self) -> float | None:
        """Decibels of full scale, as the sound comes: before any gain."""
        peaks = list(self._peaks)
        return round(20 * math.log10(max(SILENCE, *peaks)), 1) if peaks else None
