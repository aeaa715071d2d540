"""PyTorch -> ONNX, with all that is constant at inference folded into the weights.

    encoder_graph(net, path); head_graph(model, path); text_graph(model, path, int8_words=True)

The folded modules here and in folded_pools.py are the shipped arithmetic in PyTorch: batch norms are merged into the
products before them, and padding is a mask on token id 0.
"""

from pathlib import Path
from typing import Protocol

import onnx
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from edge_runtime.tokenizer import PADDING
from export.folded_pools import OPSET, folded_norm, folded_pool
from training.mn import MobileNet
from training.retrieval import Concepts, ContextGate, DualEncoder, Tower, doubtful_gain, placed

__all__ = ["FoldedHead", "FoldedText", "TextModel", "encoder_graph", "head_graph", "text_graph", "write_graph"]


RANK_ERROR = 1e-6
"""Singular values so small beside the largest are float32's rounding."""


class FoldedTower(nn.Module):
    """A trained tower for inference: x (B, S, D), mask (B, S, 1) float -> (B, E), unit length."""

    def __init__(self, tower: Tower) -> None:
        super().__init__()
        self.pool, project = folded_pool(tower)
        self.project = nn.Parameter(project)
        self.project_bias = nn.Parameter(tower.project.bias)
        self.gate, self.gate_bias = folded_gate(tower.gate)
        self.common, self.turn = (
            nn.Parameter(each) if each is not None else None for each in (tower.common, tower.turn)
        )

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        y = self.pool(x, mask) @ self.project + self.project_bias
        return placed(y * torch.sigmoid(y @ self.gate + self.gate_bias), self.common, self.turn)


class FoldedHead(nn.Module):
    """segments (S, D) -> embedding (E,)."""

    def __init__(self, model: DualEncoder) -> None:
        super().__init__()
        self.tower = FoldedTower(model.audio_tower)
        self.scale = nn.Parameter(1 / model.segment_std)
        self.shift = nn.Parameter(-model.segment_mean / model.segment_std)
        self.concepts = FoldedConcepts(model.concepts) if model.concepts else None

    def forward(self, segments: Tensor) -> Tensor:
        x = (segments * self.scale + self.shift)[None]  # (1, S, D)
        heard = self.tower(x, torch.ones_like(x[:, :, :1]))  # (1, E)
        if self.concepts is not None:
            heard = F.normalize(heard + self.concepts(segments, heard), dim=1)
        return heard[0]


class FoldedConcepts(nn.Module):
    """segments (S, D), the tower's embedding (1, E) -> (1, E): what the encoder's tagger hears, as long as its gain."""

    def __init__(self, concepts: Concepts) -> None:
        super().__init__()
        self.most, self.doubt, self.root = concepts.most, concepts.doubt, concepts.root
        self.known = nn.Parameter(concepts.known) if concepts.known is not None else None
        self.hidden = nn.Parameter(concepts.hidden.weight.T.contiguous())
        self.hidden_bias = nn.Parameter(concepts.hidden.bias)
        self.classify = factors(concepts.classify.weight.T)
        self.classify_bias = nn.Parameter(concepts.classify.bias)
        self.table = factors(concepts.table * concepts.weight[:, None])
        self.usual = nn.Parameter(concepts.usual) if concepts.usual is not None else None

    def forward(self, segments: Tensor, heard: Tensor) -> Tensor:
        mean = segments.mean(dim=0, keepdim=True)  # (1, D)
        hidden = F.hardswish(mean @ self.hidden + self.hidden_bias)
        for each in self.classify:
            hidden = hidden @ each
        shares = torch.sigmoid(hidden + self.classify_bias)  # (1, C)
        told = shares.sqrt() if self.root else shares
        if self.usual is not None:
            told = told - self.usual
        for each in self.table:  # only its direction counts; int8 has one scale for faint sounds and loud ones
            told = F.normalize(told, dim=1) @ each
        told = F.normalize(told, dim=1)
        return doubtful_gain(heard, self.known, self.most, self.doubt) * told


def factors(matrix: Tensor) -> nn.ParameterList:
    """The matrix, or the two of fewer numbers whose product it is, where its rank is low enough."""
    left, singular, right = torch.linalg.svd(matrix.detach().double(), full_matrices=False)
    rank = int((singular > RANK_ERROR * singular[0]).sum())
    if rank * sum(matrix.shape) >= matrix.numel():
        return nn.ParameterList([matrix.contiguous()])
    scale = singular[:rank].sqrt()
    return nn.ParameterList([(left[:, :rank] * scale).float(), (scale[:, None] * right[:rank]).float()])


class TextModel(Protocol):
    """What has a word table (V + 1, W) and a text tower: a dual encoder, or a text side alone."""

    words: Tensor
    text_tower: Tower


class FoldedText(nn.Module):
    """token_ids (B, L) int64 -> (B, E). With `int8_words` the word table is int8 with one scale a word."""

    def __init__(self, model: TextModel, *, int8_words: bool) -> None:
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


def folded_gate(gate: ContextGate) -> tuple[nn.Parameter, nn.Parameter]:
    scale, shift = folded_norm(gate.norm)
    weight = gate.linear.weight.T * scale
    return nn.Parameter(weight.detach()), nn.Parameter((gate.linear.bias * scale + shift).detach())


def encoder_graph(net: MobileNet, path: Path, *, bands: int) -> None:
    example = torch.zeros(1, bands, 320)
    write_graph(SegmentsOnly(net), {"log_mel": example}, {"log_mel": {2: "frames"}}, ["segments"], path)


def head_graph(model: DualEncoder, path: Path) -> None:
    example = torch.randn(16, model.config.segment_width)
    write_graph(FoldedHead(model), {"segments": example}, {"segments": {0: "count"}}, ["embedding"], path)


def text_graph(model: TextModel, path: Path, *, int8_words: bool) -> None:
    example = torch.ones(3, 7, dtype=torch.int64)
    shapes = {"token_ids": {0: "batch", 1: "length"}}
    write_graph(FoldedText(model, int8_words=int8_words), {"token_ids": example}, shapes, ["embedding"], path)


def write_graph(
    module: nn.Module,
    example: dict[str, Tensor],
    axes: dict[str, dict[int, str]],
    outputs: list[str],
    path: Path,
    *,
    any_number: bool = False,
) -> None:
    """One graph in one file, weights inside. `example`: the inputs in their order, by the names that the graph gives
    them; `axes`: those of any length. `any_number`: the module's `forward` takes them as `*inputs`."""
    dynamic = tuple(dict.fromkeys(axes.get(name, {}), torch.export.Dim.AUTO) for name in example)
    program = torch.onnx.export(
        module.eval(),
        tuple(example.values()),
        input_names=list(example),
        dynamic_shapes=(dynamic,) if any_number else dynamic,
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
