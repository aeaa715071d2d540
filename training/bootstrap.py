"""How far a figure could lie from what was measured: bootstrap intervals over recordings.

    draws = Draws([clip.recording for clip in clips], seed=0)
    draws.mean(hits)                            # Interval of the mean of hits (N,), in percent
    text_to_audio(scores, relevant, recordings=…, labels=…, seed=0)     # of a search, whose pool is drawn anew

Clips of one recording are no independent witnesses, so recordings are drawn with replacement, each with all its clips
(Efron & Tibshirani 1993, chapter 8), `RESAMPLES` times; an interval spans the middle 95 percent of the outcomes. The
draws depend on the seed and the recordings alone: two variants of the same clips meet the same draws, and their
difference has an interval of its own (`mean` of the differences).

Where the recordings are the pool of a search, they are drawn label by label. A plain draw leaves out a third of the
recordings, with them whole labels and the nearest rivals of others, and its figures lie up to ten points too high.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from training.metrics import ranking

__all__ = ["RESAMPLES", "Draws", "Interval", "text_to_audio"]

RESAMPLES = 1000
MIDDLE = (2.5, 97.5)
FIGURES = ("r1", "r5", "r10", "map10")
FIRST = 10
"""Places of a ranking that `FIGURES` look at."""
PLACES = 200
"""Ranked clips that fill the first ten places of every resample: a drawn recording fills one place or more."""


@dataclass(frozen=True)
class Interval:
    """A figure, and the 95 % interval about it."""

    value: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.value:.1f} ({self.low:.1f} to {self.high:.1f})"

    @classmethod
    def of(cls, value: float, outcomes: np.ndarray) -> "Interval":
        low, high = np.percentile(outcomes, MIDDLE)
        return cls(float(value), float(low), float(high))


class Draws:
    """`groups[i]`: the recording of item i. `counts (R, G)`: how often each resample takes each recording.

    `strata[i]`: draw within these, by that of a recording's first item, so that each keeps its number of recordings.
    """

    def __init__(
        self,
        groups: Sequence[object],
        *,
        seed: int,
        strata: Sequence[object] | None = None,
        resamples: int | None = None,
    ) -> None:
        if not len(groups):
            raise ValueError("nothing to resample: no clip is left")
        names, first, self.group_of = np.unique(list(map(str, groups)), return_index=True, return_inverse=True)
        stratum = np.zeros(len(names)) if strata is None else np.array(list(map(str, strata)))[first]
        self.groups = len(names)
        resamples = resamples or RESAMPLES
        self.counts = np.zeros((resamples, self.groups), np.int64)
        rng = np.random.default_rng(seed)
        for each in np.unique(stratum):
            own = np.flatnonzero(stratum == each)
            self.counts[:, own] = rng.multinomial(len(own), np.full(len(own), 1 / len(own)), size=resamples)

    def mean(self, values: np.ndarray, *, scale: float = 100.0) -> Interval:
        """`scale` times the mean of one value an item (N,): percent, of booleans and shares."""
        return self.ratio(values, np.ones(len(self.group_of)), scale=scale)

    def ratio(self, numerators: np.ndarray, denominators: np.ndarray, *, scale: float = 1.0) -> Interval:
        """`scale` times the sum of one over the sum of the other, (N,) each."""
        above, below = (
            np.bincount(self.group_of, np.asarray(each, float), self.groups) for each in (numerators, denominators)
        )
        return Interval.of(scale * above.sum() / below.sum(), scale * (self.counts @ above) / (self.counts @ below))

    def median(self, values: np.ndarray) -> Interval:
        """The median of one value an item (N,)."""
        order = np.argsort(values)
        reached = self.counts[:, self.group_of[order]].cumsum(axis=1)  # (R, N)
        middle = (2 * reached >= reached[:, -1:]).argmax(axis=1)
        return Interval.of(float(np.median(values)), np.asarray(values)[order][middle])


def text_to_audio(
    scores: np.ndarray, relevant: np.ndarray, *, recordings: Sequence[str], labels: Sequence[str], seed: int
) -> dict[str, Interval]:
    """R@1, R@5, R@10 and mAP@10 in percent, of queries (Q,) against a pool of clips (N,), their recordings and labels.

    scores (Q, N); relevant (Q, N) bool. Each resample draws the pool, label by label, and the queries: other texts
    might have been asked. Queries with nothing relevant in the pool are left out.
    """
    asked = relevant.any(axis=1)
    scores, relevant = scores[asked], relevant[asked]
    pool = Draws(recordings, strata=labels, seed=seed)
    queries = Draws(range(len(scores)), seed=seed + 1).counts  # (R, Q)
    copies = pool.counts[:, pool.group_of].astype(np.int32)  # (R, N)
    wanted = np.minimum(copies @ relevant.T.astype(np.int32), FIRST)  # (R, Q)
    order = np.argsort(-scores, axis=1, kind="stable")[:, :PLACES]
    drawn = np.stack(
        [drawn_figures(copies[:, places], relevant[q, places], wanted[:, q]) for q, places in enumerate(order)], axis=2
    )  # (R, 4, Q)
    weights = queries * (wanted > 0)
    outcomes = 100 * np.einsum("rfq,rq->rf", drawn, weights) / np.maximum(weights.sum(axis=1, keepdims=True), 1)
    measured = ranking(scores, relevant)
    return {
        name: Interval.of(getattr(measured, name), column) for name, column in zip(FIGURES, outcomes.T, strict=True)
    }


def drawn_figures(copies: np.ndarray, right: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    """`FIGURES` of one query in every resample, (R, 4) in [0, 1]. `copies (R, P)`: how often the clip at each place of
    its ranking was drawn; `right (P,)` bool; `wanted (R,)`: relevant clips in the pool, at most ten."""
    ahead = (copies.cumsum(axis=1) - copies)[:, right]  # (R, K): clips before each right one
    own = copies[:, right]
    found = own.cumsum(axis=1) - own  # right ones among those
    recall = [((own > 0) & (ahead < k)).any(axis=1) for k in (1, 5, 10)]
    precision = np.zeros(len(copies))
    for i in range(FIRST):  # the i-th copy of each right clip fills one more place
        shown = (i < own) & (ahead + i < FIRST)
        precision += np.where(shown, (found + i + 1) / (ahead + i + 1), 0.0).sum(axis=1)
    return np.stack([*recall, precision / np.maximum(wanted, 1)], axis=1)
