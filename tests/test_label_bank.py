"""A window beside the names of many sounds, and a search that holds down what is near to all of them."""

import numpy as np
import pytest
import soundfile

from edge_runtime import Engine
from edge_runtime.archive import Archive
from edge_runtime.bundle import Bundle
from edge_runtime.home import Home
from edge_runtime.label_bank import NEAREST, LabelBank
from edge_runtime.synthesis import Studio, church_bell, dog
from edge_runtime.unit_rows import UnitRows
from tests.test_archive import keep

WIDTH = 64


def unit(rows: np.ndarray) -> np.ndarray:
    return (rows / np.linalg.norm(rows, axis=-1, keepdims=True)).astype(np.float32)


def vectors(count: int, seed: int) -> np.ndarray:
    return unit(np.random.default_rng(seed).standard_normal((count, WIDTH)))


def bank_of(rows: np.ndarray) -> LabelBank:
    return LabelBank(tuple(map(str, range(len(rows)))), UnitRows.of(rows))


def test_unit_rows_give_the_cosines_of_what_they_hold():
    rows, queries = UnitRows.of(3 * vectors(1100, 0)), vectors(7, 1)
    np.testing.assert_allclose(np.linalg.norm(rows.vectors(), axis=1), 1, rtol=1e-6)
    # float32 sums over 64 numbers in another order
    np.testing.assert_allclose(rows.cosines(queries), queries @ rows.vectors().T, atol=1e-6)
    # a step of peak / 31 leaves an error of 1 % of a number's deviation, and less of a cosine of 64 of them
    assert np.abs(rows.cosines(queries) - queries @ vectors(1100, 0).T).max() < 0.02
    assert rows[np.arange(1100) > 1090].vectors().shape == (9, WIDTH)
    assert len(rows[np.zeros(0, int)].cosines(queries)[0]) == 0


def test_a_cosine_is_the_same_to_the_last_bit_whatever_else_is_asked():
    rows, queries = UnitRows.of(vectors(700, 0)), vectors(9, 1)
    together = rows.cosines(queries)
    assert all(np.array_equal(rows.cosines(query[None])[0], row) for query, row in zip(queries, together, strict=True))


def test_the_reference_is_the_mean_of_the_nearest_labels():
    bank, windows = bank_of(vectors(3 * NEAREST, 2)), vectors(5, 3)
    ranked = np.sort(bank.rows.cosines(windows), axis=1)
    np.testing.assert_allclose(bank.reference(windows), ranked[:, -NEAREST:].mean(axis=1), rtol=1e-5)
    few = bank_of(vectors(7, 2))
    np.testing.assert_allclose(few.reference(windows), few.rows.cosines(windows).mean(axis=1), rtol=1e-4)


def test_popularity_ranks_as_the_inverted_softmax_does():
    """Oracle: exp(b s) over its sum for the bank, which is where the paper divides."""
    bank, windows, query = bank_of(vectors(50, 4)), vectors(40, 5), vectors(1, 6)[0]
    scores = windows @ query
    shares = np.exp(20 * scores) / np.exp(20 * bank.rows.cosines(windows)).sum(axis=1)
    lowered = scores - bank.popularity(windows, sharpness=20)
    np.testing.assert_array_equal(np.argsort(-lowered), np.argsort(-shares))
    assert np.isfinite(bank.popularity(windows, sharpness=2000)).all()


@pytest.fixture
def archive(home):
    store = Home.open(home)
    yield Archive(store, "a" * 16, width=WIDTH)
    store.close()


def test_a_search_holds_down_a_window_that_is_near_to_every_text(archive):
    """The hub beats the right window by cosine, for the query as for all labels."""
    hub, right = vectors(2, 7)
    texts = unit(hub + vectors(60, 8))
    query = unit(hub + 0.9 * right)
    keep(archive, vectors(30, 9), "others.wav")
    keep(archive, hub[None], "hub.wav")
    keep(archive, right[None], "right.wav")
    plain = archive.search(query, k=2)
    assert [hit.file for hit in plain] == ["hub.wav", "right.wav"]
    assert all(hit.score == hit.cosine for hit in plain)
    held_down = archive.search(query, k=2, popularity=lambda rows: bank_of(texts).popularity(rows, sharpness=25))
    assert held_down[0].file == "right.wav"
    assert held_down[0].cosine == plain[1].cosine
    assert held_down[0].score > held_down[1].score


def test_only_the_nearest_windows_are_ranked_anew(archive, monkeypatch):
    monkeypatch.setattr("edge_runtime.archive.archive.RERANKED", 4)
    query = vectors(1, 10)[0]
    for i in range(8):
        keep(archive, unit(query + 0.1 * (i + 1) * vectors(1, 20 + i)), f"{i}.wav")
    asked = []

    def popularity(rows: np.ndarray) -> np.ndarray:
        asked.append(len(rows))
        return rows @ query  # whoever is nearest loses all

    (found,) = archive.search(query, k=1, popularity=popularity)
    assert asked == [4] and found.file in {"0.wav", "1.wav", "2.wav", "3.wav"}
    assert len(archive.search(query, k=8, popularity=popularity)) == 8, "as many as were asked for"


def test_the_shipped_bundle_searches_by_what_helped_it_and_plainly_when_asked(home, recordings, bundle: Bundle):
    engine = Engine.open(home=home)
    for path in sorted(recordings.glob("*.wav")):
        engine.index(path)
    lowered, plain = engine.search("rain", k=20), engine.search("rain", k=20, plain=True)
    assert bundle.popularity is not None
    assert {(hit.file, hit.start_s) for hit in plain} and all(hit.score == hit.cosine for hit in plain)
    assert all(hit.score != hit.cosine for hit in lowered)
    query = engine.embed_text("rain")
    assert [hit.score for hit in lowered] == sorted((hit.score for hit in lowered), reverse=True)
    again = engine.archive.search(query, k=20)
    assert [(hit.file, hit.start_s) for hit in plain] == [(hit.file, hit.start_s) for hit in again]
    # which thread sees a window first moves the last bit: products of other shapes round otherwise
    assert [hit.score for hit in plain] == pytest.approx([hit.score for hit in again], abs=1e-6)


def test_the_hiss_around_a_sound_does_not_take_its_caption(tmp_path):
    """Four seconds of it in thirty of pink noise 20 dB below, which alone is nearer to some text than one of them."""
    engine, misled = Engine.open(), []
    for make, phrase in ((dog, "a dog barking"), (church_bell, "a church bell ringing")):
        studio = Studio(32_000, 0)
        sound = make(studio, 4.0)
        sound *= 0.3 / np.abs(sound).max()
        both = studio.noise(30.0, lambda f: 1 / np.sqrt(np.maximum(f, 20))) * 0.1 * np.sqrt(np.mean(sound**2))
        studio.add(both, 12.0, sound)
        soundfile.write(tmp_path / "yard.wav", both.astype(np.float32), 32_000, subtype="FLOAT")
        best, *_ = engine.caption(tmp_path / "yard.wav")
        assert (best.phrase, best.heard) == (phrase, True)
        nearest = (engine.embed_audio(tmp_path / "yard.wav") @ engine.phrases.embeddings().T).max(axis=0)
        misled.append(list(engine.phrases)[nearest.argmax()] != phrase)
    assert any(misled), "what plain cosines would have told"
