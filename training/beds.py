"""A clip as the field has it: somewhere in a stretch of background that goes on before it and after it.

    beds = Beds.of(clips)                   # coloured noise, and the training split's ambiences
    samples = beds.lay(samples, rng)        # float32 (n,) at 32 kHz -> (m,), m >= n

A clip is cut out around its sound; a device hears the seconds beside it as well, in the same window. A short clip is
set at a random place of a stretch that is as long as a window at most, so that all of it lies in one window; a longer
one has the background under it alone. The background lies `SNR_DB` below the clip's sounding parts: many clips are
padded with zeros, which would make them too weak a measure.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from training.augment import RATE_HZ, coloured
from training.sounds import Clip, load_samples

__all__ = ["Beds", "sounding_rms"]

SOURCES = ("blanket", "skmaad")
"""Collections of long ambiences."""
WINDOW_S = 5.12
SNR_DB = (0.0, 25.0)
TILTS = (0.0, 2.0)
"""Noise power falls with frequency to this: white to brown."""
AMBIENCE_SHARE = 0.5
PART_S = 0.05
SOUNDING = 0.01
"""Of the loudest part's level, 40 dB below it: what is weaker counts as pause."""


@dataclass(frozen=True)
class Beds:
    """`ambiences`: float32 (n,) each, at RATE_HZ; none: noise alone."""

    ambiences: Sequence[np.ndarray]

    @classmethod
    def of(cls, clips: Sequence[Clip]) -> "Beds":
        found = [clip for clip in clips if clip.source in SOURCES and clip.split == "train"]
        return cls([load_samples(clip.path, RATE_HZ) for clip in found])

    def lay(self, samples: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        longest = max(len(samples), round(WINDOW_S * RATE_HZ))
        count = int(rng.integers(len(samples), longest + 1))
        bed = self._some(count, rng)
        level = sounding_rms(samples) * 10 ** (-rng.uniform(*SNR_DB) / 20)
        laid = bed * np.float32(level / max(float(np.sqrt(np.mean(bed**2))), 1e-9))
        start = int(rng.integers(count - len(samples) + 1))
        laid[start : start + len(samples)] += samples
        return laid

    def _some(self, count: int, rng: np.random.Generator) -> np.ndarray:
        """(count,) of background, float32, at whatever level it comes."""
        if not self.ambiences or rng.random() >= AMBIENCE_SHARE:
            whole = coloured(1 << (count - 1).bit_length(), tilt=rng.uniform(*TILTS), rng=rng)
            return whole[:count].astype(np.float32)  # other lengths' transforms take far longer
        ambience = self.ambiences[rng.integers(len(self.ambiences))]
        return np.resize(np.roll(ambience, -int(rng.integers(len(ambience)))), count)


def sounding_rms(samples: np.ndarray) -> float:
    """Root mean square of the parts that are within 40 dB of the loudest one."""
    part = round(PART_S * RATE_HZ)
    powers = np.array([np.mean(samples[at : at + part].astype(np.float64) ** 2) for at in range(0, len(samples), part)])
    return float(np.sqrt(np.mean(powers[powers >= SOUNDING**2 * powers.max()])))
