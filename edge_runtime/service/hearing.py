"""What a service listens for: one vocabulary for all its sources, taken anew when somebody changes it.

hearing = Hearing(engine, watch, limits={}, live=True)
matcher = hearing.matcher("garden", clock.wall)         # one a source
with hearing.current() as phrases:                      # what was added elsewhere by now is in
    firings = matcher.firings(window, at)
"""

import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

from edge_runtime.engine import Engine
from edge_runtime.matching.matcher import Matcher, Watchlist
from edge_runtime.matching.site import limits_of
from edge_runtime.phrases import Phrases

__all__ = ["Hearing"]


class Hearing:
    """Threads share it. `live`: what other processes change in the home's vocabulary counts from the next window on.
    `watch`: groups and rules; their phrases are in the vocabulary in any case. `limits`: set by hand, before those that
    `earmark phrases calibrate` found for a source."""

    def __init__(self, engine: Engine, watch: Watchlist, *, limits: Mapping[str, float], live: bool) -> None:
        self._engine = engine
        self._watch = watch
        self._limits = limits
        self._live = live and engine.home is not None
        self._lock = threading.Lock()
        self._changes = -1
        self._version: tuple[float, ...] = ()
        self._matchers: dict[str, Matcher] = {}

    def matcher(self, source: str, wall: Callable[[float], float]) -> Matcher:
        """A new one in place of the source's last, to be used while the vocabulary is `current`."""
        with self._lock:
            matcher = Matcher(self._engine.phrases, self._watch, limits=self._limits_of(source), wall=wall)
            self._matchers[source] = matcher
        return matcher

    @contextmanager
    def current(self) -> Iterator[Phrases]:
        """The vocabulary as it is now, and stays for so long."""
        with self._lock:
            if self._has_changed():
                self._engine.refresh_phrases(also=self._watch.phrases)
                self._engine.bundle.close_text()
                for source, matcher in self._matchers.items():
                    matcher.limits = self._limits_of(source)
            yield self._engine.phrases

    def _has_changed(self) -> bool:
        home = self._engine.home
        if not self._live or home is None or (changes := home.changes_elsewhere()) == self._changes:
            return False
        before, self._changes, self._version = self._version, changes, home.hearing_version()
        return self._version != before

    def _limits_of(self, source: str) -> dict[str, float]:
        home = self._engine.home
        if home is None:
            return dict(self._limits)
        site = limits_of(home, self._engine.bundle.fingerprint, source)
        return {phrase: limit.above for phrase, limit in site.items()} | dict(self._limits)
