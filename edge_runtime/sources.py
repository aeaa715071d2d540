"""Where sound comes from: a file, a folder of files, PCM on a pipe, a microphone.

    for recording in recordings_of("mic", rate_hz=None):
        with recording as source:
            for block in source.blocks(): …     # float32 mono (n,) at source.rate_hz

A source tells `name`, `rate_hz`, `path` (None where it is no file) and, at any time, `lost_s`: what it knows it has
missed.
"""

import sys
from collections.abc import Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Protocol, Self

import numpy as np

from edge_runtime.audio_file import AudioFile, recordings_in
from edge_runtime.errors import AudioError

__all__ = ["FileSource", "PcmPipe", "Source", "sources_of"]


class Source(Protocol):
    @property
    def name(self) -> str: ...

    @property
    def path(self) -> Path | None: ...

    @property
    def rate_hz(self) -> int: ...

    @property
    def lost_s(self) -> float: ...

    def blocks(self) -> Iterator[np.ndarray]: ...


class FileSource:
    """One recording on disk; opened on `with`."""

    lost_s = 0.0

    def __init__(self, path: Path) -> None:
        self.path: Path | None = path
        self.name = str(path)
        self._where = path

    def __enter__(self) -> Self:
        self._file = AudioFile.open(self._where)
        self.rate_hz = self._file.rate_hz
        self.seconds = self._file.seconds
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._file.__exit__(kind, error, trace)

    def blocks(self) -> Iterator[np.ndarray]:
        return self._file.blocks()


class PcmPipe:
    """16-bit little-endian mono PCM from a pipe, until it closes."""

    path = None
    lost_s = 0.0
    READ_BYTES = 1 << 14

    def __init__(self, stream: BinaryIO, *, rate_hz: int) -> None:
        self.name = "-"
        self.rate_hz = rate_hz
        self._stream = stream

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        pass

    def blocks(self) -> Iterator[np.ndarray]:
        read = getattr(
            self._stream, "read1", self._stream.read
        )  # read1 gives what is there, and does not wait for more
        rest = b""
        while data := read(self.READ_BYTES):
            data = rest + data
            whole = len(data) & ~1
            rest = data[whole:]
            yield np.frombuffer(data[:whole], "<i2").astype(np.float32) / np.float32(32768)


def sources_of(what: str, *, rate_hz: int | None = None) -> Iterator[AbstractContextManager[Source]]:
    """The sources that a SOURCE names: `mic`, `mic:NAME`, `-`, a file, or a folder (its files, in order)."""
    if what == "mic" or what.startswith("mic:"):
        from edge_runtime.microphone import Microphone  # PortAudio is only needed here

        yield Microphone(what.removeprefix("mic").removeprefix(":") or None)
    elif what == "-":
        if rate_hz is None:
            raise AudioError("PCM on standard input has no header: give its rate, as in `--rate 16000`")
        yield PcmPipe(sys.stdin.buffer, rate_hz=rate_hz)
    elif Path(what).is_dir():
        paths = recordings_in(Path(what))
        if not paths:
            raise AudioError(f"{what} holds no recording: put WAV, FLAC, OGG or MP3 files there")
        yield from map(FileSource, paths)
    else:
        yield FileSource(Path(what))
