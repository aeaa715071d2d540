"""How many bytes of sound a recording's header promises, and where they begin: libsndfile reads a file that was cut
as if it were whole.

    with path.open("rb") as file:
        found = sound_chunk(file)           # None: a format that tells its own damage, or no such chunk

WAV, RF64 and BW64 (which recorders write past 4 GiB), Wave64, AIFF, and Sun's AU.
"""

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import IO

from edge_runtime.errors import AudioError

__all__ = ["SoundChunk", "sound_chunk"]

RIFF = struct.Struct("<4sI")
AIFF = struct.Struct(">4sI")
WAVE64 = struct.Struct("<16sQ")
AU = struct.Struct(">4sIIII")
WAVE64_GUID = bytes.fromhex("2e91cf11a5d628db04c10000")
"""Behind the four letters of a file's name."""
NO_LENGTH = 0xFFFF_0000
"""About 4 GiB is what a recorder writes that cannot go back to its header."""
SSND_HEAD = 8
"""In AIFF the sound's own offset and block size count as sound."""
MAX_CHUNKS = 10_000
MAX_OFFSET = 1 << 62
"""No file system has more."""


@dataclass(frozen=True)
class SoundChunk:
    """`start` and `length` in bytes; `length` None: the header does not say. `bytes_a_second`: 0 where unknown."""

    start: int
    length: int | None
    bytes_a_second: int = 0


def sound_chunk(file: IO[bytes]) -> SoundChunk | None:
    """Raises AudioError where there is no end of chunks."""
    head = file.read(40)
    if head[:4] == b"RIFF" and head[8:12] == b"WAVE":
        return _in_riff(file)
    if head[:4] in (b"RF64", b"BW64") and head[8:12] == b"WAVE":
        return _in_riff(file)
    if head[:4] == b"riff" and head[4:16] == WAVE64_GUID:
        return _in_wave64(file)
    if head[:4] == b"FORM" and head[8:12] in (b"AIFF", b"AIFC"):
        return _in_aiff(file)
    if head[:4] == b".snd" and len(head) >= AU.size:
        _, start, length, _, _ = AU.unpack(head[: AU.size])
        return SoundChunk(start, None if length >= NO_LENGTH else length)
    return None


def _in_riff(file: IO[bytes]) -> SoundChunk | None:
    bytes_a_second, long_length = 0, None
    for name, start, length in _chunks(file, 12, RIFF):
        match name:
            case b"fmt ":
                bytes_a_second = int.from_bytes(file.read(12)[8:12], "little")
            case b"ds64":
                long_length = int.from_bytes(file.read(16)[8:16], "little")
            case b"\0\0\0\0":  # space that a recorder reserved and never filled
                return None
            case b"data":
                told = long_length if length >= NO_LENGTH else length
                return SoundChunk(start, told, bytes_a_second)
    return None


def _in_wave64(file: IO[bytes]) -> SoundChunk | None:
    bytes_a_second = 0
    for name, start, length in _chunks(file, 40, WAVE64, counts_itself=True, aligned=8):
        if name[:4] == b"fmt ":
            bytes_a_second = int.from_bytes(file.read(12)[8:12], "little")
        if name[:4] == b"data":
            return SoundChunk(start, length, bytes_a_second)
    return None


def _in_aiff(file: IO[bytes]) -> SoundChunk | None:
    for name, start, length in _chunks(file, 12, AIFF):
        if name == b"SSND":
            return SoundChunk(start + SSND_HEAD, max(0, length - SSND_HEAD))
    return None


def _chunks(
    file: IO[bytes], at: int, layout: struct.Struct, *, counts_itself: bool = False, aligned: int = 2
) -> Iterator[tuple[bytes, int, int]]:
    """Name, start and length of each; the file stands at its start."""
    for _ in range(MAX_CHUNKS):
        if at > MAX_OFFSET:
            return
        file.seek(at)
        if len(head := file.read(layout.size)) < layout.size:
            return
        name, length = layout.unpack(head)
        if counts_itself:
            length = max(0, length - layout.size)
        start = at + layout.size
        yield name, start, length
        at = start + length + -length % aligned
    raise AudioError(f"{file.name} has more than {MAX_CHUNKS} chunks before its sound: write it again as WAV")
