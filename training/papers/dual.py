"""Paper 1's dual encoder in the paper's own form, as the other models here are called: one expert, one joint space.

The towers are training/retrieval.py's. What differs from the model that this project ships: features as they are, not
standardised; the joint space as wide as the features; and, with `padded`, padding in sums and statistics.
"""

import torch
from torch import Tensor, nn

from edge_runtime.tokenizer import PADDING
from training.experts.expert import Expert, ExpertBatch
from training.papers.norm import of_rows
from training.pooling import pooling
from training.retrieval import Tower

__all__ = ["Dual"]


class Dual(nn.Module):
    """`words (V + 1, W)`: the word vectors, row 0 is padding; `width` of the joint space, and of LSTMs' states."""

    def __init__(
        self,
        expert: Expert,
        text: Expert,
        words: Tensor,
        *,
        width: int,
        audio_pooling: str,
        text_pooling: str,
        padded: bool = False,
    ) -> None:
        super().__init__()
        self.register_buffer("words", words, persistent=False)
        self.expert, self.frames = expert, text.frames
        self.widths = [width]
        self.audio_tower = Tower(_pool(expert, audio_pooling, width, padded=padded), width, dropout=0.0)
        self.text_tower = Tower(_pool(text, text_pooling, width, padded=padded), width, dropout=0.0)

    def audio(self, batch: ExpertBatch) -> tuple[Tensor, Tensor]:
        """(B, E) unit length, 0 where the expert is missing; and whether it is there, (B, 1) bool."""
        name, there = self.expert.name, batch.available
        return of_rows(self.audio_tower, there[:, 0], batch.features[name], batch.masks[name]), there

    def text(self, token_ids: Tensor) -> tuple[Tensor, Tensor]:
        """(T, E) unit length, and weights of 1, (T, 1)."""
        token_ids = token_ids[:, : self.frames]
        found = self.text_tower(self.words[token_ids], token_ids != PADDING)
        return found, torch.ones_like(found[:, :1])

    def forward(self, batch: ExpertBatch, token_ids: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """audio, available, text, weights."""
        return *self.audio(batch), *self.text(token_ids)


def _pool(sequence: Expert, name: str, width: int, *, padded: bool) -> nn.Module:
    return pooling(
        name,
        width=sequence.width,
        clusters=sequence.clusters,
        ghosts=sequence.ghosts,
        lstm_width=width,
        padded_to=sequence.frames if padded else 0,
    )
