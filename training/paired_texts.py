"""Texts that people wrote of one and the same recording teach the text tower which of them belong together.

    python -m training pairs                                    # -> runs/pairs.npz
    pairs = PairedTexts.load(path).readable(tokenizer, clips)   # without what training may not know
    ids, alike = pairs.some(128, rng)                           # of 128 sounds two texts each

A sentence encoder knows which texts mean the same (training/caption_teacher.py), not which sounds are alike. Here a
title or tags stand against a sentence, so that a sentence comes to lie where the words of labels do, and with them the
sounds (`losses.text_pairs`).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from edge_runtime.tokenizer import Tokenizer, batch_of, words_of
from training.described_sounds import DescribedSound
from training.sounds import Clip, unheard_captions

__all__ = ["PairedTexts", "ReadablePairs"]

ALIKE = 0.65
"""Sounds whose sentences a sentence encoder finds so alike (cosine) are not told apart: many a dog barks."""


@dataclass(frozen=True)
class PairedTexts:
    """Sounds, and each one's sentence embedding: `embeddings (N, H)`, unit length."""

    sounds: list[DescribedSound]
    embeddings: np.ndarray

    def save(self, path: Path) -> None:
        rows = [
            (text, of, is_sentence)
            for of, sound in enumerate(self.sounds)
            for is_sentence, texts in enumerate((sound.names, sound.sentences))
            for text in texts
        ]
        texts, of, is_sentence = (np.array(column) for column in zip(*rows, strict=True))
        recordings = np.array([sound.recording for sound in self.sounds])
        path.parent.mkdir(parents=True, exist_ok=True)
        np.savez_compressed(
            path,
            texts=texts,
            of=of,
            is_sentence=is_sentence.astype(bool),
            recordings=recordings,
            embeddings=self.embeddings.astype(np.float16),
        )

    @classmethod
    def load(cls, path: Path) -> "PairedTexts":
        if not path.is_file():
            raise FileNotFoundError(f"{path} is missing: `python -m training pairs` makes it")
        with np.load(path, allow_pickle=False) as file:
            texts: list[tuple[list[str], list[str]]] = [([], []) for _ in file["recordings"]]
            for text, of, is_sentence in zip(file["texts"].tolist(), file["of"], file["is_sentence"], strict=True):
                texts[of][int(is_sentence)].append(text)
            recordings = file["recordings"].tolist()
            sounds = [
                DescribedSound(tuple(names), tuple(sentences), recording)
                for (names, sentences), recording in zip(texts, recordings, strict=True)
            ]
            return cls(sounds, file["embeddings"].astype(np.float32))

    def readable(self, tokenizer: Tokenizer, clips: Sequence[Clip]) -> "ReadablePairs":
        """Of sounds that have two different texts or more in the vocabulary's words, and are none of the clips that
        training may not hear: neither by their recording nor by a sentence."""
        recordings = {clip.recording for clip in clips if clip.split != "train"}
        captions = unheard_captions(clips)
        found, rows = [], []
        for row, sound in enumerate(self.sounds):
            if sound.recording in recordings or any(tuple(words_of(text)) in captions for text in sound.sentences):
                continue
            names, sentences = (_encoded(texts, tokenizer) for texts in (sound.names, sound.sentences))
            names = {ids: each for ids, each in names.items() if ids not in sentences}
            if len(names) + len(sentences) >= 2:
                found.append((list(names.values()), list(sentences.values())))
                rows.append(row)
        return ReadablePairs(found, self.embeddings[rows])


@dataclass(frozen=True)
class ReadablePairs:
    """Token ids of each sound's names and of its sentences, two texts or more; `embeddings (N, H)`."""

    texts: list[tuple[list[np.ndarray], list[np.ndarray]]]
    embeddings: np.ndarray

    def some(self, count: int, rng: np.random.Generator) -> tuple[Tensor, Tensor]:
        """Of so many sounds at random two texts each: token ids (2 count, L), the second ones after the first ones, and
        which sounds are too alike to be told apart, (count, count) bool, none of them itself."""
        rows = rng.choice(len(self.texts), size=min(count, len(self.texts)), replace=False)
        first, second = zip(*(self._two(row, rng) for row in rows), strict=True)
        alike = self.embeddings[rows] @ self.embeddings[rows].T > ALIKE
        np.fill_diagonal(alike, False)
        return torch.from_numpy(batch_of([*first, *second])), torch.from_numpy(alike)

    def _two(self, row: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        """A name and a sentence, in either order; half of the time two sentences where there are such."""
        names, sentences = self.texts[row]
        if names and sentences and (len(sentences) < 2 or rng.random() < 0.5):
            pair = (names[rng.integers(len(names))], sentences[rng.integers(len(sentences))])
        else:
            several = sentences if len(sentences) > 1 else names
            one, other = rng.choice(len(several), size=2, replace=False)
            pair = (several[one], several[other])
        return pair if rng.random() < 0.5 else pair[::-1]


def _encoded(texts: Sequence[str], tokenizer: Tokenizer) -> dict[tuple[int, ...], np.ndarray]:
    """Those that the vocabulary reads, by their ids: two spellings of the same words are one text."""
    ids = [tokenizer.encode(text) for text in texts if tokenizer.reads(text)]
    return {tuple(each.tolist()): each for each in ids}
