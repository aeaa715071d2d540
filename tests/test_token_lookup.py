"""Captions -> word vectors in the authors' order: the word, its lemma, its spelling mended, else dropped."""

import numpy as np
import pytest

pytest.importorskip("torch", reason="needs the train extra")

from training.papers import token_lookup
from training.papers.token_lookup import UNKNOWN, Lookup, Texts, lemmas_of
from training.words import WordVectors

WORDS = ["the", "dog", "bark", "woman", "drip", "engine", "engines", "siren", "bake"]


def vectors() -> WordVectors:
    return WordVectors(WORDS, np.eye(len(WORDS), 300, dtype=np.float32), "drawn")


def read_as(text: str, *, lemma: bool = True, spelling: bool = True) -> list[str]:
    return [WORDS[row] for row in Lookup(vectors(), lemma=lemma, spelling=spelling).rows(text)]


def test_the_word_itself_comes_before_its_lemma_and_its_lemma_before_another_spelling() -> None:
    assert read_as("The engines bark.") == ["the", "engines", "bark"]  # a stop word is kept
    assert read_as("dogs barking, dripping, women baking") == ["dog", "bark", "drip", "woman", "bake"]
    assert read_as("a sirne") == ["siren"]
    assert read_as("a siiirne") == []  # three edits


@pytest.mark.parametrize(
    ("lemma", "spelling", "expected"),
    [(False, False, []), (True, False, ["dog"]), (False, True, ["engine"]), (True, True, ["dog", "engine"])],
)
def test_both_fallbacks_are_options(lemma: bool, spelling: bool, expected: list[str]) -> None:
    assert read_as("dogs enigne", lemma=lemma, spelling=spelling) == expected


def test_of_several_spellings_the_nearest_counts_and_then_the_most_frequent() -> None:
    assert read_as("enginesx", lemma=False) == ["engines"]  # one edit, two from "engine"
    assert read_as("engins", lemma=False) == ["engine"]  # one edit from either; "engine" comes first in the file
    assert read_as("barkz bak", lemma=False) == ["bark"]  # words of four letters and less are left alone


def test_lemmas_of_irregular_and_doubled_forms() -> None:
    assert "child" in lemmas_of("children")
    assert "run" in lemmas_of("running")
    assert "fly" in lemmas_of("flies")
    assert not list(lemmas_of("rain"))


def test_a_caption_of_unknown_words_is_the_mean_of_the_first_sorted_words(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(token_lookup, "MEAN_OF", 3)
    texts = Texts.read(["xyzzy", "the dog"], vectors(), lemma=True, spelling=True)
    assert texts.unknown == ("xyzzy",)
    assert texts.words == ["the", "dog", UNKNOWN]
    expected = vectors().vectors[[WORDS.index(word) for word in ("bake", "bark", "dog")]].mean(axis=0)
    np.testing.assert_array_equal(texts.table[texts.ids["xyzzy"]], expected[None])


def test_the_table_holds_the_captions_words_alone_and_batches_are_cut() -> None:
    texts = Texts.read(["the dog", "siren"], vectors(), lemma=False, spelling=False)
    assert texts.table.shape == (1 + 3 + 1, 300) and not texts.table[0].any()
    np.testing.assert_array_equal(texts.batch(["the dog", "siren"], 20), [[1, 2], [3, 0]])
    np.testing.assert_array_equal(texts.batch(["the dog", "siren"], 1), [[1], [3]])
