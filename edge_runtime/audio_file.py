"""Recordings on disk: opened, checked, and read as float32 mono blocks.

    with AudioFile.open(path) as file:
        for block in file.blocks(): …       # (n,) float32 at file.rate_hz

A recording that is not whole is refused, never padded: a missing or empty file, one that is no audio, one that ends
before its header says, samples that are not finite or beyond any sound.
"""

import os
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Self

import numpy as np

from edge_runtime.errors import AudioError
from edge_runtime.resample import MAX_RATE_HZ, MIN_RATE_HZ
from edge_runtime.sound_chunk import sound_chunk

if TYPE_CHECKING:
    from soundfile import SoundFile  # a listener at a microphone never loads libsndfile

__all__ = ["SUFFIXES", "AudioFile", "recordings_in"]

SUFFIXES = frozenset({".wav", ".flac", ".ogg", ".opus", ".oga", ".mp3", ".aif", ".aiff", ".w64", ".caf", ".au"})
BLOCK_S = 5.0
"""Shorter blocks cost an index of hours a third more time: each one changes hands between two threads."""
MAX_BLOCK_SAMPLES = 1 << 20
"""Of all channels: a header of a few bytes may promise a thousand of them."""
SHORT_BY_S = 0.1
"""A decoder that stops this much before the promised end has met a damaged file (MP3 headers are off by less)."""
MAX_LEVEL = 2.0**31
"""Full scale is 1; some programs write 32-bit integers as floats. Beyond that the power of a frame overflows."""
MAX_SECONDS = 1e9
"""libsndfile gives about 1e13 for a FLAC whose header was never finished."""


class AudioFile:
    """An open recording. `seconds` is what its header promises."""

    def __init__(self, path: Path, file: "SoundFile") -> None:
        self.path = path
        self._file = file
        self.rate_hz = int(file.samplerate)
        self.seconds = file.frames / file.samplerate

    @classmethod
    def open(cls, path: str | Path) -> Self:
        import soundfile

        path = Path(path)
        try:
            if not path.exists():
                raise AudioError(f"there is no file {path}: check the name")
            if not path.is_file():
                raise AudioError(f"{path} is no regular file: give a recording")
            if path.stat().st_size == 0:
                raise AudioError(f"{path} is empty (0 bytes): record it again")
            _refuse_cut(path)
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
                f"{path} has a rate of {file.samplerate} Hz, {MIN_RATE_HZ} to {MAX_RATE_HZ} Hz can be read: resample it"
            )
        return cls(path, file)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._file.close()

    def blocks(self) -> Iterator[np.ndarray]:
        """Mono blocks (n,) float32 of a few seconds, channels averaged, in order."""
        from soundfile import LibsndfileError

        frames = min(int(BLOCK_S * self.rate_hz), MAX_BLOCK_SAMPLES // self._file.channels)
        buffer = np.empty((frames, self._file.channels), np.float32)
        done = 0
        while True:
            try:
                part = self._file.read(out=buffer)
            except LibsndfileError as error:
                raise AudioError(
                    f"{self.path} is damaged after {done / self.rate_hz:.2f} s ({error.error_string}): restore the file"
                ) from error
            if not len(part):
                break
            with np.errstate(invalid="ignore", over="ignore"):  # what that gives is refused
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


def _refuse_cut(path: Path) -> None:
    """Compare what the header promises with the file's size."""
    size = path.stat().st_size
    with path.open("rb") as file:
        sound = sound_chunk(file)
    if sound is None or sound.length is None:  # libsndfile reads to the end
        return
    there = max(0, size - sound.start)
    if sound.length == 0 and there:
        raise AudioError(
            f"{path} has an unfinished header: it promises 0 bytes of sound, {there} follow: "
            "keep what is there with `sox --ignore-length`"
        )
    if there < sound.length:
        rate = sound.bytes_a_second
        promised, found = (f"{n / rate:.2f} s" if rate else f"{n} bytes" for n in (sound.length, there))
        raise AudioError(
            f"{path} is cut short: its header promises {promised} of sound, {found} are there: "
            "copy it again, or keep what is there with `sox --ignore-length`"
        )
