"""What a microphone, a room's distance and a cheap recorder do to a clip: bandwidth, level, noise.

    samples = roughened(samples, rng)       # float32 (n,) at 32 kHz -> the same length

The bandwidth of a clip gives its source away (part of ESC-50 stems from 16 kHz), so a model that is trained without
this learns the recorder and not the sound.
"""

import numpy as np
import soxr

__all__ = ["roughened"]

RATE_HZ = 32_000
NARROW_HZ = (8_000, 11_025, 16_000, 22_050)


def roughened(samples: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """A random narrower bandwidth (one clip in two), coloured noise at 5 to 35 dB SNR (one in two), and a level."""
    if rng.random() < 0.5:
        samples = narrowed(samples, int(rng.choice(NARROW_HZ)))
    if rng.random() < 0.5:
        samples = noisy(samples, snr_db=rng.uniform(5, 35), tilt=rng.uniform(0, 1.2), rng=rng)
    peak = max(float(np.abs(samples).max(initial=0)), 1e-5)
    gain = 10 ** (rng.uniform(-30, 6) / 20)
    return (samples * min(gain, 1 / peak)).astype(np.float32)


def narrowed(samples: np.ndarray, rate_hz: int) -> np.ndarray:
    """The clip as a recorder of `rate_hz` would have kept it."""
    low = soxr.resample(samples, RATE_HZ, rate_hz)
    back = soxr.resample(low, rate_hz, RATE_HZ)[: len(samples)]
    return np.pad(back, (0, len(samples) - len(back)))


def noisy(samples: np.ndarray, *, snr_db: float, tilt: float, rng: np.random.Generator) -> np.ndarray:
    """Add noise whose power falls as frequency to the minus `tilt` (0 white, 1 pink)."""
    noise = coloured(len(samples), tilt=tilt, rng=rng)
    scale = np.sqrt(np.mean(samples**2) / max(float(np.mean(noise**2)), 1e-12)) * 10 ** (-snr_db / 20)
    return samples + np.float32(scale) * noise


def coloured(count: int, *, tilt: float, rng: np.random.Generator) -> np.ndarray:
    """That noise alone (count,), at whatever level it comes."""
    spectrum = np.fft.rfft(rng.standard_normal(count).astype(np.float32))
    shape = np.arange(1, len(spectrum) + 1, dtype=np.float32) ** np.float32(-tilt / 2)
    return np.fft.irfft(spectrum * shape, n=count)
