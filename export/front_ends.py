"""Front ends inside a graph: samples -> what an expert's network takes, the same numbers as it trains with.

    front = MelFrontEnd(*panns_mel())       # samples (n,) -> log-mel (1, M, T), as edge_runtime/mel.py
    front = VggishFrontEnd()                # samples (n,) at 16 kHz -> (T, 96, 64), as training/experts/vggish.py
    front = SpectrogramFrontEnd()           # samples (n,) at 16 kHz -> (1, 257, T), as training/experts/vggsound.py

The Fourier transform is a convolution with cosines and sines: every engine has that, and it is small beside a network.
"""

import math

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from edge_runtime.mel import MelSpec, MelTables
from training.experts import vggish, vggsound

__all__ = ["MelFrontEnd", "SpectrogramFrontEnd", "VggishFrontEnd"]


class Spectrum(nn.Module):
    """Samples (n,) -> real and imaginary parts (bins, T) of frames `hop` apart: each times `window (W,)`, transformed
    at `points`; `centred`: the mean of each frame is taken out first."""

    def __init__(self, window: np.ndarray, points: int, hop: int, *, centred: bool = False) -> None:
        super().__init__()
        self.hop = hop
        angle = 2 * math.pi * np.outer(np.arange(points // 2 + 1), np.arange(len(window))) / points
        kernels = np.stack((np.cos(angle), -np.sin(angle))) * window  # (2, bins, W)
        if centred:
            kernels = kernels - kernels.mean(axis=2, keepdims=True)
        self.register_buffer("kernels", torch.from_numpy(kernels.reshape(-1, 1, len(window))).float())

    def forward(self, samples: Tensor) -> tuple[Tensor, Tensor]:
        parts = F.conv1d(samples[None, None], self.kernels, stride=self.hop)[0]  # (2 * bins, T)
        real, imaginary = parts.chunk(2)
        return real, imaginary


class MelFrontEnd(nn.Module):
    """Samples (n,), more than half an FFT of them -> log-mel (1, M, T)."""

    def __init__(self, spec: MelSpec, tables: MelTables) -> None:
        super().__init__()
        self.spec = spec
        self.spectrum = Spectrum(tables.window, spec.fft_samples, spec.hop_samples)
        for name in ("filterbank", "gain", "offset"):
            self.register_buffer(name, torch.from_numpy(getattr(tables, name)))

    def forward(self, samples: Tensor) -> Tensor:
        spec = self.spec
        if spec.preemphasis:
            samples = samples[1:] - spec.preemphasis * samples[:-1]
        padded = F.pad(samples[None], (spec.fft_samples // 2,) * 2, mode="reflect")[0]
        real, imaginary = self.spectrum(padded)
        mel = (real**2 + imaginary**2).T @ self.filterbank  # (T, M)
        log = (mel.clamp(min=spec.log_floor) + spec.log_bias).log()
        return (log * self.gain + self.offset).T[None]


class VggishFrontEnd(nn.Module):
    """Samples (n,), one example of them or more -> (T, 96, 64)."""

    def __init__(self) -> None:
        super().__init__()
        place = np.arange(vggish.WINDOW_SAMPLES) / vggish.WINDOW_SAMPLES
        window = 0.5 - 0.5 * np.cos(2 * math.pi * place)
        self.spectrum = Spectrum(window, vggish.FFT_SAMPLES, vggish.HOP_SAMPLES)
        self.register_buffer("mel", torch.from_numpy(vggish.mel_matrix()).float())

    def forward(self, samples: Tensor) -> Tensor:
        real, imaginary = self.spectrum(samples)
        count = real.shape[1] // vggish.EXAMPLE_FRAMES
        magnitude = (real**2 + imaginary**2).sqrt()[:, : count * vggish.EXAMPLE_FRAMES]
        log = (magnitude.T @ self.mel + vggish.LOG_OFFSET).log()
        return log.reshape(-1, vggish.EXAMPLE_FRAMES, vggish.BANDS)  # (T, 96, 64)


class SpectrogramFrontEnd(nn.Module):
    """Samples (n,), a window of them or more -> (1, 257, T), of mean 0 and deviation 1."""

    def __init__(self) -> None:
        super().__init__()
        window = vggsound.tukey()
        self.spectrum = Spectrum(window, vggsound.WINDOW_SAMPLES, vggsound.HOP_SAMPLES, centred=True)
        scale = np.full(vggsound.WINDOW_SAMPLES // 2 + 1, 2 / (vggsound.RATE_HZ * (window**2).sum()))
        scale[[0, -1]] /= 2
        self.register_buffer("scale", torch.from_numpy(scale).float()[:, None])

    def forward(self, samples: Tensor) -> Tensor:
        real, imaginary = self.spectrum(samples.clamp(-1, 1))
        log = ((real**2 + imaginary**2) * self.scale + vggsound.LOG_OFFSET).log()
        centred = log - log.mean()
        return (centred / ((centred**2).mean().sqrt() + vggsound.DEVIATION_FLOOR))[None]
