"""A quiet microphone made louder for the model.

louder = Gain(20.0)
louder(samples)             # float32 (n,), ten times as large; the same array where the gain is 0 dB
"""

import numpy as np

__all__ = ["LEAST_DB", "MOST_DB", "Gain"]

LEAST_DB, MOST_DB = -40.0, 60.0
"""What may be asked for: a line output, a bare MEMS capsule."""


class Gain:
    """Samples may pass full scale by it: nothing behind it clips them."""

    def __init__(self, gain_db: float) -> None:
        self._factor = np.float32(10 ** (gain_db / 20))

    def __call__(self, samples: np.ndarray) -> np.ndarray:
        """samples (n,) float32 -> (n,) float32."""
        return samples if self._factor == 1 else self._factor * samples
