"""Compound phrases: what has to be heard together, what must not be, how near in time, at which hours.

    rule = Rule.parse("chainsaw AND birds NOT rain WITHIN 30 s")
    rule = Rule.parse("(gunshot OR 'an explosion') BETWEEN 22:00 AND 06:00")
    rule.evidence(latest, at, minute)       # what of it was heard, or None

    rule   = either ["WITHIN" number ("s" | "min" | "h")] ["BETWEEN" hh:mm "AND" hh:mm]
    either = all {"OR" all}
    all    = one {"AND" one | "NOT" one}
    one    = "NOT" one | "(" rule ")" | words | "'words'" | '"words"'

The words between two keywords are one phrase or the name of a group; keywords are in capitals. WITHIN and BETWEEN are
of all that stands before them in the same parentheses; the innermost WITHIN counts.

A rule looks back: a thing counts as heard if a window that ended at most so many seconds ago had it (without WITHIN:
this window), and NOT means that none of these had it. The rule fires only in a window in which something that it asks
for is heard; so there has to be such a thing. Absence is absence in what was heard: an event tells how much that was.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import NoReturn

from edge_runtime.errors import PhraseError
from edge_runtime.matching.firing import Firing
from edge_runtime.phrases import tidy

__all__ = ["Rule"]

KEYWORDS = ("AND", "OR", "NOT", "WITHIN", "BETWEEN")
TOKEN = re.compile(r"""\s*(?:(?P<quoted>'[^']*'|"[^"]*")|(?P<mark>[()])|(?P<word>[^\s()"]+))""")
SECONDS = re.compile(r"(\d{1,6}(?:\.\d{1,3})?)\s*(s|min|h)")
TIME_OF_DAY = re.compile(r"([01]?\d|2[0-3]):([0-5]\d)")
UNITS_S = {"s": 1.0, "min": 60.0, "h": 3600.0}
LONGEST_S = 86_400.0
UNSAID_S = -1.0
"""Of a term whose WITHIN has not been read yet, or is not there."""
MAX_CHARACTERS = 1000
MAX_DEPTH = 20


@dataclass(frozen=True)
class Term:
    """A phrase or group, heard in a window that ended at most `within_s` ago, or `absent` from all of these."""

    name: str
    within_s: float
    absent: bool = False


@dataclass(frozen=True)
class Hours:
    """Local time from minute `first` of the day to before minute `last`, over midnight where that is smaller."""

    first: int
    last: int
    outside: bool = False

    def holds(self, minute: int) -> bool:
        if self.first <= self.last:
            inside = self.first <= minute < self.last
        else:
            inside = minute >= self.first or minute < self.last
        return inside != self.outside


@dataclass(frozen=True)
class Together:
    """All of `parts`, or with `either` one of them."""

    parts: tuple["Node", ...]
    either: bool


Node = Term | Hours | Together
Latest = Mapping[str, tuple[float, Firing]]
"""When each name was last heard (the window's end), and how."""


@dataclass(frozen=True)
class Rule:
    """`text` as somebody wrote it."""

    text: str
    node: Node

    @classmethod
    def parse(cls, text: str) -> "Rule":
        """Raises PhraseError, which names the place."""
        if len(text) > MAX_CHARACTERS:
            raise PhraseError(f"a rule of {len(text)} characters, at most {MAX_CHARACTERS} are read: make several")
        return cls(text, Parser(text).whole())

    @property
    def names(self) -> tuple[str, ...]:
        """All phrases and groups that it speaks of, in their order."""
        return tuple(dict.fromkeys(term.name for term in _terms(self.node)))

    @property
    def wanted(self) -> frozenset[str]:
        """Those of them that have to be heard."""
        return frozenset(term.name for term in _terms(self.node) if not term.absent)

    def evidence(self, latest: Latest, at: float, minute: int) -> tuple[Firing, ...] | None:
        """What was heard that makes it true of the window that ends `at`, in local minute `minute` of the day; None
        where it is not."""
        if not any(name in latest and latest[name][0] == at for name in self.wanted):
            return None
        return _evidence(self.node, latest, at, minute)


def _terms(node: Node) -> Iterator[Term]:
    if isinstance(node, Term):
        yield node
    elif isinstance(node, Together):
        for part in node.parts:
            yield from _terms(part)


def _evidence(node: Node, latest: Latest, at: float, minute: int) -> tuple[Firing, ...] | None:
    if isinstance(node, Hours):
        return () if node.holds(minute) else None
    if isinstance(node, Term):
        heard_at, firing = latest.get(node.name, (None, None))
        heard = heard_at is not None and at - node.within_s <= heard_at <= at
        if heard == node.absent:
            return None
        return (firing,) if heard and firing else ()
    found = [_evidence(part, latest, at, minute) for part in node.parts]
    true = [each for each in found if each is not None]
    if node.either:
        return max(true, key=_strength) if true else None
    return tuple(firing for each in true for firing in each) if len(true) == len(found) else None


def _strength(heard: tuple[Firing, ...]) -> tuple[bool, float]:
    """As strong as its weakest; what was heard tells more than what was not."""
    return bool(heard), min((firing.excess for firing in heard), default=0.0)


class Parser:
    """Recursive descent over one text. `NOT` goes to the leaves as they are read, `WITHIN` once it is reached."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._tokens = list(self._cut())
        self._next = 0

    def whole(self) -> Node:
        node = self._rule(absent=False, depth=0)
        if self._word is not None:
            self._refuse("the end", "put parentheses around what belongs together")
        node = _within(node, 0.0)
        if all(term.absent for term in _terms(node)):
            raise PhraseError(
                f"rule {self._text!r} asks for nothing to be heard: name a sound that has to be there, beside NOT"
            )
        return node

    def _rule(self, *, absent: bool, depth: int) -> Node:
        if depth > MAX_DEPTH:
            self._refuse(f"at most {MAX_DEPTH} parentheses in one another", "make several rules")
        node = self._either(absent=absent, depth=depth)
        hours: Hours | None = None
        limited = False
        while self._word in ("WITHIN", "BETWEEN"):
            if self._word == "WITHIN" and not limited:
                self._take()
                node, limited = _within(node, self._seconds()), True
            elif self._word == "BETWEEN" and hours is None:
                self._take()
                hours = self._hours(outside=absent)
            else:
                self._refuse(f"{self._word} once", "put parentheses around what belongs together")
        return Together((node, hours), either=absent) if hours else node

    def _either(self, *, absent: bool, depth: int) -> Node:
        parts = [self._all(absent=absent, depth=depth)]
        while self._word == "OR":
            self._take()
            parts.append(self._all(absent=absent, depth=depth))
        return parts[0] if len(parts) == 1 else Together(tuple(parts), either=not absent)

    def _all(self, *, absent: bool, depth: int) -> Node:
        parts = [self._one(absent=absent, depth=depth)]
        while self._word in ("AND", "NOT"):
            if self._word == "AND":
                self._take()
            parts.append(self._one(absent=absent, depth=depth))
        return parts[0] if len(parts) == 1 else Together(tuple(parts), either=absent)

    def _one(self, *, absent: bool, depth: int) -> Node:
        while self._word == "NOT":
            self._take()
            absent = not absent
        if self._word == "(":
            self._take()
            node = self._rule(absent=absent, depth=depth + 1)
            if self._word != ")":
                self._refuse("a closing parenthesis", "close it")
            self._take()
            return node
        if self._word is None or self._word in KEYWORDS or self._word == ")":
            self._refuse("a phrase", "write what is to be heard there, or put it into quotes")
        return Term(self._phrase(), UNSAID_S, absent)

    def _phrase(self) -> str:
        if (word := self._word) and word[0] in "'\"" and word[-1] == word[0] and len(word) > 1:
            if not word[1:-1].strip():
                self._refuse("words between the quotes", "write what is to be heard there")
            self._take()
            return tidy(word[1:-1])
        words = []
        while self._word is not None and self._word not in (*KEYWORDS, "(", ")") and self._word[0] != '"':
            words.append(self._word)
            self._take()
        return tidy(" ".join(words))

    def _seconds(self) -> float:
        said = self._word or ""
        if said.replace(".", "", 1).isdigit() and self._next + 1 < len(self._tokens):
            said += self._tokens[self._next + 1][0]
        found = SECONDS.fullmatch(said)
        seconds = float(found[1]) * UNITS_S[found[2]] if found else 0.0
        if not 0 < seconds <= LONGEST_S:
            self._refuse("a time of at most a day", "write for example WITHIN 30 s, or 5 min, or 1 h")
        self._take()
        if said != self._tokens[self._next - 1][0]:
            self._take()
        return seconds

    def _hours(self, *, outside: bool) -> Hours:
        first = self._time_of_day()
        if self._word != "AND":
            self._refuse("AND", "write for example BETWEEN 22:00 AND 06:00")
        self._take()
        last = self._time_of_day()
        if first == last:
            self._refuse("two different times before", "leave BETWEEN out for all day")
        return Hours(first, last, outside)

    def _time_of_day(self) -> int:
        found = TIME_OF_DAY.fullmatch(self._word or "")
        if not found:
            self._refuse("a time of day", "write for example BETWEEN 22:00 AND 06:00")
        self._take()
        return 60 * int(found[1]) + int(found[2])

    @property
    def _word(self) -> str | None:
        return self._tokens[self._next][0] if self._next < len(self._tokens) else None

    def _take(self) -> None:
        self._next += 1

    def _cut(self) -> Iterator[tuple[str, int]]:
        """The tokens and where each begins."""
        place = 0
        while place < len(self._text) and self._text[place:].strip():
            found = TOKEN.match(self._text, place)
            if not found:
                place = len(self._text) - len(self._text[place:].lstrip())
                raise PhraseError(f"rule {self._text!r}, character {place + 1}: a quote is not closed: close it")
            group = found.lastgroup or "word"
            yield found[group], found.start(group)
            place = found.end()

    def _refuse(self, expected: str, remedy: str) -> NoReturn:
        if self._next < len(self._tokens):
            token, place = self._tokens[self._next]
            found = repr(token)
        else:
            found, place = "its end", len(self._text.rstrip())
        raise PhraseError(f"rule {self._text!r}, character {place + 1}: found {found}, expected {expected}: {remedy}")


def _within(node: Node, seconds: float) -> Node:
    """The same with `seconds` for every term that has none yet."""
    if isinstance(node, Term):
        return replace(node, within_s=seconds) if node.within_s == UNSAID_S else node
    if isinstance(node, Together):
        return replace(node, parts=tuple(_within(part, seconds) for part in node.parts))
    return node
