"""What every source of sound gives: stretches, each an unbroken run of audio.

    for stretch in source.stretches():
        for block in stretch.blocks(): …        # float32 mono (n,) at stretch.rate_hz

A loss, a device's death or a jump of its clock ends a stretch, and the next begins with a fresh listener: no window
spans a gap, and no gap is filled with silence. Seconds within a stretch are counted samples; `started_s` ties them to
the monotonic clock.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol

import numpy as np

from edge_runtime.errors import AudioError

__all__ = ["LiveSource", "Missing", "Refused", "SourceState", "Stretch"]

SourceState = Literal["idle", "opening", "listening", "waiting", "reopening", "ended", "stopped"]
"""`waiting`: nothing is owed (a watched folder without new files); `reopening`: sound is owed, and none comes."""
Missing = Literal["lost", "dropped"]
"""`dropped`: this process was too slow; `lost`: the device or the stream gave nothing."""
Refused = Callable[[AudioError], None]
"""Called with what cannot be heard where the source goes on without it: one file of a folder."""


@dataclass(frozen=True)
class Stretch:
    """One run of sound. `started_s`: monotonic seconds of its first sample. `path`: the file that it is, if it is one.

    `missing`: why nothing was heard between the stretch before and this one; None where this is the first, where
    nothing is missing (a device's clock had drifted from ours), and of files, which follow each other at no given time.
    """

    source: str
    rate_hz: int
    started_s: float
    read: Callable[[], Iterator[np.ndarray]]
    path: Path | None = None
    missing: Missing | None = None

    def blocks(self) -> Iterator[np.ndarray]:
        """Mono blocks (n,) float32 until a loss, the source's death or `stop()`; to be asked for once.

        Raises AudioError where a file turns out to be damaged: that ends this stretch, not the source.
        """
        return self.read()

    @property
    def live(self) -> bool:
        """Whether its samples came as time went by; a file's do not."""
        return self.path is None


class LiveSource(Protocol):
    """`stop` may be called by any thread or signal handler, and ends `stretches` within half a second.

    `last_audio_s`: monotonic seconds when sound last came, None before. `lost_s`: what is known to be missing so far.
    `trouble`: in words, what keeps it from sounding now.
    """

    @property
    def name(self) -> str: ...
    @property
    def state(self) -> SourceState: ...
    @property
    def last_audio_s(self) -> float | None: ...
    @property
    def lost_s(self) -> float: ...
    @property
    def trouble(self) -> str | None: ...

    def stretches(self) -> Iterator[Stretch]:
        """Take each one's blocks to their end before the next. Called again, it goes on, but for a file, which begins
        anew. Raises AudioError where there is nothing to wait for: a file that is none."""
        ...

    def stop(self) -> None: ...
