"""Retrieval as both papers' authors measure it.

    both = evaluate(scores, owner)          # scores (T, A) of captions and clips; owner[t]: the clip of caption t
    both.text_to_audio.r1, both.audio_to_text.median_rank, both.selection

Text to audio, every caption is a query (816 clips of five captions: 4080). Audio to text, a clip's rank is the best of
its captions'. Ranks count from 0 here; among equal scores the average place counts. R@1 counts the rank 0 itself, so a
tie for the first place is no hit; R@5 and R@10 count ranks below 5 and 10; the median and the mean are given plus 1.
The epoch is chosen by the geometric mean of text to audio's R@1, R@5 and R@10.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from training.bootstrap import Draws, Interval
from training.metrics import Ranking, average_precision_at_10

__all__ = ["BothWays", "MeanStd", "best_ranks", "evaluate", "geometric_mean", "intervals", "over_seeds"]

RECALLS = ("r1", "r5", "r10")
FIGURES = (*RECALLS, "median_rank", "mean_rank", "map10")


@dataclass(frozen=True)
class BothWays:
    text_to_audio: Ranking
    audio_to_text: Ranking

    @property
    def selection(self) -> float:
        return geometric_mean(self.text_to_audio)

    def figures(self) -> dict[str, float]:
        """All figures flat, "t2a_r1" and so on, with the geometric means, the queries and the pools."""
        ways = {"t2a": self.text_to_audio, "a2t": self.audio_to_text}
        found = {f"{way}_{name}": getattr(ranks, name) for way, ranks in ways.items() for name in FIGURES}
        found |= {f"{way}_geometric_mean": geometric_mean(ranks) for way, ranks in ways.items()}
        return found | {
            f"{way}_{name}": getattr(ranks, name) for way, ranks in ways.items() for name in ("queries", "pool")
        }


@dataclass(frozen=True)
class MeanStd:
    """Over seeds; the standard deviation is the sample's (ddof 1), 0 of one seed."""

    mean: float
    std: float

    def __str__(self) -> str:
        return f"{self.mean:.1f} ± {self.std:.1f}"


def evaluate(scores: np.ndarray, owner: np.ndarray, *, of_clips: np.ndarray | None = None) -> BothWays:
    """Both directions; audio to text by `of_clips (A, T)` where its scores are others than `scores.T`. ValueError where
    a clip has no caption: it is no query and does not belong in the pool."""
    relevant = relevance(scores, owner)
    return BothWays(_ranking(scores, relevant), _ranking(scores.T if of_clips is None else of_clips, relevant.T))


def relevance(scores: np.ndarray, owner: np.ndarray) -> np.ndarray:
    """(T, A) bool: each caption belongs to one clip."""
    captions, clips = scores.shape
    if len(owner) != captions or set(owner.tolist()) != set(range(clips)):
        raise ValueError(f"{captions} captions of {clips} clips: {len(owner)} owners are told, and each clip needs one")
    return owner[:, None] == np.arange(clips)


def best_ranks(scores: np.ndarray, relevant: np.ndarray) -> np.ndarray:
    """The rank of each query's best relevant item, float (Q,), from 0: the average place of those that score the same,
    itself included."""
    best = np.where(relevant, scores, -np.inf).max(axis=1, keepdims=True)
    return (scores > best).sum(axis=1) + ((scores == best).sum(axis=1) - 1) / 2


def _ranking(scores: np.ndarray, relevant: np.ndarray) -> Ranking:
    places = best_ranks(scores, relevant)
    return Ranking(
        r1=100 * float((places == 0).mean()),
        r5=100 * float((places < 5).mean()),
        r10=100 * float((places < 10).mean()),
        median_rank=float(np.median(places)) + 1,
        mean_rank=float(places.mean()) + 1,
        map10=100 * float(average_precision_at_10(scores, relevant).mean()),
        queries=scores.shape[0],
        pool=scores.shape[1],
    )


def geometric_mean(ranking: Ranking) -> float:
    return float(np.prod([getattr(ranking, name) for name in RECALLS]) ** (1 / len(RECALLS)))


def over_seeds(runs: Sequence[BothWays]) -> dict[str, MeanStd]:
    """Mean and standard deviation of all figures, by the names of `BothWays.figures`."""
    tables = [run.figures() for run in runs]
    columns = {name: np.array([table[name] for table in tables]) for name in tables[0]}
    return {
        name: MeanStd(float(values.mean()), float(values.std(ddof=1)) if len(values) > 1 else 0.0)
        for name, values in columns.items()
    }


def intervals(scores: np.ndarray, owner: np.ndarray, *, seed: int) -> dict[str, Interval]:
    """95 % intervals of all figures but the geometric means, over the clips that queries belong to; the pool stays."""
    relevant = relevance(scores, owner)
    clips = np.arange(scores.shape[1])
    found = {}
    for way, table, right, groups in (("t2a", scores, relevant, owner), ("a2t", scores.T, relevant.T, clips)):
        places = best_ranks(table, right)
        draws = Draws(groups.tolist(), seed=seed)
        means: dict[str, tuple[Callable[..., Interval], Any]] = {
            "r1": (draws.mean, places == 0),
            "r5": (draws.mean, places < 5),
            "r10": (draws.mean, places < 10),
            "median_rank": (draws.median, places + 1),
            "map10": (draws.mean, average_precision_at_10(table, right)),
        }
        found |= {f"{way}_{name}": of(values) for name, (of, values) in means.items()}
        found[f"{way}_mean_rank"] = draws.mean(places + 1, scale=1.0)
    return found
