"""Retrieval metrics from a similarity matrix and what is relevant.

    ranking(scores, relevant)       # scores (Q, N), relevant (Q, N) bool -> Ranking

The rank of a query is that of its best relevant item, counted from 1; among equal scores the average place counts, as
in the authors' evaluation. mAP@10 is the mean over queries of average precision within the first ten.
"""

from dataclasses import asdict, dataclass

import numpy as np

__all__ = ["Ranking", "average_precision_at_10", "ranking", "ranks"]


@dataclass(frozen=True)
class Ranking:
    """Recall and mAP in percent; ranks from 1; `queries` and `pool` say over what."""

    r1: float
    r5: float
    r10: float
    median_rank: float
    mean_rank: float
    map10: float
    queries: int
    pool: int

    def row(self) -> dict[str, float]:
        return {name: round(value, 2) for name, value in asdict(self).items()}


def ranks(scores: np.ndarray, relevant: np.ndarray) -> np.ndarray:
    """Best rank of each query's relevant items, float (Q,); ties take the average place among the irrelevant."""
    if not relevant.any(axis=1).all():
        raise ValueError(
            f"{int((~relevant.any(axis=1)).sum())} queries have nothing relevant in the pool: leave them out"
        )
    best = np.where(relevant, scores, -np.inf).max(axis=1, keepdims=True)
    above = ((scores > best) & ~relevant).sum(axis=1)
    tied = ((scores == best) & ~relevant).sum(axis=1)
    return 1 + above + tied / 2


def average_precision_at_10(scores: np.ndarray, relevant: np.ndarray) -> np.ndarray:
    """Average precision within the first ten of each query, (Q,)."""
    order = np.argsort(-scores, axis=1, kind="stable")[:, :10]
    hits = np.take_along_axis(relevant, order, axis=1)
    precision = hits.cumsum(axis=1) / np.arange(1, hits.shape[1] + 1)
    return (precision * hits).sum(axis=1) / np.minimum(relevant.sum(axis=1), 10)


def ranking(scores: np.ndarray, relevant: np.ndarray) -> Ranking:
    places = ranks(scores, relevant)
    recall = {k: 100 * float((places <= k).mean()) for k in (1, 5, 10)}
    return Ranking(
        r1=recall[1],
        r5=recall[5],
        r10=recall[10],
        median_rank=float(np.median(places)),
        mean_rank=float(places.mean()),
        map10=100 * float(average_precision_at_10(scores, relevant).mean()),
        queries=scores.shape[0],
        pool=scores.shape[1],
    )
