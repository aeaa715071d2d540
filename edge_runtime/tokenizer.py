"""Text -> token ids: lower-case words looked up in the bundle's vocabulary.

    tokenizer = Tokenizer.load(folder / "tokenizer.json", max_words=32)
    tokenizer.encode("A dog barks twice")     # int64 (L,); raises PhraseError where no word is known

Id 0 is padding. A word that the vocabulary lacks is tried without its English ending (dogs -> dog, dripping -> drip),
then skipped; `unknown_words` names those that were skipped, so that a caller can say so.
"""

import json
import re
import unicodedata
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from edge_runtime.errors import BundleError, PhraseError

__all__ = ["PADDING", "Tokenizer", "words_of"]

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


def words_of(text: str) -> list[str]:
    """Lower-case words of a text, accents removed, punctuation dropped: 'A dog's bark!' -> a, dog's, bark."""
    plain = unicodedata.normalize("NFKD", text.casefold().replace("’", "'"))
    return WORD.findall("".join(c for c in plain if not unicodedata.combining(c)))


class Tokenizer:
    """A vocabulary of words; ids are 1 + position, 0 is padding."""

    def __init__(self, words: Iterable[str], *, max_words: int) -> None:
        self._ids = {word: i for i, word in enumerate(words, start=1)}
        self.max_words = max_words

    def __len__(self) -> int:
        """Ids in use, padding included: the rows of the word table."""
        return len(self._ids) + 1

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
        path.write_text(json.dumps({"words": list(self._ids)}, separators=(",", ":")) + "\n", encoding="utf-8")

    def encode(self, text: str) -> np.ndarray:
        """Ids of the known words of `text`, int64 (L,) with 1 <= L <= max_words."""
        if len(text) > MAX_CHARACTERS:
            raise PhraseError(f"the phrase has {len(text)} characters; at most {self.max_words} words: shorten it")
        words = words_of(text)
        if not words:
            raise PhraseError(f"the phrase {text[:40]!r} has no words: describe the sound, as in 'a dog barks'")
        if len(words) > self.max_words:
            raise PhraseError(f"the phrase has {len(words)} words, at most {self.max_words} are read: shorten it")
        ids = [i for i in map(self._find, words) if i]
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

    def unknown_words(self, text: str) -> list[str]:
        """Words of `text` that the model will not see, in order."""
        return [word for word in words_of(text) if not self._find(word)]

    def _find(self, word: str) -> int:
        """The word's id; 0 where neither it nor a form without its ending is known."""
        if word in self._ids:
            return self._ids[word]
        for ending, put in ENDINGS:
            stem = word.removesuffix(ending) + put
            for form in (stem, stem[:-1] if stem[-1:] == stem[-2:-1] else stem):
                if word.endswith(ending) and len(form) > 2 and form in self._ids:
                    return self._ids[form]
        return PADDING


def batch_of(ids: list[np.ndarray]) -> np.ndarray:
    """Pad id lists to one int64 (B, L) array."""
    width = max(len(row) for row in ids)
    batch = np.full((len(ids), width), PADDING, np.int64)
    for row, line in zip(batch, ids, strict=True):
        row[: len(line)] = line
    return batch
