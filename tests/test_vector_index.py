"""The HNSW index: near enough to exact, the same after saving, and never trusted blindly."""

import json

import numpy as np
import pytest

from edge_runtime.errors import BundleError
from edge_runtime.manifest import IndexSpec
from edge_runtime.vector_index import StaleIndexError, VectorIndex

SPEC = IndexSpec(m=16, ef_construction=200, ef=128)
WIDTH = 64
ABOUT = {"fingerprint": "a" * 16, "content": "of these phrases"}


def unit(count, seed=0, width=WIDTH):
    rows = np.random.default_rng(seed).standard_normal((count, width)).astype(np.float32)
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def exact(vectors, query, k):
    cosines = vectors @ query
    best = np.argsort(-cosines, kind="stable")[:k]
    return best, cosines[best]


def load(path, spec=SPEC, **other):
    return VectorIndex.load(path, spec, **{**ABOUT, "width": WIDTH, **other})


@pytest.fixture
def saved(tmp_path):
    path = tmp_path / "phrases.hnsw"
    VectorIndex.build(unit(50), SPEC).save(path, **ABOUT)
    return path


def test_neighbours_are_the_exact_ones_at_the_size_of_a_vocabulary():
    """Oracle: every cosine. Random vectors are the hardest there are; the seeds are fixed, so the figure is too."""
    vectors = unit(500, width=512)
    index = VectorIndex.build(vectors, SPEC)
    recalled = []
    for query in unit(100, seed=1, width=512):
        labels, cosines = index.search(query, k=10)
        expected, expected_cosines = exact(vectors, query, 10)
        recalled.append(len({*labels} & {*expected}) / 10)
        assert list(cosines) == sorted(cosines, reverse=True)
        # float32 sums in another order
        np.testing.assert_allclose(cosines, vectors[labels] @ query, atol=1e-5)
        np.testing.assert_allclose(cosines[0], expected_cosines[0], atol=1e-5)
    assert np.mean(recalled) >= 0.99


def test_the_shipped_phrases_are_matched_as_an_exact_search_would(bundle, noise):
    from edge_runtime import Engine

    phrases = Engine.open().phrases
    vectors = bundle.embed_text(list(phrases))
    for seed in range(5):
        query = bundle.answers(noise(8, seed=seed), np.array([1])).embedding
        found = [match.score for match in phrases.match(query, k=10)]
        np.testing.assert_allclose(found, exact(vectors, query, 10)[1], atol=1e-5, err_msg="float32 sums")


@pytest.mark.parametrize("k", [1, 5, 50, 51, 1000])
def test_no_more_than_are_there_are_found_and_all_of_them_where_asked(k):
    index = VectorIndex.build(unit(50), SPEC)
    labels, cosines = index.search(unit(1, seed=1)[0], k=k)
    assert len(labels) == len(cosines) == len(set(labels)) == min(k, 50)


def test_an_empty_index_finds_nothing_and_can_grow():
    index = VectorIndex.build(np.zeros((0, WIDTH), np.float32), SPEC)
    assert len(index) == 0
    assert index.vectors().shape == (0, WIDTH)
    assert [len(found) for found in index.search(unit(1)[0], k=5)] == [0, 0]
    index.add(unit(3))
    assert len(index) == 3
    assert index.search(unit(3)[2], k=1)[0] == [2]


def test_added_vectors_follow_and_are_found():
    vectors = unit(40)
    index = VectorIndex.build(vectors[:10], SPEC)
    for row in vectors[10:]:
        index.add(row[None])
    assert len(index) == 40
    np.testing.assert_array_equal(index.vectors(), vectors)
    assert [index.search(row, k=1)[0][0] for row in vectors] == list(range(40))


def test_the_same_vectors_make_the_same_file(tmp_path):
    for name in ("one", "two"):
        VectorIndex.build(unit(100), SPEC).save(tmp_path / name, **ABOUT)
    assert (tmp_path / "one").read_bytes() == (tmp_path / "two").read_bytes()


def test_a_loaded_index_answers_as_the_saved_one(saved):
    built, loaded = VectorIndex.build(unit(50), SPEC), load(saved)
    for query in unit(20, seed=1):
        for found, expected in zip(loaded.search(query, k=7), built.search(query, k=7), strict=True):
            np.testing.assert_array_equal(found, expected)
    loaded.add(unit(5, seed=2))
    assert len(loaded) == 55


@pytest.mark.parametrize(
    "other", [{"fingerprint": "b" * 16}, {"width": 32}, {"spec": IndexSpec(8, 200, 128)}, {"spec": IndexSpec(16, 9, 9)}]
)
def test_an_index_of_another_model_or_other_settings_is_refused(other, saved):
    with pytest.raises(BundleError, match="another model") as refused:
        load(saved, **other)
    assert not isinstance(refused.value, StaleIndexError)


def test_an_index_of_other_phrases_is_refused_as_stale(saved):
    with pytest.raises(StaleIndexError, match="other phrases"):
        load(saved, content="of those phrases")


@pytest.mark.parametrize("at", [0, 10, 100, 1000, -1])
def test_an_index_with_one_bit_flipped_is_refused(at, saved):
    """hnswlib would load it, and may crash the process."""
    data = bytearray(saved.read_bytes())
    data[at] ^= 1
    saved.write_bytes(data)
    with pytest.raises(BundleError, match="sha256"):
        load(saved)


@pytest.mark.parametrize("text", ["", "{", "[]", "3", "null", '{"count": 1}', "[" * 100_000, '{"count": null}'])
def test_an_index_without_a_sound_description_is_refused(text, saved):
    saved.with_name("phrases.hnsw.json").write_text(text)
    with pytest.raises(BundleError, match="no readable description"):
        load(saved)


@pytest.mark.parametrize(("key", "value"), [("count", 49), ("ef", 0), ("ef", -3), ("sha256", "0" * 64)])
def test_an_index_that_is_not_as_described_is_refused(key, value, saved):
    about = saved.with_name("phrases.hnsw.json")
    about.write_text(json.dumps({**json.loads(about.read_text()), key: value}))
    with pytest.raises(BundleError):
        load(saved)


def test_an_absent_index_is_refused(saved):
    saved.unlink()
    with pytest.raises(BundleError):
        load(saved)


def test_saving_leaves_no_half_written_file(saved):
    assert sorted(path.name for path in saved.parent.iterdir()) == ["phrases.hnsw", "phrases.hnsw.json"]
