"""One source of a service: a thread that takes its sound through an ear, for as long as it sounds.

    worker = Worker(settings, source, station)
    worker.start()
    worker.stop(); worker.join(20)      # what was heard by then is matched and kept

Whatever fails here ends at most the stretch of sound that it failed in: a thread that dies unseen while the service
looks alive is the fault that field recorders are known for.
"""

import logging
import threading
import time

from edge_runtime.errors import AudioError, EarmarkError, HomeError
from edge_runtime.heap import hand_back
from edge_runtime.ledger import Ledger
from edge_runtime.service.configuration import SourceSettings
from edge_runtime.service.ear import Ear
from edge_runtime.service.keeper import Counts, Keeper
from edge_runtime.service.level import Level
from edge_runtime.service.station import Station
from edge_runtime.service.status import SourceReport
from edge_runtime.service.watchdog import Pulse
from edge_runtime.sources import LiveSource
from edge_runtime.sources.stream import shown

__all__ = ["Worker"]

log = logging.getLogger(__name__)

AGAIN_S = (1.0, 2.0, 5.0, 10.0)
"""Pauses before a thread that failed begins anew; the last one for ever."""
HEAP_S = 60.0
"""Of sound: thresholds and clips take megabytes for a moment, and glibc keeps what lies between them: 15 MiB."""


class Worker:
    """One source's thread, and what there is to say of it."""

    def __init__(self, settings: SourceSettings, source: LiveSource, station: Station) -> None:
        self.settings = settings
        self._source = source
        self._station = station
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name=f"source-{settings.name}", daemon=True)
        self._ear: Ear | None = None
        self._progress_s: float | None = None
        self._busy_since_s: float | None = None
        self._ended = self._told = self._trouble = ""
        self._telling = threading.Lock()
        self._heard_s = 0.0
        self._level = Level()
        self._windows = self._restarts = 0
        self._unkept = Counts()

    @property
    def state(self) -> str:
        """As the source has it, and at the end "ended", "stopped" or "failed"."""
        return self._ended or self._source.state

    @property
    def alive(self) -> bool:
        return self._thread.is_alive()

    @property
    def pulse(self) -> Pulse:
        owes_sound = not self._ended and self._source.state != "waiting"
        return Pulse(self._progress_s, self._busy_since_s, owes_sound=owes_sound)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """Take no more sound; `join` waits until what was taken is done with."""
        self._stopping.set()
        self._source.stop()

    def join(self, timeout_s: float) -> bool:
        """Whether the thread ended in this time."""
        self._thread.join(timeout_s)
        return not self._thread.is_alive()

    def move_to(self, station: Station) -> None:
        """What is heard from the next window on goes there (see Ear.move_to)."""
        self._station = station
        if self._ear is not None:
            self._ear.move_to(station)

    def report(self) -> SourceReport:
        quiet_s = None if self._progress_s is None else round(time.monotonic() - self._progress_s, 2)
        return SourceReport(
            name=self.settings.name,
            input=shown(self.settings.input),
            state=self.state,
            trouble=self._trouble or self._source.trouble,
            quiet_s=quiet_s,
            peak_dbfs=self._level.peak_dbfs,
            heard_s=round(self._heard_s, 2),
            lost_s=round(self._source.lost_s, 2),
            windows=self._windows,
            unkept_windows=self._unkept.windows,
            unkept_events=self._unkept.events,
            restarts=self._restarts,
        )

    def _run(self) -> None:
        while not self._stopping.is_set():
            try:
                self._listen()
                self._end("stopped" if self._stopping.is_set() else "ended")
                return
            except HomeError as error:
                log.error("%s: %s; the source begins anew", self.settings.name, error)
            except EarmarkError as error:
                log.error("%s: %s", self.settings.name, error)
                self._trouble = str(error)
                self._end("failed")
                return
            except Exception:
                log.exception("%s: a defect of earmark; the source begins anew", self.settings.name)
            pause_s = AGAIN_S[min(self._restarts, len(AGAIN_S) - 1)]
            self._restarts += 1
            self._busy_since_s = None
            self._stopping.wait(pause_s)
        self._end("stopped")

    def _end(self, state: str) -> None:
        self._ended, self._busy_since_s = state, None
        self.tell()

    def tell(self) -> None:
        """What became of the source since it was last told, where that is anything."""
        with self._telling:
            state = self.state
            if state == self._told:
                return
            self._told = state
            trouble = self._trouble or self._source.trouble
            self._station.sinks.tell(
                "sources",
                source=self.settings.name,
                state=state,
                at=round(self._station.clock.now(), 3),
                **({"trouble": trouble} if trouble else {}),
            )

    def _listen(self) -> None:
        """Until the source ends."""
        station, name = self._station, self.settings.name
        trimmed_s = self._heard_s
        with (
            Ledger(station.home / "ledger").account(name, station.clock) as account,
            Keeper(station, self.settings, self._unkept) as keeper,
        ):
            ear = self._ear = Ear(self.settings, station, keeper, account)
            for stretch in self._source.stretches():
                account.begin(stretch)
                try:
                    ear.begin(stretch)
                    for block in stretch.blocks():
                        self._busy_since_s = time.monotonic()
                        seconds = len(block) / stretch.rate_hz
                        account.heard(block)
                        self._level.hear(block, seconds)
                        self._windows += ear.hear(block)
                        self._heard_s += seconds
                        if self._heard_s - trimmed_s > HEAP_S:
                            hand_back()
                            trimmed_s = self._heard_s
                        self._progress_s, self._busy_since_s = time.monotonic(), None
                except (
                    AudioError
                ) as error:  # a file that is damaged, or has no name that can be kept: the source goes on
                    log.error("%s: %s", self.settings.name, error)
                    keeper.broken_off()
                if self._stopping.is_set():
                    keeper.broken_off()
                self._windows += ear.end()
            ear.close()
