"""Whether systemd's watchdog is fed: only when sound has gone all the way through, so that what it watches is hearing.

    watchdog = Watchdog(notifier)
    watchdog.look([worker.pulse for worker in workers])         # as often as you like

A source that may rightly be silent (a folder that waits for files, a file that is over) asks for nothing. Of the
others one must have moved: a dead microphone beside a live one is told in the status and restarts nothing. No thread
may hang.
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass

from edge_runtime.service.notify import Notifier

__all__ = ["STUCK_S", "Pulse", "Watchdog"]

STUCK_S = 30.0
"""One block takes milliseconds, of the slowest bundle on the slowest board seconds: a thread that works at one for so
long hangs."""
FEEDS = 4
"""Times a period, so that a late tick does not starve it."""


@dataclass(frozen=True)
class Pulse:
    """One source: when its sound last went through (None: not yet), since when it has worked at one block (None: it
    waits for sound), both in monotonic seconds, and whether it owes any sound."""

    progress_s: float | None
    busy_since_s: float | None
    owes_sound: bool


class Watchdog:
    def __init__(self, notifier: Notifier) -> None:
        self._notifier = notifier
        self._fed_s = 0.0

    def look(self, pulses: Sequence[Pulse], *, now_s: float | None = None) -> bool:
        """Feed it if that is due and deserved; whether it was."""
        now = time.monotonic() if now_s is None else now_s
        period = self._notifier.watchdog_s
        if period is None or now - self._fed_s < period / FEEDS or not self._deserved(pulses, now):
            return False
        self._fed_s = now
        self._notifier.alive()
        return True

    def _deserved(self, pulses: Sequence[Pulse], now: float) -> bool:
        if any(pulse.busy_since_s is not None and now - pulse.busy_since_s > STUCK_S for pulse in pulses):
            return False
        owing = [pulse for pulse in pulses if pulse.owes_sound]
        return not owing or any(p.progress_s is not None and p.progress_s > self._fed_s for p in owing)
