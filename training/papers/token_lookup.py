"""Captions -> rows of a table of word vectors, by paper 2's authors' order of look-up.

    texts = Texts.read(captions, vectors, lemma=True, spelling=True)
    texts.ids["A dog barks."]               # int64 (L,): rows of texts.table (V + 1, 300), of which row 0 is padding

A word is looked up as it is, then as its lemma, then as the most frequent known word within two edits, and is dropped
if none of them has a vector. A caption of which nothing is left becomes one word, the mean of the first 50 000 words of
the sorted vocabulary. Stop words are kept. The table holds the words that the captions use, not the whole vocabulary.

The authors took spaCy's lemmas and its small model's tokens. Here words are split as the device does it
(edge_runtime/tokenizer.py), and lemmas come from a page of rules: a download and a tagger for the few words that
GoogleNews has in another form only would be out of proportion. Spelling is Norvig's (norvig.com/spell-correct.html),
as in the authors' spelling package; word2vec files are sorted by frequency, so the first in the file is taken. That
package leaves well-spelled words alone; here words of four letters and less are left alone: GoogleNews has no "a",
"and", "of" and "to", and each is within an edit of words that it has.
"""

import string
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from edge_runtime.tokenizer import ENDINGS, MIN_SPELLED, words_of
from training.words import WordVectors

__all__ = ["UNKNOWN", "Lookup", "Texts", "lemmas_of"]

UNKNOWN = "<unknown>"
"""The word that stands for a caption of unknown words only; no caption can hold it."""
MEAN_OF = 50_000
IRREGULAR = {
    "am are is was were been being 's": "be",
    "has had having": "have",
    "does did done": "do",
    "men": "man",
    "women": "woman",
    "children": "child",
    "people": "person",
    "feet": "foot",
    "teeth": "tooth",
    "geese": "goose",
    "mice": "mouse",
    "oxen": "ox",
    "knives": "knife",
    "leaves": "leaf",
    "wolves": "wolf",
    "calves": "calf",
    "shelves": "shelf",
    "went gone": "go",
    "ran": "run",
    "sang sung": "sing",
    "rang rung": "ring",
    "spoke spoken": "speak",
    "spun": "spin",
    "blew blown": "blow",
    "flew flown": "fly",
    "drove driven": "drive",
    "broke broken": "break",
    "fell fallen": "fall",
    "began begun": "begin",
    "wound": "wind",
    "struck": "strike",
    "shook shaken": "shake",
    "rose risen": "rise",
    "swam swum": "swim",
    "wept": "weep",
    "slept": "sleep",
    "crept": "creep",
    "swept": "sweep",
    "spat": "spit",
    "tore torn": "tear",
    "threw thrown": "throw",
    "made": "make",
    "came": "come",
    "heard": "hear",
    "louder loudest": "loud",
    "better best": "good",
    "worse worst": "bad",
}
LEMMA = {form: lemma for forms, lemma in IRREGULAR.items() for form in forms.split()}
MIN_STEM = 3


def lemmas_of(word: str) -> Iterator[str]:
    """What the word may be a form of, likeliest first: dogs -> dog; dripping -> dripp, drip, drippe."""
    if word in LEMMA:
        yield LEMMA[word]
    for ending, put in ENDINGS:
        if word.endswith(ending) and len(word) - len(ending) >= MIN_STEM - len(put):
            stem = word.removesuffix(ending)
            yield stem + put
            if not put and len(stem) > MIN_STEM and stem[-1] == stem[-2]:
                yield stem[:-1]


def edits_of(word: str) -> set[str]:
    """All strings one edit away: a letter left out, swapped with the next, replaced or put in."""
    cuts = [(word[:i], word[i:]) for i in range(len(word) + 1)]
    letters = string.ascii_lowercase
    return {
        *(a + b[1:] for a, b in cuts if b),
        *(a + b[1] + b[0] + b[2:] for a, b in cuts if len(b) > 1),
        *(a + c + b[1:] for a, b in cuts if b for c in letters),
        *(a + c + b for a, b in cuts for c in letters),
    }


class Lookup:
    """Words -> rows of `vectors`; `lemma` and `spelling` are the two fallbacks."""

    def __init__(self, vectors: WordVectors, *, lemma: bool, spelling: bool) -> None:
        self.vectors = vectors
        self._row = {word: row for row, word in reversed(list(enumerate(vectors.words)))}
        self._lemma, self._spelling = lemma, spelling
        self._found: dict[str, int | None] = {}

    def rows(self, caption: str) -> list[int]:
        """Of the caption's words that have a vector, in their order."""
        found = (self.row(word) for word in words_of(caption))
        return [row for row in found if row is not None]

    def row(self, word: str) -> int | None:
        if word not in self._found:
            self._found[word] = self._search(word)
        return self._found[word]

    def unknown(self) -> np.ndarray:
        """The vector (W,) of a caption without a known word."""
        first = sorted(self._row)[:MEAN_OF]
        return self.vectors.vectors[[self._row[word] for word in first]].mean(axis=0)

    def _search(self, word: str) -> int | None:
        if word in self._row:
            return self._row[word]
        if self._lemma:
            for form in lemmas_of(word):
                if form in self._row:
                    return self._row[form]
        return self._respelled(word) if self._spelling else None

    def _respelled(self, word: str) -> int | None:
        """The most frequent known word one edit away, else two."""
        if len(word) < MIN_SPELLED:
            return None
        near = edits_of(word)
        rows = [self._row[each] for each in near if each in self._row]
        if not rows:
            rows = [self._row[each] for one in near for each in edits_of(one) if each in self._row]
        return min(rows, default=None)


@dataclass(frozen=True)
class Texts:
    """`ids` by caption; `words` of the rows of `table (V + 1, W)` float32 after the first; `unknown`: the captions that
    none of the vectors' words is in."""

    ids: dict[str, np.ndarray]
    words: list[str]
    table: np.ndarray
    unknown: tuple[str, ...]

    @classmethod
    def read(cls, captions: Iterable[str], vectors: WordVectors, *, lemma: bool, spelling: bool) -> "Texts":
        lookup = Lookup(vectors, lemma=lemma, spelling=spelling)
        rows = {caption: lookup.rows(caption) for caption in captions}
        used = sorted({row for own in rows.values() for row in own})
        place = {row: i for i, row in enumerate(used, start=1)}
        unknown = tuple(caption for caption, own in rows.items() if not own)
        last = len(used) + 1
        ids = {caption: np.array([place[row] for row in own] or [last], np.int64) for caption, own in rows.items()}
        table = [np.zeros((1, vectors.vectors.shape[1])), vectors.vectors[used], lookup.unknown()[None]]
        words = [*(vectors.words[row] for row in used), UNKNOWN]
        return cls(ids, words, np.concatenate(table).astype(np.float32), unknown)

    def batch(self, captions: Sequence[str], frames: int) -> np.ndarray:
        """int64 (B, L): ids padded with 0 to the longest caption, and cut to `frames`."""
        rows = [self.ids[caption][:frames] for caption in captions]
        out = np.zeros((len(rows), max(map(len, rows))), np.int64)
        for line, row in zip(out, rows, strict=True):
            line[: len(row)] = row
        return out
