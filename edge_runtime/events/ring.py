"""The newest seconds of a stretch of sound, 16 bits a sample, found again by sample number.

ring = SampleRing(rate_hz=48_000, seconds=20)
ring.push(block)                    # float32 mono
ring.read(first, last)              # samples [first, last) since the stretch began, int16; what is gone is left out
"""

import numpy as np

__all__ = ["SampleRing"]

FULL_SCALE = 32768


class SampleRing:
    """`end`: how many samples have come; `first`: the oldest that is still there. Its memory is taken once."""

    def __init__(self, rate_hz: int, *, seconds: float) -> None:
        self.rate_hz = rate_hz
        self._samples = np.zeros(max(1, round(rate_hz * seconds)), np.int16)
        self.end = 0

    @property
    def first(self) -> int:
        return max(0, self.end - len(self._samples))

    def push(self, block: np.ndarray) -> None:
        """Take samples (n,) float32 in [-1, 1]: 16-bit sound comes back as it was, what is louder is clipped."""
        for start in range(0, len(block), len(self._samples)):
            part = np.rint(block[start : start + len(self._samples)] * np.float32(FULL_SCALE))
            codes = np.clip(part, -FULL_SCALE, FULL_SCALE - 1).astype(np.int16)
            place = self.end % len(self._samples)
            until_wrap = min(len(codes), len(self._samples) - place)
            self._samples[place : place + until_wrap] = codes[:until_wrap]
            self._samples[: len(codes) - until_wrap] = codes[until_wrap:]
            self.end += len(codes)

    def read(self, first: int, last: int) -> np.ndarray:
        """Samples [first, last) as far as they are there (n,) int16, a copy."""
        first, last = max(first, self.first), min(last, self.end)
        if first >= last:
            return np.zeros(0, np.int16)
        return self._samples[np.arange(first, last) % len(self._samples)]
