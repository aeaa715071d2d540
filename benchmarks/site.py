"""Thresholds of a site (edge_runtime/matching/site.py) on sounds that no training had: do they keep what they promise?

    python -m benchmarks site                   # needs ../shared

The clips of the test split, in an order of chance, are half minutes of a place that has all sounds there are. From some
of them thresholds are found; on the others it is counted how often a phrase is heard in a clip whose label it does not
fit (false alerts), and in one whose label it fits (hits). Beside them the bundle's own thresholds, which know no site.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.report import Report, Table
from benchmarks.retrieval.contender import Contender
from benchmarks.retrieval.heard import CLEAN, hear
from edge_runtime.false_alerts import ALIKE
from edge_runtime.matching.site import BLOCK_S, DAY_S, SiteScores
from training.sounds import read_clips

__all__ = ["Setting", "site"]

LEARNT = (150, 400)
"""Clips that thresholds are found from: an hour and a quarter, and three and a third."""
ONE_IN = (100, 400, 1500)
"""One false alert of a phrase in so many half minutes: 29, 7 and 2 a day."""


@dataclass(frozen=True)
class Setting:
    """`limit`: only so many clips; `orders` of chance."""

    sounds: Path
    orders: int = 10
    limit: int | None = None
    seed: int = 0
    jobs: int = 1
    cache: Path | None = None


def site(contender: Contender, setting: Setting) -> Report:
    clips = [clip for clip in read_clips(setting.sounds) if clip.split == "test"][: setting.limit]
    bundle, phrases = contender.engine.bundle, contender.engine.phrases
    heard = hear(contender, clips, range(len(clips)), (), seed=0, jobs=setting.jobs, cache=setting.cache)[CLEAN]
    labels = [clip.label if bundle.tokenizer.reads(clip.label) else clip.source for clip in clips]
    fits = bundle.embed_text(labels) @ phrases.embeddings().T >= ALIKE  # (N, P)
    best = np.stack(
        [(rows @ phrases.embeddings().T - bundle.reference(rows)[:, None]).max(axis=0) for rows in heard]
    )  # (N, P)
    rng = np.random.default_rng(setting.seed)
    orders = [rng.permutation(len(clips)) for _ in range(setting.orders)]
    own = _judged(best, fits, orders, [phrases.thresholds()] * len(orders), max(LEARNT))
    found = [{"thresholds": "the bundle's", **own}]
    for learnt in LEARNT:
        scores = [_learnt(contender, [heard[i] for i in order[:learnt]]) for order in orders]
        for one_in in ONE_IN:
            a_day = DAY_S / BLOCK_S / one_in
            limits = [np.array([limit.above for limit in each.limits(a_day=a_day)]) for each in scores]
            judged = _judged(best, fits, orders, limits, learnt)
            found.append({"thresholds": f"of {learnt} half minutes", "asked": 1 / one_in, **judged})
    rows = [
        (
            row["thresholds"],
            f"1 in {1 / row['asked']:.0f}" if "asked" in row else "",
            f"1 in {1 / max(row['false'], 1e-9):.0f}",
            row["false"] / row["asked"] if "asked" in row else None,
            row["false_90"] / row["asked"] if "asked" in row else None,
            100 * row["hits"],
        )
        for row in found
    ]
    columns = ("thresholds", "false alerts asked", "found", "of what was asked", "of 90 % of phrases at most", "hits %")
    table = Table(f"{contender.name}: {len(phrases)} phrases over {len(clips)} clips", columns, rows)
    return Report("site", {"clips": len(clips), "orders": setting.orders, "found": found}, [table])


def _learnt(contender: Contender, windows: Sequence[np.ndarray]) -> SiteScores:
    scores = SiteScores(contender.engine.phrases, contender.engine.bundle)
    for number, rows in enumerate(windows):
        scores.add(rows, np.full(len(rows), BLOCK_S * number))
    return scores


def _judged(
    best: np.ndarray, fits: np.ndarray, orders: Sequence[np.ndarray], limits: Sequence[np.ndarray], learnt: int
) -> dict[str, Any]:
    """Over the clips that thresholds were not found from: false alerts a clip and phrase, in the mean and at most of
    90 % of phrases, and the share of fitting clips that are heard."""
    false, hits, fitting = [], 0, 0
    for order, limit in zip(orders, limits, strict=True):
        rest = order[learnt:]
        above = best[rest] >= limit
        false.append((above & ~fits[rest]).mean(axis=0))
        hits += int((above & fits[rest]).sum())
        fitting += int(fits[rest].sum())
    rates = np.mean(false, axis=0)  # (P,)
    return {"false": float(rates.mean()), "false_90": float(np.quantile(rates, 0.9)), "hits": hits / fitting}
