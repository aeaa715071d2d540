"""A recording on disk as a source: one stretch.

FileSource(Path("door.wav"))
"""

import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from edge_runtime.audio_file import AudioFile
from edge_runtime.sources.stop import Stop
from edge_runtime.sources.stretch import SourceState, Stretch

__all__ = ["FileSource"]


class FileSource:
    """`name`: default the path."""

    lost_s = 0.0
    trouble: str | None = None

    def __init__(self, path: Path, *, name: str | None = None, stop: Stop | None = None) -> None:
        self.path = path
        self.name = name or str(path)
        self.state: SourceState = "idle"
        self.last_audio_s: float | None = None
        self._stop = Stop() if stop is None else stop  # one that is not set is false

    def stop(self) -> None:
        self._stop.set()

    def stretches(self) -> Iterator[Stretch]:
        """One. Raises AudioError where the file is no recording."""
        self.state = "opening"
        with AudioFile.open(self.path) as file:
            self.state = "listening"
            yield Stretch(self.name, file.rate_hz, time.monotonic(), lambda: self._blocks(file), self.path)
        self.state = "stopped" if self._stop else "ended"

    def _blocks(self, file: AudioFile) -> Iterator[np.ndarray]:
        for block in file.blocks():
            if self._stop:
                return
            self.last_audio_s = time.monotonic()
            yield block
