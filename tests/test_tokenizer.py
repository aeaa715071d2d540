"""Words to ids: any text gives ids or one clear refusal."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_runtime.errors import BundleError, PhraseError
from edge_runtime.tokenizer import PADDING, Tokenizer, batch_of, words_of

WORDS = ["dog", "bark", "drip", "city", "dance", "a", "rain", "dog's", "bus", "quick", "thunder"]


@pytest.fixture
def tokenizer():
    return Tokenizer(WORDS, max_words=8)


def ids_of(*words):
    return [WORDS.index(word) + 1 for word in words]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("A dog barks!", ["a", "dog", "barks"]),
        ("Ça va, naïve CAFÉ?", ["ca", "va", "naive", "cafe"]),
        ("dog’s 2 ears", ["dog's", "2", "ears"]),
        ("rock-and-roll/jazz", ["rock", "and", "roll", "jazz"]),
        ("STRASSE Straße", ["strasse", "strasse"]),
        ("", []),
        ("… – 犬", []),
    ],
)
def test_words_are_lower_case_without_accents_and_punctuation(text, words):
    assert words_of(text) == words


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("dog", ["dog"]),
        ("DOGS barking", ["dog", "bark"]),
        ("dripping", ["drip"]),
        ("dripped", ["drip"]),
        ("dancing danced", ["dance", "dance"]),
        ("cities", ["city"]),
        ("buses", ["bus"]),
        ("quickly", ["quick"]),
        ("dog's", ["dog's"]),
        ("a zebra and a dog", ["a", "a", "dog"]),
    ],
)
def test_a_word_is_found_by_itself_or_without_its_ending(text, words, tokenizer):
    found = tokenizer.encode(text)
    assert found.dtype == np.int64
    assert list(found) == ids_of(*words)


def test_unknown_words_are_named_in_order(tokenizer):
    found = tokenizer.guesses("a zebra, dogs and quaggas")
    assert [guess.word for guess in found] == ["zebra", "and", "quaggas"]
    assert all(guess.read_as == () and "left out" in str(guess) for guess in found)


@pytest.mark.parametrize(
    ("word", "read_as"),
    [
        ("raindrips", ["rain", "drip"]),
        ("dogcity", ["dog", "city"]),
        ("busdance", ["bus", "dance"]),
        ("thundre", ["thunder"]),
        ("thnder", ["thunder"]),
    ],
)
def test_an_unknown_word_is_read_as_its_parts_or_as_the_nearest_spelling_and_it_is_told(word, read_as, tokenizer):
    assert list(tokenizer.encode(f"a {word}")) == ids_of("a", *read_as)
    (guess,) = tokenizer.guesses(f"a {word}")
    assert (guess.word, guess.read_as) == (word, tuple(read_as))
    assert " ".join(read_as) in str(guess)


@pytest.mark.parametrize("word", ["bis", "abark", "drab", "xdance"])
def test_a_word_that_is_near_to_nothing_is_not_guessed(word, tokenizer):
    assert [guess.read_as for guess in tokenizer.guesses(word)] == [()]


def test_compounds_take_no_more_places_than_a_phrase_has(tokenizer):
    assert list(tokenizer.encode("dogcity " * 8)) == ids_of("dog", "city") * 4


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "no words"),
        (" \n", "no words"),
        ("?!", "no words"),
        ("zebra", "no word of 'zebra' is known"),
        ("dog " * 9, "9 words, at most 8"),
        ("dog " * 10_000, "characters; at most 8 words"),
    ],
)
def test_what_cannot_be_read_is_refused(text, reason, tokenizer):
    with pytest.raises(PhraseError, match=reason):
        tokenizer.encode(text)
    assert not tokenizer.reads(text)


def test_as_many_words_as_are_allowed_are_read(tokenizer):
    assert list(tokenizer.encode("dog " * 8)) == ids_of("dog") * 8


@given(text=st.text(max_size=200))
def test_any_text_gives_ids_or_a_refusal(text):
    tokenizer = Tokenizer(WORDS, max_words=8)
    try:
        ids = tokenizer.encode(text)
    except PhraseError as error:
        assert "\n" not in str(error)
        assert not tokenizer.reads(text)
    else:
        assert 1 <= len(ids) <= 8
        assert all(PADDING < number < len(tokenizer) for number in ids)
        assert list(tokenizer.encode(f"  {text.upper()}.")) == list(ids) or not text.isascii()


def test_saved_and_loaded_it_reads_alike(tokenizer, tmp_path):
    tokenizer.save(tmp_path / "tokenizer.json")
    loaded = Tokenizer.load(tmp_path / "tokenizer.json", max_words=8)
    assert len(loaded) == len(tokenizer) == len(WORDS) + 1
    assert list(loaded.encode("dogs bark")) == list(tokenizer.encode("dogs bark"))


@pytest.mark.parametrize(
    "text", ["", "[]", "{}", '{"words": []}', '{"words": [1]}', '{"words": "dog"}', "\x00", "[" * 9999]
)
def test_a_file_without_words_is_refused(text, tmp_path):
    (tmp_path / "tokenizer.json").write_text(text)
    with pytest.raises(BundleError, match=r"tokenizer\.json"):
        Tokenizer.load(tmp_path / "tokenizer.json", max_words=8)


def test_a_batch_is_padded_to_its_longest_row():
    batch = batch_of([np.array([3]), np.array([1, 2])])
    assert batch.dtype == np.int64
    assert batch.tolist() == [[3, PADDING], [1, 2]]


def test_padding_does_not_change_an_embedding(bundle):
    """The text encoder leaves padding out; int8 sums over more rows round alike."""
    ids = bundle.tokenizer.encode("a dog barking")
    alone = bundle._text(token_ids=batch_of([ids]))[0]
    padded = bundle._text(token_ids=batch_of([ids, np.repeat(ids, 8)]))[0]
    assert float(alone @ padded) > 1 - 1e-5
