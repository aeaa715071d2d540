"""Clotho (Drossos et al. 2020): 15 to 30 s of Freesound a clip, five captions each.

    collection = read_clotho(Path("data/CLOTHO"))                  # v2.1: 3839 / 1045 / 1045
    collection = read_clotho_1(Path("data/CLOTHO"))                # v1: development 2893, split in two; evaluation 1045

What the folder holds, as Zenodo 4783391 (v2.1) and 3490684 (v1) have it:

    clotho_captions_development.csv, clotho_captions_validation.csv (v2.1), clotho_captions_evaluation.csv
    clotho_metadata_development.csv …           if you like: it is read as ISO-8859-1 and must fit the captions
    clotho_audio_development.7z …               if you like: its md5 is compared
    development/NAME.wav, validation/, evaluation/    if you have the recordings: clips without one are left out, listed

v1 has no validation split: the papers drew 579 of its development clips. With the feature archive's lists
(train_list.txt, val_list.txt, test_list.txt and raw-captions.pkl) it is theirs, else one of our own drawing. A clip's
id is its file's name without `.wav`; three names stand in two splits, there the later one's is PART/NAME.
"""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np

from training.datasets import archive
from training.datasets.collection import Collection, Item, Skipped
from training.datasets.tables import csv_rows, md5_of, needed, recordings_by_stem, said

__all__ = ["ARCHIVES", "CLIPS", "CLIPS_1", "names", "read_clotho", "read_clotho_1"]

PARTS = {"train": "development", "val": "validation", "test": "evaluation"}
TEXTS = tuple(f"caption_{i}" for i in range(1, 6))
CLIPS = {"train": 3839, "val": 1045, "test": 1045}
CLIPS_1 = {"train": 2314, "val": 579, "test": 1045}
LISTS = {"train": "train_list.txt", "val": "val_list.txt", "test": "test_list.txt"}
ARCHIVES = {
    "clotho_audio_development.7z": "c8b05bc7acdb13895bb3c6a29608667e",
    "clotho_audio_validation.7z": "7dba730be08bada48bd15dc4e668df59",
    "clotho_audio_evaluation.7z": "4569624ccadf96223f19cb59fe4f849f",
}
"""md5 sums of v2.1."""
TABLES = {
    "clotho_captions_development.csv": "d4090b39ce9f2491908eebf4d5b09bae",
    "clotho_captions_validation.csv": "5879e023032b22a2c930aaa0528bead4",
    "clotho_captions_evaluation.csv": "1b16b9e57cf7bdb7f13a13802aeb57e2",
}


def read_clotho(folder: Path) -> Collection:
    """v2.1."""
    return _of_tables(folder, "clotho-2.1", PARTS, TABLES)


def read_clotho_1(folder: Path, *, seed: int = 0) -> Collection:
    """v1, with the authors' validation split where their lists are there, else with one drawn by `seed`."""
    if archive.found(folder, LISTS["val"]) is not None and not (folder / "clotho_captions_development.csv").is_file():
        return archive.read_archive(folder, "clotho-1", LISTS)
    whole = _of_tables(folder, "clotho-1", {"train": "development", "test": "evaluation"}, {})
    train = whole.part("train")
    count = round(len(train) * CLIPS_1["val"] / (CLIPS_1["train"] + CLIPS_1["val"]))
    drawn = {train[i].id for i in np.random.default_rng(seed).permutation(len(train))[:count]}
    items = tuple(replace(item, split="val") if item.id in drawn else item for item in whole.items)
    note = f"the validation split is drawn here (seed {seed}): the authors' own lists are not there"
    return replace(whole, items=items, notes=(*whole.notes, note))


def names(id: str) -> tuple[str, ...]:
    """A clip's own name, and as a file of its part."""
    return id, f"{id}.wav", Path(id).name, f"{Path(id).name}.wav"


def _of_tables(folder: Path, name: str, parts: Mapping[str, str], sums: Mapping[str, str]) -> Collection:
    items: list[Item] = []
    skipped: list[Skipped] = []
    notes: list[str] = []
    taken: set[str] = set()
    for split, part in parts.items():
        file = f"clotho_captions_{part}.csv"
        path = needed(folder, (file,), f"the {part} captions of Clotho")
        if file in sums and (found := md5_of(path)) != sums[file]:
            notes.append(f"{path} has the md5 {found}, published is {sums[file]}")
        audio = recordings_by_stem(folder / part)
        for line, row in csv_rows(path, ("file_name", *TEXTS)):
            if not row["file_name"]:
                raise ValueError(f"{path}, line {line}: file_name is empty")
            name_in_part = row["file_name"].removesuffix(".wav")
            id = f"{part}/{name_in_part}" if name_in_part in taken else name_in_part
            taken.add(id)
            where = f"{path}, line {line}, {TEXTS[0]} to {TEXTS[-1]}"
            captions, empty = said([row[text] for text in TEXTS], id=id, split=split, where=where)
            skipped += empty
            if captions and audio is not None and name_in_part not in audio:
                skipped.append(Skipped(id, split, f"no audio {folder / part / row['file_name']}"))
            elif captions:
                items.append(Item(id, split, captions, audio[name_in_part] if audio is not None else None))
        _check_metadata(
            folder / f"clotho_metadata_{part}.csv", {Path(item.id).name for item in items if item.split == split}, notes
        )
    return Collection(name, tuple(items), tuple(skipped), tuple(notes))


def _check_metadata(path: Path, ids: set[str], notes: list[str]) -> None:
    """The metadata, where it is, must speak of the same clips."""
    if not path.is_file():
        return
    told = {row["file_name"].removesuffix(".wav") for _, row in csv_rows(path, ("file_name",), encoding="iso-8859-1")}
    if strange := ids - told:
        notes.append(f"{path} lacks {len(strange)} clips that have captions, the first is {min(strange)!r}")
