"""The shared sounds beside the repository, as a collection: what people wrote of a clip, else its label, in words.

    collection = read_shared(Path("../shared/data/sounds"))

A clip's id is its file's name in clips.csv. Clips of one label share a caption: who wants any of them to count as right
scores by label (training/evaluate.py); here only the clip itself does, as in the papers.
"""

from pathlib import Path

from training.datasets.collection import Collection, Item
from training.label_names import tidy_label
from training.sounds import read_clips

__all__ = ["read_shared"]


def read_shared(folder: Path) -> Collection:
    items = tuple(
        Item(str(clip.path.relative_to(folder)), clip.split, clip.captions or (tidy_label(clip.label),), clip.path)
        for clip in read_clips(folder)
    )
    return Collection("shared", items)
