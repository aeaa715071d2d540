"""Frames against the clock: what a device lost without saying so.

    arrivals = Arrivals(48_000)
    arrivals.arrived(480, time.monotonic())         # at each callback
    arrivals.verdict                                # Verdict.GOOD, SUSPECT or LOST

PortAudio raises its overflow flag for some losses only: a process that was stopped for ten seconds gets the two that
the sound server kept, and goes on as if nothing was. What is missing shows in how far the frames lag behind the clock.
The lag swings with every late callback, so its least value over a second (of a network: ten) counts; it creeps as far
as the device's clock drifts from ours, which is at most one part in a thousand.
"""

from dataclasses import dataclass
from enum import Enum

__all__ = ["DEVICE", "NETWORK", "Arrivals", "Tolerance", "Verdict"]

MAX_DRIFT = 1e-3


@dataclass(frozen=True)
class Tolerance:
    """A block that is later than `late_s` may follow a loss; after `settle_s` whatever was only late has come. Frames
    that lag `loss_s` behind by then are lost; time that is off by `drift_s` for other reasons is counted anew.
    `holds`: what follows a late block is kept back until then, and thrown away with the loss if there is one."""

    late_s: float
    settle_s: float
    loss_s: float
    drift_s: float
    holds: bool


DEVICE = Tolerance(late_s=0.25, settle_s=1.0, loss_s=0.05, drift_s=0.25, holds=True)
"""Sound servers keep two seconds, and give them at once."""
NETWORK = Tolerance(late_s=1.0, settle_s=10.0, loss_s=1.0, drift_s=1.0, holds=False)
"""Seconds late is usual there, and loss is not: the seam of one may lie up to ten seconds before it is told."""


class Verdict(Enum):
    """`SUSPECT`: something may be missing before what arrived when this began; `LOST`: something was, once told."""

    GOOD = 0
    SUSPECT = 1
    LOST = 2


class Arrivals:
    """`lag_s`: by how much the frames so far came later than their number says, drift and losses included."""

    def __init__(self, rate_hz: int, tolerance: Tolerance = DEVICE) -> None:
        self._tolerance = tolerance
        self.verdict = Verdict.GOOD
        self.lag_s = 0.0
        self.first_s = 0.0
        """When the first frame was taken, by the monotonic clock."""
        self._rate_hz = rate_hz
        self._frames = 0
        self._newest_s = 0.0
        self._least_s = float("inf")
        self._since_s = 0.0
        self._flagged = self._settled = False

    def arrived(self, frames: int, now_s: float, *, flagged: bool = False) -> None:
        """`flagged`: the device itself says that something is missing before these frames."""
        if not self._frames:
            self.first_s = self._since_s = now_s - frames / self._rate_hz
            self._newest_s = now_s
        self._frames += frames
        lag_s = now_s - self.first_s - self._frames / self._rate_hz
        if self.verdict is Verdict.LOST:
            self.verdict = Verdict.GOOD
        late = now_s - self._newest_s - frames / self._rate_hz > self._tolerance.late_s
        self._newest_s = now_s
        if flagged or late:
            if self.verdict is Verdict.GOOD:
                self._flagged = False
            self.verdict = Verdict.SUSPECT
            self._flagged |= flagged
            self._least_s, self._since_s = float("inf"), now_s
        self._least_s = min(self._least_s, lag_s)
        if now_s - self._since_s >= self._tolerance.settle_s:
            self._judge(now_s)

    def _judge(self, now_s: float) -> None:
        """What the least lag since the last time says."""
        rise_s = self._least_s - self.lag_s
        drifted_s = MAX_DRIFT * (now_s - self._since_s)
        lost = self._settled and (rise_s > self._tolerance.loss_s or self._flagged)
        if lost or not self._settled or rise_s <= drifted_s:
            self.lag_s = self._least_s
        else:
            self.lag_s += drifted_s
        self.verdict = Verdict.LOST if lost else Verdict.GOOD
        self._settled, self._flagged = True, False
        self._least_s, self._since_s = float("inf"), now_s
