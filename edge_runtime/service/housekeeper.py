"""What is done now and then in a home that fills for months: clips go that are too many, wall times are set right.

housekeeper = Housekeeper(home, clock)
housekeeper.tidy(plan.retention)        # as often as you like: it looks once a minute
housekeeper.set_right()                 # after `clock.look()` said that wall times follow
"""

import logging
import shutil
import sqlite3
import time
from pathlib import Path

from edge_runtime.archive.recordings import repair
from edge_runtime.clock import Clock
from edge_runtime.errors import HomeError
from edge_runtime.events.catalogue import Catalogue
from edge_runtime.events.clip_folder import ClipFolder
from edge_runtime.events.retention import Retention, to_remove
from edge_runtime.home import Home

__all__ = ["Housekeeper"]

log = logging.getLogger(__name__)

EVERY_S = 60.0


class Housekeeper:
    """Of one thread. What a full disk refuses is tried again at the next look."""

    def __init__(self, home: Path, clock: Clock) -> None:
        opened = Home.open(home)
        assert opened is not None
        self._home = opened
        self._clock = clock
        self._catalogue = Catalogue(opened, clock)
        self._clips = ClipFolder(home)
        self._clips.clear_parts()
        self._due_s = 0.0
        self._wrong = False

    def close(self) -> None:
        self._home.close()

    def set_right(self) -> None:
        """Tell the wall times of this boot anew."""
        self._wrong = True
        self._due_s = 0.0

    def tidy(self, retention: Retention) -> None:
        if time.monotonic() < self._due_s:
            return
        self._due_s = time.monotonic() + EVERY_S
        try:
            if self._wrong:
                repair(self._home, self._clock)
                self._catalogue.repair()
                self._wrong = False
            self._remove_clips(retention)
        except (OSError, HomeError, sqlite3.Error) as error:
            log.warning("the home could not be tidied (%s); it is tried again in %.0f s", error, EVERY_S)

    def _remove_clips(self, retention: Retention) -> None:
        files = list(self._clips.files())
        if not files:
            return
        free_bytes = shutil.disk_usage(self._home.path).free
        now = self._clock.now() if self._clock.trusted else None
        gone = to_remove(files, self._catalogue.clips(), retention, now=now, free_bytes=free_bytes)
        for path in gone:
            self._clips.remove(path)
        if gone:
            self._catalogue.forget_clips(gone)
            log.info("%d clips have gone, %d stay", len(gone), len(files) - len(gone))
