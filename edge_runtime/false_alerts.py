"""How often a vocabulary would be heard where nothing of it sounds: counted on a bundle's background, per hour.

    found = false_alerts(bundle, phrases)
    found.rate.per_hour, found.rate.low, found.rate.high        # expected, and its 95 % interval
    found.worst                                                 # ((phrase, Rate), …), the most frequent first

Each held window (background.py) is asked as `earmark listen` asks: is the best phrase above its threshold? In a
recording that is right where the phrase lies near to the recording's own label, else it is a false alert, as it is in
generated noise; recordings without a label (of a bundle without a bank) are left out. Windows do not overlap, and each
stands for its length. Several in a row, which a listener would tell as one, are counted one by one. Most of the
recordings were heard in training: a field with other sounds may give more.

Alerts are rare and independent of one another, so their number is Poisson's; the interval is the exact one (Garwood
1936, "Fiducial Limits for the Poisson Distribution"): its ends are the rates at which so many alerts or more, or so
many or fewer, would have a chance of 2.5 %. No alert in an hour still allows for 3.7.
"""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from math import exp, lgamma, log, sqrt

import numpy as np

from edge_runtime.background import NO_LABEL, Background
from edge_runtime.bundle import Bundle
from edge_runtime.phrases import Phrases

__all__ = ["FalseAlerts", "Rate", "false_alerts"]

ALIKE = 0.4
"""Cosine of two texts from which one names the other's sound: of the pairs that benchmarks/retrieval/answers.py has as
right 75 % lie there, of the others 1.3 %."""
WORST = 5
TAIL = 0.025
BISECTIONS = 60


@dataclass(frozen=True)
class Rate:
    """So many alerts in so many hours: `per_hour`, and the ends of its 95 % interval."""

    alerts: int
    per_hour: float
    low: float
    high: float

    @classmethod
    def of(cls, alerts: int, hours: float) -> "Rate":
        low, high = poisson_interval(alerts)
        return cls(alerts, alerts / hours, low / hours, high / hours)


@dataclass(frozen=True)
class FalseAlerts:
    """`hours` of background, of which `recorded_hours` are recordings; `worst`: the phrases most often heard."""

    hours: float
    recorded_hours: float
    rate: Rate
    worst: tuple[tuple[str, Rate], ...]


def false_alerts(bundle: Bundle, phrases: Phrases) -> FalseAlerts | None:
    """None where the bundle brings no background to count on, or the vocabulary is empty."""
    background = bundle.background
    if background is None or not len(phrases):
        return None
    counted = background.held & (background.generated | (background.label_of != NO_LABEL))
    if not counted.any():
        return None
    windows = background.rows[counted].vectors()
    label_of = background.label_of[counted]
    embeddings = phrases.embeddings()
    scores = windows @ embeddings.T  # (W, P)
    best = scores.argmax(axis=1)
    limits = bundle.reference(windows) + phrases.thresholds()[best]
    heard = scores[np.arange(len(windows)), best] >= limits
    false = best[heard & ~_is_right(background, label_of, embeddings[best])]
    hour_s = 3600 / bundle.manifest.window_s
    hours = len(windows) / hour_s
    texts = list(phrases)
    worst = Counter(texts[i] for i in false.tolist()).most_common(WORST)
    return FalseAlerts(
        hours,
        float((~background.generated[counted]).sum()) / hour_s,
        Rate.of(len(false), hours),
        tuple((text, Rate.of(count, hours)) for text, count in worst),
    )


def _is_right(background: Background, label_of: np.ndarray, phrases: np.ndarray) -> np.ndarray:
    """Whether each phrase (W, E) names its window's recording (W,) bool; no window of noise has a name."""
    if background.bank is None:
        return np.zeros(len(phrases), bool)
    labels = background.bank.rows.vectors()[label_of]  # (W, E); rows without a label are masked below
    return (label_of != NO_LABEL) & (np.einsum("we,we->w", labels, phrases) >= ALIKE)


def poisson_interval(count: int) -> tuple[float, float]:
    """The exact 95 % interval of a Poisson mean of which `count` events were seen."""
    low = 0.0 if count == 0 else _where(lambda mean: 1 - _at_most(count - 1, mean), TAIL, count)
    return low, _where(lambda mean: -_at_most(count, mean), -TAIL, count)


def _where(rising: Callable[[float], float], value: float, count: int) -> float:
    """The mean at which a function that rises with it has this value."""
    low, high = 0.0, count + 10 * sqrt(count + 1) + 10
    for _ in range(BISECTIONS):
        middle = (low + high) / 2
        low, high = (middle, high) if rising(middle) < value else (low, middle)
    return (low + high) / 2


def _at_most(count: int, mean: float) -> float:
    """The chance of `count` events or fewer, of a Poisson mean above 0."""
    return sum(exp(i * log(mean) - mean - lgamma(i + 1)) for i in range(count + 1))
