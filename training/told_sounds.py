"""What a tagger would report of many sounds, told in words: texts learn which AudioSet classes they would sound like.

    told = ToldSounds.of(class_names, tokenizer, clips)     # without those that are a held-out label
    ids, tags = told.some(256, rng)                         # token ids (n, L), and what the classes weigh (n, C)
    table = told.directions(model, names)                   # where texts lie that sound like a class, (C, E)

An encoder's tagger knows two million recordings by the names of 527 classes, and what is said of a sound ("gravel under
boots") seldom uses those names (Crunch, Walk footsteps). told_sounds.txt says it of some twelve thousand sounds, a line
each, `sound | class=weight; class=weight`, a quarter of them whole sentences. It was written from general knowledge of
how things sound, of no recording or caption, by writers who saw none of the labels here: field by field of the
Universal Category System (the taxonomy of sound libraries) and of AudioSet's own classes, and letter by letter of the
dictionary. All of each, so that nobody who knew what the open protocol holds out chose. A text's cosines to the class
names learn its weights (`losses.soft_tags`, as a clip's cosines learn its tags), and by them a sound that training
lacks is found through what its tagger hears.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from edge_runtime.tokenizer import Tokenizer, batch_of, words_of
from training.hold_out import HELD
from training.label_names import tidy_label
from training.retrieval import DualEncoder
from training.sounds import Clip

__all__ = ["ToldSounds", "said_without", "tags_of", "told_sounds"]

RIDGE = 3.0
"""What holds the classes' directions short, beside some thousands of texts of unit length."""


@cache
def told_sounds() -> dict[str, dict[str, float]]:
    """By the sound's name: what classes weigh, above 0 and at most 1."""
    lines = Path(__file__).with_suffix(".txt").read_text(encoding="utf-8").splitlines()
    told = {}
    for line in lines:
        if line and not line.startswith("#"):
            sound, classes = line.split(" | ")
            pairs = (each.rsplit("=", maxsplit=1) for each in classes.split("; "))
            told[sound] = {name: float(weight) for name, weight in pairs}
    return told


def said_without(held: Iterable[Clip]) -> list[str]:
    """All told sounds but those that are, word for word, a label of these clips."""
    unsaid = {tuple(words_of(tidy_label(clip.label))) for clip in held}
    return [sound for sound in told_sounds() if tuple(words_of(sound)) not in unsaid]


def tags_of(sounds: Sequence[str], class_names: Sequence[str]) -> np.ndarray:
    """What is told of them, (N, C) float32. ValueError: one of the classes told is none of `class_names`."""
    column = {name: i for i, name in enumerate(class_names)}
    chosen = [told_sounds()[sound] for sound in sounds]
    unknown = {name for classes in chosen for name in classes} - set(column)
    if unknown:
        raise ValueError(f"told_sounds.txt names classes that this tagger lacks: {', '.join(sorted(unknown))}")
    tags = np.zeros((len(chosen), len(class_names)), np.float32)
    for row, classes in enumerate(chosen):
        for name, weight in classes.items():
            tags[row, column[name]] = weight
    return tags


@dataclass(frozen=True)
class ToldSounds:
    """Token ids of each sound's name, and `tags (N, C)`."""

    ids: list[np.ndarray]
    tags: np.ndarray

    @classmethod
    def of(cls, class_names: Sequence[str], tokenizer: Tokenizer, clips: Sequence[Clip]) -> "ToldSounds":
        """Those that the vocabulary reads. A label of `clips` that are held back (training/hold_out.py) stays unsaid.

        ValueError: one of the classes told is none of `class_names`."""
        said = said_without(clip for clip in clips if clip.split == HELD)
        chosen = [sound for sound in said if tokenizer.reads(sound)]
        return cls([tokenizer.encode(sound) for sound in chosen], tags_of(chosen, class_names))

    def some(self, count: int, rng: np.random.Generator) -> tuple[Tensor, Tensor]:
        """So many sounds at random: token ids (count, L) and tags (count, C)."""
        rows = rng.choice(len(self.ids), size=min(count, len(self.ids)), replace=False)
        return torch.from_numpy(batch_of([self.ids[row] for row in rows])), torch.from_numpy(self.tags[rows])

    @torch.no_grad()
    def directions(self, model: DualEncoder, names: Tensor) -> Tensor:
        """(C, E), by ridge regression: a text's product with a class's direction is what the class weighs in it. Of
        these sounds, and of the class `names`, token ids (C, L), each of which is its own class alone."""
        device = names.device
        texts = torch.cat((model.text(torch.from_numpy(batch_of(self.ids)).to(device)), model.text(names)))  # (N, E)
        weights = torch.cat((torch.from_numpy(self.tags), torch.eye(len(names)))).to(device)  # (N, C)
        held_short = RIDGE * torch.eye(texts.shape[1], device=device)
        return torch.linalg.solve(texts.T @ texts + held_short, texts.T @ weights).T
