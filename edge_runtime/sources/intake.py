"""Between whoever gives sound at its own pace and whoever listens: a ring, and all that a feed has to know of it.

    intake = Intake(48_000, channels=1, stop=stop)
    intake.take(block)              # where the sound comes from, in a thread of its own
    intake.end("the device is gone")
    intake.read(within_s=4.0)       # elsewhere

What is missing is told twice: frames that did not fit into the ring (dropped: we were too slow), and frames that never
came, by a flag or by the clock (lost).
"""

import time
from collections import deque
from typing import Literal

import numpy as np

from edge_runtime.errors import AudioError
from edge_runtime.sources.arrivals import DEVICE, Arrivals, Tolerance, Verdict
from edge_runtime.sources.ring import Ring
from edge_runtime.sources.stop import Stop
from edge_runtime.sources.stretch import Missing

__all__ = ["Gap", "Intake"]

Gap = Missing | Literal["drift"]

RING_S = 10.0
"""What a listener may be busy for: a phrase is added, a disk is slow."""
LOOK_S = 0.1
READ_S = 1.0
STOPPED_S = 1.0


class Intake:
    """One thread gives, one reads. `gap`: why what comes next does not follow on, until it is taken away; "drift":
    nothing is missing, but time is counted anew."""

    def __init__(self, rate_hz: int, *, channels: int, stop: Stop, tolerance: Tolerance = DEVICE) -> None:
        self.rate_hz = rate_hz
        self.gap: Gap | None = None
        self._stop = stop
        self._ring = Ring(int(RING_S * rate_hz), channels)
        self._tolerance = tolerance
        self._arrivals = Arrivals(rate_hz, tolerance)
        self._over: str | None = None
        self._losses: deque[tuple[int, int]] = deque()
        """[position from which on nothing is sure, position where sound is whole again]."""
        self._doubt: int | None = None
        self._dropped = 0
        self._lag_s = self._newest_lag_s = 0.0

    def take(self, block: np.ndarray, *, flagged: bool = False) -> None:
        """Copy what came just now: (n, C) float32. `flagged`: something is known to be missing before it."""
        position = self._ring.position
        was = self._arrivals.verdict
        self._arrivals.arrived(len(block), time.monotonic(), flagged=flagged)
        now = self._arrivals.verdict
        if self._tolerance.holds and now is Verdict.SUSPECT and was is not Verdict.SUSPECT:
            self._doubt = position
        elif now is Verdict.LOST:
            self._losses.append((position if self._doubt is None else self._doubt, position))
        if now is not Verdict.SUSPECT:
            self._doubt = None
            self._newest_lag_s = self._arrivals.lag_s  # after the loss that it holds is told
        self._ring.write(block)

    def end(self, trouble: str) -> None:
        """Nothing comes any more; `trouble` says why and what to do, once all that came is read."""
        self._over = trouble

    def let_go(self) -> None:
        """Of the ring's memory, at the end: PortAudio's own objects hold on to their callback until Python finds that
        nobody needs them."""
        self._ring = Ring(1, self._ring.channels)

    @property
    def next_s(self) -> float:
        """Monotonic time of the next sample to be read."""
        return self._arrivals.first_s + self._lag_s + (self._ring.taken + self._dropped) / self.rate_hz

    def read(self, within_s: float) -> np.ndarray | None:
        """Mono (n,) float32, channels averaged; None where none came or a gap is next. Raises AudioError at the end."""
        until_s = time.monotonic() + within_s
        while True:
            over = self._over  # first: what came before it is still read
            block = self._ring.read(self._most())
            if len(block):
                return block[:, 0] if block.shape[1] == 1 else block.mean(axis=1, dtype=np.float32)
            if self._meets_gap():
                return None
            if over is not None:
                raise AudioError(over)
            looked_s = time.monotonic()
            if self._stop.wait(LOOK_S) or looked_s > until_s:
                return None
            if time.monotonic() - looked_s > STOPPED_S:  # not the sound stopped: this process did
                until_s = time.monotonic() + within_s

    def _most(self) -> int:
        """Frames that may be read before the next loss, or the next place where one is suspected."""
        doubt = self._doubt  # first: it goes when the loss comes
        limit = self._losses[0][0] if self._losses else doubt
        if limit is None and self._drifted():
            return 0
        most = int(READ_S * self.rate_hz)
        return most if limit is None else max(0, min(most, limit - self._ring.taken))

    def _drifted(self) -> bool:
        return abs(self._newest_lag_s - self._lag_s) > self._tolerance.drift_s

    def _meets_gap(self) -> bool:
        """Whether what comes next does not follow on, which `gap` then tells."""
        if self._losses and self._losses[0][0] <= self._ring.taken:
            self._dropped += self._ring.skip_to(self._losses.popleft()[1])
            self.gap = "lost"
        elif dropped := self._ring.dropped():
            self._dropped += dropped
            self.gap = "dropped"
            return True
        elif self._doubt is None and self._drifted():
            self.gap = "drift"
        else:
            return False
        self._lag_s = self._newest_lag_s
        return True
