"""What time it was: wall time of any moment of this boot, in an order that no step of the system's clock breaks.

    clock = Clock()
    clock.wall(time.monotonic())        # UTC seconds
    if change := clock.look():          # about twice a second, and at no cost
        …                               # change.trusted: wall times of this boot can be told anew

Inside, moments are `time.monotonic()` seconds; wall time is those and one offset, so that order is kept whatever
somebody does to the clock. The offset follows the system's clock only while that is trusted: a board without a battery
starts in some earlier year, and a clock that is stepped back a day would otherwise write a day twice. What was stamped
before can be repaired: keep `boot`, the monotonic seconds and the wall time, and ask `wall` again when `look` says so.

Linux tells by adjtimex whether a time server (or chrony with GPS) disciplines the clock; setting it by hand ends that.
`trust="system"` believes the clock always: for a board with a battery-backed clock, or one that is set by hand.
"""

import ctypes
import threading
import time
import uuid
from bisect import bisect_right
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Literal

__all__ = ["Clock", "ClockChange", "Stamp", "Trust", "boot_id", "synchronised"]

Trust = Literal["ntp", "system"]

STEP_S = 0.05
"""Less is no step: the two clocks are read within a millisecond of each other, and are slewed together on Linux."""
READ_WITHIN_S = 0.001
READ_TRIES = 5
STA_UNSYNC = 0x0040
TIMEX_BYTES = 256
"""struct timex has 208 bytes on 64-bit Linux, and room to grow."""
TIMEX_STATUS = 10
"""`status` is the int at byte 40 there: after `modes` (padded to 8) and four longs."""


@dataclass(frozen=True)
class Stamp:
    """A moment that can be repaired: its wall time is `Clock.wall(monotonic_s)` of the same `boot`."""

    boot: str
    monotonic_s: float
    wall_s: float
    trusted: bool


@dataclass(frozen=True)
class ClockChange:
    """What `Clock.look` saw at `monotonic_s`: the system's clock went `step_s` forward (less than 0: back).

    `followed`: `wall` now answers so for every moment of this boot; else it goes on as before. `trusted`: what `wall`
    says is right, and what was stamped while it was not can be repaired.
    """

    monotonic_s: float
    step_s: float
    followed: bool
    trusted: bool


class Clock:
    """Wall time of monotonic moments; threads may share it. `not_before` (UTC seconds): an untrusted clock that says
    less starts there instead, so that this boot comes after the last one.

    `system_s` and `monotonic_s` read the clocks, `sleeping_s` how long this boot has been suspended (which monotonic
    time leaves out), `disciplined` whether a time server holds the clock.
    """

    def __init__(
        self,
        *,
        trust: Trust = "ntp",
        not_before: float = 0.0,
        system_s: Callable[[], float] = time.time,
        monotonic_s: Callable[[], float] = time.monotonic,
        sleeping_s: Callable[[], float] | None = None,
        disciplined: Callable[[], bool] | None = None,
    ) -> None:
        self.boot = boot_id()
        self._system_s = system_s
        self._monotonic_s = monotonic_s
        self._sleeping_s = sleeping_s or _suspended_s
        self._disciplined = (lambda: True) if trust == "system" else disciplined or synchronised
        self._lock = threading.Lock()
        now, offset, slept = self._read()
        self._trusted = self._disciplined()
        self._seen = self._offset = offset
        if not self._trusted:
            self._offset = max(offset, not_before - now - slept)
        self._slept_from, self._slept = [now], [slept]

    @property
    def trusted(self) -> bool:
        """Whether wall times are the world's; else only their order and distances are right."""
        return self._trusted

    def now(self) -> float:
        """Wall time, UTC seconds."""
        return self.wall(self._monotonic_s())

    def wall(self, monotonic_s: float) -> float:
        """UTC seconds of a moment of this boot, later ones for later moments. What the system slept before this clock
        was made counts as slept before the moment."""
        with self._lock:
            which = max(0, bisect_right(self._slept_from, monotonic_s) - 1)
            return monotonic_s + self._offset + self._slept[which]

    def stamp(self, monotonic_s: float | None = None) -> Stamp:
        """A moment (default: now) as it is stored."""
        moment = self._monotonic_s() if monotonic_s is None else monotonic_s
        return Stamp(self.boot, moment, self.wall(moment), self._trusted)

    def look(self) -> ClockChange | None:
        """See what the system's clock did since the last look: None where it was not stepped and is trusted as
        before. A suspended system is no step: its hours count from where it slept."""
        with self._lock:
            now, offset, slept = self._read()
            if slept - self._slept[-1] > STEP_S:
                self._slept_from.append(now)
                self._slept.append(slept)
            step, self._seen = offset - self._seen, offset
            was, self._trusted = self._trusted, self._disciplined()
            stepped = abs(step) > STEP_S
            if not stepped:
                step, self._seen = 0.0, offset - step
            follows = self._trusted and abs(offset - self._offset) > STEP_S
            if follows:
                self._offset = self._seen = offset
            if not (stepped or follows or self._trusted != was):
                return None
            return ClockChange(now, step, follows, self._trusted)

    def _read(self) -> tuple[float, float, float]:
        """Monotonic time, the system's clock less that and less what was slept, and what was slept."""
        closest: tuple[float, float, float] | None = None
        for _ in range(READ_TRIES):
            before = self._monotonic_s()
            slept, system = self._sleeping_s(), self._system_s()
            took = self._monotonic_s() - before
            if closest is None or took < closest[0]:
                closest = took, before, system - before - slept
            if took <= READ_WITHIN_S:
                break
        assert closest is not None
        return closest[1], closest[2], slept


@cache
def boot_id() -> str:
    """Names this boot of the machine: monotonic seconds of two boots have nothing to do with each other."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    except OSError:  # not Linux: this process is all that shares its seconds
        return str(uuid.uuid4())


def synchronised() -> bool:
    """Whether the kernel knows its clock to be disciplined by a time server. False where that cannot be asked."""
    adjtimex = getattr(ctypes.CDLL(None), "adjtimex", None)
    if adjtimex is None or ctypes.sizeof(ctypes.c_long) != 8:
        return False
    timex = (ctypes.c_int * (TIMEX_BYTES // 4))()  # all zero: read, set nothing
    return adjtimex(ctypes.byref(timex)) >= 0 and not timex[TIMEX_STATUS] & STA_UNSYNC


def _suspended_s() -> float:
    """How long this boot has been suspended, in seconds."""
    if not hasattr(time, "CLOCK_BOOTTIME"):
        return 0.0
    return max(0.0, time.clock_gettime(time.CLOCK_BOOTTIME) - time.clock_gettime(time.CLOCK_MONOTONIC))
