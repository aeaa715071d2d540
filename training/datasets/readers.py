"""All readers by name, with what was published of each collection: for the commands `dataset` and `experiment`.

collection = READERS["clotho"].read(Path("data/CLOTHO"))
print("\n".join(described(READERS["clotho"], collection, listed=20)))
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from training.datasets import activitynet, audiocaps, clotho, folder, queryd, shared, sounddescs
from training.datasets.collection import SPLITS, Collection
from training.datasets.tables import md5_of

__all__ = ["READERS", "Reader", "departures", "described", "reader_of", "wrong_archives"]


@dataclass(frozen=True)
class Reader:
    """`home`: the collection's folder inside the one that holds all; `clips` as published, by split, and `captions`
    where captions were counted instead; `archives`: md5 sums of files that may lie beside; `aliases`: by what names
    the authors' files of features may call a clip, its own first."""

    read: Callable[[Path], Collection]
    home: str
    about: str
    clips: Mapping[str, int] = field(default_factory=dict)
    captions: Mapping[str, int] = field(default_factory=dict)
    archives: Mapping[str, str] = field(default_factory=dict)
    aliases: Callable[[str], tuple[str, ...]] = lambda id: (id,)


READERS = {
    "audiocaps": Reader(
        audiocaps.read_audiocaps,
        "AudioCaps",
        "AudioCaps v1, the papers' pool of 816",
        audiocaps.CLIPS[816],
        aliases=audiocaps.names,
    ),
    "audiocaps-975": Reader(
        lambda path: audiocaps.read_audiocaps(path, pool=975),
        "AudioCaps",
        "AudioCaps v1, the whole test split of 975",
        audiocaps.CLIPS[975],
        aliases=audiocaps.names,
    ),
    "audiocaps-2.0": Reader(
        audiocaps.read_audiocaps_2,
        "AudioCaps2.0",
        "AudioCaps 2.0",
        captions=audiocaps.CAPTIONS,
        aliases=audiocaps.names,
    ),
    "clotho": Reader(
        clotho.read_clotho, "CLOTHO", "Clotho v2.1", clotho.CLIPS, archives=clotho.ARCHIVES, aliases=clotho.names
    ),
    "clotho-1": Reader(clotho.read_clotho_1, "CLOTHO-v1", "Clotho v1", clotho.CLIPS_1, aliases=clotho.names),
    "activitynet": Reader(
        activitynet.read_activitynet, "activity-net", "ActivityNet-Captions, val_1", activitynet.CLIPS
    ),
    "queryd": Reader(queryd.read_queryd, "QuerYD", "QuerYD, whole videos", queryd.CLIPS),
    "queryd-segments": Reader(queryd.read_queryd_segments, "QuerYDSegments", "QuerYD, segments", queryd.SEGMENTS),
    "sounddescs": Reader(sounddescs.read_sounddescs, "SoundDescs", "SoundDescs (BBC)", sounddescs.CLIPS),
    "shared": Reader(shared.read_shared, "sounds", "the shared sounds"),
    "folder": Reader(folder.read_folder, "own", "a folder of one's own, with captions.csv or without"),
}


def reader_of(name: str) -> Reader:
    """ValueError: there is none; it lists those that there are."""
    if name not in READERS:
        known = "; ".join(f"{each} ({reader.about})" for each, reader in READERS.items())
        raise ValueError(f"there is no collection {name!r}: there are {known}")
    return READERS[name]


def departures(reader: Reader, collection: Collection) -> list[str]:
    """Where the collection is not what was published: counts, and what its reader noted."""
    told = list(collection.notes)
    for split in SPLITS:
        part = collection.part(split)
        for what, expected, found in (
            ("clips", reader.clips.get(split), len(part)),
            ("captions", reader.captions.get(split), sum(len(item.captions) for item in part)),
        ):
            if expected is not None and expected != found:
                told.append(f"{split}: {found} {what}, published are {expected}")
    return told


def wrong_archives(reader: Reader, path: Path) -> list[str]:
    """Archives in the folder whose md5 is not the published one; hashing gigabytes takes seconds each."""
    return [
        f"{path / name} has another md5 than the published {expected}: fetch it again"
        for name, expected in reader.archives.items()
        if (path / name).is_file() and md5_of(path / name) != expected
    ]


def described(reader: Reader, collection: Collection, *, listed: int) -> list[str]:
    """What was found, as Markdown lines: a table of splits, what departs, and what was left out (`listed` of them)."""
    lines = [f"### {reader.about}: {len(collection.items)} clips", ""]
    lines += [
        "| split | clips | published | captions | a clip | with audio | left out |",
        "|---|---|---|---|---|---|---|",
    ]
    for split in SPLITS:
        part = collection.part(split)
        captions = sum(len(item.captions) for item in part)
        published = reader.clips.get(split) or (f"{reader.captions[split]} captions" if reader.captions else "-")
        heard = sum(item.audio is not None for item in part)
        gone = sum(each.split == split for each in collection.skipped)
        each = f"{captions / len(part):.2f}" if part else "-"
        lines.append(f"| {split} | {len(part)} | {published} | {captions} | {each} | {heard} | {gone} |")
    if told := departures(reader, collection):
        lines += ["", "Not as published:", *(f"- {each}" for each in told)]
    if collection.skipped:
        lines += ["", f"Left out: {len(collection.skipped)}"]
        lines += [f"- {each.split} {each.id}: {each.reason}" for each in collection.skipped[:listed]]
        if len(collection.skipped) > listed:
            lines.append(f"- and {len(collection.skipped) - listed} more (--all lists them)")
    return lines
