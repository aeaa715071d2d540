"""Windows in, firings out: what is above its threshold and not far below the best, its groups, and the rules.

    watch = Watchlist(groups={"vehicle": ("a motorcycle", "a heavy truck")}, rules={"poacher": Rule.parse("…")})
    matcher = Matcher(phrases, watch, limits={"a dog barking": 0.31})       # one a source
    for firing in matcher.firings(window, at=window_end_monotonic_s): …

A phrase that is in a group is told under the group's name. A score that is no number passes no threshold.

Something that a window says well says much else a little: crickets are also a bit like bats and frogs. Of several
phrases above their thresholds those are told that come near the best one (`Watchlist.within`); a phrase whose threshold
was set by hand or by the site's own sounds is told in any case. Rules are asked about all of them.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from edge_runtime.errors import PhraseError
from edge_runtime.listener import Window
from edge_runtime.matching.firing import Firing
from edge_runtime.matching.rule import Rule
from edge_runtime.phrases import Phrases, tidy

__all__ = ["WITHIN", "Matcher", "Watchlist"]

WITHIN = 0.08
"""How far below the best phrase of a window another one may be, as cosines, and is told."""


@dataclass(frozen=True)
class Watchlist:
    """`groups`: phrases under a name of their own; `rules`: by name, over phrases and groups; `within`: how far below
    the best one of a window a phrase is told (2: however far). Raises PhraseError where a name stands for two things,
    or a group holds nothing."""

    groups: Mapping[str, Sequence[str]] = field(default_factory=dict)
    rules: Mapping[str, Rule] = field(default_factory=dict)
    within: float = WITHIN

    def __post_init__(self) -> None:
        for name, phrases in self.groups.items():
            if not phrases:
                raise PhraseError(f"group {name!r} holds no phrase: name some, or leave it out")
            if within := [text for text in phrases if tidy(text) in self.groups]:
                raise PhraseError(f"group {name!r} holds {within[0]!r}, the name of a group: name its phrases")
        known = {*self.groups, *self.phrases}
        for name in self.rules:
            if name in known:
                raise PhraseError(f"rule {name!r} has the name of a phrase or group: give it another")

    @property
    def phrases(self) -> tuple[str, ...]:
        """All that the vocabulary has to hold for it."""
        grouped = (tidy(text) for phrases in self.groups.values() for text in phrases)
        ruled = (name for rule in self.rules.values() for name in rule.names if name not in self.groups)
        return tuple(dict.fromkeys((*grouped, *ruled)))


class Matcher:
    """One source's. `limits`: how far above a window's reference some phrases have to score instead of the bundle's own
    threshold (site.py; what somebody set by hand). `wall`: UTC seconds of monotonic ones (Clock.wall)."""

    def __init__(
        self,
        phrases: Phrases,
        watch: Watchlist | None = None,
        *,
        limits: Mapping[str, float] | None = None,
        wall: Callable[[float], float] | None = None,
    ) -> None:
        self._phrases = phrases
        self._watch = watch or Watchlist()
        self.limits = dict(limits or {})
        self._wall = wall or _wall
        self._groups_of: dict[str, list[str]] = {}
        for name, texts in self._watch.groups.items():
            for text in texts:
                self._groups_of.setdefault(tidy(text), []).append(name)
        self._ruled = {name for rule in self._watch.rules.values() for name in rule.names}
        self._latest: dict[str, tuple[float, Firing]] = {}

    def reset(self) -> None:
        """Another recording begins: what was heard before is not near to it."""
        self._latest = {}

    def firings(self, window: Window, at: float) -> tuple[Firing, ...]:
        """What a window says that ends `at` (monotonic seconds): phrases and groups, furthest above their thresholds
        first, then rules. Windows come in order."""
        heard = [
            Firing(match.phrase, "phrase", match.score, match.threshold, (match.phrase,))
            for match in self._phrases.heard(window.embedding, limits=self.limits)
        ]
        least = max((firing.score for firing in heard), default=0.0) - self._watch.within
        heard.sort(key=lambda firing: -firing.excess)
        near = {firing.name for firing in heard if firing.score >= least or firing.name in self.limits}
        members: dict[str, list[Firing]] = {}
        for firing in heard:
            for group in self._groups_of.get(firing.name, ()):
                members.setdefault(group, []).append(firing)
        groups = [
            Firing(name, "group", of[0].score, of[0].threshold, tuple(firing.name for firing in of))
            for name, of in members.items()
        ]
        for firing in (*heard, *groups):
            if firing.name in self._ruled:
                self._latest[firing.name] = at, firing
        told = [firing for firing in heard if firing.name in near and firing.name not in self._groups_of]
        told += [group for group in groups if not near.isdisjoint(group.phrases)]
        told.sort(key=lambda firing: -firing.excess)
        return (*told, *self._rules(at))

    def _rules(self, at: float) -> list[Firing]:
        if not self._watch.rules or not any(moment == at for moment, _ in self._latest.values()):
            return []
        local = time.localtime(self._wall(at))
        minute = 60 * local.tm_hour + local.tm_min
        found = []
        for name, rule in self._watch.rules.items():
            if evidence := rule.evidence(self._latest, at, minute):
                weakest = min(evidence, key=lambda firing: firing.excess)
                texts = dict.fromkeys(text for firing in evidence for text in firing.phrases)
                found.append(Firing(name, "rule", weakest.score, weakest.threshold, tuple(texts)))
        return found


def _wall(monotonic_s: float) -> float:
    return time.time() - time.monotonic() + monotonic_s
