"""Caption corpora on disk, as plain texts: for word vectors and for the vocabulary.

    for text in corpus_texts(Path("../shared/data/text")): …

Each reader names the file that it lacks; none of these texts is ever written to a bundle or to the repository.
"""

import csv
import json
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from edge_runtime.tokenizer import words_of

__all__ = ["COLUMNS", "ONTOLOGY", "corpus_texts", "read_rows", "vocabulary"]

COLUMNS = {
    "audiocaps_train.csv": ("caption",),
    "audiocaps_val.csv": ("caption",),
    "clotho_development_captions.csv": tuple(f"caption_{i}" for i in range(1, 6)),
    "bbc_sound_effects.csv": ("description",),
    "foleyset_descriptions.csv": ("description", "original-tags"),
    "soundbible_captions.csv": ("caption", "title"),
}
"""Files of the corpora folder and the columns that hold text. The validation and test captions of Clotho and the test
captions of AudioCaps stay out: they are somebody's benchmark."""

ONTOLOGY = "audioset_ontology.json"


def corpus_texts(folder: Path) -> Iterator[str]:
    """All texts of the corpora, file by file."""
    for name, columns in COLUMNS.items():
        for row in read_rows(folder, name, columns):
            yield from (row[column] for column in columns if row[column])
    for entry in json.loads((folder / ONTOLOGY).read_text(encoding="utf-8")):
        yield entry["name"]
        yield entry["description"]


def read_rows(folder: Path, name: str, columns: Sequence[str]) -> Iterator[dict[str, str]]:
    """A corpus' rows. Raises FileNotFoundError or ValueError that names what is missing."""
    path = folder / name
    if not path.is_file():
        raise FileNotFoundError(f"the caption corpus {path} is missing: put it there, or give another --texts folder")
    with path.open(encoding="utf-8", errors="replace", newline="") as file:
        rows = csv.DictReader(file)
        absent = [column for column in columns if column not in (rows.fieldnames or ())]
        if absent:
            raise ValueError(f"{path} lacks the columns {absent}; it has {rows.fieldnames}")
        yield from rows


def vocabulary(texts: Iterable[str], own: Iterable[str], *, size: int, more: Iterable[str] = ()) -> list[str]:
    """The words to know, at most `size`: all of `own` texts, those seen twice or more in `texts` by frequency, then
    `more` in its order."""
    counts = Counter(word for text in texts for word in words_of(text))
    always = Counter(word for text in own for word in words_of(text))
    seen = [word for word, count in (counts + always).most_common() if count >= 2 or word in always]
    ordered = sorted(seen, key=lambda word: word not in always) + list(more)
    return list(dict.fromkeys(ordered))[:size]
