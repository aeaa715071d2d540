"""Text -> token ids: lower-case words looked up in the bundle's vocabulary.

    tokenizer = Tokenizer.load(folder / "tokenizer.json", max_words=32)
    tokenizer.encode("A dog barks twice")     # int64 (L,); raises PhraseError where no word is known

Id 0 is padding. A word that the vocabulary lacks is tried without its English ending (dogs -> dog, dripping -> drip),
then as two known words in one (hailstorm -> hail storm), then as a slip of the pen (woodpeker -> woodpecker). What is
still unknown then is skipped. `guesses` tells what was guessed and what was skipped, so that a caller can say so.
"""

import json
import re
import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from edge_runtime.errors import BundleError, PhraseError

__all__ = ["PADDING", "Guess", "Tokenizer", "words_of"]

PADDING = 0
MAX_CHARACTERS = 10_000
WORD = re.compile(r"[a-z0-9]+(?:'[a-z]+)?")
ENDINGS = (
    ("ies", "y"),
    ("es", ""),
    ("s", ""),
    ("ing", ""),
    ("ing", "e"),
    ("ed", ""),
    ("ed", "e"),
    ("'s", ""),
    ("ly", ""),
)
MIN_PART = 3
"""Letters in either half of a compound: shorter words fit into almost anything."""
MIN_SPELLED = 5
"""Letters of a word whose spelling is mended: a shorter one is near too many others."""
MIN_LIKENESS = 0.84
"""Of two spellings (twice the letters in common over all letters): one letter of seven may be wrong, or two swapped."""


def words_of(text: str) -> list[str]:
    """Lower-case words of a text, accents removed, punctuation dropped: 'A dog's bark!' -> a, dog's, bark."""
    plain = unicodedata.normalize("NFKD", text.casefold().replace("’", "'"))
    return WORD.findall("".join(c for c in plain if not unicodedata.combining(c)))


@dataclass(frozen=True)
class Guess:
    """A word that the vocabulary lacks, and the known words that it is read as; none where it is skipped."""

    word: str
    read_as: tuple[str, ...]

    def __str__(self) -> str:
        if self.read_as:
            return f"{self.word!r} is read as {' '.join(self.read_as)!r}"
        return f"this model does not know {self.word!r}: it is left out"


class Tokenizer:
    """A vocabulary of words; ids are 1 + position, 0 is padding."""

    def __init__(self, words: Iterable[str], *, max_words: int) -> None:
        self._ids = {word: i for i, word in enumerate(words, start=1)}
        self.max_words = max_words

    def __len__(self) -> int:
        """Ids in use, padding included: the rows of the word table."""
        return len(self._ids) + 1

    @property
    def words(self) -> list[str]:
        """The vocabulary, in the order of the ids."""
        return list(self._ids)

    @classmethod
    def load(cls, path: Path, *, max_words: int) -> "Tokenizer":
        try:
            data = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError, RecursionError) as error:
            raise BundleError(f"{path.name} cannot be read ({error}): export the bundle again") from error
        words = data.get("words") if isinstance(data, dict) else None
        if not isinstance(words, list) or not words or not all(isinstance(word, str) for word in words):
            raise BundleError(f"{path.name} has no list of words: export the bundle again")
        return cls(words, max_words=max_words)

    def save(self, path: Path) -> None:
        path.write_text(json.dumps({"words": self.words}, separators=(",", ":")) + "\n", encoding="utf-8")

    def encode(self, text: str) -> np.ndarray:
        """Ids of the known words of `text`, int64 (L,) with 1 <= L <= max_words."""
        if len(text) > MAX_CHARACTERS:
            raise PhraseError(f"the phrase has {len(text)} characters; at most {self.max_words} words: shorten it")
        words = words_of(text)
        if not words:
            raise PhraseError(f"the phrase {text[:40]!r} has no words: describe the sound, as in 'a dog barks'")
        if len(words) > self.max_words:
            raise PhraseError(f"the phrase has {len(words)} words, at most {self.max_words} are read: shorten it")
        ids = [self._ids[known] for word in words for known in self._read(word)][: self.max_words]
        if not ids:
            raise PhraseError(
                f"no word of {text[:60]!r} is known to this model: use common English words for the sound"
            )
        return np.array(ids, np.int64)

    def reads(self, text: str) -> bool:
        """Whether `encode` takes this text."""
        try:
            return len(self.encode(text)) > 0
        except PhraseError:
            return False

    def guesses(self, text: str) -> list[Guess]:
        """The words of `text` that are unknown even without their endings, and what becomes of each, in order."""
        words = dict.fromkeys(words_of(text))
        return [Guess(word, self._read(word)) for word in words if self._inflected(word) is None]

    def _read(self, word: str) -> tuple[str, ...]:
        """The known words that stand for this one; none where nothing is near."""
        found = self._inflected(word)
        return (found,) if found else self._parts(word) or self._respelled(word)

    def _inflected(self, word: str) -> str | None:
        """The word itself, or a form of it without its ending."""
        if word in self._ids:
            return word
        for ending, put in ENDINGS:
            stem = word.removesuffix(ending) + put
            for form in (stem, stem[:-1] if stem[-1:] == stem[-2:-1] else stem):
                if word.endswith(ending) and len(form) > 2 and form in self._ids:
                    return form
        return None

    def _parts(self, word: str) -> tuple[str, ...]:
        """Two known words in one; of several ways the one whose rarer word is the most frequent."""
        ways = []
        for cut in range(MIN_PART, len(word) - MIN_PART + 1):
            first, second = word[:cut], self._inflected(word[cut:])
            if first in self._ids and second:
                ways.append((max(self._ids[first], self._ids[second]), (first, second)))
        return min(ways)[1] if ways else ()

    def _respelled(self, word: str) -> tuple[str, ...]:
        """The known word of the nearest spelling, which begins with the same letter."""
        import difflib

        if len(word) < MIN_SPELLED:
            return ()
        near = [known for known in self._ids if known[0] == word[0] and abs(len(known) - len(word)) <= 2]
        return tuple(difflib.get_close_matches(word, near, n=1, cutoff=MIN_LIKENESS))


def batch_of(ids: list[np.ndarray]) -> np.ndarray:
    """Pad id lists to one int64 (B, L) array."""
    width = max(len(row) for row in ids)
    batch = np.full((len(ids), width), PADDING, np.int64)
    for row, line in zip(batch, ids, strict=True):
        row[: len(line)] = line
    return batch
