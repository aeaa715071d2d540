"""One run at a time in a cache folder: what the bootstrap and the boards keep there is not made for two.

with one_at_a_time(Path("build/arm64")):  # a second run says that it waits
    …
"""

import contextlib
import fcntl
import sys
from collections.abc import Iterator
from pathlib import Path

__all__ = ["one_at_a_time"]


@contextlib.contextmanager
def one_at_a_time(cache: Path) -> Iterator[None]:
    """Wait until no other process is in `cache`. The kernel ends the turn of a process that dies, a killed one too."""
    cache.mkdir(parents=True, exist_ok=True)
    with (cache / "lock").open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            print(f"waiting: another run is using {cache}", file=sys.stderr, flush=True)
            fcntl.flock(file, fcntl.LOCK_EX)
        yield
