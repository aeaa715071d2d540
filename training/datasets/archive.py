"""The feature archives of "Audio Retrieval with Natural Language Queries": lists of ids, and captions in a pickle.

    collection = read_archive(Path("data/QuerYDSegments"), "queryd-segments", LISTS)

    structured-symlinks/train_list.txt …                   one id a line
    structured-symlinks/structured-symlinks/raw-captions.pkl    id -> list of captions, each a list of words
    structured-symlinks/aggregated_…/                      features: experts/store.py

Unpacked, an archive lies so in data/NAME; files right in that folder count too.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from training.datasets.collection import Collection, Item, Skipped
from training.datasets.tables import id_list, needed, said
from training.experts.pickles import read_pickle

__all__ = ["CAPTIONS", "found", "places", "read_archive", "texts_of"]

CAPTIONS = "raw-captions.pkl"
ROOT = "structured-symlinks"


def places(file: str) -> tuple[str, ...]:
    return (file, f"{ROOT}/{file}", f"{ROOT}/{ROOT}/{file}")


def found(folder: Path, file: str) -> Path | None:
    return next((folder / place for place in places(file) if (folder / place).is_file()), None)


def read_archive(
    folder: Path,
    name: str,
    lists: Mapping[str, str],
    *,
    captions: Sequence[str] = (CAPTIONS,),
    joined: bool = False,
) -> Collection:
    """Splits as their lists have them; `captions` are the names that the pickle may have. `joined` makes all captions
    of a clip one query."""
    paths = {split: needed(folder, places(file), f"the {split} list of {name}") for split, file in lists.items()}
    pickled = needed(folder, [each for file in captions for each in places(file)], f"the captions of {name}")
    texts = texts_of(pickled)
    items: list[Item] = []
    skipped: list[Skipped] = []
    for split, path in paths.items():
        for line, id in enumerate(id_list(path), start=1):
            if id not in texts:
                skipped.append(Skipped(id, split, f"{path}, line {line}: {pickled.name} has no such clip"))
                continue
            kept, empty = said(texts[id], id=id, split=split, where=f"{pickled}, key {id!r}")
            skipped += empty
            if kept:
                items.append(Item(id, split, (" ".join(kept),) if joined else kept))
    return Collection(name, tuple(items), tuple(skipped))


def texts_of(path: Path) -> dict[str, list[str]]:
    """Captions by id, out of a pickle of texts or of lists of words. EarmarkError: it holds more than plain values."""
    content = read_pickle(path)
    if not isinstance(content, dict):
        raise ValueError(f"{path} holds a {type(content).__name__}, expected a dict of captions by id")
    return {str(id): [_text(each, path, id) for each in _listed(value)] for id, value in content.items()}


def _listed(value: Any) -> Sequence[Any]:
    return [value] if isinstance(value, str) else value if isinstance(value, list | tuple) else [value]


def _text(value: Any, path: Path, id: object) -> str:
    """A caption is a text, or a list of its words."""
    if isinstance(value, str):
        return value
    if isinstance(value, list | tuple) and all(isinstance(word, str) for word in value):
        return " ".join(value)
    raise ValueError(f"{path}, key {id!r}: a caption is a {type(value).__name__}, expected a text or a list of words")
