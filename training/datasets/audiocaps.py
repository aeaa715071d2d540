"""AudioCaps (Kim et al. 2019): 10 s of AudioSet a clip, one caption in training, five in validation and test.

    collection = read_audiocaps(Path("data/AudioCaps"), pool=816)

What the folder holds:

    train.csv, val.csv, test.csv       github.com/cdjkim/audiocaps, dataset/ (v1) or dataset2.0/, or in such a subfolder
    final_filtered_test_list.txt       the papers' 816 test clips, with filtered_val_list.txt and train_list.txt: in the
                                       feature archive of "Audio Retrieval with Natural Language Queries"; also where
                                       that archive has them, in structured-symlinks/, then with its raw-captions.pkl
                                       in place of the CSVs
    audio/ID.wav                       if you have the recordings: others than these are left out, and listed

A clip's id is YOUTUBE-ID_START, START in milliseconds. Its captions do not stand together in the CSVs.
"""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from training.datasets import archive
from training.datasets.collection import SPLITS, Collection, Item, Skipped
from training.datasets.tables import csv_rows, id_list, needed, recordings_by_stem, said

__all__ = ["CAPTIONS", "CLIPS", "LISTS", "names", "read_audiocaps", "read_audiocaps_2"]

COLUMNS = ("audiocap_id", "youtube_id", "start_time", "caption")
LISTS = {"train": "train_list.txt", "val": "filtered_val_list.txt", "test": "final_filtered_test_list.txt"}
CLIPS = {
    816: {"train": 49_291, "val": 428, "test": 816},
    975: {"train": 49_838, "val": 495, "test": 975},
}
"""Published, by the size of the test pool."""
CAPTIONS = {"train": 91_256, "val": 2_475, "test": 4_875}
"""Of 2.0, whose pages count captions."""


def read_audiocaps(folder: Path, *, pool: int = 816) -> Collection:
    """v1. `pool` 816 is the papers': the lists choose the clips; 975 is the whole published test split."""
    if pool not in CLIPS:
        raise ValueError(f"AudioCaps has no pool of {pool}: there are {', '.join(map(str, CLIPS))}")
    if pool == 816 and not _has_tables(folder) and archive.found(folder, archive.CAPTIONS) is not None:
        return archive.read_archive(folder, f"audiocaps-{pool}", LISTS)
    whole = _of_tables(folder, f"audiocaps-{pool}", "dataset")
    return _listed(whole, folder) if pool == 816 else whole


def read_audiocaps_2(folder: Path) -> Collection:
    return _of_tables(folder, "audiocaps-2.0", "dataset2.0")


def names(id: str) -> tuple[str, ...]:
    """A clip's own name, and the one of paper 1's feature files, which have one clip a video: its video's."""
    return id, id.rpartition("_")[0]


def _has_tables(folder: Path) -> bool:
    return any((folder / place / "test.csv").is_file() for place in ("", "dataset"))


def _of_tables(folder: Path, name: str, subfolder: str) -> Collection:
    items: list[Item] = []
    skipped: list[Skipped] = []
    audio = recordings_by_stem(folder / "audio")
    for split in SPLITS:
        places = (f"{split}.csv", f"{subfolder}/{split}.csv")
        path = needed(folder, places, f"the {split} captions of AudioCaps")
        for id, texts in _grouped(path).items():
            lines = ", ".join(str(line) for line in texts)
            captions, empty = said(list(texts.values()), id=id, split=split, where=f"{path}, line {lines}, caption")
            skipped += empty
            if captions and audio is not None and id not in audio:
                skipped.append(Skipped(id, split, f"no audio {folder / 'audio' / id}.wav"))
            elif captions:
                items.append(Item(id, split, captions, audio[id] if audio is not None else None))
    return Collection(name, tuple(items), tuple(skipped))


def _grouped(path: Path) -> dict[str, dict[int, str]]:
    """The captions of each clip by the line that they stand in."""
    clips: dict[str, dict[int, str]] = {}
    started: dict[str, str] = {}
    for line, row in csv_rows(path, COLUMNS):
        youtube, start = row["youtube_id"], row["start_time"]
        if not youtube or not start.isdigit():
            raise ValueError(
                f"{path}, line {line}: youtube_id {youtube!r}, start_time {start!r}: expected an id and whole seconds"
            )
        if started.setdefault(youtube, start) != start:
            raise ValueError(f"{path}, line {line}: start_time is {start}, but {started[youtube]} above for {youtube}")
        clips.setdefault(f"{youtube}_{int(start) * 1000}", {})[line] = row["caption"]
    return clips


def _listed(whole: Collection, folder: Path) -> Collection:
    """The clips of the authors' lists, in their order. The test list must be there; without another list its split
    stays whole, and is told."""
    needed(folder, archive.places(LISTS["test"]), "the papers' list of 816 test clips")
    by_id: Mapping[str, Item] = {item.id: item for item in whole.items}
    items: list[Item] = []
    skipped, notes = list(whole.skipped), list(whole.notes)
    told = {each.id for each in skipped}
    for split, file in LISTS.items():
        path = archive.found(folder, file)
        if path is None:
            items += whole.part(split)
            notes.append(f"{file} is not there: all clips of {split}.csv are taken, the papers left some out")
            continue
        for line, id in enumerate(id_list(path), start=1):
            if id in by_id:
                items.append(replace(by_id[id], split=split))
            elif id not in told:
                skipped.append(Skipped(id, split, f"{path}, line {line}: the CSVs have no such clip"))
    return Collection(whole.name, tuple(items), tuple(skipped), tuple(notes))
