"""Texts that no clip has, from which the text tower learns beside the clips' own.

    texts = OtherTexts.of(config, clips, class_names, tokenizer, teacher=teacher, pairs=pairs, device=device)
    loss = objective(model, batch, config, texts.some(rng))

The names of the tagger's classes (training/losses.py `soft_tags`), captions whose likeness a sentence encoder knows
(training/caption_teacher.py), two texts of one sound each (training/paired_texts.py), and sounds of which it is told
what a tagger would report (training/told_sounds.py). A weight of 0 leaves its texts out, and draws no random number.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from edge_runtime.tokenizer import Tokenizer, batch_of
from training.caption_teacher import Captions, CaptionTeacher, KnownOfClips, UsualTags
from training.paired_texts import PairedTexts, ReadablePairs
from training.retrieval import DualEncoder
from training.sounds import Clip
from training.told_sounds import ToldSounds
from training.train_config import TrainConfig

__all__ = ["OtherTexts", "StepTexts"]

PAIRS = 128
"""Sounds of which a step sees two texts each."""
TOLD = 256
"""Sounds in words that a step sees."""


@dataclass(frozen=True)
class StepTexts:
    """Of one step, each where there are such: `names (C, L)`, token ids of the tagger's classes; `captions` of no
    clip, and what is `known` of the clips in their terms; `pairs`: ids (2 P, L) of two texts of each of P sounds, and
    which of these are alike (P, P); `told`: ids (T, L) and tags (T, C) of sounds in words."""

    names: Tensor | None = None
    captions: Captions | None = None
    known: KnownOfClips | None = None
    pairs: tuple[Tensor, Tensor] | None = None
    told: tuple[Tensor, Tensor] | None = None


@dataclass(frozen=True)
class OtherTexts:
    """All of them, as one vocabulary reads them; `batch` captions are seen in a step."""

    tokenizer: Tokenizer
    batch: int
    names: Tensor | None
    teacher: CaptionTeacher | None
    known: KnownOfClips | None
    pairs: ReadablePairs | None
    told: ToldSounds | None

    @classmethod
    def of(
        cls,
        config: TrainConfig,
        clips: Sequence[Clip],
        class_names: Sequence[str],
        tokenizer: Tokenizer,
        *,
        teacher: CaptionTeacher | None,
        pairs: PairedTexts | None,
        tags: np.ndarray,
        device: torch.device,
    ) -> "OtherTexts":
        """`clips`: as training has them; what they keep back stays unsaid. `tags (N, C)`: what is heard in training.
        ValueError: a weight without its texts."""
        teacher = teacher.readable(tokenizer, clips) if teacher else None
        known = None
        if teacher is not None and config.bank_weight:
            usual = UsualTags.of(tags) if config.bank_told else None
            known = teacher.known_of(clips, class_names, config.own_share, usual).to(device)
        if config.pairs_weight and pairs is None:
            raise ValueError("--pairs-weight needs texts of described sounds: run `python -m training pairs` first")
        if config.told_weight and not class_names:
            raise ValueError("--told-weight needs the tagger's class names: give its --weights")
        return cls(
            tokenizer,
            config.batch,
            torch.from_numpy(batch_of([tokenizer.encode(n) for n in class_names])).to(device) if class_names else None,
            teacher,
            known,
            pairs.readable(tokenizer, clips) if pairs is not None and config.pairs_weight else None,
            ToldSounds.of(class_names, tokenizer, clips) if config.told_weight else None,
        )

    @torch.no_grad()
    def directions(self, model: DualEncoder) -> Tensor:
        """Where the tagger's classes lie in the joint space, (C, E): their names, or what is told of them."""
        if self.names is None:
            raise ValueError("there are no names of classes: give the tagger's --weights")
        names = self.names.to(model.words.device)
        return self.told.directions(model, names) if self.told else model.text(names)

    def some(self, rng: np.random.Generator) -> StepTexts:
        return StepTexts(
            self.names,
            self.teacher.some(self.tokenizer, self.batch, rng) if self.teacher else None,
            self.known,
            self.pairs.some(PAIRS, rng) if self.pairs else None,
            self.told.some(TOLD, rng) if self.told else None,
        )
