"""Words that a checkpoint does not know and its owner needs: where they begin before they are trained.

    found = new_words(["a theremin wailing"], words, vectors)
    [str(each) for each in found]       # ["'theremin' is new: it begins as the words beside it: a, wailing"]

A new word begins as the tokeniser would have read it (two known words in one, a slip of the pen), else as the known
words whose spelling is nearest, together with the known words that stand beside it. None is dropped. Fine-tuning then
moves it: its row of the word table is trained, the rows of the known words are not.
"""

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from edge_runtime.tokenizer import Tokenizer, words_of

__all__ = ["NewWord", "new_words"]

GRAM = 3
NEAREST = 3
MIN_LIKENESS = 0.3
"""Of letters three by three (Dice): below that two spellings have little more than an ending in common."""
BESIDE = 8
APART = 0.1
"""Length of a random part, against the vector's own: two new words that begin alike can part."""


@dataclass(frozen=True)
class NewWord:
    """`begins` are known words, `how` says why those; `vector (300,)` float32."""

    word: str
    begins: tuple[str, ...]
    how: str
    vector: np.ndarray

    def __str__(self) -> str:
        return f"{self.word!r} is new: it begins as {self.how}{' ' * bool(self.begins)}{', '.join(self.begins)}"


def new_words(texts: Sequence[str], words: Sequence[str], vectors: np.ndarray, *, max_words: int) -> list[NewWord]:
    """The words of `texts` that `words` lacks. `vectors (V, 300)` are those of `words`, row by row."""
    tokenizer = Tokenizer(words, max_words=max_words)
    row_of = {word: row for row, word in enumerate(words)}
    guesses = {guess.word: guess.read_as for text in texts for guess in tokenizer.guesses(text)}
    beside: defaultdict[str, Counter[str]] = defaultdict(Counter)
    for text in texts:
        own = words_of(text)
        for word in guesses.keys() & set(own):
            beside[word].update(near for near in own if near in row_of)
    grams = [_grams(word) for word in words] if guesses else []
    length = float(np.linalg.norm(vectors, axis=1).mean())
    rng = np.random.default_rng(0)
    found = []
    for word, read_as in guesses.items():
        near = [each for each, _ in beside[word].most_common(BESIDE)]
        spelled = read_as or tuple(words[row] for row in _nearest(_grams(word), grams))
        begins = spelled if read_as else (*spelled, *(each for each in near if each not in spelled))
        if read_as:
            how = "what it was read as:"
        elif spelled:
            how = "the nearest spellings and the words beside it:"
        else:
            how = "the words beside it:" if near else "the mean of all words, since no known one is near"
        vector = vectors[[row_of[each] for each in begins]].mean(axis=0) if begins else vectors.mean(axis=0)
        noise = rng.standard_normal(vectors.shape[1])
        vector = _of_length(vector, length) + APART * _of_length(noise, length)
        found.append(NewWord(word, begins, how, vector.astype(np.float32)))
    return found


def _of_length(vector: np.ndarray, length: float) -> np.ndarray:
    return vector * (length / max(float(np.linalg.norm(vector)), 1e-6))


def _grams(word: str) -> frozenset[str]:
    """'horn' -> {'<ho', 'hor', 'orn', 'rn>'}"""
    framed = f"<{word}>"
    return frozenset(framed[i : i + GRAM] for i in range(len(framed) - GRAM + 1))


def _nearest(own: frozenset[str], grams: Sequence[frozenset[str]]) -> list[int]:
    likeness = np.array([2 * len(own & other) / (len(own) + len(other)) if own & other else 0.0 for other in grams])
    order = np.argsort(-likeness, kind="stable")[:NEAREST]
    return [int(row) for row in order if likeness[row] >= MIN_LIKENESS]
