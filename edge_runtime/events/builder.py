"""Firings in, events out: windows of one name that overlap or nearly follow one another are one event.

    builder = EventBuilder("garden", hold_s=2, refractory_s=30)
    for event in builder.push(matcher.firings(window, at=end_s), (start_s, end_s)): …   # those that are over
    for event in builder.flush(): …                                                     # the recording ends

An event goes on while a firing window begins at most `hold_s` after its end; it is known to be over, and told, at the
first window that begins later. `open` has those that go on: a sink need not wait. For `refractory_s` from an event's
end no other of its name begins. One that lasts longer than `longest_s` is cut, and goes on as another at once: rain
may fall for a week.

A gap in the sound does not end an event that goes on after it; its `coverage` tells.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from math import isfinite

from edge_runtime.events.event import Event
from edge_runtime.matching.firing import Firing

__all__ = ["EventBuilder"]


@dataclass
class Growing:
    """An event that goes on; `before_s`: seconds heard before it began."""

    start_s: float
    end_s: float
    peak_s: float
    best: Firing
    windows: int
    before_s: float
    heard_s: float


class EventBuilder:
    """One source's. Memory is bounded by the number of names."""

    def __init__(
        self, source: str, *, hold_s: float = 2.0, refractory_s: float = 0.0, longest_s: float = 600.0
    ) -> None:
        self._source = source
        self._hold_s = hold_s
        self._refractory_s = refractory_s
        self._longest_s = longest_s
        self._growing: dict[str, Growing] = {}
        self._quiet_until_s: dict[str, float] = {}
        self._until_s, self._heard_s = float("-inf"), 0.0

    def push(self, firings: Sequence[Firing], span: tuple[float, float]) -> Iterator[Event]:
        """Take what the window from `span[0]` to `span[1]` (monotonic seconds) says, an empty answer included, and
        yield the events that are over. Windows come in the order of their ends; one from before that begins another
        recording, and ends all events. Consume the iterator whole."""
        start_s, end_s = span
        if not (isfinite(start_s) and isfinite(end_s) and start_s < end_s):
            raise ValueError(f"a window from {start_s} to {end_s} s")
        if end_s < self._until_s:
            yield from self.flush()
        self._heard_s += end_s - max(start_s, min(self._until_s, end_s))
        self._until_s = end_s
        yield from self._end(name for name, event in self._growing.items() if start_s > event.end_s + self._hold_s)
        for firing in firings:
            event = self._growing.get(firing.name)
            if event and end_s > event.start_s + self._longest_s:
                yield from self._end([firing.name])
                self._begin(firing, max(start_s, event.end_s), span)
            elif event:
                self._extend(event, firing, span)
            elif start_s >= self._quiet_until_s.get(firing.name, start_s):
                self._begin(firing, start_s, span)

    def flush(self) -> Iterator[Event]:
        """The recording ends: yield what goes on, then begin anew, with nothing remembered. Consume it whole."""
        yield from self._end(self._growing)
        self._quiet_until_s = {}
        self._until_s, self._heard_s = float("-inf"), 0.0

    @property
    def open(self) -> tuple[Event, ...]:
        """The events that go on, as far as they are known, oldest first."""
        return tuple(self._event(name) for name in self._in_order(self._growing))

    def _begin(self, firing: Firing, start_s: float, span: tuple[float, float]) -> None:
        heard_s = span[1] - start_s
        self._growing[firing.name] = Growing(
            start_s, span[1], sum(span) / 2, firing, 1, self._heard_s - heard_s, heard_s
        )
        self._quiet_until_s.pop(firing.name, None)

    def _extend(self, event: Growing, firing: Firing, span: tuple[float, float]) -> None:
        event.end_s = span[1]
        event.heard_s = self._heard_s - event.before_s
        event.windows += 1
        if firing.excess > event.best.excess:
            event.best, event.peak_s = firing, sum(span) / 2

    def _end(self, names: Iterable[str]) -> Iterator[Event]:
        for name in self._in_order(names):
            event = self._event(name)
            del self._growing[name]
            if self._refractory_s:
                self._quiet_until_s[name] = event.end_s + self._refractory_s
            yield event

    def _in_order(self, names: Iterable[str]) -> list[str]:
        return sorted(names, key=lambda name: self._growing[name].start_s)

    def _event(self, name: str) -> Event:
        event, best = self._growing[name], self._growing[name].best
        return Event(
            self._source,
            name,
            best.kind,
            best.phrases,
            event.start_s,
            event.end_s,
            event.peak_s,
            best.score,
            best.threshold,
            event.windows,
            event.heard_s,
        )
