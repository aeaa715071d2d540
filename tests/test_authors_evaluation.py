"""The authors' evaluation against a brute-force ranking, ties included."""

import statistics

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from training.metrics import average_precision_at_10
from training.papers.authors_evaluation import best_ranks, evaluate, geometric_mean, intervals, over_seeds
from training.papers.query_bank import normalised


@st.composite
def searches(draw: st.DrawFn) -> tuple[np.ndarray, np.ndarray]:
    """Scores (T, A) of few values, so that ties are common, and one to three captions a clip."""
    clips = draw(st.integers(1, 8))
    owner = np.repeat(np.arange(clips), draw(st.lists(st.integers(1, 3), min_size=clips, max_size=clips)))
    values = st.lists(st.integers(0, 4), min_size=len(owner) * clips, max_size=len(owner) * clips)
    return np.array(draw(values), float).reshape(len(owner), clips), owner


def brute_rank(row: np.ndarray, item: int) -> float:
    """From 0: the mean of the places that this item's score takes in the sorted list."""
    places = [place for place, score in enumerate(sorted(row, reverse=True)) if score == row[item]]
    return sum(places) / len(places)


@given(searches())
def test_ranks_and_figures_are_those_of_a_brute_force_ranking(search: tuple[np.ndarray, np.ndarray]) -> None:
    scores, owner = search
    by_text = [brute_rank(row, clip) for row, clip in zip(scores, owner, strict=True)]
    by_clip = [min(brute_rank(scores[:, a], t) for t in np.flatnonzero(owner == a)) for a in range(scores.shape[1])]
    found = evaluate(scores, owner)
    for ranking, places in ((found.text_to_audio, by_text), (found.audio_to_text, by_clip)):
        assert ranking.r1 == pytest.approx(100 * sum(place == 0 for place in places) / len(places))
        assert ranking.r5 == pytest.approx(100 * sum(place < 5 for place in places) / len(places))
        assert ranking.r10 == pytest.approx(100 * sum(place < 10 for place in places) / len(places))
        assert ranking.median_rank == statistics.median(places) + 1
        assert ranking.mean_rank == pytest.approx(sum(places) / len(places) + 1)
    assert (found.text_to_audio.queries, found.text_to_audio.pool) == scores.shape
    assert (found.audio_to_text.pool, found.audio_to_text.queries) == scores.shape


def test_a_tie_for_the_first_place_is_no_hit_at_one() -> None:
    tied = evaluate(np.array([[1.0, 1.0], [0.0, 1.0]]), np.arange(2))
    assert (tied.text_to_audio.r1, tied.text_to_audio.mean_rank) == (50, 1.25)
    np.testing.assert_array_equal(best_ranks(np.zeros((1, 5)), np.eye(1, 5, dtype=bool)), [2])


def test_the_selection_is_the_geometric_mean_of_text_to_audio() -> None:
    scores = np.eye(20)
    scores[:10] = np.roll(scores[:10], 1, axis=1) + 0.5 * scores[:10]  # half of all in the second place
    found = evaluate(scores, np.arange(20))
    assert found.selection == geometric_mean(found.text_to_audio) == pytest.approx((50 * 100 * 100) ** (1 / 3))


def test_seeds_are_told_by_mean_and_sample_deviation() -> None:
    runs = [evaluate(np.random.default_rng(seed).random((12, 6)), np.repeat(np.arange(6), 2)) for seed in range(3)]
    values = np.array([run.text_to_audio.r5 for run in runs])
    told = over_seeds(runs)["t2a_r5"]
    assert told.mean == pytest.approx(values.mean())
    assert told.std == pytest.approx(np.sqrt(((values - values.mean()) ** 2).sum() / 2))
    assert str(told) == f"{values.mean():.1f} ± {told.std:.1f}"
    assert over_seeds(runs)["t2a_pool"].mean == 6
    assert over_seeds(runs[:1])["t2a_r5"].std == 0


def test_intervals_hold_the_measured_figures() -> None:
    rng = np.random.default_rng(0)
    owner = np.repeat(np.arange(30), 5)
    scores = rng.random((150, 30)) + 0.5 * (owner[:, None] == np.arange(30))
    figures, found = evaluate(scores, owner).figures(), intervals(scores, owner, seed=1)
    assert set(found) == {name for name in figures if not name.endswith(("geometric_mean", "queries", "pool"))}
    for name, interval in found.items():
        assert interval.value == pytest.approx(figures[name]), name
        assert interval.low <= interval.value <= interval.high, name
    assert found["t2a_r5"].low < found["t2a_r5"].high


def test_a_clip_without_a_caption_is_refused() -> None:
    with pytest.raises(ValueError, match="3 captions of 3 clips"):
        evaluate(np.zeros((3, 3)), np.array([0, 0, 1]))


def test_a_query_bank_takes_hubs_back_and_leaves_other_queries_alone() -> None:
    scores = np.array([[0.60, 0.59, 0.1], [0.10, 0.2, 0.7]])  # the first clip is a hub of the bank
    bank = np.array([[0.9, 0.1, 0.0], [0.8, 0.2, 0.1]])
    found = normalised(scores, bank, beta=20)
    assert found[0].argmax() == 1
    np.testing.assert_array_equal(found[1], scores[1])
    soft = np.exp(20 * scores[0]) / np.exp(20 * bank).sum(axis=0)
    np.testing.assert_allclose(found[0] / found[0].sum(), soft / soft.sum())
    with pytest.raises(ValueError, match="same items"):
        normalised(scores, bank[:, :2])


def test_average_precision_of_one_right_item_is_one_over_its_place() -> None:
    scores = np.array([[3.0, 2.0, 1.0]])
    assert average_precision_at_10(scores, np.array([[False, False, True]]))[0] == pytest.approx(1 / 3)
