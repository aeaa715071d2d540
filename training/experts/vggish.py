"""VGGish: 128 numbers for each 0.96 s, from the torch port's checkpoint (Hershey et al. 2017, arXiv:1609.09430).

    net = load_vggish(Path("vggish-10086976.pth"))
    rows = net(examples(samples))           # samples (n,) at 16 kHz -> (T, 96, 64) -> (T, 128)
    coarse = load_postprocessor(Path("vggish_pca_params-970ea276.pth"))(rows)       # 8 bits, as AudioSet's own rows

Parameter names are those of torchvggish (`features.*`, `embeddings.*`), whose numbers come from the TensorFlow release.
The papers use the rows as they are; the release's whitening and quantisation stand apart.
"""

import itertools
import math
from pathlib import Path

import numpy as np
import torch
from numpy.lib.stride_tricks import sliding_window_view
from torch import Tensor, nn

from edge_runtime.errors import EarmarkError
from training.published import Published, load_strict, read_checkpoint

__all__ = ["RATE_HZ", "WIDTH", "Postprocessor", "Vggish", "examples", "load_postprocessor", "load_vggish", "mel_matrix"]

RATE_HZ = 16_000
WINDOW_SAMPLES = RATE_HZ * 25 // 1000
HOP_SAMPLES = RATE_HZ * 10 // 1000
FFT_SAMPLES = 512
BANDS = 64
LOW_HZ, HIGH_HZ = 125.0, 7500.0
LOG_OFFSET = 0.01
EXAMPLE_FRAMES = 96
EXAMPLE_SAMPLES = (EXAMPLE_FRAMES - 1) * HOP_SAMPLES + WINDOW_SAMPLES
WIDTH = 128
LAYERS = (64, "pool", 128, "pool", 256, 256, "pool", 512, 512, "pool")

RELEASE = "github.com/harritaylor/torchvggish, release v0.1"
FILE = Published(
    "vggish-10086976.pth", RELEASE, "sha256", "10086976245803799d9194e9a73d9b6c1549c71d1b80106f5cade5608a561f4b"
)
PCA_FILE = Published("vggish_pca_params-970ea276.pth", RELEASE, "sha256", "970ea276")


class Vggish(nn.Module):
    """Examples (T, 96, 64) -> (T, 128), one row each."""

    def __init__(self) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        channels = 1
        for layer in LAYERS:
            if isinstance(layer, int):
                layers += [nn.Conv2d(channels, layer, 3, padding=1), nn.ReLU()]
                channels = layer
            else:
                layers.append(nn.MaxPool2d(2))
        self.features = nn.Sequential(*layers)
        flat = channels * (EXAMPLE_FRAMES // 16) * (BANDS // 16)
        widths = (flat, 4096, 4096, WIDTH)
        linears = [(nn.Linear(a, b), nn.ReLU()) for a, b in itertools.pairwise(widths)]
        self.embeddings = nn.Sequential(*(layer for pair in linears for layer in pair))

    def forward(self, log_mel: Tensor) -> Tensor:
        maps = self.features(log_mel[:, None])  # (T, 512, 6, 4)
        return self.embeddings(maps.permute(0, 2, 3, 1).flatten(1))  # channels last, as TensorFlow flattens


class Postprocessor(nn.Module):
    """Rows (T, 128) -> whitened by PCA, clipped to ±2, and rounded to 0 … 255."""

    def __init__(self) -> None:
        super().__init__()
        self.pca_eigen_vectors = nn.Parameter(torch.zeros(WIDTH, WIDTH), requires_grad=False)
        self.pca_means = nn.Parameter(torch.zeros(WIDTH, 1), requires_grad=False)

    def forward(self, rows: Tensor) -> Tensor:
        whitened = (rows - self.pca_means[:, 0]) @ self.pca_eigen_vectors.T
        return ((whitened.clamp(-2, 2) + 2) * (255 / 4)).round()


def examples(samples: np.ndarray) -> np.ndarray:
    """Samples (n,) float32 at 16 kHz -> log-mel examples (T, 96, 64) float32, end to end.

    As the release: what does not fill an example is left out, but a clip shorter than one is padded with silence to it.
    """
    if len(samples) < EXAMPLE_SAMPLES:
        samples = np.pad(samples, (0, EXAMPLE_SAMPLES - len(samples)))
    frames = sliding_window_view(samples.astype(np.float64), WINDOW_SAMPLES)[::HOP_SAMPLES]
    window = 0.5 - 0.5 * np.cos(2 * math.pi * np.arange(WINDOW_SAMPLES) / WINDOW_SAMPLES)
    count = len(frames) // EXAMPLE_FRAMES
    magnitude = np.abs(np.fft.rfft(frames[: count * EXAMPLE_FRAMES] * window, FFT_SAMPLES))
    log = np.log(magnitude @ mel_matrix() + LOG_OFFSET)
    return log.reshape(count, EXAMPLE_FRAMES, BANDS).astype(np.float32)


def mel_matrix() -> np.ndarray:
    """HTK's triangles, linear in mel and of unit height; the constant bin takes no part -> (257, 64) float64."""
    mel = 1127.0 * np.log1p(np.arange(FFT_SAMPLES // 2 + 1) * RATE_HZ / FFT_SAMPLES / 700.0)
    edges = np.linspace(*(1127.0 * math.log1p(hz / 700.0) for hz in (LOW_HZ, HIGH_HZ)), BANDS + 2)
    rising = (mel[:, None] - edges[:-2]) / np.diff(edges)[:-1]
    falling = (edges[2:] - mel[:, None]) / np.diff(edges)[1:]
    triangles = np.maximum(0, np.minimum(rising, falling))
    triangles[0] = 0
    return triangles


def load_vggish(path: Path) -> Vggish:
    """The published VGGish from the user's own copy, or its folder; in evaluation mode. EarmarkError: it is another."""
    net = Vggish()
    load_strict(net, read_checkpoint(path, FILE), FILE.at(path))
    return net.eval()


def load_postprocessor(path: Path) -> Postprocessor:
    """The release's PCA parameters; its means are a vector there. EarmarkError: they are not those."""
    state = read_checkpoint(path, PCA_FILE)
    path = PCA_FILE.at(path)
    if not isinstance(state, dict) or state.keys() != {"pca_eigen_vectors", "pca_means"}:
        raise EarmarkError(f"{path} holds no pca_eigen_vectors and pca_means: give {PCA_FILE.file}")
    arrays = {name: torch.as_tensor(value, dtype=torch.float32) for name, value in state.items()}
    if arrays["pca_means"].numel() == WIDTH:
        arrays["pca_means"] = arrays["pca_means"].reshape(WIDTH, 1)
    net = Postprocessor()
    load_strict(net, arrays, path)
    return net
