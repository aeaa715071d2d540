"""The service itself: it starts the sources, minds clock, watchdog and status, and stops or reloads when told.

    Runner(path).run()          # until SIGTERM or SIGINT, or until every source has ended; SIGHUP reads `path` again

A signal only sets a flag, on which the main thread acts at once.
"""

import logging
import os
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

from edge_runtime.errors import ConfigError, EarmarkError
from edge_runtime.home import default_home
from edge_runtime.service.calibrator import Calibrator
from edge_runtime.service.configuration import Configuration, SourceSettings
from edge_runtime.service.housekeeper import Housekeeper
from edge_runtime.service.notify import Notifier
from edge_runtime.service.station import Station
from edge_runtime.service.status import Report, StatusFile
from edge_runtime.service.watchdog import Watchdog
from edge_runtime.service.worker import Worker
from edge_runtime.sources import open_source

__all__ = ["Runner"]

log = logging.getLogger(__name__)

TICK_S = 0.5
"""A step of the clock is seen within a second."""
STATUS_S = 5.0
STOP_S = 20.0
"""systemd kills after 90 s."""
FIXED = ("home", "bundle", "profile", "engine", "clock")
"""What a reload cannot change."""
OF_A_STRETCH = ("clips", "speech")
"""What begins with a stretch of sound: where it changes, all sources begin anew."""


class Runner:
    """One service, from its configuration's path."""

    def __init__(self, path: Path, *, notifier: Notifier | None = None) -> None:
        self._path = path
        self._notifier = notifier or Notifier.of_environment()
        self._watchdog = Watchdog(self._notifier)
        self._wake = threading.Event()
        self._stop = self._reload = False
        self._workers: dict[str, Worker] = {}
        self._started_s = time.monotonic()
        self._reported_s = 0.0
        self._untold = False

    def run(self) -> int:
        """The exit code: 0, or 2 where a source failed for good. Raises ConfigError, HomeError, BundleError."""
        self._configuration = Configuration.read(self._path)
        home = self._configuration.home or default_home()
        with StatusFile.claim(home) as status, self._signals():
            self._station = Station.open(self._configuration, home)
            self._housekeeper = Housekeeper(home, self._station.clock)
            self._calibrator = Calibrator(home, self._configuration.bundle)
            try:
                self._mind(status)
                return 2 if any(worker.state == "failed" for worker in self._workers.values()) else 0
            finally:  # a defect here loses no sound either
                self._notifier.stopping()
                self._calibrator.stop()
                self._halt(list(self._workers.values()))
                self._report(status)
                self._housekeeper.close()
                self._station.close()

    def _mind(self, status: StatusFile) -> None:
        for settings in self._configuration.sources:
            self._start(settings)
        self._notifier.ready()
        while not self._stop and any(worker.alive for worker in self._workers.values()):
            self._tick(status)
            self._wake.wait(TICK_S)
            self._wake.clear()

    def _start(self, settings: SourceSettings) -> None:
        source = open_source(
            settings.input,
            name=settings.name,
            rate_hz=settings.rate_hz,
            watch=settings.watch,
            patient=True,
            known=self._station.knows if settings.watch and settings.archive else None,
            memory=self._station.home / "microphones.json",
        )
        worker = self._workers[settings.name] = Worker(settings, source, self._station)
        worker.start()

    def _halt(self, workers: list[Worker]) -> None:
        for worker in workers:
            worker.stop()
        until = time.monotonic() + STOP_S
        for worker in workers:
            if not worker.join(max(0.0, until - time.monotonic())):
                log.error("%s does not stop: it is left behind", worker.settings.name)

    def _tick(self, status: StatusFile) -> None:
        if self._reload:
            self._reload = False
            self._notifier.reloading()
            self._take_configuration()
            self._notifier.ready()
        if change := self._station.clock.look():
            what = "wall times follow" if change.followed else "wall times go on as before"
            log.warning("the system's clock went %+.2f s: %s", change.step_s, what)
            fields = {"step_s": round(change.step_s, 3), "followed": change.followed, "trusted": change.trusted}
            self._station.sinks.tell("clock", **fields)
            if change.followed:
                self._housekeeper.set_right()
        self._housekeeper.tidy(self._configuration.retention)
        archived = {each.name: each.input for each in self._configuration.sources if each.archive}
        also = self._configuration.watchlist.phrases if self._configuration.calibration else ()
        self._calibrator.tick(self._configuration.calibration, archived, also=also)
        for worker in self._workers.values():
            worker.tell()
        self._watchdog.look([worker.pulse for worker in self._workers.values()])
        if time.monotonic() - self._reported_s >= STATUS_S:
            self._report(status)

    def _take_configuration(self) -> None:
        """Read the configuration again. Sources that it has as before go on without a gap; a faulty one changes
        nothing."""
        try:
            wanted = Configuration.read(self._path)
            for name in FIXED:
                if getattr(wanted, name) != getattr(self._configuration, name):
                    raise ConfigError(f"{self._path}: {name} cannot change while the service runs: restart it")
            station = self._station.taking(wanted)
        except EarmarkError as error:
            log.error("the configuration stays as it was: %s", error)
            return
        same = all(getattr(wanted, name) == getattr(self._configuration, name) for name in OF_A_STRETCH)
        kept = {each.name for each in wanted.sources if same and each in self._configuration.sources}
        self._configuration, self._station = wanted, station
        for name in kept:
            self._workers[name].move_to(station)
        self._halt([self._workers.pop(name) for name in list(self._workers) if name not in kept])
        for settings in wanted.sources:
            if settings.name not in kept:
                self._start(settings)
        begun = len(wanted.sources) - len(kept)
        log.warning("%s is in force: %d sources go on, %d begin", self._path, len(kept), begun)

    def _report(self, status: StatusFile) -> None:
        self._reported_s = now = time.monotonic()
        clock = self._station.clock
        sources = tuple(worker.report() for worker in self._workers.values())
        report = Report(
            pid=os.getpid(),
            boot=clock.boot,
            at_monotonic_s=now,
            at=clock.wall(now),
            running_s=round(now - self._started_s, 1),
            configuration=str(self._path.absolute()),
            bundle=self._station.engine.bundle.manifest.name,
            phrases=len(self._station.engine.phrases),
            clock_trusted=clock.trusted,
            sources=sources,
        )
        self._notifier.status(", ".join(f"{source.name}: {source.state}" for source in sources))
        try:
            status.write(report)
            self._untold = False
        except OSError as error:
            if not self._untold:
                log.warning("the status cannot be written (%s): free some disk; listening goes on", error.strerror)
            self._untold = True

    @contextmanager
    def _signals(self) -> Iterator[None]:
        def stop(number: int, frame: FrameType | None) -> None:
            self._stop = True
            self._wake.set()

        def reload(number: int, frame: FrameType | None) -> None:
            self._reload = True
            self._wake.set()

        wanted = {signal.SIGTERM: stop, signal.SIGINT: stop, signal.SIGHUP: reload}
        before = {each: signal.signal(each, handler) for each, handler in wanted.items()}
        try:
            yield
        finally:
            for each, handler in before.items():
                signal.signal(each, handler)
