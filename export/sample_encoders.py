"""Experts as a bundle has them: one graph from samples to segments, front end and all.

encoder = published("vggish", Path("vggish-10086976.pth"))
expert_graph(encoder, Path("expert_vggish.onnx"))
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from export.front_ends import MelFrontEnd, SpectrogramFrontEnd, VggishFrontEnd
from export.graphs import write_graph
from training.experts import vggish, vggsound
from training.features import MIN_FRAMES
from training.mel_tables import efficientat_mel, panns_mel
from training.mn import load_mn04, load_mn10
from training.panns import load_cnn6, load_cnn10, load_cnn14

__all__ = ["PUBLISHED", "SampleEncoder", "expert_graph", "published"]


@dataclass(frozen=True)
class SampleEncoder:
    """`front` takes samples (n,) at `rate_hz`, `min_samples` at least; `network` what it gives, to segments (S, D)."""

    name: str
    front: nn.Module
    network: nn.Module
    width: int
    rate_hz: int
    min_samples: int


class Segments(nn.Module):
    """A network's `segments` of one clip: (1, bands, T) -> (S, D)."""

    def __init__(self, net: nn.Module) -> None:
        super().__init__()
        self.net = net

    def forward(self, x: Tensor) -> Tensor:
        return self.net.segments(x)[0]


def published(name: str, weights: Path) -> SampleEncoder:
    """The network of a published checkpoint, from its file or the folder that it lies in."""
    if name not in PUBLISHED:
        raise ValueError(f"no graph can be made of the expert {name!r}; there are {', '.join(PUBLISHED)}")
    return PUBLISHED[name](name, weights)


def _mel_network(load: Callable[[Path], nn.Module], mel: Callable, name: str, weights: Path) -> SampleEncoder:
    net = load(weights).eval()
    spec, tables = mel()
    front, shortest = MelFrontEnd(spec, tables), MIN_FRAMES * spec.hop_samples
    return SampleEncoder(name, front, Segments(net), net.config.segment_dim, spec.rate_hz, shortest)


def _vggish(name: str, weights: Path) -> SampleEncoder:
    net = vggish.load_vggish(weights)
    return SampleEncoder(name, VggishFrontEnd(), net, vggish.WIDTH, vggish.RATE_HZ, vggish.EXAMPLE_SAMPLES)


def _vggsound(name: str, weights: Path) -> SampleEncoder:
    net = Segments(vggsound.load_vggsound(weights))
    front, shortest = SpectrogramFrontEnd(), vggsound.WINDOW_SAMPLES
    return SampleEncoder(name, front, net, vggsound.WIDTH, vggsound.RATE_HZ, shortest)


PUBLISHED: dict[str, Callable[[str, Path], SampleEncoder]] = {
    "vggish": _vggish,
    "vggsound": _vggsound,
    "cnn14": lambda name, weights: _mel_network(load_cnn14, panns_mel, name, weights),
    "cnn10": lambda name, weights: _mel_network(load_cnn10, panns_mel, name, weights),
    "cnn6": lambda name, weights: _mel_network(load_cnn6, panns_mel, name, weights),
    "mn04": lambda name, weights: _mel_network(load_mn04, efficientat_mel, name, weights),
    "mn10": lambda name, weights: _mel_network(load_mn10, efficientat_mel, name, weights),
}
"""By the names of the experts' features (training/experts/store.py)."""


def expert_graph(encoder: SampleEncoder, path: Path) -> None:
    """samples (n,) -> segments (S, D)."""
    example = torch.randn(encoder.min_samples + encoder.rate_hz) / 10
    whole = nn.Sequential(encoder.front, encoder.network)
    write_graph(whole, {"samples": example}, {"samples": {0: "count"}}, ["segments"], path)
