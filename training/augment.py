"""What a microphone, a room and a cheap recorder do to a clip: reverberation, bandwidth, level, noise.

    samples = roughened(samples, rng)       # float32 (n,) at 32 kHz -> the same length
    samples = brief(samples, rng)           # a short stretch of it
    samples = reverberant(samples, rng)
    frames = masked(frames, rng)            # log-mel (T, M): bands and frames that are not there (SpecAugment)

The bandwidth of a clip gives its source away (part of ESC-50 stems from 16 kHz), so a model that is trained without
this learns the recorder and not the sound.
"""

import numpy as np
import soxr

__all__ = [
    "brief",
    "coloured",
    "cropped",
    "impulse_response",
    "loudest",
    "masked",
    "narrowed",
    "noisy",
    "reverberant",
    "rms",
    "roughened",
]

RATE_HZ = 32_000
NARROW_HZ = (8_000, 11_025, 16_000, 22_050)
RT60_S = (0.2, 1.2)
"""How long a room's sound takes to fall by 60 dB: a bedroom, a stairwell."""
DIRECT_DB = (-6.0, 12.0)
"""How far the direct sound's energy lies above that of all that comes after it."""
BRIEF_S = (0.25, 2.5)
"""A door, a bark, a cork: what is over before an encoder has got used to it."""
LOUDEST = 0.6
"""How often a brief stretch is the loudest; else it is anywhere but where the clip is nearly silent."""
QUIET = 0.3
"""Of the clip's RMS: less than this is nearly silent."""
MASKS = 2
MASKED_SHARE = 0.125
"""Each mask hides up to this share of the bands, or of the frames."""


def roughened(samples: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """A random narrower bandwidth (one clip in two), coloured noise at 5 to 35 dB SNR (one in two), and a level."""
    if rng.random() < 0.5:
        samples = narrowed(samples, int(rng.choice(NARROW_HZ)))
    if rng.random() < 0.5:
        samples = noisy(samples, snr_db=rng.uniform(5, 35), tilt=rng.uniform(0, 1.2), rng=rng)
    peak = max(float(np.abs(samples).max(initial=0)), 1e-5)
    gain = 10 ** (rng.uniform(-30, 6) / 20)
    return (samples * min(gain, 1 / peak)).astype(np.float32)


def brief(samples: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """A stretch of the clip of `BRIEF_S`, short ones as likely as long ones by the octave; shorter clips stay whole. An
    encoder that streams hears its beginning as it hears a recording's."""
    count = round(RATE_HZ * np.exp(rng.uniform(*np.log(BRIEF_S))))
    if len(samples) <= count:
        return samples
    if rng.random() >= LOUDEST:
        first = int(rng.integers(len(samples) - count + 1))
        stretch = samples[first : first + count]
        if rms(stretch) > QUIET * rms(samples):
            return stretch
    return loudest(samples, count)


def loudest(samples: np.ndarray, count: int) -> np.ndarray:
    """The stretch of `count` samples with the most energy."""
    energy = np.concatenate(([0.0], np.cumsum(samples.astype(np.float64) ** 2)))
    first = int((energy[count:] - energy[: len(energy) - count]).argmax())
    return samples[first : first + count]


def rms(samples: np.ndarray) -> np.float32:
    return np.float32(np.sqrt(np.mean(samples.astype(np.float64) ** 2)))


def reverberant(samples: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """The clip in a random room, (n,): what still sounds after its end is cut off."""
    response = impulse_response(rng.uniform(*RT60_S), rng.uniform(*DIRECT_DB), rng)
    size = 1 << (len(samples) + len(response) - 2).bit_length()
    heard = np.fft.irfft(np.fft.rfft(samples, size) * np.fft.rfft(response, size), size)
    return heard[: len(samples)].astype(np.float32)


def impulse_response(rt60_s: float, direct_db: float, rng: np.random.Generator) -> np.ndarray:
    """The direct sound, 1, and noise that decays behind it by 60 dB in `rt60_s`, whose energy in all lies `direct_db`
    below that of the direct sound: (rt60_s * RATE_HZ,)."""
    t = np.arange(max(2, round(rt60_s * RATE_HZ))) / RATE_HZ
    response = rng.standard_normal(len(t)) * 10 ** (-3 * t / rt60_s)
    response[0] = 0
    response *= 10 ** (-direct_db / 20) / np.sqrt((response**2).sum())
    response[0] = 1
    return response


def masked(frames: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """SpecAugment (Park et al. 2019, arXiv:1904.08779) without its warping: `MASKS` bands of frequency and as many
    stretches of time of log-mel frames (T, M) say no more than the mean of them all."""
    found = frames.copy()
    for axis in (0, 1):
        size = frames.shape[axis]
        for _ in range(MASKS):
            hidden = int(rng.integers(int(MASKED_SHARE * size) + 1))
            first = int(rng.integers(size - hidden + 1))
            found[(slice(None),) * axis + (slice(first, first + hidden),)] = frames.mean()
    return found


def cropped(segments: np.ndarray, length: int, rng: np.random.Generator) -> tuple[np.ndarray, int]:
    """A random stretch of a window's own segments: (S, D) with `length` of them -> the same shape, padded with 0, and
    its new length, 1 at least. Many sounds are over in a second, while most of the clips last five."""
    kept = int(rng.integers(1, length + 1))
    first = int(rng.integers(length - kept + 1))
    part = np.zeros_like(segments)
    part[:kept] = segments[first : first + kept]
    return part, kept


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
