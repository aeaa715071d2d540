"""What the sources of one service share: the model, what is listened for, the clock, and where it is told."""

import sqlite3
from dataclasses import dataclass
from pathlib import Path

from edge_runtime.clock import Clock
from edge_runtime.engine import Engine
from edge_runtime.errors import AudioError
from edge_runtime.home import Home
from edge_runtime.service.configuration import Configuration
from edge_runtime.service.hearing import Hearing
from edge_runtime.service.sinks import Sinks

__all__ = ["Station"]


@dataclass(frozen=True)
class Station:
    """Threads share it; a reload puts another in its place, of the same model, home and clock."""

    plan: Configuration
    engine: Engine
    home: Path
    hearing: Hearing
    clock: Clock
    sinks: Sinks

    @classmethod
    def open(cls, plan: Configuration, home: Path) -> "Station":
        """Raises HomeError, BundleError, PhraseError."""
        watch = plan.watchlist
        engine = Engine.open(
            plan.bundle,
            home=home,
            phrases=plan.phrases or None,
            also=watch.phrases,
            profile=plan.profile,
            engine=plan.engine,
        )
        assert engine.home is not None
        return cls._of(engine, plan, home, Clock(trust=plan.clock.trust, not_before=_newest(engine.home)))

    def taking(self, plan: Configuration) -> "Station":
        """The same with another plan. Raises PhraseError."""
        engine = self.engine.with_phrases(plan.phrases or None, also=plan.watchlist.phrases)
        return self._of(engine, plan, self.home, self.clock)

    def knows(self, path: Path) -> bool:
        """Whether the archive has this very file, whole: after a restart it need not be heard again."""
        try:
            return self.engine.archive is not None and self.engine.archive.holds(path)
        except (AudioError, OSError, sqlite3.Error):  # what is wrong with it is told when it is heard
            return False

    def close(self) -> None:
        if self.engine.home is not None:
            self.engine.home.close()

    @classmethod
    def _of(cls, engine: Engine, plan: Configuration, home: Path, clock: Clock) -> "Station":
        engine.bundle.close_text()
        hearing = Hearing(engine, plan.watchlist, limits=plan.limits, live=not plan.phrases)
        return cls(plan, engine, home, hearing, clock, Sinks(plan.sinks))


def _newest(home: Home) -> float:
    """The latest wall time in a home, UTC seconds: this boot comes after it."""
    recorded = home.db.execute("select max(started_at) from recording").fetchone()[0]
    heard = home.db.execute("select max(start_at + end_s - start_s) from event where file is null").fetchone()[0]
    return max(recorded or 0.0, heard or 0.0)
