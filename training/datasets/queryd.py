"""QuerYD (Oncescu et al. 2021): described videos; whole, or trimmed to what one description speaks of.

    collection = read_queryd(Path("data/QuerYD"))                       # 1796 / 384 / 386
    collection = read_queryd_segments(Path("data/QuerYDSegments"))      # 9113 / 1952 / 1954: the papers' form

The folders are the feature archives of robots.ox.ac.uk/~vgg/research/collaborative-experts (features-v2): three lists
and the captions' pickle, raw_captions_combined_filtered.pkl or split_raw_captions_filtered.pkl (datasets/archive.py).
"""

from pathlib import Path

from training.datasets import archive
from training.datasets.collection import Collection

__all__ = ["CLIPS", "SEGMENTS", "read_queryd", "read_queryd_segments"]

LISTS = {"train": "train_list.txt", "val": "val_list.txt", "test": "test_list.txt"}
CLIPS = {"train": 1_796, "val": 384, "test": 386}
SEGMENTS = {"train": 9_113, "val": 1_952, "test": 1_954}


def read_queryd(folder: Path) -> Collection:
    """Whole videos: all descriptions of one are joined into one query."""
    pickles = ("raw_captions_combined_filtered.pkl", archive.CAPTIONS)
    return archive.read_archive(folder, "queryd", LISTS, captions=pickles, joined=True)


def read_queryd_segments(folder: Path) -> Collection:
    pickles = ("split_raw_captions_filtered.pkl", archive.CAPTIONS)
    return archive.read_archive(folder, "queryd-segments", LISTS, captions=pickles)
