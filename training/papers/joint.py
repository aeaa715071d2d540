"""What paper 2's two models share: experts pooled one by one, a caption embedded once for each, and their similarity.

    audio, available = model.audio(batch)           # (A, sum of widths), (A, N): unit blocks, 0 where missing
    text, weights = model.text(token_ids)           # (T, sum of widths), (T, N): unit blocks times their weights
    similarity(text, weights, audio, available)     # (T, A)

The similarity of a caption and a clip is the sum over experts of their cosine times the caption's weight for the
expert; the weights of the experts that the clip has are renormalised to sum to 1. With blocks weighted beforehand it is
one dot product, divided by the weight of what is there.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from edge_runtime.tokenizer import PADDING
from training.experts.expert import Expert, ExpertBatch
from training.papers.gated_embedding import GatedEmbedding
from training.papers.norm import of_rows
from training.pooling import NetVLAD

__all__ = ["ExpertPools", "TextExperts", "similarity"]

TOO_LITTLE = 1e-8
"""Weight below which a clip has no expert at all: its similarity is 0."""


class FixedVector(nn.Module):
    """The one frame of an expert that is a vector (B, 1, D) -> (B, D)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.out_width = width

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        return x[:, 0]


class ExpertPools(nn.Module):
    """Each expert's frames through NetVLAD; fixed vectors as they are. `padded`: see PaperConfig."""

    def __init__(self, experts: Sequence[Expert], *, padded: bool) -> None:
        super().__init__()
        self.experts = tuple(experts)
        self.padded = padded
        self.pools = nn.ModuleList(pool_of(expert, padded=padded) for expert in experts)
        self.widths = [pool.out_width for pool in self.pools]

    def forward(self, batch: ExpertBatch) -> tuple[list[Tensor], list[Tensor | None]]:
        """The experts' descriptors (B, D'), 0 where missing, and the rows (B,) that count in statistics (None: all)."""
        rows = [None if self.padded else batch.available[:, n] for n in range(len(self.experts))]
        pooled = [
            of_rows(pool, own, batch.features[expert.name], batch.masks[expert.name])
            for expert, pool, own in zip(self.experts, self.pools, rows, strict=True)
        ]
        return pooled, rows


def pool_of(expert: Expert, *, padded: bool) -> nn.Module:
    """NetVLAD of an expert's frames, or of a caption's words."""
    if expert.fixed:
        return FixedVector(expert.width)
    return NetVLAD(expert.width, expert.clusters, expert.ghosts, padded_to=expert.frames if padded else 0)


class TextExperts(nn.Module):
    """A caption's words through NetVLAD, then one gated embedding for each expert, and one weight."""

    def __init__(self, words: Tensor, text: Expert, widths: Sequence[int], *, padded: bool) -> None:
        """`words (V + 1, W)`: row 0 is padding; they stay fixed and outside the weights. `widths` of the experts."""
        super().__init__()
        self.register_buffer("words", words, persistent=False)
        self.frames = text.frames
        self.pool = pool_of(text, padded=padded)
        self.embed = nn.ModuleList(GatedEmbedding(self.pool.out_width, width) for width in widths)
        self.mix = nn.Linear(self.pool.out_width, len(widths))

    def forward(self, token_ids: Tensor) -> tuple[Tensor, Tensor]:
        """token_ids (T, L) -> (T, sum of widths), each expert's block as long as its weight; weights (T, N)."""
        token_ids = token_ids[:, : self.frames]
        pooled = self.pool(self.words[token_ids], token_ids != PADDING)
        weights = self.mix(pooled).softmax(dim=1)
        blocks = [embed(pooled) * weights[:, n, None] for n, embed in enumerate(self.embed)]
        return torch.cat(blocks, dim=1), weights


def similarity(text: Tensor, weights: Tensor, audio: Tensor, available: Tensor) -> Tensor:
    """Of all captions and clips, (T, A): see above. Shapes as `TextExperts` and a model's `audio` give them."""
    present = weights @ available.to(weights.dtype).T  # (T, A)
    return text @ audio.T / present.clamp(min=TOO_LITTLE)
