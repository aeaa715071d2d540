"""Recordings on disk: opened, checked, and read as float32 mono blocks.

    with AudioFile.open(path) as file:
        for block in file.blocks(): …       # (n,) float32 at file.rate_hz

A recording that is not whole is refused, never padded: a missing or empty file, one that is no audio, a WAV that ends
before its header says, samples that are not finite or beyond any sound.
"""

import os
import struct
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Self

import numpy as np
import soundfile

from edge_runtime.errors import AudioError
from edge_runtime.resample import MAX_RATE_HZ, MIN_RATE_HZ

__all__ = ["SUFFIXES", "AudioFile", "recordings_in"]

SUFFIXES = frozenset({".wav", ".flac", ".ogg", ".opus", ".oga", ".mp3", ".aif", ".aiff", ".w64", ".caf", ".au"})
BLOCK_S = 5.0
"""Shorter blocks cost an index of hours a third more time: each one changes hands between two threads."""
SHORT_BY_S = 0.1
"""A decoder that stops this much before the promised end has met a damaged file (MP3 headers are off by less)."""
MAX_LEVEL = 2.0**31
"""Full scale is 1; some programs write 32-bit integers as floats. Beyond that the power of a frame overflows."""
MAX_SECONDS = 1e9
"""libsndfile gives about 1e13 for a FLAC whose header was never finished."""


class AudioFile:
    """An open recording. `seconds` is what its header promises."""

    def __init__(self, path: Path, file: soundfile.SoundFile) -> None:
        self.path = path
        self._file = file
        self.rate_hz = int(file.samplerate)
        self.seconds = file.frames / file.samplerate

    @classmethod
    def open(cls, path: str | Path) -> Self:
        path = Path(path)
        try:
            if not path.exists():
                raise AudioError(f"there is no file {path}: check the name")
            if not path.is_file():
                raise AudioError(f"{path} is no regular file: give a recording")
            if path.stat().st_size == 0:
                raise AudioError(f"{path} is empty (0 bytes): record it again")
            _refuse_cut_wav(path)
            file = soundfile.SoundFile(os.fsencode(path))  # bytes: a recorder's file name need not be UTF-8
        except OSError as error:
            raise AudioError(f"{path} cannot be read ({error.strerror}): check its permissions") from error
        except soundfile.LibsndfileError as error:
            reason = error.error_string
            raise AudioError(f"{path} is no audio that can be read ({reason}): give WAV, FLAC, OGG or MP3") from error
        if file.frames <= 0:
            raise AudioError(f"{path} holds 0 samples: record it again")
        if file.frames > MAX_SECONDS * file.samplerate:
            raise AudioError(f"{path} does not say how long it is: write it again, as with `sox {path.name} new.wav`")
        if not MIN_RATE_HZ <= file.samplerate <= MAX_RATE_HZ:
            raise AudioError(
                f"{path} has a rate of {file.samplerate} Hz, {MIN_RATE_HZ} to {MAX_RATE_HZ} Hz can be read"
            )
        return cls(path, file)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._file.close()

    def blocks(self) -> Iterator[np.ndarray]:
        """Mono blocks (n,) float32 of a few seconds, channels averaged, in order."""
        buffer = np.empty((max(1, int(BLOCK_S * self.rate_hz)), self._file.channels), np.float32)
        done = 0
        while True:
            try:
                part = self._file.read(out=buffer)
            except soundfile.LibsndfileError as error:
                raise AudioError(
                    f"{self.path} is damaged after {done / self.rate_hz:.2f} s ({error.error_string}): restore the file"
                ) from error
            if not len(part):
                break
            mono = part[:, 0].copy()
            for channel in range(1, part.shape[1]):
                mono += part[:, channel]
            mono /= np.float32(part.shape[1])
            good = np.abs(mono) <= MAX_LEVEL  # False for NaN
            if not good.all():
                first = int(np.flatnonzero(~good)[0])
                what = "too large" if np.isfinite(mono[first]) else "NaN or infinite"
                raise AudioError(
                    f"{self.path} has a sample that is {what} at {(done + first) / self.rate_hz:.3f} s: "
                    "export it again as PCM"
                )
            done += len(part)
            yield mono
        if done / self.rate_hz < self.seconds - SHORT_BY_S:
            raise AudioError(
                f"{self.path} is cut short: {self.seconds:.2f} s promised, {done / self.rate_hz:.2f} s found: "
                "restore the file"
            )


def recordings_in(folder: Path) -> list[Path]:
    """All recordings under a folder, by their suffix, sorted; hidden files and folders are passed over."""
    found = (p for p in folder.rglob("*") if p.suffix.lower() in SUFFIXES and p.is_file())
    return sorted(p for p in found if not any(part.startswith(".") for part in p.relative_to(folder).parts))


def _refuse_cut_wav(path: Path) -> None:
    """Compare a RIFF file's data chunk with the file's size: libsndfile reads a cut one as if it were whole."""
    size = path.stat().st_size
    with path.open("rb") as file:
        head = file.read(12)
        if len(head) < 12 or head[:4] != b"RIFF" or head[8:] != b"WAVE":
            return
        rate = 0
        while len(chunk := file.read(8)) == 8:
            name, length = struct.unpack("<4sI", chunk)
            start = file.tell()
            if name == b"fmt ":
                rate = int.from_bytes(file.read(12)[8:12], "little")
            if name == b"\0\0\0\0":  # space that a recorder reserved and never filled
                return
            if name == b"data":
                there = size - start
                if length == 0 and there:
                    raise AudioError(
                        f"{path} has an unfinished header: it promises 0 bytes of sound, {there} follow: "
                        "keep what is there with `sox --ignore-length`"
                    )
                # about 4 GiB is what a recorder writes that cannot go back to its header: libsndfile reads to the end
                if length < 0xFFFF_0000 and there < length:
                    promised, found = (f"{n / rate:.2f} s" if rate else f"{n} bytes" for n in (length, there))
                    raise AudioError(
                        f"{path} is cut short: its header promises {promised} of sound, {found} are there: "
                        "copy it again, or keep what is there with `sox --ignore-length`"
                    )
                return
            file.seek(start + length + (length & 1))
