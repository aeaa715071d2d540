"""ActivityNet-Captions (Krishna et al. 2017): videos, each with several timed sentences, joined into one query.

    collection = read_activitynet(Path("data/activity-net"))      # 10 009 for training, val_1's 4917 for test

What the folder holds, one or the other:

    train.json, val_1.json                              captions.zip of cs.stanford.edu/people/ranjaykrishna/densevid
    train_list.txt, val_1_list.txt, raw-captions-train-val_1.pkl      the feature archive, in structured-symlinks/

There is no validation split: the authors chose their epoch on val_1 itself, and so does whoever compares with them.
"""

import json
from pathlib import Path

from training.datasets import archive
from training.datasets.collection import Collection, Item, Skipped
from training.datasets.tables import needed, said

__all__ = ["CLIPS", "read_activitynet"]

NAME = "activitynet"
TABLES = {"train": "train.json", "test": "val_1.json"}
LISTS = {"train": "train_list.txt", "test": "val_1_list.txt"}
PICKLES = ("raw-captions-train-val_1.pkl", archive.CAPTIONS)
CLIPS = {"train": 10_009, "test": 4_917}


def read_activitynet(folder: Path) -> Collection:
    if archive.found(folder, LISTS["test"]) is not None:
        return archive.read_archive(folder, NAME, LISTS, captions=PICKLES, joined=True)
    items: list[Item] = []
    skipped: list[Skipped] = []
    for split, file in TABLES.items():
        path = needed(folder, (file, f"captions/{file}"), f"the {split} captions of ActivityNet-Captions")
        for id, sentences in _sentences(path).items():
            kept, empty = said(sentences, id=id, split=split, where=f"{path}, {id}, sentences")
            skipped += empty
            if kept:
                items.append(Item(id, split, (" ".join(kept),)))
    return Collection(NAME, tuple(items), tuple(skipped))


def _sentences(path: Path) -> dict[str, list[str]]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (UnicodeDecodeError, json.JSONDecodeError) as error:
        raise ValueError(f"{path} is not JSON ({error}): fetch it again") from error
    if not isinstance(content, dict):
        raise ValueError(f"{path} holds a {type(content).__name__}, expected videos by their ids")
    for id, video in content.items():
        sentences = video.get("sentences") if isinstance(video, dict) else None
        if not isinstance(sentences, list) or not all(isinstance(text, str) for text in sentences):
            raise ValueError(f"{path}, {id}: the field sentences is missing, or no list of texts")
    return {id: video["sentences"] for id, video in content.items()}
