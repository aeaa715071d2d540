"""Alerts of one scene, judged: which events were hit and how late, which alerts were false.

    found = scored(answers, truth, threshold=0.0, memory_s=5.12)
    offset = loosest(parts, 20.0, memory_s=5.12, low=-0.3, high=0.3)    # at most 20 false alerts an hour

A phrase is *on* in a window when it is the best one and its score reaches the threshold.
- An event is a *hit* when a phrase that answers its label is on in a window that holds some of it; its *delay* is the
  time from the event's beginning to the moment at which that window's answer is known (encoder look-ahead included).
- An *alert* begins when a phrase is on that was not on within the window's length before. It is *false* when it
  answers nothing that the window holds: no event, nor the background (answers.py).
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from benchmarks.retrieval.scenes import Event

__all__ = ["Answer", "Scored", "Truth", "loosest", "scored"]

STEP = 0.002


@dataclass(frozen=True)
class Answer:
    """A window, its best phrase, how far its score is above its threshold, and when (seconds of sound pushed) that was
    known."""

    start_s: float
    end_s: float
    known_s: float
    phrase: str
    score: float


@dataclass(frozen=True)
class Truth:
    """What is right in one scene: its events, the phrases that answer a label, those that answer the background."""

    events: Sequence[Event]
    right: dict[str, frozenset[str]]
    always: frozenset[str]

    def held_by(self, answer: Answer) -> list[Event]:
        """The events of which the window holds some."""
        return [event for event in self.events if event.start_s < answer.end_s and answer.start_s < event.end_s]


@dataclass(frozen=True)
class Scored:
    """`delays_s`: of each event, None where it was missed; `alerts`, and those of them that are `false`, by the answer
    that each began with."""

    delays_s: list[float | None]
    alerts: list[Answer]
    false: list[Answer]


def scored(heard: Sequence[Answer], truth: Truth, *, threshold: float, memory_s: float) -> Scored:
    """Judge one scene's answers, in order. `memory_s`: a phrase that was on so shortly before raises no new alert."""
    delays: dict[int, float] = {}
    last_on: dict[str, float] = {}
    alerts, false = [], []
    for answer in heard:
        if answer.score < threshold:
            continue
        held = [event for event in truth.held_by(answer) if answer.phrase in truth.right[event.clip.label]]
        for event in held:
            delays.setdefault(id(event), answer.known_s - event.start_s)
        if answer.known_s - last_on.get(answer.phrase, -np.inf) > memory_s:
            alerts.append(answer)
            if not held and answer.phrase not in truth.always:
                false.append(answer)
        last_on[answer.phrase] = answer.known_s
    return Scored([delays.get(id(event)) for event in truth.events], alerts, false)


def loosest(
    scenes: Sequence[tuple[Sequence[Answer], Truth]],
    allowed: float,
    *,
    memory_s: float,
    low: float,
    high: float,
) -> float:
    """The lowest threshold between `high` and `low` down to which never more than `allowed` alerts of all scenes are
    false. Alerts merge, so their number is not quite monotone in the threshold."""
    chosen = high
    for threshold in _falling(high, low):
        false = sum(len(scored(heard, truth, threshold=threshold, memory_s=memory_s).false) for heard, truth in scenes)
        if false > allowed:
            break
        chosen = threshold
    return chosen


def _falling(high: float, low: float) -> Iterator[float]:
    return (round(high - STEP * i, 4) for i in range(round((high - low) / STEP) + 1))
