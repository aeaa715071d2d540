"""A sentence encoder teaches both towers, through captions that no clip has.

    teacher = CaptionTeacher.load(Path("runs/captions.npz")).readable(tokenizer, clips)
    known = teacher.known_of(clips, class_names)        # what is known of each clip, in the encoder's own space
    captions = teacher.some(tokenizer, 256, rng)
    likeness = known.likeness(rows, tags, captions)     # (B, 256): which of those captions would fit which clip

The text tower learns which captions are alike (`losses.similarity_distillation`), the audio tower which of them would
fit a clip (`losses.caption_bank`): so it reaches thousands of texts, and words that no clip of its own brings. What is
known of a clip beside its own texts are its tags. Said by the names of their classes they are one more sentence; beside
what a tagger would report of the captions (training/told_captions.py) they say which of a caption's several sounds are
there.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from edge_runtime.tokenizer import Tokenizer, batch_of, words_of
from training.phrasings import phrasings_of
from training.sounds import Clip, unheard_captions

__all__ = ["CaptionTeacher", "Captions", "KnownOfClips", "UsualTags", "own_texts"]

FAINT = 1e-5
"""Of a probability: below it nothing is heard. Features keep half precision, which ends at 6e-8."""


def own_texts(clips: Sequence[Clip], class_names: Sequence[str]) -> list[str]:
    """All that may be known of the clips in words: phrasings of their labels, people's captions, class names."""
    texts = {text for clip in clips for text in (*phrasings_of(clip.label), *clip.captions)}
    return sorted(texts | set(class_names))


@dataclass(frozen=True)
class KnownOfClips:
    """Sentence embeddings, unit length: `own (N, H)` of each clip's label and captions, `classes (C, H)` of the
    tagger's class names. `own_share` of what is known of a clip is its own texts, the rest its tags: said by the class
    names, or, with the `usual` ones, as far as they exceed these."""

    own: Tensor
    classes: Tensor
    own_share: float
    usual: "UsualTags | None" = None

    def to(self, device: torch.device) -> "KnownOfClips":
        usual = self.usual.to(device) if self.usual else None
        return KnownOfClips(self.own.to(device), self.classes.to(device), self.own_share, usual)

    def likeness(self, rows: np.ndarray, tags: Tensor, captions: "Captions") -> Tensor:
        """Of the clips of those rows, whose tags are (B, C) probabilities, to M captions: (B, M)."""
        own = self.own[torch.from_numpy(rows).to(self.own.device)]
        if self.usual is None:
            heard = F.normalize(tags @ self.classes, dim=1)
            return F.normalize(self.own_share * own + (1 - self.own_share) * heard, dim=1) @ captions.embeddings.T
        assert captions.tags is not None
        alike, heard = own @ captions.embeddings.T, self.usual.exceeded(tags) @ captions.tags.T
        both = self.own_share * alike + (1 - self.own_share) * heard
        return both / math.hypot(self.own_share, 1 - self.own_share)


@dataclass(frozen=True)
class UsualTags:
    """Of the logarithms of a tagger's probabilities, over the clips of training: `mean` and `std (C,)`."""

    mean: Tensor
    std: Tensor

    @classmethod
    def of(cls, tags: np.ndarray) -> "UsualTags":
        """(N, C) probabilities."""
        std, mean = torch.std_mean(_logarithms(torch.from_numpy(tags.astype(np.float32))), dim=0)
        return cls(mean, std.clamp(min=1e-3))

    def to(self, device: torch.device) -> "UsualTags":
        return UsualTags(self.mean.to(device), self.std.to(device))

    def exceeded(self, tags: Tensor) -> Tensor:
        """(B, C) probabilities -> (B, C): by how many deviations each class is heard more than usual. As long as 1
        where a sound is as unlike the usual as most are; longer where it is more so, and so more to the point."""
        return (_logarithms(tags) - self.mean) / self.std / math.sqrt(len(self.mean))


def _logarithms(tags: Tensor) -> Tensor:
    return (tags + FAINT).log()


@dataclass(frozen=True)
class Captions:
    """Some of the teacher's: token ids (M, L), sentence embeddings (M, H), and what a tagger would report of them, (M,
    C), unit length, where that is known."""

    ids: Tensor
    embeddings: Tensor
    tags: Tensor | None = None

    def to(self, device: torch.device) -> "Captions":
        return Captions(*(each if each is None else each.to(device) for each in vars(self).values()))


@dataclass(frozen=True)
class CaptionTeacher:
    """Captions and their sentence embeddings `(N, H)`, unit length; `own` gives those of `own_texts`; `tags (N, C)`:
    what a tagger would report of them (training/told_captions.py)."""

    texts: list[str]
    embeddings: np.ndarray
    own: dict[str, np.ndarray]
    tags: np.ndarray | None = None

    @classmethod
    def load(cls, path: Path) -> "CaptionTeacher":
        with np.load(path, allow_pickle=False) as file:
            own = {}
            if "own_texts" in file:
                own = dict(zip(file["own_texts"].tolist(), file["own_embeddings"], strict=True))
            return cls(file["texts"].tolist(), file["embeddings"], own, file.get("tags"))

    def readable(self, tokenizer: Tokenizer, clips: Sequence[Clip]) -> "CaptionTeacher":
        """Those that the vocabulary can read at all (tags such as `openwindowsounds` have no known word), without what
        people said of clips that training may not hear."""
        unheard = unheard_captions(clips)
        keep = [
            row for row, text in enumerate(self.texts) if tokenizer.reads(text) and tuple(words_of(text)) not in unheard
        ]
        tags = None if self.tags is None else self.tags[keep]
        return CaptionTeacher([self.texts[row] for row in keep], self.embeddings[keep], self.own, tags)

    def some(self, tokenizer: Tokenizer, count: int, rng: np.random.Generator) -> Captions:
        """So many captions at random."""
        rows = rng.choice(len(self.texts), size=count, replace=False)
        ids = batch_of([tokenizer.encode(self.texts[row]) for row in rows])
        embeddings = torch.from_numpy(self.embeddings[rows].astype(np.float32))
        tags = None if self.tags is None else F.normalize(torch.from_numpy(self.tags[rows].astype(np.float32)), dim=1)
        return Captions(torch.from_numpy(ids), embeddings, tags)

    def known_of(
        self, clips: Sequence[Clip], class_names: Sequence[str], own_share: float, usual: UsualTags | None = None
    ) -> KnownOfClips:
        """A clip's label, in all its phrasings, and its captions, where it has any, weigh the same. ValueError: the
        captions' file was made without what this takes."""
        if usual is not None and (self.tags is None or self.tags.shape[1] != len(usual.mean)):
            raise ValueError("the captions file does not say their tags: run `python -m training captions`")
        own = [
            self._mean(phrasings_of(clip.label)) + (self._mean(clip.captions) if clip.captions else 0) for clip in clips
        ]
        classes = np.stack([self._of(name) for name in class_names])
        return KnownOfClips(
            F.normalize(torch.from_numpy(np.stack(own)), dim=1), torch.from_numpy(classes), own_share, usual
        )

    def _of(self, text: str) -> np.ndarray:
        if text not in self.own:
            raise ValueError(f"the captions file does not know the text {text!r}: run `python -m training captions`")
        return self.own[text].astype(np.float32)

    def _mean(self, texts: Sequence[str]) -> np.ndarray:
        mean = np.mean([self._of(text) for text in texts], axis=0)
        return mean / np.linalg.norm(mean)
