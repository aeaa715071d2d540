"""One stretch after another of one source: samples in; windows, firings, events and clips out.

ear = Ear(settings, station, keeper)
ear.begin(stretch)
ear.hear(block)             # any length
ear.end()                   # the tail is heard, and what is over is told
ear.close()                 # nothing comes any more
ear.move_to(station)        # another vocabulary, other sinks: from the next window on
"""

import time
from collections.abc import Iterable, Sequence
from dataclasses import asdict

import numpy as np

from edge_runtime.events.builder import EventBuilder
from edge_runtime.events.clip_folder import ClipFolder
from edge_runtime.events.clips import LONGEST_BLOCK_S, ClipRecorder
from edge_runtime.events.event import Event
from edge_runtime.events.speech import SpeechGate
from edge_runtime.gain import Gain
from edge_runtime.ledger import Account
from edge_runtime.listener import Listener, Window
from edge_runtime.matching.firing import Firing
from edge_runtime.phrases import Match
from edge_runtime.resample import Resampler
from edge_runtime.service.configuration import SourceSettings
from edge_runtime.service.keeper import Keeper
from edge_runtime.service.station import Station
from edge_runtime.sources import Stretch

__all__ = ["Ear"]

SHOWN_MATCHES = 3
AHEAD_S = 60.0
"""A pipe whose sound is so far ahead of the clock gives no sound of now, and can be given again."""


class Ear:
    """Belongs to one thread; `move_to` may be called from another."""

    def __init__(self, settings: SourceSettings, station: Station, keeper: Keeper, account: Account) -> None:
        self._name = settings.name
        self._louder = Gain(settings.gain_db)
        self._keeper = keeper
        self._account = account
        self._station = self._next_station = station
        bundle = station.engine.bundle
        self._gate = SpeechGate(bundle) if station.plan.gates_speech else None
        bundle.close_text()
        self._attend()

    def move_to(self, station: Station) -> None:
        """One whose plan has the same clips and speech: those are of a whole stretch."""
        self._next_station = station

    def begin(self, stretch: Stretch) -> None:
        bundle = self._station.engine.bundle
        self._stretch = stretch
        # what a kill would cost is kept for now without its look-ahead, but not where it may turn out to be speech
        keeps = self._keeper.archives and stretch.live and self._station.plan.speech != "drop"
        self._listener = Listener(bundle, early=True, provisional=keeps)
        self._resampler = Resampler(stretch.rate_hz, bundle.manifest.mel.rate_hz)
        if self._gate:
            self._gate.reset()
        self._clips = self._recorder(stretch)
        self._heard_s = 0.0
        self._keeper.begin(stretch)

    def hear(self, block: np.ndarray) -> int:
        """Samples (n,) float32 of the stretch; how many windows they completed."""
        windows = 0
        longest = max(1, int(LONGEST_BLOCK_S * self._stretch.rate_hz))
        for start in range(0, len(block), longest):
            part = block[start : start + longest]
            if self._clips:
                self._clips.push(part)
            for window in self._listener.push(self._resampler.push(self._louder(part))):
                windows += self._take(window)
            seconds = len(part) / self._stretch.rate_hz
            self._keeper.heard(seconds)
            self._heard_s += seconds
        if self._stretch.started_s + self._heard_s > time.monotonic() + AHEAD_S:
            self._listener.settled_only()
        return windows

    def end(self) -> int:
        """The stretch is over; how many windows its tail has."""
        windows = 0
        for last in (self._listener.push(self._resampler.flush()), self._listener.flush()):
            for window in last:
                windows += self._take(window)
        ended: list[Event] = []
        if self._stretch.path is not None:  # the next file is another time and place
            ended = list(self._events.flush())
            self._matcher.reset()
            self._keep_events(ended)
        if self._clips:
            for clip in self._clips.finish([*ended, *self._events.open]):
                self._keeper.clip(clip)
        self._clips = None
        self._keeper.end()
        return windows

    def close(self) -> None:
        """The source is over: so are its events."""
        self._keep_events(self._events.flush())

    def _attend(self) -> None:
        station = self._station
        self._matcher = station.hearing.matcher(self._name, station.clock.wall)
        self._events = EventBuilder(self._name, **asdict(station.plan.events))

    def _recorder(self, stretch: Stretch) -> ClipRecorder | None:
        station = self._station
        if station.plan.clips is None:
            return None
        return ClipRecorder(
            ClipFolder(station.home),
            self._name,
            station.plan.clips,
            rate_hz=stretch.rate_hz,
            started_s=stretch.started_s,
            window_s=station.engine.bundle.manifest.window_s,
            hold_s=station.plan.events.hold_s,
            wall=station.clock.wall,
            gate=self._gate,
        )

    def _take(self, window: Window) -> int:
        """One window: gated, kept, matched, told. Returns 1, or 0 for a provisional one, which is only kept for now."""
        if window.provisional:
            self._keeper.window(window)
            return 0
        if self._next_station is not self._station:
            self._change_station()
        speech = self._gate.push(window) if self._gate else False
        start_s, end_s = (self._stretch.started_s + second for second in (window.start_s, window.end_s))
        if speech and self._station.plan.speech == "drop":
            self._account.add("gated", start_s, end_s)
        else:
            self._keeper.window(window)
        firings = self._matched(window, start_s, end_s)
        ended = list(self._events.push(firings, (start_s, end_s)))
        self._keep_events(ended)
        if self._clips:
            for clip in self._clips.follow(self._events.open, ended):
                self._keeper.clip(clip)
        return 1

    def _change_station(self) -> None:
        ended = list(self._events.flush())
        self._keep_events(ended)
        if self._clips:
            for clip in self._clips.follow((), ended):
                self._keeper.clip(clip)
        self._station = self._next_station
        self._attend()

    def _matched(self, window: Window, start_s: float, end_s: float) -> Sequence[Firing]:
        matches: Sequence[Match] = ()
        sinks = self._station.sinks
        with self._station.hearing.current() as phrases:
            firings = self._matcher.firings(window, end_s)
            if sinks.wants("windows"):
                matches = phrases.match(window.embedding, k=SHOWN_MATCHES)
        if matches:
            sinks.tell(
                "windows",
                source=self._name,
                at=round(self._station.clock.wall(start_s), 3),
                start_s=round(window.start_s, 2),
                end_s=round(window.end_s, 2),
                matches=[{"phrase": m.phrase, "score": round(m.score, 4), "heard": m.heard} for m in matches],
            )
        return firings

    def _keep_events(self, events: Iterable[Event]) -> None:
        wall = self._station.clock.wall
        for event in events:
            self._keeper.event(event)
            self._station.sinks.tell(
                "events",
                source=event.source,
                name=event.name,
                kind=event.kind,
                phrases=event.phrases,
                start_at=round(wall(event.start_s), 3),
                end_at=round(wall(event.end_s), 3),
                peak_at=round(wall(event.peak_s), 3),
                score=round(event.score, 4),
                threshold=round(event.threshold, 4),
                coverage=round(event.coverage, 4),
            )
