"""Streaming resampling to the model's rate with soxr. A stream of equal rates passes through untouched.

    resampler = Resampler(48_000, 32_000)
    samples = resampler.push(block)         # any length, may be empty
    samples = resampler.flush()

soxr gives the same samples whatever the block sizes, so this stage keeps a stream equal to its one-shot call.
"""

import numpy as np

from edge_runtime.errors import AudioError

__all__ = ["MAX_RATE_HZ", "MIN_RATE_HZ", "Resampler", "check_rate"]

MIN_RATE_HZ = 4_000
MAX_RATE_HZ = 768_000
QUALITY = "HQ"


def check_rate(rate_hz: int) -> None:
    """Raises AudioError where no sound that we know has such a rate."""
    if not MIN_RATE_HZ <= rate_hz <= MAX_RATE_HZ:
        raise AudioError(
            f"a sample rate of {rate_hz} Hz is outside {MIN_RATE_HZ} to {MAX_RATE_HZ} Hz: check the rate, or resample"
        )


class Resampler:
    def __init__(self, from_hz: int, to_hz: int) -> None:
        check_rate(from_hz)
        self._stream = None
        if from_hz != to_hz:
            import soxr

            self._stream = soxr.ResampleStream(from_hz, to_hz, 1, dtype="float32", quality=QUALITY)

    def push(self, block: np.ndarray) -> np.ndarray:
        """float32 (n,) at the source's rate -> float32 (m,) at the model's."""
        return block if self._stream is None else self._stream.resample_chunk(block)

    def flush(self) -> np.ndarray:
        """The samples still inside the filter; the resampler is then empty."""
        empty = np.zeros(0, np.float32)
        if self._stream is None:
            return empty
        tail = self._stream.resample_chunk(empty, last=True)
        self._stream.clear()
        return tail
