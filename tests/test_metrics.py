"""Retrieval metrics against brute force, ties included."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from training.metrics import average_precision_at_10, ranking, ranks


@st.composite
def tables(draw: st.DrawFn) -> tuple[np.ndarray, np.ndarray]:
    """Scores from few values, so that ties are common, and at least one relevant item a query."""
    queries, items = draw(st.integers(1, 4)), draw(st.integers(1, 14))
    scores = np.array(draw(st.lists(st.integers(0, 3), min_size=queries * items, max_size=queries * items)), float)
    relevant = np.array(draw(st.lists(st.booleans(), min_size=queries * items, max_size=queries * items)))
    relevant = relevant.reshape(queries, items)
    relevant[:, 0] = True
    return scores.reshape(queries, items), relevant


@given(tables())
def test_a_rank_is_the_average_place_of_the_best_relevant_item_among_its_ties(table: tuple) -> None:
    scores, relevant = table
    for found, row, right in zip(ranks(scores, relevant), scores, relevant, strict=True):
        best = max(row[right])
        wrong = row[~right]
        first = 1 + sum(wrong > best)
        last = first + sum(wrong == best)
        assert found == (first + last) / 2


@given(tables())
def test_average_precision_is_the_textbooks(table: tuple) -> None:
    scores, relevant = table
    for found, row, right in zip(average_precision_at_10(scores, relevant), scores, relevant, strict=True):
        order = sorted(range(len(row)), key=lambda i: -row[i])[:10]
        hits, total = 0, 0.0
        for place, item in enumerate(order, start=1):
            if right[item]:
                hits += 1
                total += hits / place
        assert found == pytest.approx(total / min(right.sum(), 10))


def test_a_perfect_table_scores_full_marks_and_its_reverse_none() -> None:
    perfect = np.eye(12)
    best = ranking(perfect, perfect.astype(bool))
    assert (best.r1, best.r5, best.r10, best.median_rank, best.mean_rank, best.map10) == (100, 100, 100, 1, 1, 100)
    assert (best.queries, best.pool) == (12, 12)
    worst = ranking(-perfect, perfect.astype(bool))
    assert (worst.r1, worst.r10, worst.median_rank, worst.map10) == (0, 0, 12, 0)


def test_a_query_with_nothing_relevant_is_refused() -> None:
    with pytest.raises(ValueError, match="1 queries have nothing relevant"):
        ranks(np.zeros((2, 3)), np.array([[True, False, False], [False, False, False]]))
