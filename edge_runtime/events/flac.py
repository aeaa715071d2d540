"""Sound that grows into a FLAC file in memory, and says in Vorbis comments what it is.

    sound = FlacBuffer(48_000)
    sound.write(samples)                                    # int16 mono, as often as it comes
    data = sound.close({"TITLE": "a dog barking"})          # the whole file, bytes
    comments_of(data)                                       # {"TITLE": "a dog barking"}

What a clip is, is known when it ends, and comments stand before the sound: so they are put in at the end, into a file
that is not on the disk yet (RFC 9639, sections 6 and 8.6).
"""

import io
import struct
from collections.abc import Mapping

import numpy as np

from edge_runtime.errors import AudioError

__all__ = ["FlacBuffer", "comments_of"]

MAGIC = b"fLaC"
STREAMINFO, VORBIS_COMMENT = 0, 4
LAST = 0x80
VENDOR = b"earmark"


class FlacBuffer:
    """`samples`: how many there are."""

    def __init__(self, rate_hz: int) -> None:
        import soundfile

        self._bytes = io.BytesIO()
        self._file = soundfile.SoundFile(self._bytes, "w", rate_hz, 1, subtype="PCM_16", format="FLAC")
        self.samples = 0

    def write(self, samples: np.ndarray) -> None:
        self._file.write(samples)
        self.samples += len(samples)

    def close(self, comments: Mapping[str, str]) -> bytes:
        """The file. Keys are printable ASCII without `=`; values any text."""
        self._file.close()
        data = self._bytes.getvalue()
        start, blocks = _blocks(data)
        texts = [f"{key}={value}".encode(errors="backslashreplace") for key, value in comments.items()]
        body = struct.pack("<I", len(VENDOR)) + VENDOR + struct.pack("<I", len(texts))
        body += b"".join(struct.pack("<I", len(text)) + text for text in texts)
        kept = [(kind, block) for kind, block in blocks if kind == STREAMINFO]
        kept.append((VORBIS_COMMENT, body))
        header = MAGIC
        for number, (kind, block) in enumerate(kept, start=1):
            header += bytes([kind | (LAST if number == len(kept) else 0)]) + len(block).to_bytes(3, "big") + block
        return header + data[start:]


def comments_of(data: bytes) -> dict[str, str]:
    """The comments of a FLAC file, or of its first bytes. Raises AudioError where it is none, or is cut."""
    for kind, block in _blocks(data)[1]:
        if kind == VORBIS_COMMENT:
            try:
                return _comments(block)
            except (struct.error, ValueError) as error:
                raise AudioError(f"a FLAC file with damaged comments ({error}): it is not one of ours") from error
    return {}


def _comments(block: bytes) -> dict[str, str]:
    place = 4 + struct.unpack_from("<I", block)[0]
    (count,) = struct.unpack_from("<I", block, place)
    place += 4
    found = {}
    for _ in range(count):
        (size,) = struct.unpack_from("<I", block, place)
        text = block[place + 4 : place + 4 + size]
        if len(text) != size:
            raise ValueError(f"a comment of {size} bytes where {len(text)} are left")
        key, _, value = text.decode().partition("=")
        found[key] = value
        place += 4 + size
    return found


def _blocks(data: bytes) -> tuple[int, list[tuple[int, bytes]]]:
    """Where the sound begins, and the blocks before it: (kind, content)."""
    if data[:4] != MAGIC:
        raise AudioError(f"no FLAC file: it begins with {data[:4]!r}: give one that Earmark wrote")
    place, found, last = 4, [], False
    while not last:
        if len(data) < place + 4:
            raise AudioError("a FLAC file that ends within its header: it is damaged, delete it")
        last, kind = bool(data[place] & LAST), data[place] & ~LAST
        size = int.from_bytes(data[place + 1 : place + 4], "big")
        block = data[place + 4 : place + 4 + size]
        if len(block) != size:
            raise AudioError("a FLAC file that ends within its header: it is damaged, delete it")
        found.append((kind, block))
        place += 4 + size
    return place, found
