"""A narrow CNN14 with a random dual encoder, and its streaming bundle: what the streaming tests are run on.

Random networks exercise every code path of a trained one; their batch norms are fitted, so that all layers have unit
scale and int8 has something to round.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch

from export.streaming_bundle import StreamingParts, export_streaming
from training.mel_tables import panns_mel
from training.panns import Panns, PannsConfig
from training.retrieval import DualEncoder, RetrievalConfig
from training.train import Checkpoint

__all__ = ["NARROW_CNN14", "random_checkpoint", "random_net", "sounds", "streaming_bundle"]

NARROW_CNN14 = PannsConfig((8, 16, 16, 24, 24, 32), pool_last=False, classes=5)
WORDS = ["a", "dog", "barks", "in", "the", "rain", "water", "runs", "engine", "bird", "sings", "loud", "quiet", "door"]


def sounds(count: int, *, seconds: float = 4.0, seed: int = 0) -> list[np.ndarray]:
    """Noise whose colour and loudness wander, float32 (n,) at 32 kHz."""
    rng = np.random.default_rng(seed)
    found = []
    for _ in range(count):
        n = int(seconds * 32000)
        spectrum = np.fft.rfft(rng.standard_normal(n)) / (1 + np.arange(n // 2 + 1) / rng.uniform(300, 9000))
        wave = np.fft.irfft(spectrum, n) * np.interp(np.arange(n), np.linspace(0, n, 9), rng.uniform(0, 1, 9))
        found.append((0.3 * wave / np.abs(wave).max()).astype(np.float32))
    return found


def random_net(config: PannsConfig, *, seed: int = 0) -> Panns:
    """Random weights, and batch norms fitted to `sounds`."""
    torch.manual_seed(seed)
    net = Panns(config)
    for module in net.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.momentum = None
            torch.nn.init.uniform_(module.weight, 0.5, 1.5)
            torch.nn.init.normal_(module.bias, 0, 0.3)
    from edge_runtime.mel import log_mel

    spec, tables = panns_mel()
    frames = np.stack([log_mel(spec, tables, sound).T for sound in sounds(4, seed=99)])
    with torch.no_grad():
        net.train().segments(torch.from_numpy(frames))
    return net.eval()


def random_checkpoint(width: int, *, joint_width: int = 16, seed: int = 0) -> Checkpoint:
    torch.manual_seed(seed)
    config = RetrievalConfig(width, joint_width=joint_width, audio_clusters=4, text_clusters=3)
    model = DualEncoder(config, torch.randn(len(WORDS) + 1, config.word_width))
    return Checkpoint(model.eval(), WORDS, "random", {}, {})


def streaming_bundle(
    folder: Path, net: Panns, *, profiles: Sequence[str] = ("small", "balanced", "exact"), joint_width: int = 512
) -> Path:
    """Export the network with a random dual encoder into `folder`."""
    folder.mkdir(parents=True)
    parts = StreamingParts(
        net,
        random_checkpoint(net.config.segment_dim, joint_width=joint_width),
        name="random",
        version="0",
        licence="none",
        notices=[],
        phrases=["a dog barks", "rain", "a loud engine"],
        sounds=sounds(8),
        profiles=profiles,
        report=lambda line: None,
    )
    export_streaming(folder, parts)
    return folder
