"""PyTorch -> ONNX, with all that is constant at inference folded into the weights.

    encoder_graph(net, path); head_graph(model, path); text_graph(model, path, int8_words=True)

The folded modules here are the shipped arithmetic in PyTorch: batch norms are merged into the products before them, the
descriptor is flattened cluster by cluster (the FC's columns are permuted to fit), and padding is a mask on token id 0.
"""

from pathlib import Path

import onnx
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from edge_runtime.tokenizer import PADDING
from training.mn import MobileNet
from training.pooling import MeanPool, NetRVLAD
from training.retrieval import ContextGate, DualEncoder, Tower

__all__ = ["FoldedHead", "FoldedText", "encoder_graph", "head_graph", "text_graph"]

OPSET = 20


class FoldedTower(nn.Module):
    """A trained tower for inference: x (B, S, D), mask (B, S, 1) float -> (B, E), unit length."""

    def __init__(self, tower: Tower) -> None:
        super().__init__()
        pool = tower.pool
        if isinstance(pool, NetRVLAD):
            scale, shift = folded_norm(pool.norm)
            width, clusters = pool.assignment.shape
            self.assign = nn.Parameter(pool.assignment * scale)
            self.assign_bias = nn.Parameter(shift)
            by_cluster = tower.project.weight.view(-1, width, clusters).transpose(1, 2)  # (E, K, D)
            self.project = nn.Parameter(by_cluster.flatten(1).T.contiguous())  # (K * D, E)
        elif isinstance(pool, MeanPool):
            self.assign = None
            self.project = nn.Parameter(tower.project.weight.T.contiguous())
        else:
            raise TypeError(f"export knows NetRVLAD and mean pooling, not {type(pool).__name__}")
        self.project_bias = nn.Parameter(tower.project.bias)
        self.gate, self.gate_bias = folded_gate(tower.gate)

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        if self.assign is None:
            pooled = (F.normalize(x, dim=2) * mask).sum(dim=1)  # (B, D)
        else:
            weights = (x @ self.assign + self.assign_bias).softmax(dim=2) * mask  # (B, S, K)
            pooled = F.normalize(weights.transpose(1, 2) @ x, dim=2).flatten(1)  # (B, K * D)
        y = F.normalize(pooled, dim=1) @ self.project + self.project_bias
        return F.normalize(y * torch.sigmoid(y @ self.gate + self.gate_bias), dim=1)


class FoldedHead(nn.Module):
    """segments (S, D) -> embedding (E,)."""

    def __init__(self, model: DualEncoder) -> None:
        super().__init__()
        self.tower = FoldedTower(model.audio_tower)
        self.scale = nn.Parameter(1 / model.segment_std)
        self.shift = nn.Parameter(-model.segment_mean / model.segment_std)

    def forward(self, segments: Tensor) -> Tensor:
        x = (segments * self.scale + self.shift)[None]  # (1, S, D)
        return self.tower(x, torch.ones_like(x[:, :, :1]))[0]


class FoldedText(nn.Module):
    """token_ids (B, L) int64 -> (B, E). With `int8_words` the word table is int8 with one scale a word."""

    def __init__(self, model: DualEncoder, *, int8_words: bool) -> None:
        super().__init__()
        self.tower = FoldedTower(model.text_tower)
        words = model.words
        self.int8_words = int8_words
        if int8_words:
            scale = words.abs().amax(dim=1, keepdim=True).clamp(min=1e-12) / 127
            self.register_buffer("table", (words / scale).round().to(torch.int8))
            self.register_buffer("table_scale", scale)
        else:
            self.register_buffer("table", words)

    def forward(self, token_ids: Tensor) -> Tensor:
        x = self.table[token_ids].float()  # (B, L, 300)
        if self.int8_words:
            x = x * self.table_scale[token_ids]
        return self.tower(x, (token_ids != PADDING).float()[:, :, None])


class SegmentsOnly(nn.Module):
    """log_mel (1, M, T) -> segments (S, D)."""

    def __init__(self, net: MobileNet) -> None:
        super().__init__()
        self.net = net

    def forward(self, log_mel: Tensor) -> Tensor:
        return self.net.segments(log_mel)[0]


def folded_norm(norm: nn.BatchNorm1d) -> tuple[Tensor, Tensor]:
    """Batch norm at inference as (scale, shift)."""
    scale = norm.weight / (norm.running_var + norm.eps).sqrt()
    return scale.detach(), (norm.bias - norm.running_mean * scale).detach()


def folded_gate(gate: ContextGate) -> tuple[nn.Parameter, nn.Parameter]:
    scale, shift = folded_norm(gate.norm)
    weight = gate.linear.weight.T * scale
    return nn.Parameter(weight.detach()), nn.Parameter((gate.linear.bias * scale + shift).detach())


def encoder_graph(net: MobileNet, path: Path, *, bands: int) -> None:
    example = torch.zeros(1, bands, 320)
    _export(SegmentsOnly(net), {"log_mel": example}, {"log_mel": {2: "frames"}}, ["segments"], path)


def head_graph(model: DualEncoder, path: Path) -> None:
    example = torch.randn(16, model.config.segment_width)
    _export(FoldedHead(model), {"segments": example}, {"segments": {0: "count"}}, ["embedding"], path)


def text_graph(model: DualEncoder, path: Path, *, int8_words: bool) -> None:
    example = torch.ones(3, 7, dtype=torch.int64)
    shapes = {"token_ids": {0: "batch", 1: "length"}}
    _export(FoldedText(model, int8_words=int8_words), {"token_ids": example}, shapes, ["embedding"], path)


def _export(
    module: nn.Module, example: dict[str, Tensor], axes: dict[str, dict[int, str]], outputs: list[str], path: Path
) -> None:
    """One graph in one file, weights inside."""
    dynamic = {name: dict.fromkeys(dims, torch.export.Dim.AUTO) for name, dims in axes.items()}
    program = torch.onnx.export(
        module.eval(),
        (),
        kwargs=example,
        dynamic_shapes=dynamic,
        output_names=outputs,
        opset_version=OPSET,
        dynamo=True,
        verbose=False,
    )
    assert program is not None
    program.save(path, external_data=False)
    strip(path)


def strip(path: Path) -> None:
    """Take out what the exporter notes for its own debugging: stack traces with the paths of the machine it ran on."""
    model = onnx.load(path)
    del model.metadata_props[:]
    graph = model.graph
    for part in (model, graph, *graph.node, *graph.input, *graph.output, *graph.value_info, *graph.initializer):
        part.doc_string = ""
        if hasattr(part, "metadata_props"):
            del part.metadata_props[:]
    onnx.save(model, path)
