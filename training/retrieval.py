"""The dual encoder: segments and words -> one joint space ("Audio-Text Retrieval in Context", figure 1).

    model = DualEncoder(config, vectors)
    audio = model.audio(segments, mask)     # (B, S, D), (B, S) -> (B, E)
    text = model.text(token_ids)            # (B, L) -> (B, E)

Both sides: pool, FC, context gate, less what all texts have in common (training/common.py), L2. The audio encoder
stands outside: its segments are this model's input. The audio side also has what the encoder's own tagger hears, said
in the joint space (`Concepts`), where it was trained with one.
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from edge_runtime.tokenizer import PADDING
from training.pooling import pooling

__all__ = ["Concepts", "ContextGate", "DualEncoder", "RetrievalConfig", "Tower", "doubtful_gain", "placed"]

DOUBT_SOFTNESS = 0.05
"""How far a cosine is from `concept_doubt` until the tagger has a quarter or three quarters of its gain, about."""


@dataclass(frozen=True)
class RetrievalConfig:
    """Sizes: D, words of 300 numbers, E; clusters as in the paper's section 3.2.3; what else a pooling takes stands in
    training/pooling.py. `concept_gain` is the weight of `Concepts` beside the audio tower's 1; 0 leaves them out, with
    their `classes`. With `known` texts that is the most that they weigh, where the tower's embedding is near none of
    these, and half of it at a cosine of `concept_doubt` to the nearest, both by their first `known_width` numbers
    (training/fallback.py); with `concept_root` a class counts by the root of its probability, with `concept_usual` less
    what it usually counts. `less_common`: both towers drop a direction of the joint space, or a share of it
    (training/common.py). `kept_width`: so many numbers are kept of the joint space, turned by training/widths.py; 0:
    all of it as it is."""

    segment_width: int
    word_width: int = 300
    joint_width: int = 512
    audio_pooling: str = "netrvlad"
    audio_clusters: int = 12
    audio_ghosts: int = 0
    audio_padded_to: int = 0
    text_pooling: str = "netrvlad"
    text_clusters: int = 20
    text_ghosts: int = 0
    text_padded_to: int = 0
    lstm_width: int = 512
    dropout: float = 0.0
    classes: int = 0
    class_hidden: int = 512
    concept_gain: float = 0.0
    concept_doubt: float = 0.0
    concept_root: bool = False
    concept_usual: bool = False
    known: int = 0
    known_width: int = 0
    less_common: bool = False
    kept_width: int = 0

    @property
    def width(self) -> int:
        """Of an embedding."""
        return self.kept_width or self.joint_width

    def __post_init__(self) -> None:
        sizes = (self.segment_width, self.word_width, self.joint_width, self.lstm_width)
        if min(*sizes, self.audio_clusters, self.text_clusters) < 1:
            raise ValueError(f"sizes must be positive: {self}")
        if min(self.audio_ghosts, self.audio_padded_to, self.text_ghosts, self.text_padded_to) < 0:
            raise ValueError(f"ghosts and padded lengths must be 0 or more: {self}")
        if not 0 <= self.kept_width <= self.joint_width:
            raise ValueError(f"of {self.joint_width} numbers {self.kept_width} cannot be kept")
        if self.concept_gain < 0 or (self.concept_gain > 0) != (self.classes > 0):
            raise ValueError(f"a tagger needs classes and a gain above 0, or neither: {self}")
        if self.known and not self.classes:
            raise ValueError(f"known texts are there for a tagger to stand aside, and there is none: {self}")
        if not 0 <= self.known_width <= self.width or (self.known > 0) != (self.known_width > 0):
            raise ValueError(f"known texts need 1 to {self.width} numbers each: {self}")


class ContextGate(nn.Module):
    """x * sigmoid(BN(W x + b)) (eq. 7; the batch norm is the authors' code's, not the equation's)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.linear = nn.Linear(width, width)
        self.norm = nn.BatchNorm1d(width)

    def forward(self, x: Tensor) -> Tensor:
        return x * torch.sigmoid(self.norm(self.linear(x)))


class Tower(nn.Module):
    """One side: x (B, S, D), mask (B, S) -> (B, E), unit length. Alike on both sides: with `less_common`, `common (E,)`
    times (y . common) is taken off y; with `kept` numbers of a joint space, `turn (E, kept)` is orthonormal."""

    def __init__(
        self, pool: nn.Module, joint_width: int, dropout: float, kept: int = 0, *, less_common: bool = False
    ) -> None:
        super().__init__()
        self.pool = pool
        self.dropout = nn.Dropout(dropout)
        self.project = nn.Linear(pool.out_width, joint_width)
        self.gate = ContextGate(joint_width)
        self.register_buffer("common", torch.zeros(joint_width) if less_common else None)
        self.register_buffer("turn", torch.eye(joint_width, kept) if kept else None)

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        return placed(self.gate(self.project(self.dropout(self.pool(x, mask)))), self.common, self.turn)


def placed(y: Tensor, common: Tensor | None, turn: Tensor | None) -> Tensor:
    """What a tower says of (B, E'): (B, E), unit length."""
    if common is not None:
        y = y - (y * common).sum(dim=1, keepdim=True) * common
    return F.normalize(y if turn is None else y @ turn, dim=1)


def audio_pool(config: RetrievalConfig) -> nn.Module:
    return pooling(
        config.audio_pooling,
        width=config.segment_width,
        clusters=config.audio_clusters,
        ghosts=config.audio_ghosts,
        lstm_width=config.lstm_width,
        padded_to=config.audio_padded_to,
    )


def text_pool(config: RetrievalConfig) -> nn.Module:
    return pooling(
        config.text_pooling,
        width=config.word_width,
        clusters=config.text_clusters,
        ghosts=config.text_ghosts,
        lstm_width=config.lstm_width,
        padded_to=config.text_padded_to,
    )


class Concepts(nn.Module):
    """What the encoder's tagger hears, in words: segments (B, S, D), mask (B, S) -> (B, E), unit length.

    ConSE (Norouzi et al. 2014, arXiv:1312.5650) in the joint space: the class names' text embeddings `table (C, E)`,
    mixed by the probabilities of their classes, or the roots of these, less `usual (C,)` where there is one, times
    `weight (C,)`. Nothing here is trained with the towers: what the tagger knows of sounds that training lacks stays
    whole.
    """

    def __init__(self, config: RetrievalConfig) -> None:
        super().__init__()
        self.hidden = nn.Linear(config.segment_width, config.class_hidden)
        self.classify = nn.Linear(config.class_hidden, config.classes)
        self.register_buffer("weight", torch.ones(config.classes))
        self.register_buffer("table", torch.zeros(config.classes, config.width))
        self.register_buffer("usual", torch.zeros(config.classes) if config.concept_usual else None)
        self.register_buffer("known", torch.zeros(config.known, config.known_width) if config.known else None)
        self.most, self.doubt, self.root = config.concept_gain, config.concept_doubt, config.concept_root
        self.requires_grad_(requires_grad=False)

    def take(self, classifier: nn.Sequential, weight: Tensor) -> None:
        """The layers of a `MobileNet.classifier`, and `weight (C,)`."""
        hidden, classify = (layer for layer in classifier if isinstance(layer, nn.Linear))
        for own, given in ((self.hidden, hidden), (self.classify, classify)):
            if own.weight.shape != given.weight.shape:
                raise ValueError(
                    f"the encoder's classifier has layers of {tuple(given.weight.shape)}, these segments and classes "
                    f"need {tuple(own.weight.shape)}: give the encoder that the features are of (--student)"
                )
            own.load_state_dict(given.state_dict())
        self.weight.copy_(weight)

    def probabilities(self, segments: Tensor, mask: Tensor) -> Tensor:
        """Of the mean segment: (B, C)."""
        share = mask[..., None] / mask.sum(dim=1)[:, None, None]
        return self.classify(F.hardswish(self.hidden((segments * share).sum(dim=1)))).sigmoid()

    def forward(self, segments: Tensor, mask: Tensor) -> Tensor:
        return F.normalize((self.counts(segments, mask) * self.weight) @ self.table, dim=1)

    def counts(self, segments: Tensor, mask: Tensor) -> Tensor:
        """What each class counts, before its weight: (B, C)."""
        heard = self.probabilities(segments, mask)
        counts = heard.sqrt() if self.root else heard
        return counts if self.usual is None else counts - self.usual

    def gain(self, heard: Tensor) -> Tensor:
        """What they weigh beside the tower's embeddings `heard (B, E)`: (B, 1)."""
        return doubtful_gain(heard, self.known, self.most, self.doubt)


def doubtful_gain(heard: Tensor, known: Tensor | None, most: float, doubt: float) -> Tensor:
    """`most`, or less of it the nearer an embedding of (B, E) is to its nearest of `known (K, W)`, unit length, by as
    many numbers as those have: (B, 1)."""
    if known is None:
        return torch.full_like(heard[:, :1], most)
    nearest = (F.normalize(heard[:, : known.shape[1]], dim=1) @ known.T).amax(dim=1, keepdim=True)
    return most * torch.sigmoid((doubt - nearest) / DOUBT_SOFTNESS)


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
        audio, text = audio_pool(config), text_pool(config)
        self.audio_tower, self.text_tower = (
            Tower(pool, config.joint_width, config.dropout, config.kept_width, less_common=config.less_common)
            for pool in (audio, text)
        )
        self.concepts = Concepts(config) if config.concept_gain else None
        self.log_temperature = nn.Parameter(torch.tensor(0.07).log())

    def standardise(self, segments: Tensor) -> Tensor:
        return (segments - self.segment_mean) / self.segment_std

    def audio(self, segments: Tensor, mask: Tensor) -> Tensor:
        heard = self.audio_tower(self.standardise(segments), mask)
        if self.concepts is None:
            return heard
        return F.normalize(heard + self.concepts.gain(heard) * self.concepts(segments, mask), dim=1)

    def text(self, token_ids: Tensor) -> Tensor:
        return self.text_tower(self.words[token_ids], token_ids != PADDING)
