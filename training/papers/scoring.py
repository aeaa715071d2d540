"""All captions of some clips against all of these clips.

scores, owner = scored(model, items, stores, texts, config)     # (T, A) float32, (T,)
evaluate(scores, owner)                                         # authors_evaluation.py
"""

from collections.abc import Iterable, Mapping, Sequence

import numpy as np
import torch
from torch import Tensor

from training.datasets.collection import Item
from training.experts.expert import ExpertBatch
from training.papers.config import PaperConfig
from training.papers.joint import similarity
from training.papers.models import PaperModel
from training.papers.token_lookup import Texts

__all__ = ["Stores", "clips_of", "embedded_clips", "embedded_texts", "scored"]

Stores = Mapping[str, Mapping[str, np.ndarray]]
"""By expert: features (T, D) of a clip's id."""

AT_ONCE = 256
Pair = tuple[Tensor, Tensor]


def clips_of(items: Sequence[Item], stores: Stores, config: PaperConfig) -> ExpertBatch:
    """These clips' features; an expert whose store lacks a clip is missing from it."""
    rows = [{expert.name: stores[expert.name].get(item.id) for expert in config.experts} for item in items]
    return ExpertBatch.of(config.experts, rows)


@torch.inference_mode()
def embedded_clips(model: PaperModel, items: Sequence[Item], stores: Stores, config: PaperConfig) -> Pair:
    """`model.audio` of all clips."""
    device = next(model.parameters()).device
    parts = [model.audio(clips_of(part, stores, config).to(device)) for part in _parts(items)]
    return _joined(parts)


@torch.inference_mode()
def embedded_texts(model: PaperModel, captions: Sequence[str], texts: Texts, config: PaperConfig) -> Pair:
    """`model.text` of all captions."""
    device = next(model.parameters()).device
    parts = [
        model.text(torch.from_numpy(texts.batch(part, config.text_frames)).to(device)) for part in _parts(captions)
    ]
    return _joined(parts)


def scored(
    model: PaperModel, items: Sequence[Item], stores: Stores, texts: Texts, config: PaperConfig
) -> tuple[np.ndarray, np.ndarray]:
    """Similarities (T, A) of the clips' captions, in their order, and the clips; the clip of each caption (T,)."""
    captions = [caption for item in items for caption in item.captions]
    owner = np.repeat(np.arange(len(items)), [len(item.captions) for item in items])
    clips = embedded_clips(model, items, stores, config)
    return similarity(*embedded_texts(model, captions, texts, config), *clips).cpu().numpy(), owner


def _parts(rows: Sequence) -> Iterable[Sequence]:
    return (rows[start : start + AT_ONCE] for start in range(0, len(rows), AT_ONCE))


def _joined(parts: Sequence[Pair]) -> Pair:
    first, second = zip(*parts, strict=True)
    return torch.cat(first), torch.cat(second)
