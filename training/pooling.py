"""Sequence -> one vector: mean, max, LSTM, NetVLAD, NetRVLAD.

    pool = pooling("netvlad", width=384, clusters=12, ghosts=1)
    pool(x, mask)               # (B, S, D), (B, S) bool -> (B, pool.out_width)

NetRVLAD: eq. 5 of "Audio-Text Retrieval in Context" (Miech et al. 2017, arXiv:1706.06905): each element is softly
assigned to K clusters and summed there; no centres are subtracted, as NetVLAD (Arandjelović et al. 2016,
arXiv:1511.07247) does. The others are as that paper's rivals.

Padding is masked out of everything: out of the sums, the maximum, and the batch norms' statistics. The paper had none
of this where it matters: each sequence was filled with zeros to a fixed length, or cut to it, and its padding entered
NetVLAD's sum, the batch norms, and the maximum. `padded_to` above 0 is that length; mean and LSTM masked padding even
there.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

__all__ = ["POOLINGS", "LstmPool", "MaxPool", "MeanPool", "NetRVLAD", "NetVLAD", "filled", "pooling"]

POOLINGS = ("mean", "max", "lstm", "netvlad", "netrvlad")


class NetRVLAD(nn.Module):
    """x (B, S, D), mask (B, S) -> (B, D * K), D-major, unit length.

    As the authors' code has it: assignment weights ~ N(0, 1)/sqrt(D) without bias, batch norm on the logits, softmax
    over K, L2 over D within each cluster, flattened, L2.
    """

    def __init__(self, width: int, clusters: int, padded_to: int = 0) -> None:
        super().__init__()
        self.out_width = width * clusters
        self.padded_to = padded_to
        self.assignment = nn.Parameter(torch.randn(width, clusters) / width**0.5)
        self.norm = nn.BatchNorm1d(clusters)

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        if self.padded_to:
            x, mask = filled(x, mask, self.padded_to)
        summed = x.transpose(1, 2) @ assigned(x, mask, self.assignment, self.norm)  # (B, D, K)
        return F.normalize(F.normalize(summed, dim=1).flatten(1), dim=1)  # (B, D * K)


class NetVLAD(nn.Module):
    """x (B, S, D), mask (B, S) -> (B, D * K), D-major, unit length.

    NetRVLAD, and from each cluster's sum its centre (D,) is taken as often as elements were assigned to it. `ghosts`
    more clusters take what belongs to none; they are dropped after the softmax.
    """

    def __init__(self, width: int, clusters: int, ghosts: int = 0, padded_to: int = 0) -> None:
        super().__init__()
        self.out_width = width * clusters
        self.padded_to = padded_to
        self.assignment = nn.Parameter(torch.randn(width, clusters + ghosts) / width**0.5)
        self.centres = nn.Parameter(torch.randn(width, clusters) / width**0.5)
        self.norm = nn.BatchNorm1d(clusters + ghosts)

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        if self.padded_to:
            x, mask = filled(x, mask, self.padded_to)
        shares = assigned(x, mask, self.assignment, self.norm)[..., : self.centres.shape[1]]  # (B, S, K)
        residual = x.transpose(1, 2) @ shares - self.centres * shares.sum(dim=1, keepdim=True)  # (B, D, K)
        return F.normalize(F.normalize(residual, dim=1).flatten(1), dim=1)  # (B, D * K)


class MeanPool(nn.Module):
    """x (B, S, D), mask (B, S) -> (B, D): each element at unit length, the masked mean, unit length."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.out_width = width

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        weight = mask[..., None] / mask.sum(dim=1)[:, None, None]
        return F.normalize((F.normalize(x, dim=-1) * weight).sum(dim=1), dim=1)


class MaxPool(nn.Module):
    """x (B, S, D), mask (B, S) -> (B, D): the largest value of each dimension, as it is."""

    def __init__(self, width: int, padded_to: int = 0) -> None:
        super().__init__()
        self.out_width = width
        self.padded_to = padded_to

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        if self.padded_to:
            x, mask = filled(x, mask, self.padded_to)
        return x.masked_fill(~mask[..., None], -torch.inf).amax(dim=1)


class LstmPool(nn.Module):
    """x (B, S, D), mask (B, S) -> (B, H): the mean, as `MeanPool`, of the states of a one-layer LSTM.

    It runs forward alone, so that padding, which comes last, reaches no state that counts.
    """

    def __init__(self, width: int, hidden: int) -> None:
        super().__init__()
        self.out_width = hidden
        self.lstm = nn.LSTM(width, hidden, batch_first=True)
        self.mean = MeanPool(hidden)

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        return self.mean(self.lstm(x)[0], mask)


def assigned(x: Tensor, mask: Tensor, weights: Tensor, norm: nn.BatchNorm1d) -> Tensor:
    """Soft assignment of x (B, S, D) by `weights (D, C)`: (B, S, C), rows of padding all 0."""
    logits = x @ weights
    if norm.training:
        normed = torch.zeros_like(logits)
        normed[mask] = norm(logits[mask])
    else:
        normed = norm(logits.transpose(1, 2)).transpose(1, 2)
    return normed.softmax(dim=-1) * mask[..., None]


def filled(x: Tensor, mask: Tensor, length: int) -> tuple[Tensor, Tensor]:
    """x (B, S, D) with zeros where it is padding, and up to `length`, or cut to it: (B, length, D); and a mask that
    counts all of it."""
    zeros = x.new_zeros(x.shape[0], length, x.shape[2])
    x = torch.cat((x * mask[..., None], zeros), dim=1)[:, :length]
    return x, torch.ones_like(x[..., 0], dtype=torch.bool)


def pooling(
    name: str, *, width: int, clusters: int = 1, ghosts: int = 0, lstm_width: int = 512, padded_to: int = 0
) -> nn.Module:
    """The pooling of that name for elements of `width` numbers; what it has no use for is left aside."""
    if name == "netrvlad":
        return NetRVLAD(width, clusters, padded_to)
    if name == "netvlad":
        return NetVLAD(width, clusters, ghosts, padded_to)
    if name == "max":
        return MaxPool(width, padded_to)
    if name == "lstm":
        return LstmPool(width, lstm_width)
    if name == "mean":
        return MeanPool(width)
    raise ValueError(f"pooling {name!r} is not known; there are {', '.join(POOLINGS)}")
