"""VGGSound's ResNet18: 512 numbers about 3.2 times a second (Chen et al. 2020, arXiv:2004.14368, model H).

    net = load_vggsound(Path("H.pth.tar"))
    rows = net.segments(spectrogram(samples))       # samples (n,) at 16 kHz -> (257, T) -> (ceil(T / 32), 512)

Parameter names are those of the authors' checkpoint (`audnet.*`). It averages its last maps over frequency and time and
classifies; the second paper averages them over frequency alone, which `segments` does.
"""

import math
from pathlib import Path

import numpy as np
import torch
from numpy.lib.stride_tricks import sliding_window_view
from torch import Tensor, nn

from edge_runtime.errors import EarmarkError
from training.published import Published, load_strict, read_checkpoint

__all__ = ["RATE_HZ", "WIDTH", "Vggsound", "load_vggsound", "spectrogram", "tukey"]

RATE_HZ = 16_000
WINDOW_SAMPLES = 512
HOP_SAMPLES = 159
TAPERED = 0.25
LOG_OFFSET = 1e-7
DEVIATION_FLOOR = 1e-9
WIDTH = 512
CLASSES = 309
STAGES = ((64, 1), (128, 2), (256, 2), (512, 2))
"""Channels and stride of each pair of blocks."""

FILE = Published("H.pth.tar", "robots.ox.ac.uk/~vgg/data/vggsound/models")


class BasicBlock(nn.Module):
    """Two convolutions of 3x3 and what went in, convolved by 1x1 where its shape is another (He et al. 2015)."""

    def __init__(self, channels_in: int, channels: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels_in, channels, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(channels)
        self.conv2 = nn.Conv2d(channels, channels, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(channels)
        self.downsample = None
        if stride > 1 or channels_in != channels:
            conv = nn.Conv2d(channels_in, channels, 1, stride, bias=False)
            self.downsample = nn.Sequential(conv, nn.BatchNorm2d(channels))

    def forward(self, x: Tensor) -> Tensor:
        kept = x if self.downsample is None else self.downsample(x)
        x = torch.relu(self.bn1(self.conv1(x)))
        return torch.relu(self.bn2(self.conv2(x)) + kept)


class ResNet18(nn.Module):
    """Spectrograms (B, 1, 257, T) -> maps (B, 512, 9, ceil(T / 32)); and its classifier."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(1, 64, 7, 2, 3, bias=False)
        self.bn1 = nn.BatchNorm2d(64)
        self.maxpool = nn.MaxPool2d(3, 2, 1)
        channels = 64
        for i, (out, stride) in enumerate(STAGES, start=1):
            self.add_module(f"layer{i}", nn.Sequential(BasicBlock(channels, out, stride), BasicBlock(out, out, 1)))
            channels = out
        self.fc = nn.Linear(channels, CLASSES)

    def maps(self, x: Tensor) -> Tensor:
        x = self.maxpool(torch.relu(self.bn1(self.conv1(x))))
        for i in range(1, len(STAGES) + 1):
            x = getattr(self, f"layer{i}")(x)
        return x


class Vggsound(nn.Module):
    """The authors' network around a ResNet18."""

    def __init__(self) -> None:
        super().__init__()
        self.audnet = ResNet18()

    def segments(self, spectrograms: Tensor) -> Tensor:
        """(B, 257, T), each standardised -> (B, ceil(T / 32), 512)."""
        return self.audnet.maps(spectrograms[:, None]).mean(dim=2).transpose(1, 2)

    def classify(self, segments: Tensor) -> Tensor:
        """(B, S, 512) -> logits (B, 309) of their mean: what the checkpoint was trained for."""
        return self.audnet.fc(segments.mean(dim=1))


def spectrogram(samples: np.ndarray) -> np.ndarray:
    """Samples (n,) float32 at 16 kHz -> (257, T) float32: log of the power density, mean 0 and deviation 1 of the clip.

    What `scipy.signal.spectrogram(samples, 16000, nperseg=512, noverlap=353)` gives: a Tukey window, the mean of each
    frame taken out, nothing at the edges. The authors repeat a clip to 10 s first; the second paper keeps it as it is.
    One shorter than a window is padded with silence to it.
    """
    if len(samples) < WINDOW_SAMPLES:
        samples = np.pad(samples, (0, WINDOW_SAMPLES - len(samples)))
    frames = sliding_window_view(samples.clip(-1, 1).astype(np.float64), WINDOW_SAMPLES)[::HOP_SAMPLES]
    window = tukey()
    spectrum = np.fft.rfft((frames - frames.mean(axis=1, keepdims=True)) * window)
    density = (spectrum.real**2 + spectrum.imag**2).T / (RATE_HZ * (window**2).sum())
    density[1:-1] *= 2  # the negative frequencies
    log = np.log(density + LOG_OFFSET)
    return ((log - log.mean()) / (log.std() + DEVIATION_FLOOR)).astype(np.float32)


def load_vggsound(path: Path) -> Vggsound:
    """The published model H from the user's own copy, or its folder; in evaluation mode. No checksum of it is known.

    EarmarkError: the file is absent, or holds another network.
    """
    checkpoint = read_checkpoint(path, FILE)
    path = FILE.at(path)
    if not isinstance(checkpoint, dict) or "model_state_dict" not in checkpoint:
        raise EarmarkError(f"{path} has no model_state_dict: give {FILE.file} of {FILE.where}")
    net = Vggsound()
    load_strict(net, checkpoint["model_state_dict"], path)
    return net.eval()


def tukey() -> np.ndarray:
    """A window of ones whose outer quarter, both sides together, is half a cosine each (periodic, as scipy's)."""
    place = np.arange(WINDOW_SAMPLES) * 2 / (TAPERED * WINDOW_SAMPLES)
    ends = np.minimum(place, 2 / TAPERED - place)
    return np.where(ends < 1, 0.5 * (1 - np.cos(math.pi * ends)), 1.0)
