"""Networks of the PANNs family with random weights, and checkpoints of them as the PANNs authors write them.

Random networks exercise every code path of a trained one; their batch norms are fitted, so that all layers have unit
scale and int8 has something to round.
"""

import math
from pathlib import Path

import numpy as np
import torch

from training.mel_tables import panns_mel
from training.panns import Panns, PannsConfig

__all__ = ["fitted_net", "published_front_end", "save_published"]


def fitted_net(config: PannsConfig, log_mel: torch.Tensor, *, seed: int = 0) -> Panns:
    """Random weights, and batch norms fitted to log_mel (B, M, T)."""
    torch.manual_seed(seed)
    net = Panns(config)
    for module in net.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.momentum = None
            torch.nn.init.uniform_(module.weight, 0.5, 1.5)
            torch.nn.init.normal_(module.bias, 0, 0.3)
    with torch.no_grad():
        net.train().segments(log_mel)
    return net.eval()


def published_front_end() -> dict[str, torch.Tensor]:
    """The front-end keys of a PANNs checkpoint, by the definition of the discrete Fourier transform."""
    _, tables = panns_mel()
    window = np.hanning(1025)[:1024]
    turns = np.outer(np.arange(513), np.arange(1024))
    angle = 2 * math.pi * turns / 1024
    return {
        "spectrogram_extractor.stft.conv_real.weight": torch.Tensor(np.cos(angle) * window)[:, None],
        "spectrogram_extractor.stft.conv_imag.weight": torch.Tensor(-np.sin(angle) * window)[:, None],
        "logmel_extractor.melW": torch.from_numpy(tables.filterbank),
    }


def save_published(net: Panns, path: Path) -> None:
    """With the front end that the authors' files carry, and numpy arrays of a sampler as their trainer saves them."""
    model = {**published_front_end(), **net.state_dict()}
    torch.save({"iteration": 1, "model": model, "sampler": {"indexes": np.arange(7)}}, path)
