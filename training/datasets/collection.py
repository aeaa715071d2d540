"""What every captioned collection is read into: items with captions, in splits, and what had to be left out.

collection = Collection("clotho", items, skipped)
collection.part("train")            # its training items
collection.share(25, seed=0)        # a quarter of the training items, the others whole
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

__all__ = ["SPLITS", "Collection", "Item", "Skipped"]

SPLITS = ("train", "val", "test")


@dataclass(frozen=True)
class Item:
    """One clip: its `id` (the key of its features), split, captions (one at least, none empty), and its audio where
    the owner has it."""

    id: str
    split: str
    captions: tuple[str, ...]
    audio: Path | None = None

    def __post_init__(self) -> None:
        if self.split not in SPLITS:
            raise ValueError(f"{self.id}: the split is {self.split!r}, expected one of {', '.join(SPLITS)}")
        if not self.captions or not all(text.strip() for text in self.captions):
            raise ValueError(f"{self.id}: a caption is empty or there is none: give each clip a text")


@dataclass(frozen=True)
class Skipped:
    """A clip, or captions of it, that were left out, and why: for the count and the list that `dataset` prints."""

    id: str
    split: str
    reason: str


@dataclass(frozen=True)
class Collection:
    """Items in the order of the collection's own tables, each id once. `notes` say what departs from the published
    form: a table stands beside them."""

    name: str
    items: tuple[Item, ...]
    skipped: tuple[Skipped, ...] = ()
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        twice = [name for name, count in Counter(item.id for item in self.items).items() if count > 1]
        if twice:
            raise ValueError(f"{self.name} has {len(twice)} ids more than once, the first is {twice[0]!r}")

    def part(self, split: str) -> tuple[Item, ...]:
        if split not in SPLITS:
            raise ValueError(f"{self.name} has no split {split!r}: there are {', '.join(SPLITS)}")
        return tuple(item for item in self.items if item.split == split)

    def share(self, percent: float, *, seed: int) -> "Collection":
        """`percent` of the training items, drawn without replacement (at least one), and all others. A larger share of
        the same seed holds the smaller one."""
        if not 0 < percent <= 100:
            raise ValueError(f"{percent} % of the training items: give more than 0 and at most 100")
        train = self.part("train")
        order = np.random.default_rng(seed).permutation(len(train))
        kept = {train[i].id for i in order[: max(1, round(len(train) * percent / 100))]}
        items = tuple(item for item in self.items if item.split != "train" or item.id in kept)
        return replace(self, items=items)

    def without(self, skipped: Sequence[Skipped]) -> "Collection":
        """The same less the items of these ids, which join the list of what was left out."""
        gone = {each.id for each in skipped}
        items = tuple(item for item in self.items if item.id not in gone)
        return replace(self, items=items, skipped=(*self.skipped, *skipped))
