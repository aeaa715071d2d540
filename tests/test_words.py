"""Vocabulary and word vectors: from texts, from gensim, from files that users bring."""

from pathlib import Path

import numpy as np
import pytest

from training.corpora import corpus_texts, vocabulary
from training.words import WIDTH, WordVectors, load_word2vec_format, trained_vectors


def test_the_vocabulary_puts_its_own_words_first_then_frequent_ones_then_more() -> None:
    texts = ["rain rain wind", "wind bell", "wind once"]
    found = vocabulary(texts, ["a dog"], size=6, more=["chair", "rain", "table"])
    assert found[:2] in (["a", "dog"], ["dog", "a"])
    assert found[2:] == ["wind", "rain", "chair", "table"]


def test_the_vocabulary_keeps_to_its_size_but_never_drops_its_own() -> None:
    assert vocabulary(["wind wind"], ["a dog"], size=2) in (["a", "dog"], ["dog", "a"])


def test_gensim_trains_vectors_in_which_words_of_like_company_are_near() -> None:
    pytest.importorskip("gensim", reason="needs the train extra")
    rng = np.random.default_rng(0)
    animals, weather = ["dog", "cat", "cow"], ["rain", "wind", "hail"]
    texts = [[str(rng.choice(group)) for _ in range(6)] for group in (animals, weather) * 200]
    found = trained_vectors(texts)
    assert found.vectors.shape == (6, WIDTH)
    assert found.vectors.dtype == np.float32
    unit = found.vectors / np.linalg.norm(found.vectors, axis=1, keepdims=True)
    row = found.words.index
    assert unit[row("dog")] @ unit[row("cat")] > unit[row("dog")] @ unit[row("rain")]


@pytest.mark.parametrize("binary", [False, True])
def test_any_word2vec_file_is_read_for_the_words_asked_for(tmp_path: Path, binary: bool) -> None:
    gensim = pytest.importorskip("gensim", reason="needs the train extra")
    table = gensim.models.KeyedVectors(WIDTH)
    table.add_vectors(["rain", "dog", "wind"], np.random.default_rng(0).standard_normal((3, WIDTH)).astype(np.float32))
    path = tmp_path / ("vectors.bin" if binary else "vectors.txt")
    table.save_word2vec_format(str(path), binary=binary)
    found = load_word2vec_format(path, ["dog", "zebra", "rain"])
    assert found.words == ["dog", "rain"]
    cosine = found.vectors[0] @ table["dog"] / np.linalg.norm(found.vectors[0]) / np.linalg.norm(table["dog"])
    assert cosine == pytest.approx(1, abs=1e-5)  # the text form keeps about seven digits
    assert np.linalg.norm(found.vectors, axis=1).mean() == pytest.approx(1, abs=1e-5)


def test_a_word2vec_file_of_another_width_or_language_is_named(tmp_path: Path) -> None:
    pytest.importorskip("gensim", reason="needs the train extra")
    path = tmp_path / "small.txt"
    path.write_text("1 3\nrain 1 2 3\n")
    with pytest.raises(ValueError, match="vectors of 3 numbers, expected 300"):
        load_word2vec_format(path, ["rain"])
    path.write_text(f"1 {WIDTH}\nregen {' '.join(['1'] * WIDTH)}\n")
    with pytest.raises(ValueError, match="knows none of the 1 words"):
        load_word2vec_format(path, ["rain"])
    with pytest.raises(FileNotFoundError, match="no word2vec file"):
        load_word2vec_format(tmp_path / "absent.bin", ["rain"])


def test_saved_vectors_come_back(tmp_path: Path) -> None:
    vectors = WordVectors(["rain", "dog"], np.eye(2, WIDTH, dtype=np.float32), "made up")
    vectors.save(tmp_path / "deep" / "words.npz")
    again = WordVectors.load(tmp_path / "deep" / "words.npz")
    assert (again.words, again.source) == (vectors.words, vectors.source)
    np.testing.assert_array_equal(again.vectors, vectors.vectors)


def test_a_missing_or_changed_corpus_is_named(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"audiocaps_train\.csv is missing"):
        list(corpus_texts(tmp_path))
    (tmp_path / "audiocaps_train.csv").write_text("id,text\n1,a dog\n")
    with pytest.raises(ValueError, match=r"lacks the columns \['caption'\]"):
        list(corpus_texts(tmp_path))


@pytest.mark.shared
def test_the_shared_corpora_are_all_read(shared: Path) -> None:
    assert sum(1 for _ in corpus_texts(shared / "data/text")) > 90_000
