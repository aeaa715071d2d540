"""A folder of recordings as a source: each file one stretch. What is there, in order; watched, also what comes.

    FolderSource(Path("card"))
    FolderSource(Path("inbox"), watch=True)     # for ever

A watched file is heard once it has been left alone for `SETTLE_S`: a recorder may still be writing to it. One that
cannot be heard is told, once for each time that it changes, and the others are heard.
"""

import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

from edge_runtime.audio_file import recordings_in
from edge_runtime.errors import AudioError
from edge_runtime.sources.files import FileSource
from edge_runtime.sources.stop import Stop
from edge_runtime.sources.stretch import Refused, SourceState, Stretch

__all__ = ["FolderSource"]

SETTLE_S = 2.0
LOOK_S = 1.0
LOOK_COST = 0.05
"""The most of one core that looking may take: a card with a hundred thousand files is looked at less often."""

Version = tuple[int, int]
"""Size and time of change: another one is another recording."""


class FolderSource:
    """`refused` takes what cannot be opened. `known`: files that need not be heard again, as after a restart."""

    lost_s = 0.0

    def __init__(
        self,
        folder: Path,
        *,
        refused: Refused,
        name: str | None = None,
        watch: bool = False,
        known: Callable[[Path], bool] | None = None,
    ) -> None:
        self.name = name or str(folder)
        self.state: SourceState = "idle"
        self.last_audio_s: float | None = None
        self.trouble: str | None = None
        self._folder = folder
        self._watch = watch
        self._refused = refused
        self._known = known or (lambda _: False)
        self._stop = Stop()
        self._heard: dict[Path, Version] = {}

    def stop(self) -> None:
        self._stop.set()

    def stretches(self) -> Iterator[Stretch]:
        """Raises AudioError where the folder holds no recording, unless it is watched."""
        if self._watch:
            paths = self._new_files()
        else:
            found = recordings_in(self._folder)
            if not found:
                raise AudioError(f"{self._folder} holds no recording: put WAV, FLAC, OGG or MP3 files there")
            paths = iter(found)
        for path in paths:
            if self._stop:
                break
            if not self._known(path):
                yield from self._one(path)
        self.state = "stopped" if self._stop else "ended"

    def _one(self, path: Path) -> Iterator[Stretch]:
        file = FileSource(path, name=self.name, stop=self._stop)
        opened = file.stretches()
        try:
            stretch = next(opened)
        except AudioError as error:
            self._refused(error)
            return
        self.state = "listening"

        def read() -> Iterator[np.ndarray]:
            for block in stretch.blocks():
                self.last_audio_s = file.last_audio_s
                yield block

        yield Stretch(stretch.source, stretch.rate_hz, stretch.started_s, read, path)
        for _ in opened:  # closes the file
            pass

    def _new_files(self) -> Iterator[Path]:
        """Files as they come and settle, for ever."""
        growing: dict[Path, tuple[Version, float]] = {}
        while True:
            self.state = "waiting"
            started_s = time.monotonic()
            there = self._versions()
            took_s = time.monotonic() - started_s
            heard = self._heard = {path: version for path, version in self._heard.items() if path in there}
            growing = {
                path: growing[path] if path in growing and growing[path][0] == version else (version, started_s)
                for path, version in there.items()
                if heard.get(path) != version
            }
            for path, (version, since_s) in sorted(growing.items()):
                if self._settled(version, since_s):
                    heard[path] = version
                    yield path
            if self._stop.wait(max(LOOK_S, took_s / LOOK_COST)):
                return

    def _settled(self, version: Version, since_s: float) -> bool:
        """Left alone while we looked, or, by the file's own time, long before."""
        return time.monotonic() - since_s >= SETTLE_S or time.time() - version[1] / 1e9 >= 10 * SETTLE_S

    def _versions(self) -> dict[Path, Version]:
        found: dict[Path, Version] = {}
        try:
            next(self._folder.iterdir(), None)  # recordings_in finds nothing in a folder that is gone
            for path in recordings_in(self._folder):
                try:
                    about = path.stat()
                except OSError:  # vanished since
                    continue
                found[path] = (about.st_size, about.st_mtime_ns)
            self.trouble = None
        except OSError as error:  # unmounted, say: it may come back
            self.trouble = f"{self._folder} cannot be read ({error.strerror})"
        return found
