"""The dual encoder: segments and words -> one joint space ("Audio-Text Retrieval in Context", figure 1).

    model = DualEncoder(config, vectors)
    audio = model.audio(segments, mask)     # (B, S, D), (B, S) -> (B, E)
    text = model.text(token_ids)            # (B, L) -> (B, E)

Both sides: pool, FC, context gate, L2. The audio encoder stands outside: its segments are this model's input.
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from edge_runtime.tokenizer import PADDING
from training.pooling import pooling

__all__ = ["ContextGate", "DualEncoder", "RetrievalConfig", "Tower"]


@dataclass(frozen=True)
class RetrievalConfig:
    """Sizes: D, words of 300 numbers, E; clusters as in the paper's section 3.2.3."""

    segment_width: int
    word_width: int = 300
    joint_width: int = 512
    audio_pooling: str = "netrvlad"
    audio_clusters: int = 12
    text_pooling: str = "netrvlad"
    text_clusters: int = 20
    dropout: float = 0.0

    def __post_init__(self) -> None:
        if min(self.segment_width, self.word_width, self.joint_width, self.audio_clusters, self.text_clusters) < 1:
            raise ValueError(f"sizes must be positive: {self}")


class ContextGate(nn.Module):
    """x * sigmoid(BN(W x + b)) (eq. 7; the batch norm is the authors' code's, not the equation's)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.linear = nn.Linear(width, width)
        self.norm = nn.BatchNorm1d(width)

    def forward(self, x: Tensor) -> Tensor:
        return x * torch.sigmoid(self.norm(self.linear(x)))


class Tower(nn.Module):
    """One side: x (B, S, D), mask (B, S) -> (B, E), unit length."""

    def __init__(self, pool: nn.Module, joint_width: int, dropout: float) -> None:
        super().__init__()
        self.pool = pool
        self.dropout = nn.Dropout(dropout)
        self.project = nn.Linear(pool.out_width, joint_width)
        self.gate = ContextGate(joint_width)

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        return F.normalize(self.gate(self.project(self.dropout(self.pool(x, mask)))), dim=1)


class DualEncoder(nn.Module):
    """`words (V, 300)`: row 0 is padding, then the vocabulary in the tokeniser's order; kept fixed.

    Segments are standardised with `segment_mean` and `segment_std` (D,), set from the training set: a network's ReLU
    features have very unlike scales, and NetRVLAD's L2 would let the loudest few speak.
    """

    def __init__(self, config: RetrievalConfig, words: Tensor) -> None:
        super().__init__()
        if words.shape[1] != config.word_width:
            raise ValueError(f"word vectors have {words.shape[1]} numbers, the model takes {config.word_width}")
        self.config = config
        self.register_buffer("words", words)
        self.register_buffer("segment_mean", torch.zeros(config.segment_width))
        self.register_buffer("segment_std", torch.ones(config.segment_width))
        audio = pooling(config.audio_pooling, width=config.segment_width, clusters=config.audio_clusters)
        text = pooling(config.text_pooling, width=config.word_width, clusters=config.text_clusters)
        self.audio_tower = Tower(audio, config.joint_width, config.dropout)
        self.text_tower = Tower(text, config.joint_width, config.dropout)
        self.log_temperature = nn.Parameter(torch.tensor(0.07).log())

    def standardise(self, segments: Tensor) -> Tensor:
        return (segments - self.segment_mean) / self.segment_std

    def audio(self, segments: Tensor, mask: Tensor) -> Tensor:
        return self.audio_tower(self.standardise(segments), mask)

    def text(self, token_ids: Tensor) -> Tensor:
        return self.text_tower(self.words[token_ids], token_ids != PADDING)
