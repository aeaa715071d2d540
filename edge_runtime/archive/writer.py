"""What takes the windows of one recording to the disk: those of the archive's hop, and the newest in any case."""

import errno

import numpy as np

from edge_runtime.archive.day_file import DayFiles
from edge_runtime.archive.record import encoded
from edge_runtime.archive.tail import Tail
from edge_runtime.errors import HomeError
from edge_runtime.listener import Window

__all__ = ["RecordingWriter"]


class RecordingWriter:
    """Appends the windows of one recording."""

    def __init__(self, number: int, days: DayFiles, tail: Tail | None, *, width: int) -> None:
        self._number = number
        self._days = days
        self._tail = tail
        self._width = width
        self._waiting: Window | None = None
        self._tail_end_s = -np.inf
        self.complete = True
        self.heard_s = 0.0
        self.lost_s = 0.0

    def add(self, window: Window, *, every: int = 1) -> None:
        """Keep a settled window if its index is a multiple of `every` segments; the newest one is kept in any case.
        One that is not settled, or provisional, stands in for what is not archived yet if the process is killed."""
        if window.settled and window.index % every == 0:
            self._write(window)
        elif window.settled:
            self._waiting = window
        if self._tail and window.end_s > self._tail_end_s:
            self._tail.keep(encoded(self._number, window, width=self._width))
            self._tail_end_s = window.end_s

    def finish(self) -> None:
        """The recording ends here: its last window is kept, and all of them are on the disk, which may be taken out."""
        if self._waiting is not None:
            self._write(self._waiting)
        self._days.close()

    def drop_tail(self) -> None:
        if self._tail is not None:
            self._tail.drop()

    def _write(self, window: Window) -> None:
        try:
            self._days.append(encoded(self._number, window, width=self._width))
        except OSError as error:
            reason = "No space left on device" if error.errno == errno.ENOSPC else error.strerror
            raise HomeError(f"the archive cannot grow ({reason}): free some disk, or use --no-archive") from error
        self._waiting = None
