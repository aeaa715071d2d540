"""A plain folder of one's own recordings as a collection: training/own_sounds.py says what it may look like.

    my-sounds/captions.csv        columns file, caption (or caption_1, …); if you like, split (train, test), recording
    collection = read_folder(Path("my-sounds"))

A tenth of the training recordings, whole, is for validation: drawn by name, the same whatever else is added.
"""

import hashlib
from pathlib import Path

from training.datasets.collection import Collection, Item
from training.own_sounds import read_own

__all__ = ["read_folder"]

HELD = 10


def read_folder(folder: Path, *, seed: int = 0) -> Collection:
    """Splits: those of the table, or a fifth of each label's recordings for test; of the others a tenth, one at least,
    for validation. A clip without a caption has its label as one."""
    clips = read_own(folder, seed=seed)
    train = sorted({clip.recording for clip in clips if clip.split == "train"})
    if len(train) < 2:
        raise ValueError(f"{folder} has {len(train)} recordings for training: two at least, one of them is held out")
    drawn = sorted(train, key=lambda name: hashlib.sha256(f"{seed} val {name}".encode()).digest())
    held = set(drawn[: max(1, len(train) // HELD)])
    items = tuple(
        Item(
            str(clip.path.relative_to(folder)),
            "val" if clip.split == "train" and clip.recording in held else clip.split,
            clip.captions or (clip.label,),
            clip.path,
        )
        for clip in clips
    )
    return Collection("folder", items)
