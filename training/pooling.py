"""Sequence -> one vector: NetRVLAD, and the mean as its plain rival.

NetRVLAD: eq. 5 of "Audio-Text Retrieval in Context" (Miech et al. 2017, arXiv:1706.06905): each element is softly
assigned to K clusters and summed there; no centres are subtracted, as NetVLAD would.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

__all__ = ["MeanPool", "NetRVLAD", "pooling"]


class NetRVLAD(nn.Module):
    """x (B, S, D), mask (B, S) -> (B, D * K), D-major, unit length.

    As the authors' code has it: assignment weights ~ N(0, 1)/sqrt(D) without bias, batch norm on the logits, softmax
    over K, L2 over D within each cluster, flattened, L2. Unlike theirs, padding is masked out
    of the sum and of the statistics.
    """

    def __init__(self, width: int, clusters: int) -> None:
        super().__init__()
        self.clusters = clusters
        self.out_width = width * clusters
        self.assignment = nn.Parameter(torch.randn(width, clusters) / width**0.5)
        self.norm = nn.BatchNorm1d(clusters)

    def assign(self, x: Tensor, mask: Tensor) -> Tensor:
        """Soft assignment (B, S, K), rows of padding all 0."""
        logits = x @ self.assignment
        if self.training:
            normed = torch.zeros_like(logits)
            normed[mask] = self.norm(logits[mask])
        else:
            normed = self.norm(logits.transpose(1, 2)).transpose(1, 2)
        return normed.softmax(dim=-1) * mask[..., None]

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        summed = x.transpose(1, 2) @ self.assign(x, mask)  # (B, D, K)
        return F.normalize(F.normalize(summed, dim=1).flatten(1), dim=1)  # (B, D * K)


class MeanPool(nn.Module):
    """x (B, S, D), mask (B, S) -> (B, D): each element at unit length, the masked mean, unit length."""

    def __init__(self, width: int, clusters: int = 1) -> None:
        super().__init__()
        self.out_width = width

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        weight = mask[..., None] / mask.sum(dim=1)[:, None, None]
        return F.normalize((F.normalize(x, dim=-1) * weight).sum(dim=1), dim=1)


POOLINGS = {"netrvlad": NetRVLAD, "mean": MeanPool}


def pooling(name: str, *, width: int, clusters: int) -> nn.Module:
    if name not in POOLINGS:
        raise ValueError(f"pooling {name!r} is not known; there are {', '.join(POOLINGS)}")
    return POOLINGS[name](width, clusters)
