"""Arithmetic of spans of time: which state holds where several were told, and how long each.

    spans = settled(spans)                          # apart, in order, neighbours of one state joined
    seconds_of(spans, start_ms, end_ms)             # {"heard": 86_000.0, …, "lost": 12.5}

What was told twice counts once. Of several states the one that was told on purpose or for a fault holds: gated before
clipped before heard before dropped; where nothing was told, it is lost.
"""

from collections.abc import Iterable, Iterator

from edge_runtime.ledger.record import STATES, Span, State

__all__ = ["seconds_of", "settled"]

STRONGEST: tuple[State, ...] = ("gated", "clipped", "heard", "dropped")

Interval = tuple[int, int]


def settled(spans: Iterable[Span]) -> list[Span]:
    """No two overlap."""
    told: dict[State, list[Interval]] = {state: [] for state in STRONGEST}
    for span in spans:
        if span.state in told and span.end_ms > span.start_ms:
            told[span.state].append((span.start_ms, span.end_ms))
    taken: list[Interval] = []
    found: list[Span] = []
    for state in STRONGEST:
        own = _union(told[state])
        found += [Span(state, start, end) for start, end in _without(own, taken)]
        taken = _union([*taken, *own])
    return sorted(found, key=lambda span: span.start_ms)


def seconds_of(spans: list[Span], start_ms: int, end_ms: int) -> dict[State, float]:
    """How many seconds of [start, end) each state holds; `spans` are settled."""
    found: dict[State, float] = dict.fromkeys(STATES, 0.0)
    for span in spans:
        found[span.state] += max(0, min(span.end_ms, end_ms) - max(span.start_ms, start_ms)) / 1000
    found["lost"] = max(0.0, (end_ms - start_ms) / 1000 - sum(found.values()))
    return found


def _union(intervals: list[Interval]) -> list[Interval]:
    found: list[Interval] = []
    for start, end in sorted(intervals):
        if found and start <= found[-1][1]:
            found[-1] = (found[-1][0], max(end, found[-1][1]))
        else:
            found.append((start, end))
    return found


def _without(intervals: list[Interval], others: list[Interval]) -> Iterator[Interval]:
    """What of `intervals` is in none of `others`; both are unions."""
    at = 0
    for start, end in intervals:
        begin = start
        while at < len(others) and others[at][1] <= begin:
            at += 1
        other = at
        while other < len(others) and others[other][0] < end:
            if others[other][0] > begin:
                yield begin, others[other][0]
            begin = max(begin, others[other][1])
            other += 1
        if begin < end:
            yield begin, end
