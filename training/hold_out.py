"""What the *open* protocol keeps from training: whole sources, and a fifth of the labels of the others.

    held = HoldOut.of(clips)
    held.why(clip)              # "source", "label", "recording", or None where it may be trained on
    held.kept_back(clips)       # the same clips in the same rows; those held out are in no split of training

The *closed* protocol asks about sounds of known labels from known collections. Here the sources of `SOURCES`, and one
label in five of all other sources, are in neither the train nor the validation split: a checkpoint is not even chosen
by them. Labels of one sound (`SAME_SOUND`) fall together, so that no held-out label has a twin in training, and a
recording that carries a held-out label beside another one is left out under both. Which labels fall is decided by the
hash of their names: it depends neither on the order nor on the number of clips.

What training still knows of a held-out label is in words alone: the caption teacher's texts, the encoder's AudioSet
tags, and now and then a person's caption of another sound that names it. That is what "unseen" means for a model
which is asked in words.
"""

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from training.label_names import SAME_SOUND
from training.sounds import Clip

__all__ = ["HELD", "PROTOCOLS", "SOURCES", "HoldOut"]

PROTOCOLS = ("closed", "open")
SOURCES = frozenset({"cdda_cc_sounds", "openclonk"})
ONE_IN = 5
SEED = 0
HELD = "held"
"""The split of a clip that is kept back."""


@dataclass(frozen=True)
class HoldOut:
    """`labels` are held out wherever they stand; `recordings` carry one of them, or belong to one of `sources`."""

    sources: frozenset[str]
    labels: frozenset[str]
    recordings: frozenset[str]

    @classmethod
    def of(cls, clips: Sequence[Clip]) -> "HoldOut":
        """Decided from the labels and recordings of all clips, every split."""
        labels = held_labels(clip.label for clip in clips if clip.source not in SOURCES)
        gone = {clip.recording for clip in clips if clip.label in labels or clip.source in SOURCES}
        return cls(SOURCES, labels, frozenset(gone))

    def why(self, clip: Clip) -> str | None:
        """Why a clip is kept from training: its source is, its label is, or it shares a recording with one of them."""
        if clip.source in self.sources:
            return "source"
        if clip.label in self.labels:
            return "label"
        return "recording" if clip.recording in self.recordings else None

    def kept_back(self, clips: Iterable[Clip]) -> list[Clip]:
        """All clips in their rows, those held out of the train and validation splits with the split `HELD`."""
        return [
            replace(clip, split=HELD) if self.why(clip) and clip.split in ("train", "val") else clip for clip in clips
        ]


def held_labels(labels: Iterable[str]) -> frozenset[str]:
    """A fifth of the labels, or as many more as the last group of one sound brings; the least hashes first."""
    present = set(labels)
    groups = {frozenset(group & present) for group in SAME_SOUND} - {frozenset()}
    grouped = {label for group in groups for label in group}
    groups |= {frozenset({label}) for label in present - grouped}
    held: set[str] = set()
    for group in sorted(groups, key=_hash):
        if len(held) * ONE_IN >= len(present):
            break
        held |= group
    return frozenset(held)


def _hash(group: frozenset[str]) -> str:
    return hashlib.sha256(f"{SEED}:{min(group)}".encode()).hexdigest()
