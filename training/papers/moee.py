"""Mixture of embedded experts (Miech et al. 2018, arXiv:1804.02516), as paper 2 has it: paper 2's plainer model.

Every expert has a joint space of its own, as wide as the expert's raw features, and text weighs them (joint.py).
8.90 M parameters with VGGish and VGGSound.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from training.experts.expert import Expert, ExpertBatch
from training.papers.gated_embedding import GatedEmbedding
from training.papers.joint import ExpertPools, TextExperts
from training.papers.norm import of_rows

__all__ = ["MoEE"]


class MoEE(nn.Module):
    """`words (V + 1, W)`: the word vectors, row 0 is padding. `padded`: see PaperConfig."""

    def __init__(self, experts: Sequence[Expert], text: Expert, words: Tensor, *, padded: bool = False) -> None:
        super().__init__()
        self.widths = [expert.width for expert in experts]
        self.pools = ExpertPools(experts, padded=padded)
        self.embed = nn.ModuleList(map(GatedEmbedding, self.pools.widths, self.widths))
        self.text_side = TextExperts(words, text, self.widths, padded=padded)

    def audio(self, batch: ExpertBatch) -> tuple[Tensor, Tensor]:
        """(B, sum of widths): unit blocks, 0 where missing; and what is there, (B, N) bool."""
        pooled, rows = self.pools(batch)
        blocks = [of_rows(embed, own, x) for embed, own, x in zip(self.embed, rows, pooled, strict=True)]
        masked = [block * batch.available[:, n, None] for n, block in enumerate(blocks)]
        return torch.cat(masked, dim=1), batch.available

    def text(self, token_ids: Tensor) -> tuple[Tensor, Tensor]:
        return self.text_side(token_ids)

    def forward(self, batch: ExpertBatch, token_ids: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """audio, available, text, weights."""
        return *self.audio(batch), *self.text(token_ids)
