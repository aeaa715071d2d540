"""What training/augment.py does to one clip, done to a batch at once and where it lies: a room, a recorder's bandwidth,
noise, level, and what is wiped out of the frames.

    heard = roughened(samples, Roughness(), generator)      # (B, N) -> (B, N)
    frames = wiped(frames, Roughness(), generator)          # log-mel (B, M, T)

One Fourier transform of the stretch serves for all of it, so what lies beyond its end comes back at its beginning.
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from training.augment import DIRECT_DB, NARROW_HZ, RATE_HZ, RT60_S

__all__ = ["Roughness", "coloured", "power_of", "roughened", "uniform", "wiped"]

MIN_POWER = 1e-10
"""Digital silence has no power to be set in proportion."""


@dataclass(frozen=True)
class Roughness:
    """Shares of the crops: `room_share` stand in a room, `narrow_share` come from a recorder of a lower rate,
    `noise_share` have noise at `min_snr_db` to `max_snr_db`, `level_share` their peak at `min_peak_dbfs` to full scale
    in place of their own. Up to `masked_…` bands and frames are wiped out."""

    room_share: float = 0.2
    narrow_share: float = 0.3
    noise_share: float = 0.3
    min_snr_db: float = 3.0
    max_snr_db: float = 35.0
    level_share: float = 0.5
    min_peak_dbfs: float = -40.0
    masked_bands: int = 8
    masked_frames: int = 24


def roughened(samples: Tensor, settings: Roughness, generator: torch.Generator) -> Tensor:
    """samples (B, N) at RATE_HZ, each in its own way, chosen by a generator of their device -> (B, N) float32."""
    count, length = samples.shape
    spectrum = torch.fft.rfft(samples)  # (B, N / 2 + 1)
    room = torch.fft.rfft(_rooms(count, length, generator), n=length)
    spectrum = torch.where(_chosen(count, settings.room_share, generator), spectrum * room, spectrum)
    narrow = _recorders(count, spectrum.shape[1], generator)
    spectrum = torch.where(_chosen(count, settings.narrow_share, generator), spectrum * narrow, spectrum)
    heard = torch.fft.irfft(spectrum, n=length)
    noise = coloured(count, length, generator)
    snr_db = uniform(count, settings.min_snr_db, settings.max_snr_db, generator)
    scale = (power_of(heard) / power_of(noise)).sqrt() * 10 ** (-snr_db / 20)
    heard = heard + noise * (scale * _chosen(count, settings.noise_share, generator))
    peak_dbfs = uniform(count, settings.min_peak_dbfs, 0.0, generator)
    gain = 10 ** (peak_dbfs / 20) / heard.abs().amax(dim=1, keepdim=True).clamp(min=math.sqrt(MIN_POWER))
    return torch.where(_chosen(count, settings.level_share, generator), heard * gain, heard)


def coloured(count: int, length: int, generator: torch.Generator) -> Tensor:
    """Noise (count, length) whose power falls as frequency to the minus 0 (white) to 1.2."""
    noise = torch.randn(count, length, device=generator.device, generator=generator)
    rank = torch.arange(1, length // 2 + 2, device=generator.device)
    return torch.fft.irfft(torch.fft.rfft(noise) * rank ** (-uniform(count, 0.0, 1.2, generator) / 2), n=length)


def wiped(frames: Tensor, settings: Roughness, generator: torch.Generator) -> Tensor:
    """SpecAugment (Park et al. 2019): a band and a stretch of time of frames (B, M, T) at the crop's mean."""
    mean = frames.mean(dim=(1, 2), keepdim=True)
    for axis, most in ((1, settings.masked_bands), (2, settings.masked_frames)):
        size, count = frames.shape[axis], len(frames)
        hidden = uniform(count, 0.0, most + 1.0, generator).floor()
        first = (uniform(count, 0.0, 1.0, generator) * (size - hidden + 1)).floor()
        place = torch.arange(size, device=frames.device)
        inside = (place >= first) & (place < first + hidden)  # (B, size)
        frames = torch.where(inside.unsqueeze(3 - axis), mean, frames)
    return frames


def uniform(count: int, low: float, high: float, generator: torch.Generator) -> Tensor:
    """(count, 1) between low and high."""
    return low + (high - low) * torch.rand(count, 1, device=generator.device, generator=generator)


def power_of(samples: Tensor) -> Tensor:
    """Mean square of each of (B, N), (B, 1), never 0."""
    return samples.square().mean(dim=1, keepdim=True).clamp(min=MIN_POWER)


def _chosen(count: int, share: float, generator: torch.Generator) -> Tensor:
    return uniform(count, 0.0, 1.0, generator) < share


def _rooms(count: int, longest: int, generator: torch.Generator) -> Tensor:
    """Impulse responses as `augment.impulse_response` makes them, (count, n)."""
    t = torch.arange(min(longest, round(RT60_S[1] * RATE_HZ)), device=generator.device) / RATE_HZ
    noise = torch.randn(count, len(t), device=generator.device, generator=generator)
    tail = noise * 10 ** (-3 * t / uniform(count, *RT60_S, generator))
    tail[:, 0] = 0
    tail *= 10 ** (-uniform(count, *DIRECT_DB, generator) / 20) / tail.norm(dim=1, keepdim=True).clamp(min=1e-9)
    tail[:, 0] = 1
    return tail


def _recorders(count: int, bins: int, generator: torch.Generator) -> Tensor:
    """What a recorder of a lower rate lets through, (count, bins): all below 90 % of half its rate, nothing above."""
    rates = torch.tensor(NARROW_HZ, device=generator.device)
    half_hz = rates[(uniform(count, 0.0, len(NARROW_HZ), generator)).long()] / 2
    hz = torch.linspace(0, RATE_HZ / 2, bins, device=generator.device)
    return ((half_hz - hz) / (0.1 * half_hz)).clamp(0, 1)
