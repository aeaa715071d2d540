"""What a clip goes through before it is heard: noise, a narrow recorder, another level, another length, company.

    for variant in VARIANTS:
        samples = variant.of(clean, partner, chance(variant, clip, seed=0))     # float32 (n,) at RATE_HZ

Each is what a device meets, one at a time:
- *noise*: pink (power falls as 1/f, as out of doors), at an SNR over the clip's own RMS;
- *rate*: the clip as a recorder of 8 or 16 kHz would have kept it;
- *level*: the clip's peak at so many dB of full scale, then rounded to 16 bits, as a microphone's gain would leave it;
- *length*: a longer clip is cut to its loudest stretch; a shorter one stands once, at a random place, in pink noise
  20 dB below it (looping it would give the encoder what no field has). A clip's score for a label is that of its best
  window, so from 10 s on windows of noise alone have their say as well, as they do in the field;
- *mixture*: a clip of another sound over it at equal RMS, the shorter one repeated.
"""

import zlib
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from training.augment import RATE_HZ, coloured, loudest, narrowed, rms
from training.sounds import Clip

__all__ = ["MIXTURE", "VARIANTS", "Variant", "chance", "pink"]

PINK = 1.0
"""Exponent of the fall of power over frequency."""
BED_DB = -20.0
QUIETEST = 1e-5
MIXTURE = "mixture"

Edit = Callable[[np.ndarray, np.ndarray, np.random.Generator], np.ndarray]


@dataclass(frozen=True)
class Variant:
    """`of(samples, partner, rng)`: the clip after it; only a mixture needs the partner."""

    kind: str
    setting: float
    unit: str
    of: Edit

    @property
    def name(self) -> str:
        return f"{self.kind} {self.setting:g} {self.unit}".strip()


def noise(snr_db: float) -> Edit:
    gain = np.float32(10 ** (-snr_db / 20))
    return lambda samples, _, rng: samples + gain * rms(samples) * pink(len(samples), rng)


def rate(rate_hz: int) -> Edit:
    return lambda samples, _, __: narrowed(samples, rate_hz).astype(np.float32)


def level(peak_dbfs: float) -> Edit:
    def edit(samples: np.ndarray, _: np.ndarray, __: np.random.Generator) -> np.ndarray:
        scaled = samples * (10 ** (peak_dbfs / 20) / max(float(np.abs(samples).max()), QUIETEST))
        return (np.round(scaled * 32767) / 32767).astype(np.float32)

    return edit


def length(seconds: float) -> Edit:
    def edit(samples: np.ndarray, _: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        wanted = round(seconds * RATE_HZ)
        if len(samples) >= wanted:
            return loudest(samples, wanted)
        bed = pink(wanted, rng) * rms(samples) * np.float32(10 ** (BED_DB / 20))
        start = int(rng.integers(wanted - len(samples) + 1))
        bed[start : start + len(samples)] += samples
        return bed

    return edit


def mixed(samples: np.ndarray, partner: np.ndarray, _: np.random.Generator) -> np.ndarray:
    longest = max(len(samples), len(partner))
    both = sum(np.resize(each, longest) / max(rms(each), QUIETEST) for each in (samples, partner))
    return (both * min(rms(samples), 1 / float(np.abs(both).max()))).astype(np.float32)


def pink(count: int, rng: np.random.Generator) -> np.ndarray:
    """Pink noise of RMS 1, float32 (count,)."""
    of_power_of_two = coloured(1 << (count - 1).bit_length(), tilt=PINK, rng=rng)  # other transforms take far longer
    sound = of_power_of_two[:count]
    return (sound / rms(sound)).astype(np.float32)


VARIANTS = (
    *(Variant("noise", snr_db, "dB SNR", noise(snr_db)) for snr_db in (20.0, 10.0, 0.0)),
    *(Variant("rate", rate_hz / 1000, "kHz", rate(rate_hz)) for rate_hz in (16_000, 8_000)),
    *(Variant("level", dbfs, "dBFS", level(dbfs)) for dbfs in (0.0, -10.0, -20.0, -30.0, -40.0)),
    *(Variant("length", seconds, "s", length(seconds)) for seconds in (0.5, 1.0, 2.0, 5.0, 10.0, 30.0)),
    Variant(MIXTURE, 0.0, "dB", mixed),
)


def chance(variant: Variant, clip: Clip, *, seed: int) -> np.random.Generator:
    """The same for a clip whatever other clips are there, and another one for each variant."""
    return np.random.default_rng([seed, zlib.crc32(variant.name.encode()), zlib.crc32(clip.path.name.encode())])
