"""What people wrote of recordings that are not here: all that a caption corpus says of one and the same sound.

    for sound in described_sounds(Path("../shared/data/text")): …

Names (a title, tags, a kind of sound) stand apart from sentences. As training/corpora.py says, what is somebody's
benchmark stays out.
"""

import json
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from training.corpora import ONTOLOGY, read_rows
from training.titles import title_words

__all__ = ["DescribedSound", "described_sounds"]

SENTENCE_WORDS = 30
"""What a description says after so many is mostly of recorders, packs and licences."""


@dataclass(frozen=True)
class DescribedSound:
    """Names and sentences of one sound; `recording`: as training/sounds.py calls it, or ""."""

    names: tuple[str, ...]
    sentences: tuple[str, ...]
    recording: str = ""


def described_sounds(folder: Path) -> Iterator[DescribedSound]:
    """Corpus by corpus; FileNotFoundError or ValueError names what is missing."""
    captions = [f"caption_{i}" for i in range(1, 6)]
    for row in read_rows(folder, "clotho_development_captions.csv", ("file_name", *captions)):
        yield _sound([row["file_name"]], [row[name] for name in captions])
    kinds = ("category", "sub-category", "original-tags")
    for row in read_rows(folder, "foleyset_descriptions.csv", ("freesound-id", *kinds, "description")):
        category, kind, tags = (row[name] for name in kinds)
        yield _sound([kind, f"{category} {kind}", tags], [row["description"]], f"freesound:{row['freesound-id']}")
    for row in read_rows(folder, "soundbible_captions.csv", ("title", "caption")):
        yield _sound([row["title"]], [row["caption"]])
    clips = defaultdict(list)
    for row in read_rows(folder, "audiocaps_val.csv", ("youtube_id", "caption")):
        clips[row["youtube_id"]].append(row["caption"])
    for sentences in clips.values():
        yield _sound([], sentences)
    for entry in json.loads((folder / ONTOLOGY).read_text(encoding="utf-8")):
        yield _sound([entry["name"]], [entry["description"]])


def _sound(names: list[str], sentences: list[str], recording: str = "") -> DescribedSound:
    """Names as words, each text once."""
    spoken = (" ".join(title_words(name)) for name in names)
    openings = (" ".join(each.split()[:SENTENCE_WORDS]) for each in sentences)
    return DescribedSound(_once(spoken), _once(openings), recording)


def _once(texts: Iterator[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(text for text in texts if text))
