"""From which score a phrase counts as heard at one place: at most so many false alerts a day, by its own sounds.

    scores = SiteScores(phrases, bundle)
    for windows, at in archive.windows_of("garden", since=…): scores.add(windows, at)
    for limit in scores.limits(a_day=1.0): …        # SiteLimit, one a phrase
    keep_limits(home, bundle.fingerprint, "garden", limits); limits_of(home, bundle.fingerprint, "garden")

What a phrase scores in the best window of each half minute, less the window's reference, is the site's background as
long as the phrase is seldom really heard there: a threshold is put where the tail of that background, as its upper half
foretells it, is reached so often a day. A few real events do not move it; they are counted, and told beside it. With
`strict` every alert of that time counts as false: for a time in which somebody knows that there was nothing.

One phrase's tail says little by itself. So a threshold is drawn towards the bundle's own, which is moved by what all
phrases together say of the site, the more the less sure the phrase's own is, and half of the way at least; and it never
is below what generated noise reaches (background.py). `benchmarks/site.py` measures what that gives.
"""

import sqlite3
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import pairwise
from math import log
from statistics import NormalDist
from typing import Any

import numpy as np

from edge_runtime.bundle import Bundle
from edge_runtime.errors import EarmarkError
from edge_runtime.false_alerts import Rate
from edge_runtime.home import Home
from edge_runtime.phrases import Phrases

__all__ = ["BLOCK_S", "SiteLimit", "SiteScores", "drifted", "keep_limits", "limits_of", "restore"]

BLOCK_S = 30.0
"""Alerts within it are one."""
LEAST_BLOCKS = 120
"""An hour."""
GROUPS = 10
GROUP_BLOCKS = 20
"""Ten minutes, which are left out together to see how sure a threshold is: sounds last."""
LOWEST, HIGHEST, BIN = -0.6, 0.9, 0.004
BINS = round((HIGHEST - LOWEST) / BIN)
EXPONENTIAL_SHARE = 0.6
"""The tail is between a normal one, which alone gives more false alerts than were asked for, and an exponential one,
which gives far fewer of them and of the hits. `python -m benchmarks site` has what this share gives."""
OWN_SHARE = 0.5
"""Of a phrase's own threshold, at most: with more, those whose tail is misread give many more alerts."""
LEAST_SPREAD = 0.05
"""How far phrases' right thresholds lie from the bundle's, moved to the site; more where the site says so."""
POOLED = 10
"""So many phrases' worth of belief that the site is as the bundle expects."""
DEVIATIONS = 1.96
DAY_S = 86_400.0


@dataclass(frozen=True)
class SiteLimit:
    """`phrase` counts as heard so far `above` a window's reference, for at most `a_day` false alerts; the right value
    is within `low` to `high` with a chance of 95 %. In `alerts` half minutes of the `days` that were heard it is so."""

    phrase: str
    above: float
    low: float
    high: float
    a_day: float
    alerts: int
    days: float

    @property
    def rate(self) -> Rate:
        """Alerts an hour, false or not, with their 95 % interval."""
        return Rate.of(self.alerts, 24 * self.days)

    @property
    def busy(self) -> bool:
        """Heard more often than false alerts explain: it is really there, or something that sounds like it."""
        return 24 * self.rate.low > self.a_day


class SiteScores:
    """What all phrases score at one source. Memory is bounded by the number of phrases (14 kB each)."""

    def __init__(self, phrases: Phrases, bundle: Bundle) -> None:
        self._texts = list(phrases)
        self._embeddings = phrases.embeddings()
        self._own = phrases.thresholds()
        self._floors = bundle.noise_floors(self._embeddings)
        self._reference = bundle.reference
        self._counts = np.zeros((GROUPS, len(self._texts), BINS), np.uint32)
        self._block, self._best = -1, np.full(len(self._texts), -np.inf, np.float32)
        self.blocks = 0

    def add(self, windows: np.ndarray, at: np.ndarray) -> None:
        """windows (W, E) float32, unit length, of the moments `at` (W,), UTC seconds, in order."""
        excess = windows @ self._embeddings.T - self._reference(windows)[:, None]  # (W, P)
        for block, rows in _runs(np.floor(at / BLOCK_S).astype(np.int64)):
            if block != self._block:
                self._close()
                self._block = block
            np.fmax(self._best, excess[rows].max(axis=0), out=self._best)

    def limits(self, *, a_day: float, strict: bool = False) -> list[SiteLimit]:
        """One for each phrase, for at most `a_day` false alerts. Raises EarmarkError where too little was heard."""
        self._close()
        if not 0 < a_day <= DAY_S / BLOCK_S / 4:
            raise EarmarkError(f"{a_day} false alerts a day: expected more than 0, at most {DAY_S / BLOCK_S / 4:.0f}")
        if self.blocks < LEAST_BLOCKS:
            raise EarmarkError(
                f"{int(self.blocks * BLOCK_S / 60)} minutes of this source are in the archive, thresholds of a site "
                f"need {LEAST_BLOCKS * BLOCK_S / 60:.0f} at least: listen for longer"
            )
        chance = a_day * BLOCK_S / DAY_S
        counts = self._counts.astype(np.int64)
        whole = counts.sum(axis=0)
        own = threshold(whole, chance)
        left_out = np.stack([threshold(whole - group, chance) for group in counts])
        errors = np.sqrt((GROUPS - 1) / GROUPS * ((left_out - left_out.mean(axis=0)) ** 2).sum(axis=0))
        shift = float(np.median(own - self._own)) * len(own) / (len(own) + POOLED) if len(own) else 0.0
        around = self._own + shift
        spread2 = max(LEAST_SPREAD**2, float(np.var(own - around) - np.mean(errors**2))) if len(own) else 0.0
        share = np.minimum(OWN_SHARE, spread2 / (spread2 + errors**2))
        above = around + share * (own - around)
        if strict:
            above = np.maximum(above, reached(whole, chance))
        deviations = DEVIATIONS * np.sqrt((share * errors) ** 2 + (1 - share) ** 2 * spread2)
        above = np.maximum(above, self._floors)
        alerts = at_or_above(whole, above)
        days = self.blocks * BLOCK_S / DAY_S
        numbers = zip(above, above - deviations, above + deviations, alerts, strict=True)
        return [
            SiteLimit(text, float(limit), float(low), float(high), a_day, int(count), days)
            for text, (limit, low, high, count) in zip(self._texts, numbers, strict=True)
        ]

    def _close(self) -> None:
        """Count the half minute that is over."""
        if not np.isfinite(self._best).all() or not len(self._best):
            return
        bins = np.clip((self._best - LOWEST) / BIN, 0, BINS - 1).astype(np.int64)
        self._counts[(self._block // GROUP_BLOCKS) % GROUPS, np.arange(len(bins)), bins] += 1
        self._best = np.full(len(self._texts), -np.inf, np.float32)
        self.blocks += 1


def threshold(counts: np.ndarray, chance: float) -> np.ndarray:
    """counts (P, BINS) of half minutes by their score -> the score (P,) that a half minute of background reaches with
    this chance, by the tail of its better half."""
    middle, fifth, tenth, twentieth = (quantile(counts, share) for share in (0.5, 0.8, 0.9, 0.95))
    spread = (twentieth - middle) / NormalDist().inv_cdf(0.95)
    normal = middle + spread * NormalDist().inv_cdf(1 - chance)
    exponential = fifth + np.maximum(tenth - fifth, BIN) / log(2) * log(0.2 / chance)
    return (1 - EXPONENTIAL_SHARE) * normal + EXPONENTIAL_SHARE * exponential


def quantile(counts: np.ndarray, share: float) -> np.ndarray:
    """counts (P, BINS) -> the score (P,) below which this share of them lies, to a part of a bin."""
    sums = counts.cumsum(axis=1)
    wanted = share * sums[:, -1]
    bins = (sums < wanted[:, None]).sum(axis=1)
    rows = np.arange(len(counts))
    inside = counts[rows, bins]
    part = (wanted - (sums[rows, bins] - inside)) / np.maximum(inside, 1)
    return LOWEST + BIN * (bins + part)


def reached(counts: np.ndarray, chance: float) -> np.ndarray:
    """counts (P, BINS) -> the least score (P,), a bin's lower edge, that no more of them than this chance reach."""
    allowed = np.floor(chance * counts.sum(axis=1))
    from_above = counts[:, ::-1].cumsum(axis=1)[:, ::-1]  # in this bin or a higher one
    return LOWEST + BIN * (from_above > allowed[:, None]).sum(axis=1)


def at_or_above(counts: np.ndarray, limits: np.ndarray) -> np.ndarray:
    """counts (P, BINS) -> how many (P,) are in the bins from that of the limit (P,) on: up to a bin too many."""
    bins = np.clip((limits - LOWEST) / BIN, 0, BINS - 1).astype(np.int64)
    return np.where(np.arange(BINS) >= bins[:, None], counts, 0).sum(axis=1)


def drifted(before: Mapping[str, SiteLimit], now: Iterable[SiteLimit]) -> list[tuple[SiteLimit, SiteLimit]]:
    """The phrases whose new threshold is not within what was believed of it, the furthest first: the site has changed,
    or its microphone."""
    pairs = [(before[limit.phrase], limit) for limit in now if limit.phrase in before]
    moved = [(old, new) for old, new in pairs if not old.low <= new.above <= old.high]
    return sorted(moved, key=lambda pair: -abs(pair[1].above - pair[0].above))


def keep_limits(home: Home, fingerprint: str, source: str, limits: Iterable[SiteLimit]) -> None:
    """In place of what the home had of this source and model; noted in its journal, to four places."""
    limits = list(limits)
    row = {"fingerprint": fingerprint, "source": source, "found_at": time.time()}
    row |= {"a_day": limits[0].a_day, "days": limits[0].days} if limits else {"a_day": 0.0, "days": 0.0}
    row |= {name: [getattr(limit, name) for limit in limits] for name in ("phrase", "alerts")}
    row |= {name: [round(getattr(limit, name), 4) for limit in limits] for name in ("above", "low", "high")}
    with home.transaction():
        _put(home.db, row)
        home.journal.note("limits", row)


def restore(db: sqlite3.Connection, kind: str, fields: Mapping[str, Any]) -> bool:
    """Put back what a line of the journal tells; False where it is none of ours. Raises KeyError, TypeError, ValueError
    or sqlite3.Error where it is damaged."""
    if kind == "limits":
        _put(db, fields)
    return kind == "limits"


def _put(db: sqlite3.Connection, row: Mapping[str, Any]) -> None:
    same = [str(row["fingerprint"]), str(row["source"])]
    numbers = [float(row[name]) for name in ("a_day", "days", "found_at")]
    rows = [
        (*same, str(phrase), *(float(each) for each in found), numbers[0], int(alerts), *numbers[1:])
        for phrase, *found, alerts in zip(
            *(row[name] for name in ("phrase", "above", "low", "high", "alerts")), strict=True
        )
    ]
    db.execute("delete from site_limit where fingerprint = ? and source = ?", same)
    db.executemany("insert into site_limit values (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)", rows)


def limits_of(home: Home, fingerprint: str, source: str) -> dict[str, SiteLimit]:
    """What the home has of this source and model, by phrase."""
    query = "select phrase, above, low, high, a_day, alerts, days from site_limit where fingerprint = ? and source = ?"
    return {row[0]: SiteLimit(*row) for row in home.db.execute(query, (fingerprint, source))}


def _runs(numbers: np.ndarray) -> Iterable[tuple[int, slice]]:
    """The runs of equal numbers (n,), and where each stands."""
    edges = np.flatnonzero(np.diff(numbers)) + 1
    for first, last in pairwise((0, *edges.tolist(), len(numbers))):
        if first < last:
            yield int(numbers[first]), slice(first, last)
