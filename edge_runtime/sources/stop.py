"""A flag that ends waiting at once, and that a signal handler may set: it takes no lock.

stop = Stop()
stop.wait(2.0)                      # True as soon as somebody calls set()
stop.wait_for(pipe, within_s=2.0)   # True as soon as there is something to read, or set() was called
"""

import os
import select
from typing import IO

__all__ = ["Stop"]


class Stop:
    def __init__(self) -> None:
        self._given = False
        self._reads, self._writes = os.pipe()

    def __del__(self) -> None:
        os.close(self._reads)
        os.close(self._writes)

    def __bool__(self) -> bool:
        return self._given

    def set(self) -> None:
        if not self._given:
            self._given = True
            os.write(self._writes, b"!")  # never read: whoever waits, now or later, waits no longer

    def wait(self, seconds: float) -> bool:
        """Whether it was set before the time was over."""
        return bool(select.select([self._reads], [], [], max(0.0, seconds))[0])

    def wait_for(self, *streams: IO[bytes], within_s: float) -> list[IO[bytes]]:
        """Those of the streams that can be read, as soon as one can; none when the time is over or the flag set."""
        waited: list[int | IO[bytes]] = [self._reads, *streams]
        ready = select.select(waited, [], [], max(0.0, within_s))[0]
        return [] if self._given else [one for one in streams if one in ready]
