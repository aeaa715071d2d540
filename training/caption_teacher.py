"""A sentence encoder teaches both towers, through captions that no clip has.

    teacher = CaptionTeacher.load(Path("runs/captions.npz")).readable(tokenizer, clips)
    known = teacher.known_of(clips, class_names)        # what is known of each clip, in the encoder's own space
    ids, embeddings = teacher.some(tokenizer, 256, rng)
    likeness = known.of(rows, tags) @ embeddings.T      # (B, 256): which of those captions would fit which clip

The text tower learns which captions are alike (`losses.similarity_distillation`), the audio tower which of them would
fit a clip (`losses.caption_bank`): so it reaches thousands of texts, and words that no clip of its own brings.
"""

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

__all__ = ["CaptionTeacher", "KnownOfClips", "own_texts"]


def own_texts(clips: Sequence[Clip], class_names: Sequence[str]) -> list[str]:
    """All that may be known of the clips in words: phrasings of their labels, people's captions, class names."""
    texts = {text for clip in clips for text in (*phrasings_of(clip.label), *clip.captions)}
    return sorted(texts | set(class_names))


@dataclass(frozen=True)
class KnownOfClips:
    """Sentence embeddings, unit length: `own (N, H)` of each clip's label and captions, `classes (C, H)` of the
    tagger's class names. `own_share` of what is known of a clip is its own texts, the rest its tags."""

    own: Tensor
    classes: Tensor
    own_share: float

    def to(self, device: torch.device) -> "KnownOfClips":
        return KnownOfClips(self.own.to(device), self.classes.to(device), self.own_share)

    def of(self, rows: np.ndarray, tags: Tensor) -> Tensor:
        """The clips of those rows, whose tags are (B, C) probabilities -> (B, H), unit length."""
        heard = F.normalize(tags @ self.classes, dim=1)
        own = self.own[torch.from_numpy(rows).to(self.own.device)]
        return F.normalize(self.own_share * own + (1 - self.own_share) * heard, dim=1)


@dataclass(frozen=True)
class CaptionTeacher:
    """Captions and their sentence embeddings `(N, H)`, unit length; `own` gives those of `own_texts`."""

    texts: list[str]
    embeddings: np.ndarray
    own: dict[str, np.ndarray]

    @classmethod
    def load(cls, path: Path) -> "CaptionTeacher":
        with np.load(path, allow_pickle=False) as file:
            own = {}
            if "own_texts" in file:
                own = dict(zip(file["own_texts"].tolist(), file["own_embeddings"], strict=True))
            return cls(file["texts"].tolist(), file["embeddings"], own)

    def readable(self, tokenizer: Tokenizer, clips: Sequence[Clip]) -> "CaptionTeacher":
        """Those that the vocabulary can read at all (tags such as `openwindowsounds` have no known word), without what
        people said of clips that training may not hear."""
        unheard = unheard_captions(clips)
        keep = [
            row for row, text in enumerate(self.texts) if tokenizer.reads(text) and tuple(words_of(text)) not in unheard
        ]
        return CaptionTeacher([self.texts[row] for row in keep], self.embeddings[keep], self.own)

    def some(self, tokenizer: Tokenizer, count: int, rng: np.random.Generator) -> tuple[Tensor, Tensor]:
        """Captions at random: token ids (count, L) and embeddings (count, H)."""
        rows = rng.choice(len(self.texts), size=count, replace=False)
        ids = batch_of([tokenizer.encode(self.texts[row]) for row in rows])
        return torch.from_numpy(ids), torch.from_numpy(self.embeddings[rows].astype(np.float32))

    def known_of(self, clips: Sequence[Clip], class_names: Sequence[str], own_share: float) -> KnownOfClips:
        """A clip's label, in all its phrasings, and its captions, where it has any, weigh the same."""
        own = [
            self._mean(phrasings_of(clip.label)) + (self._mean(clip.captions) if clip.captions else 0) for clip in clips
        ]
        classes = np.stack([self._of(name) for name in class_names])
        return KnownOfClips(F.normalize(torch.from_numpy(np.stack(own)), dim=1), torch.from_numpy(classes), own_share)

    def _of(self, text: str) -> np.ndarray:
        if text not in self.own:
            raise ValueError(f"the captions file does not know the text {text!r}: run `python -m training captions`")
        return self.own[text].astype(np.float32)

    def _mean(self, texts: Sequence[str]) -> np.ndarray:
        mean = np.mean([self._of(text) for text in texts], axis=0)
        return mean / np.linalg.norm(mean)
