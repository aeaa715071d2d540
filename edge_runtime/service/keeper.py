"""What one source leaves in the home: windows, events, clips. A full disk costs what does not fit, and stops no sound.

    with Keeper(station, settings, Counts()) as keeper:
        keeper.begin(stretch)
        keeper.window(window)           # as often as there is one
        keeper.event(event)
        keeper.end()

What fails is told once and tried again after `AGAIN_S`; events wait for that, a bounded number of them.
"""

import logging
import sqlite3
import time
from collections import deque
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from types import TracebackType
from typing import Self

from edge_runtime.archive import Archive, RecordingWriter
from edge_runtime.archive.recordings import name_of
from edge_runtime.errors import HomeError
from edge_runtime.events.catalogue import Catalogue
from edge_runtime.events.clips import Clip
from edge_runtime.events.event import Event
from edge_runtime.home import Home
from edge_runtime.listener import Window
from edge_runtime.service.configuration import SourceSettings
from edge_runtime.service.station import Station
from edge_runtime.sources import Stretch

__all__ = ["Counts", "Keeper"]

log = logging.getLogger(__name__)

AGAIN_S = 5.0
MOST_WAITING = 1000
REFUSALS = (HomeError, OSError, sqlite3.Error)
"""What a full or dying disk raises."""


@dataclass
class Counts:
    """What was lost for good."""

    windows: int = 0
    events: int = 0


class Keeper:
    """One source's, of one thread. It adds to `unkept`."""

    def __init__(self, station: Station, settings: SourceSettings, unkept: Counts) -> None:
        home = Home.open(station.home)
        assert home is not None
        bundle = station.engine.bundle
        self._home = home
        self._clock = station.clock
        self._name = settings.name
        self._archive = (
            Archive(home, bundle.fingerprint, width=bundle.manifest.head.width) if settings.archive else None
        )
        self._every = bundle.manifest.window.archive_hop
        self._catalogue = Catalogue(home, station.clock)
        self._waiting: deque[Callable[[], None]] = deque()
        self._stretch: Stretch | None = None
        self._broken_off = False
        self._writer: RecordingWriter | None = None
        self._open = ExitStack()
        self._again_s = 0.0
        self._failed = False
        self.unkept = unkept

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.end()
        self._home.close()

    @property
    def archives(self) -> bool:
        return self._archive is not None

    def begin(self, stretch: Stretch) -> None:
        """What comes from now on is of this stretch. Raises AudioError for a file whose name cannot be kept."""
        self.end()
        if stretch.path is not None:
            name_of(stretch.path)
        self._stretch, self._broken_off = stretch, False

    def heard(self, seconds: float) -> None:
        """So much more of the stretch has been heard."""
        if self._writer is not None:
            self._writer.heard_s += seconds

    def broken_off(self) -> None:
        """The stretch ends before its file does: that is to be heard again."""
        self._broken_off = True

    def window(self, window: Window) -> None:
        """Archive it, where it is one to be archived."""
        if self._archive is None:
            return
        if not self._try(lambda: self._written(window)) and not window.provisional:
            self.unkept.windows += 1

    def event(self, event: Event) -> None:
        """Kept now, or when the disk takes it again."""
        stretch = self._stretch
        assert stretch is not None
        file = str(stretch.path) if stretch.path else None
        self._later(lambda: self._catalogue.keep(event, stretch_s=stretch.started_s, file=file))

    def clip(self, clip: Clip) -> None:
        self._later(lambda: self._catalogue.keep_clip(clip))

    def end(self) -> None:
        """The stretch is over: all that can be is on the disk."""
        self._again_s = 0.0
        self._try(self._close)
        self._flush()
        self._again_s = 0.0

    def _written(self, window: Window) -> None:
        if self._writer is None:
            assert self._archive is not None and self._stretch is not None
            stretch = self._stretch
            recording = self._archive.recording(
                stretch.source, path=stretch.path, live=True, began=lambda: self._clock.stamp(stretch.started_s)
            )
            self._writer = self._open.enter_context(recording)
        self._writer.add(window, every=self._every)

    def _close(self) -> None:
        if self._writer is not None and self._broken_off:
            self._writer.complete = False
        self._writer = None
        self._open, closing = ExitStack(), self._open
        closing.close()

    def _later(self, keep: Callable[[], None]) -> None:
        self._waiting.append(keep)
        if len(self._waiting) > MOST_WAITING:
            self._waiting.popleft()
            self.unkept.events += 1
        self._flush()

    def _flush(self) -> None:
        while self._waiting and self._try(self._waiting[0]):
            self._waiting.popleft()

    def _try(self, keep: Callable[[], None]) -> bool:
        """Whether it was kept; a while after a failure nothing is tried."""
        if time.monotonic() < self._again_s:
            return False
        try:
            keep()
        except REFUSALS as error:
            self._again_s = time.monotonic() + AGAIN_S
            if not self._failed:
                log.warning("%s: the home takes nothing (%s); listening goes on", self._name, error)
            self._failed = True
            return False
        if self._failed:
            log.warning("%s: the home takes what is heard again", self._name)
        self._failed = False
        return True
