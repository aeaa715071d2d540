"""What one training step sees: clips through one of their windows, each with one of the texts that fit it.

    sampler = Sampler(clips, copies, tokenizer, config, extras)
    for batch in sampler.epoch(rng): …      # each training recording once, in a new order

Some examples are two sounds (`config.joint`): a mixture (training/extras.py), or one clip's segments and then
another's, with a caption that says both (training/joint_captions.py) or one that fits the first. A text fits an example
that has all the sounds it names; a person's caption, with `config.own_captions`, those of its own recording alone.
"""

import random
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from edge_runtime.tokenizer import Tokenizer, batch_of
from training.augment import cropped
from training.evaluate import same_sound
from training.extras import Extras
from training.features import Features
from training.joint_captions import at_once, in_turn
from training.phrasings import varied
from training.sounds import Clip
from training.titles import readable_title
from training.train_config import TrainConfig

__all__ = ["Batch", "Sampler", "in_turn_segments", "padded", "text_of"]

ALONE = -1
"""Stands for a second sound that is not there."""


@dataclass(frozen=True)
class Batch:
    """The clips' `rows (B,)`, segments (B, S, D), mask (B, S), token ids (B, L), tags (B, C); positive (B, B) bool:
    which text (column) fits which example (row). `still`: segments (N, S, D) and mask (N, S) of sounds that no text
    fits."""

    rows: np.ndarray
    segments: Tensor
    mask: Tensor
    token_ids: Tensor
    positive: Tensor
    tags: Tensor
    still: tuple[Tensor, Tensor] | None = None


@dataclass(frozen=True)
class Heard:
    """One example: segments (S, D) of which `length` count, tags (C,); its clip's row, and the other's whose sound is
    in it as well, if any: `below_db` weaker and at once, or after the first (None)."""

    segments: np.ndarray
    length: int
    tags: np.ndarray
    row: int
    other: int = ALONE
    below_db: float | None = None


class Sampler:
    """Batches of one epoch: each training recording once, in a new order, a random window of a random copy; `crop`,
    `joint` and `still` of the configuration say what else. Raises ValueError where `extras` lack what they need."""

    def __init__(
        self,
        clips: Sequence[Clip],
        copies: Sequence[Features],
        tokenizer: Tokenizer,
        config: TrainConfig,
        extras: Extras | None = None,
    ) -> None:
        self._clips, self._copies, self._tokenizer, self._config = clips, copies, tokenizer, config
        self._extras = extras or Extras()
        if (config.joint and not self._extras.mixtures) or (config.still and not self._extras.still):
            raise ValueError(
                "--joint needs mixtures and --still needs still sounds beside the features: run `python -m training "
                "extras` on them first"
            )
        self._titles = [readable_title(clip.title, tokenizer) if config.titles else "" for clip in clips]
        self._windows: list[dict[int, np.ndarray]] = [copy.rows_by_clip() for copy in copies]
        self._mixed: dict[int, np.ndarray] = {}
        if self._extras.mixtures:  # none whose second sound is kept from training
            trained = np.array([clip.split == "train" for clip in clips])[self._extras.mixtures.partner]
            found = {row: own[trained[own]] for row, own in self._extras.mixtures.features.rows_by_clip().items()}
            self._mixed = {row: own for row, own in found.items() if len(own)}
        by_recording = defaultdict(list)
        for row, clip in enumerate(clips):
            if clip.split == "train":
                by_recording[clip.recording].append(row)
        self.recordings = list(by_recording.values())
        labels = sorted({clip.label for clip in clips})
        self._label = np.array([labels.index(clip.label) for clip in clips])
        same = same_sound(labels)
        self._same = np.zeros((len(labels) + 1, len(labels) + 1), bool)  # the last row and column are `ALONE`'s:
        self._same[:-1, :-1] = same  # no sound names it,
        self._same[:, ALONE] = True  # and to name nothing fits every sound

    def __len__(self) -> int:
        return max(1, len(self.recordings) // self._config.batch)

    def epoch(self, rng: np.random.Generator) -> Iterator[Batch]:
        order = rng.permutation(len(self.recordings))
        size = self._config.batch
        for start in range(len(self)):
            chosen = order[start * size : (start + 1) * size]
            rows = np.array([rng.choice(self.recordings[i]) for i in chosen])
            yield self.of(rows, rng)

    def of(self, rows: np.ndarray, rng: np.random.Generator) -> Batch:
        """A batch of these clips, each through a random window of a random copy, with a random one of its texts."""
        heard = [self._heard(row, rng) for row in rows]
        texts, joint = zip(*(self._text(each, rng) for each in heard), strict=True)
        x, mask = padded(np.stack([each.segments for each in heard]), np.array([each.length for each in heard]))
        others = np.array([each.other for each in heard])
        fits = self._fits(rows, others, np.array(joint))
        if self._config.own_captions:
            fits &= self._own(rows, texts)
        return Batch(
            rows,
            x,
            mask,
            torch.from_numpy(batch_of([self._tokenizer.encode(text) for text in texts])),
            torch.from_numpy(fits),
            torch.from_numpy(np.stack([each.tags for each in heard]).astype(np.float32)),
            self._still(rng) if self._config.still else None,
        )

    def _heard(self, row: int, rng: np.random.Generator) -> Heard:
        if self._config.joint and rng.random() < self._config.joint:
            return self._at_once(row, rng) if rng.random() < 0.5 and row in self._mixed else self._in_turn(row, rng)
        alone = self._alone(row, rng)
        if not self._config.crop or rng.random() >= self._config.crop:
            return alone
        part, length = cropped(alone.segments, alone.length, rng)
        return Heard(part, length, alone.tags, row)

    def _alone(self, row: int, rng: np.random.Generator) -> Heard:
        copy = int(rng.integers(len(self._copies)))
        window, features = rng.choice(self._windows[copy][row]), self._copies[copy]
        return Heard(features.segments[window], int(features.lengths[window]), features.tags[window], row)

    def _at_once(self, row: int, rng: np.random.Generator) -> Heard:
        mixtures = self._extras.mixtures
        assert mixtures is not None
        window, features = rng.choice(self._mixed[row]), mixtures.features
        segments, length, tags = features.segments[window], int(features.lengths[window]), features.tags[window]
        return Heard(segments, length, tags, row, int(mixtures.partner[window]), float(mixtures.below_db[window]))

    def _in_turn(self, row: int, rng: np.random.Generator) -> Heard:
        """A clip, then another one."""
        other = int(rng.choice(self.recordings[rng.integers(len(self.recordings))]))
        pair = (self._alone(row, rng), self._alone(other, rng))
        segments, length = in_turn_segments([(each.segments, each.length) for each in pair], rng)
        return Heard(segments, length, np.maximum(pair[0].tags, pair[1].tags), row, other)

    def _text(self, heard: Heard, rng: np.random.Generator) -> tuple[str, bool]:
        """A text that fits, and whether it names both sounds."""
        if heard.other == ALONE or rng.random() < 0.5:
            title = self._titles[heard.row]
            if title and rng.random() < self._config.titles:
                return title, False
            return text_of(self._clips[heard.row], rng), False
        pair = (self._clips[heard.row].label, self._clips[heard.other].label)
        words = random.Random(int(rng.integers(2**32)))
        caption = in_turn(*pair, words) if heard.below_db is None else at_once(*pair, heard.below_db, words)
        return caption, True

    def _fits(self, rows: np.ndarray, others: np.ndarray, joint: np.ndarray) -> np.ndarray:
        """Which text names only what is in which example, (B, B) bool; any of a recording's texts fits all of it."""
        first, second = self._label[rows], np.where(others == ALONE, ALONE, self._label[others])
        named = np.where(joint, second, ALONE)

        def has(labels: np.ndarray) -> np.ndarray:
            return self._same[np.ix_(first, labels)] | (self._same[np.ix_(second, labels)])

        return (has(first) & has(named)) | (self._same_recording(rows) & ~joint)

    def _own(self, rows: np.ndarray, texts: Sequence[str]) -> np.ndarray:
        """Which text may fit which example, (B, B) bool, where a person's caption fits its own recording alone."""
        captions = [text in self._clips[row].captions for row, text in zip(rows, texts, strict=True)]
        return self._same_recording(rows) | ~np.array(captions)

    def _same_recording(self, rows: np.ndarray) -> np.ndarray:
        recordings = np.array([self._clips[row].recording for row in rows])
        return recordings[:, None] == recordings

    def _still(self, rng: np.random.Generator) -> tuple[Tensor, Tensor]:
        sounds = self._extras.still
        assert sounds is not None
        chosen = rng.integers(len(sounds.lengths), size=self._config.still)
        return padded(sounds.segments[chosen], sounds.lengths[chosen])


def in_turn_segments(sounds: Sequence[tuple[np.ndarray, int]], rng: np.random.Generator) -> tuple[np.ndarray, int]:
    """Segments (S, D) of which so many count, of two sounds -> both in one window: (S, D), and how many count.

    At most half a window of each is left.
    """
    joined, filled = np.zeros_like(sounds[0][0]), 0
    for segments, length in sounds:
        kept = min(length, len(joined) // 2)
        first = int(rng.integers(length - kept + 1))
        joined[filled : filled + kept] = segments[first : first + kept]
        filled += kept
    return joined, filled


def padded(segments: np.ndarray, lengths: np.ndarray) -> tuple[Tensor, Tensor]:
    """float16 (B, S, D) and lengths (B,) -> float32 (B, S, D) cut to the longest, and its mask (B, S)."""
    longest = int(lengths.max())
    x = torch.from_numpy(segments[:, :longest].astype(np.float32))
    return x, torch.arange(longest)[None, :] < torch.from_numpy(lengths)[:, None]


def text_of(clip: Clip, rng: np.random.Generator) -> str:
    """A human caption half of the time where there is one, else the label in one of its phrasings."""
    if clip.captions and rng.random() < 0.5:
        return str(rng.choice(np.array(clip.captions)))
    return varied(clip.label, random.Random(int(rng.integers(2**32))))
