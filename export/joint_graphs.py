"""The papers' models as graphs: one head over all experts' segments, and one text encoder.

    joint_head_graph(model, config, path, heard=("vggish", "vggsound"))
    joint_text_graph(model, config, path, heard=("vggish", "vggsound"))

A clip's similarity to a caption is the sum over experts of the caption's weight for the expert times their cosine. So
with the experts that the device `heard`, N of them:

    audio = [y_1, …, y_N, 0] / sqrt(N)          text = [w_1 t_1, …, w_N t_N, sqrt(1 - sum_n w_n²)]

are unit vectors whose product is that similarity over sqrt(N): the runtime's index, archive and search take them as
they take any others. (The last number makes up a text's length: Bachrach et al. 2014, doi 10.1145/2645710.2645741; with
one expert there is nothing to make up, and it is left out.) An expert that no device can hear, such as a visual one, is
missing from every clip: the weights of the others are renormalised here once and for all, and CE's masks are means over
the others.
"""

from collections.abc import Sequence
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from edge_runtime.tokenizer import PADDING
from export.graphs import FoldedTower, write_graph
from training.papers.collaborative import CollaborativeExperts
from training.papers.config import PaperConfig
from training.papers.dual import Dual
from training.papers.joint import TOO_LITTLE
from training.papers.models import PaperModel

__all__ = ["TIMEKEEPER_WIDTH", "joint_head_graph", "joint_text_graph", "joint_width"]

TIMEKEEPER_WIDTH = 1


def joint_width(model: PaperModel, config: PaperConfig, heard: Sequence[str]) -> int:
    """E, of the embeddings that both graphs give."""
    total = sum(model.widths[n] for n in _rows(config, heard))
    return total + (len(heard) > 1)


def _rows(config: PaperConfig, heard: Sequence[str]) -> list[int]:
    """The places of these experts among the model's, in the model's order."""
    names = [expert.name for expert in config.experts]
    if not heard or (unknown := sorted(set(heard) - set(names))):
        raise ValueError(f"experts {', '.join(unknown) if heard else 'none'}: this model has {', '.join(names)}")
    if fixed := [e.name for e in config.experts if e.name in heard and e.fixed]:
        raise ValueError(f"{', '.join(fixed)}: a fixed vector of a clip is no expert that a device hears by windows")
    return [row for row, name in enumerate(names) if name in heard]


class JointHead(nn.Module):
    """The timekeeper's segments (S, 1), of which nothing is taken, and each heard expert's (S_n, D_n) -> (E,)."""

    def __init__(self, model: PaperModel, config: PaperConfig, heard: Sequence[str]) -> None:
        super().__init__()
        self.model = model
        self.rows = _rows(config, heard)
        self.experts = config.experts
        self.tower = FoldedTower(model.audio_tower) if isinstance(model, Dual) else None

    def forward(self, *segments: Tensor) -> Tensor:
        timekeeper, *of_experts = segments
        given = {
            row: x[: self.experts[row].frames][None] for row, x in zip(self.rows, of_experts, strict=True)
        }  # (1, S_n, D_n)
        blocks = self.blocks(given)
        joined = torch.cat([F.normalize(blocks[row], dim=1) for row in self.rows], dim=1)[0] / len(self.rows) ** 0.5
        rest = 0 * timekeeper.sum()[None]
        return torch.cat((joined, rest)) if len(self.rows) > 1 else joined + rest

    def blocks(self, given: dict[int, Tensor]) -> dict[int, Tensor]:
        """Each heard expert's (1, E_n)."""
        model = self.model
        if self.tower is not None:
            return {row: self.tower(x, torch.ones_like(x[..., :1])) for row, x in given.items()}
        masks = {row: torch.ones_like(x[..., 0], dtype=torch.bool) for row, x in given.items()}
        pooled = {row: model.pools.pools[row](x, masks[row]) for row, x in given.items()}
        if not isinstance(model, CollaborativeExperts):
            return {row: model.embed[row](x) for row, x in pooled.items()}
        reduced = {row: F.normalize(model.reduce[row](x), dim=1) for row, x in pooled.items()}
        count = len(self.experts)
        missing = torch.zeros(1, model.widths[0])
        everybody = [reduced.get(row, missing) for row in range(count)]
        available = torch.tensor([[row in given for row in range(count)]])
        gated = model.collaborate(everybody, available, [None] * count)
        return {row: gated[row] for row in self.rows}


class JointText(nn.Module):
    """token_ids (B, L) -> (B, E)."""

    def __init__(self, model: PaperModel, config: PaperConfig, heard: Sequence[str]) -> None:
        super().__init__()
        self.model = model
        self.rows = _rows(config, heard)
        self.tower = FoldedTower(model.text_tower) if isinstance(model, Dual) else None

    def forward(self, token_ids: Tensor) -> Tensor:
        if self.tower is not None:
            token_ids = token_ids[:, : self.model.frames]
            return self.tower(self.model.words[token_ids], (token_ids != PADDING).float()[..., None])
        text, weights = self.model.text(token_ids)
        blocks = text.split(self.model.widths, dim=1)
        present = weights[:, self.rows].sum(dim=1, keepdim=True).clamp(min=TOO_LITTLE)
        joined = torch.cat([blocks[row] for row in self.rows], dim=1) / present
        if len(self.rows) == 1:
            return joined
        rest = (1 - (joined**2).sum(dim=1, keepdim=True)).clamp(min=0).sqrt()
        return torch.cat((joined, rest), dim=1)


def joint_head_graph(model: PaperModel, config: PaperConfig, path: Path, *, heard: Sequence[str]) -> None:
    """Inputs: `segments`, the timekeeper's, and `segments_NAME` of each heard expert in the model's order."""
    head = JointHead(model, config, heard)
    example = {"segments": torch.randn(9, TIMEKEEPER_WIDTH)}
    example |= {f"segments_{config.experts[n].name}": torch.randn(7 + n, config.experts[n].width) for n in head.rows}
    axes = {name: {0: "count"} for name in example}
    write_graph(head, example, axes, ["embedding"], path, any_number=True)


def joint_text_graph(model: PaperModel, config: PaperConfig, path: Path, *, heard: Sequence[str]) -> None:
    example = {"token_ids": torch.ones(3, 7, dtype=torch.int64)}
    axes = {"token_ids": {0: "batch", 1: "length"}}
    write_graph(JointText(model, config, heard), example, axes, ["embedding"], path)
