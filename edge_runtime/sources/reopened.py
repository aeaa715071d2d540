"""A source that lasts: whatever ends it, it is opened again, with a short pause, for ever.

    ReopenedSource("mic", open_feed)        # open_feed() -> Feed; raises AudioError while there is none

It lives on sound alone: a feed that gives none for `SILENT_DEATH_S` is dead, whatever it says of itself.
"""

import logging
import time
from collections.abc import Callable, Iterator
from functools import partial
from typing import Protocol

import numpy as np

from edge_runtime.errors import AudioError
from edge_runtime.sources.intake import Gap, Intake
from edge_runtime.sources.stop import Stop
from edge_runtime.sources.stretch import SourceState, Stretch

__all__ = ["SILENT_DEATH_S", "Feed", "ReopenedSource"]

log = logging.getLogger(__name__)

SILENT_DEATH_S = 4.0
"""Seen within five seconds; a sound server may take two for its first block."""
PAUSES_S = (0.1, 0.3, 1.0, 2.0)
"""Before each attempt in a row, the last one for ever: waiting must not cost more than the fault."""
RECOVERED_S = 10.0
"""After so much sound the pauses start anew."""
TOLD_EVERY_S = 600.0
MUTE_S = 4.0
MUTE_REOPEN_S = 600.0
"""What gives zeros may be muted, or have hung up in a way that opening it again mends: that is tried now and then."""


class Feed(Protocol):
    """A device or a process while it is open: `intake` is where its sound comes in."""

    intake: Intake

    def close(self) -> None: ...


class ReopenedSource:
    """`patient`: also a first attempt that fails is repeated; else it raises AudioError."""

    def __init__(self, name: str, open_feed: Callable[[Stop], Feed], *, patient: bool = False) -> None:
        self.name = name
        self.state: SourceState = "idle"
        self.last_audio_s: float | None = None
        self.trouble: str | None = None
        self._open_feed = open_feed
        self._patient = patient
        self._stop = Stop()
        self._lost_s = 0.0
        self._end_s: float | None = None
        self._told_s = float("-inf")
        self._zeros_s = 0.0

    @property
    def lost_s(self) -> float:
        """Seconds between the stretches so far, and since the last one where it is over."""
        if self.state != "reopening" or self._end_s is None:
            return self._lost_s
        return self._lost_s + max(0.0, time.monotonic() - self._end_s)

    def stop(self) -> None:
        self._stop.set()

    def stretches(self) -> Iterator[Stretch]:
        """Take each one's blocks to their end before the next."""
        failures = 0
        self.state = "opening"
        while not self._stop:
            try:
                feed = self._open_feed(self._stop)
            except AudioError as error:
                if self._stop:
                    break
                if self.last_audio_s is None and not self._patient:
                    raise
                self._fail(str(error))
            else:
                opened_s = time.monotonic()
                try:
                    yield from self._of(feed.intake)
                finally:
                    feed.close()
                feed.intake.let_go()
                if self.last_audio_s is not None and self.last_audio_s - opened_s > RECOVERED_S:
                    failures = 0
            if not self._stop:
                self._stop.wait(PAUSES_S[min(failures, len(PAUSES_S) - 1)])
                failures += 1
        self.state = "stopped"

    def _of(self, intake: Intake) -> Iterator[Stretch]:
        """The stretches of one feed, until it dies."""
        gap: Gap | None = "lost"
        while gap is not None:
            first = self._next(intake)
            if first is not None:
                started_s = intake.next_s - len(first) / intake.rate_hz
                missing = None if gap == "drift" or self._end_s is None else gap
                if missing and self._end_s is not None:
                    self._lost_s += max(0.0, started_s - self._end_s)
                self._sounds(started_s)
                read = partial(self._run, intake, first)
                yield Stretch(self.name, intake.rate_hz, started_s, read, missing=missing)
            gap, intake.gap = intake.gap, None

    def _run(self, intake: Intake, first: np.ndarray) -> Iterator[np.ndarray]:
        block: np.ndarray | None = first
        while block is not None:
            self._zeros_s = 0.0 if block.any() else self._zeros_s + len(block) / intake.rate_hz
            self._sounds(intake.next_s)
            if self._zeros_s > MUTE_S:
                self._tell(f"{self.name} gives nothing but zeros, as no microphone does that is on: is it muted?")
                if self._zeros_s > MUTE_REOPEN_S:
                    self._zeros_s = 0.0
                    return
            yield block
            block = self._next(intake)

    def _sounds(self, until_s: float) -> None:
        self.state = "listening"
        if self._zeros_s <= MUTE_S:
            self.trouble, self._told_s = None, float("-inf")
        self.last_audio_s, self._end_s = time.monotonic(), until_s

    def _next(self, intake: Intake) -> np.ndarray | None:
        """The next block that follows on; None at a gap, at the feed's death and at the stop."""
        if self._stop:
            return None
        try:
            block = intake.read(SILENT_DEATH_S)
        except AudioError as error:
            self._fail(str(error))
            return None
        if block is None and intake.gap is None and not self._stop:
            self._fail(f"{self.name} has given no sound for {SILENT_DEATH_S:.0f} s: is it plugged in?")
        return block

    def _fail(self, trouble: str) -> None:
        """From the first failure on, what is missing counts. The state comes last: who reads it finds the trouble."""
        if self._end_s is None:
            self._end_s = time.monotonic()
        self._tell(trouble, "; trying again")
        self.state = "reopening"

    def _tell(self, trouble: str, and_then: str = "") -> None:
        """Say so at its start, when it changes, and now and then."""
        now_s = time.monotonic()
        if trouble != self.trouble or now_s - self._told_s > TOLD_EVERY_S:
            log.warning("%s%s", trouble, and_then)
            self._told_s = now_s
        self.trouble = trouble
