"""What a training step is judged by: the losses of a batch, of whole embeddings and of their beginnings.

    loss = objective(model, batch, config, texts.some(rng))

Nested embeddings (Kusupati et al. 2022, "Matryoshka representation learning", arXiv:2205.13147): with `narrow_weight`
the same losses are taken of the first 64, 128 and 256 numbers too, at unit length again, so that a device may keep so
few of them.
"""

from dataclasses import dataclass

from torch import Tensor

from training.losses import (
    caption_bank,
    cross_modal_info_nce,
    max_margin,
    shortened,
    similarity_distillation,
    soft_tags,
    text_pairs,
)
from training.other_texts import StepTexts
from training.retrieval import DualEncoder
from training.sampler import Batch
from training.train_config import TrainConfig

__all__ = ["NARROW", "objective"]

NARROW = (64, 128, 256)


@dataclass(frozen=True)
class Embedded:
    """Unit vectors: `audio` and `texts (B, E)`; where there are such, `classes (C, E)`, the teacher's `captions (M, E)`
    and `still (N, E)` sounds, `pairs (2 P, E)` of texts, the second ones after the first ones, `told (T, E)` sounds in
    words."""

    audio: Tensor
    texts: Tensor
    classes: Tensor | None
    captions: Tensor | None
    still: Tensor | None
    pairs: Tensor | None
    told: Tensor | None

    def shortened(self, width: int) -> "Embedded":
        return Embedded(*(each if each is None else shortened(each, width) for each in vars(self).values()))


@dataclass(frozen=True)
class Wanted:
    """What the embeddings should say: `positive (B, B)` bool; `tags (B, C)`; of the teacher's captions `teacher (M, H)`
    and their `likeness (B, M)` to what is known of the clips, where those are taught; `alike (P, P)` bool of the pairs
    of texts; `told (T, C)` tags of the sounds in words."""

    positive: Tensor
    tags: Tensor
    teacher: Tensor | None
    likeness: Tensor | None
    alike: Tensor | None
    told: Tensor | None


def objective(model: DualEncoder, batch: Batch, config: TrainConfig, texts: StepTexts) -> Tensor:
    """The loss of clips and their texts, and of `texts` that no clip has."""
    device = model.words.device
    temperature = model.log_temperature.exp().clamp(0.01, 1.0)
    classes = model.text(texts.names) if texts.names is not None else None
    if model.concepts is not None and classes is not None and texts.told is None:
        model.concepts.table.copy_(classes.detach())
    audio = model.audio(batch.segments.to(device), batch.mask.to(device))
    own = model.text(batch.token_ids.to(device))
    still = model.audio(*(part.to(device) for part in batch.still)) if batch.still is not None else None
    tags = batch.tags.to(device)
    taught, teacher, likeness = None, None, None
    if texts.captions is not None:
        captions = texts.captions.to(device)
        taught, teacher = model.text(captions.ids), captions.embeddings
        likeness = texts.known.likeness(batch.rows, tags, captions) if texts.known is not None else None
    paired, alike = _read(model, texts.pairs)
    told, told_tags = _read(model, texts.told)
    found = Embedded(audio, own, classes, taught, still, paired, told)
    wanted = Wanted(batch.positive.to(device), tags, teacher, likeness, alike, told_tags)
    loss = _losses(found, wanted, config, temperature)
    narrow = [width for width in NARROW if width < audio.shape[1]] if config.narrow_weight else []
    for width in narrow:
        loss = loss + config.narrow_weight / len(narrow) * _losses(found.shortened(width), wanted, config, temperature)
    return loss


def _read(model: DualEncoder, texts: tuple[Tensor, Tensor] | None) -> tuple[Tensor | None, Tensor | None]:
    """Their embeddings, and what goes with them."""
    if texts is None:
        return None, None
    ids, beside = (part.to(model.words.device) for part in texts)
    return model.text(ids), beside


def _losses(found: Embedded, wanted: Wanted, config: TrainConfig, temperature: Tensor) -> Tensor:
    cosines = found.audio @ found.texts.T
    still = found.still @ found.texts.T if found.still is not None else None
    if config.loss == "margin":
        loss = max_margin(cosines, wanted.positive, margin=config.margin, still=still)
    else:
        loss = cross_modal_info_nce(cosines, wanted.positive, temperature, still=still)
    if config.tag_weight and found.classes is not None:
        loss = loss + config.tag_weight * soft_tags(found.audio @ found.classes.T, wanted.tags, temperature)
    if found.captions is not None and wanted.teacher is not None:
        loss = loss + config.caption_weight * similarity_distillation(found.captions, wanted.teacher)
        if wanted.likeness is not None:
            bank = caption_bank(found.audio @ found.captions.T, wanted.likeness, temperature)
            loss = loss + config.bank_weight * bank
    if found.pairs is not None and wanted.alike is not None:
        first, second = found.pairs.chunk(2)
        loss = loss + config.pairs_weight * text_pairs(first @ second.T, wanted.alike)
    if found.told is not None and wanted.told is not None and found.classes is not None:
        loss = loss + config.told_weight * soft_tags(found.told @ found.classes.T, wanted.told, temperature)
    return loss
