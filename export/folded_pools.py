"""Trained poolings as the graphs compute them: batch norms in the weights before them, clusters one after another.

    pool, project = folded_pool(tower)          # project (pool's width, E): the FC's weight, its rows in pool's order
    pooled = pool(x, mask)                      # x (B, S, D), mask (B, S, 1) float -> (B, pool's width)

Of NetVLAD and NetRVLAD the descriptor is flattened cluster by cluster, which spares the graph a transposition.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from training.pooling import LstmPool, MaxPool, MeanPool, NetRVLAD, NetVLAD
from training.retrieval import Tower

__all__ = ["OPSET", "folded_norm", "folded_pool"]

OPSET = 20


class FoldedVLAD(nn.Module):
    """NetVLAD and NetRVLAD: x (B, S, D), mask (B, S, 1) -> (B, K * D), unit length."""

    def __init__(self, pool: NetRVLAD | NetVLAD) -> None:
        super().__init__()
        scale, shift = folded_norm(pool.norm)
        self.assign = nn.Parameter(pool.assignment * scale)
        self.assign_bias = nn.Parameter(shift)
        self.padded_to = pool.padded_to
        self.centres = nn.Parameter(pool.centres.T.contiguous()) if isinstance(pool, NetVLAD) else None  # (K, D)

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        if self.padded_to:
            x, mask = filled(x, mask, self.padded_to)
        weights = (x @ self.assign + self.assign_bias).softmax(dim=2) * mask  # (B, S, K and ghosts)
        if self.centres is None:
            summed = weights.transpose(1, 2) @ x  # (B, K, D)
        else:
            weights = weights[..., : len(self.centres)]
            summed = weights.transpose(1, 2) @ x - weights.sum(dim=1)[..., None] * self.centres  # (B, K, D)
        return F.normalize(F.normalize(summed, dim=2).flatten(1), dim=1)


class FoldedMean(nn.Module):
    """x (B, S, D), mask (B, S, 1) -> (B, D), unit length: how many were summed is lost in it."""

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        return F.normalize((F.normalize(x, dim=2) * mask).sum(dim=1), dim=1)


class FoldedMax(nn.Module):
    """x (B, S, D), mask (B, S, 1) -> (B, D)."""

    def __init__(self, pool: MaxPool) -> None:
        super().__init__()
        self.padded_to = pool.padded_to

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        if self.padded_to:
            return filled(x, mask, self.padded_to)[0].amax(dim=1)
        return torch.where(mask > 0, x, -torch.inf).amax(dim=1)


class FoldedLstm(nn.Module):
    """x (B, S, D), mask (B, S, 1) -> (B, H), unit length. The LSTM is one node of the graph, in fp32: a module for the
    exporter alone."""

    def __init__(self, pool: LstmPool) -> None:
        super().__init__()
        lstm = pool.lstm
        self.hidden = lstm.hidden_size
        self.from_input = nn.Parameter(_onnx_order(lstm.weight_ih_l0)[None])  # (1, 4 H, D)
        self.from_state = nn.Parameter(_onnx_order(lstm.weight_hh_l0)[None])  # (1, 4 H, H)
        biases = (_onnx_order(lstm.bias_ih_l0), _onnx_order(lstm.bias_hh_l0))
        self.bias = nn.Parameter(torch.cat(biases)[None])  # (1, 8 H)
        self.mean = FoldedMean()

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        states = torch.onnx.ops.symbolic(
            "LSTM",
            (x.transpose(0, 1), self.from_input, self.from_state, self.bias),
            {"hidden_size": self.hidden},
            dtype=x.dtype,
            shape=(x.shape[1], 1, x.shape[0], self.hidden),
            version=OPSET,
        )
        return self.mean(states[:, 0].transpose(0, 1), mask)


def _onnx_order(gates: Tensor) -> Tensor:
    """PyTorch has the gates as in, forget, new, out; ONNX as in, out, forget, new."""
    let_in, forget, new, let_out = gates.detach().chunk(4)
    return torch.cat((let_in, let_out, forget, new))


def folded_pool(tower: Tower) -> tuple[nn.Module, Tensor]:
    pool, weight = tower.pool, tower.project.weight.detach()  # (E, pool's width)
    if isinstance(pool, NetRVLAD | NetVLAD):
        by_width = weight.view(len(weight), pool.assignment.shape[0], -1)  # (E, D, K)
        return FoldedVLAD(pool), by_width.transpose(1, 2).flatten(1).T.contiguous()
    if isinstance(pool, MeanPool):
        return FoldedMean(), weight.T.contiguous()
    if isinstance(pool, MaxPool):
        return FoldedMax(pool), weight.T.contiguous()
    if isinstance(pool, LstmPool):
        return FoldedLstm(pool), weight.T.contiguous()
    raise TypeError(f"export knows the poolings of training/pooling.py, not {type(pool).__name__}")


def folded_norm(norm: nn.BatchNorm1d) -> tuple[Tensor, Tensor]:
    """Batch norm at inference as (scale, shift)."""
    scale = norm.weight / (norm.running_var + norm.eps).sqrt()
    return scale.detach(), (norm.bias - norm.running_mean * scale).detach()


def filled(x: Tensor, mask: Tensor, length: int) -> tuple[Tensor, Tensor]:
    """What training/pooling.py calls so, for a mask (B, S, 1) of numbers."""
    x = torch.cat((x * mask, x.new_zeros(x.shape[0], length, x.shape[2])), dim=1)[:, :length]
    return x, torch.ones_like(x[..., :1])
