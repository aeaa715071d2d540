"""The newest window of a recording that goes on, until the archive has it: what a kill would cost otherwise.

    tail = Tail(folder, recording)
    tail.keep(record)                       # at every hop, a few microseconds
    tail.drop()                             # the recording has ended as it should
    for recording, record in left_behind(folder, size): …

Windows are archived at their hop of some seconds. Between two of them the newest one stands here, in the older one of
two slots with a count: a record that was cut leaves the one before. A process locks the files of its own recordings,
so those that are not locked were left behind by one that was killed.
"""

import fcntl
import os
import zlib
from collections.abc import Iterator
from pathlib import Path

__all__ = ["Tail", "left_behind"]

SUFFIX = ".tail"
COUNT_BYTES = 8
CRC_BYTES = 4


class Tail:
    """Of one recording. A disk that is full is passed over: the archive tells it."""

    def __init__(self, folder: Path, recording: int) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._path = folder / f"{recording}{SUFFIX}"
        self._count = 0
        while True:
            self._file = self._path.open("w+b", buffering=0)
            fcntl.flock(self._file.fileno(), fcntl.LOCK_EX)
            if os.fstat(self._file.fileno()).st_nlink:
                break
            self._file.close()  # another process took it for left behind before it was locked

    def keep(self, record: bytes) -> None:
        slot = self._count.to_bytes(COUNT_BYTES, "little") + record
        slot += zlib.crc32(slot).to_bytes(CRC_BYTES, "little")
        try:
            os.pwrite(self._file.fileno(), slot, self._count % 2 * len(slot))
        except OSError:
            return
        self._count += 1

    def drop(self) -> None:
        self._path.unlink(missing_ok=True)
        self._file.close()


def left_behind(folder: Path, *, record_bytes: int) -> Iterator[tuple[int, bytes]]:
    """(recording, newest record) of processes that were killed; the files go once each was taken."""
    for path in sorted(folder.glob(f"*{SUFFIX}")) if folder.is_dir() else []:
        if not path.stem.isdecimal():
            continue
        with path.open("r+b", buffering=0) as file:
            try:
                fcntl.flock(file.fileno(), fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                continue
            newest = _newest(file.read(2 * (COUNT_BYTES + record_bytes + CRC_BYTES)), record_bytes)
            if newest is not None:
                yield int(path.stem), newest
            path.unlink(missing_ok=True)


def _newest(data: bytes, record_bytes: int) -> bytes | None:
    size = COUNT_BYTES + record_bytes + CRC_BYTES
    slots = [data[at : at + size] for at in (0, size)]
    good = [each for each in slots if len(each) == size and zlib.crc32(each[:-CRC_BYTES]) == _number(each[-CRC_BYTES:])]
    return max(good, key=lambda each: _number(each[:COUNT_BYTES]))[COUNT_BYTES:-CRC_BYTES] if good else None


def _number(data: bytes) -> int:
    return int.from_bytes(data, "little")
