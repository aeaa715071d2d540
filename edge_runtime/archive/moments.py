"""Windows of a search -> moments: those of one recording that overlap are one, told by the best of them."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

__all__ = ["Hit", "Moment", "apart", "merged"]


@dataclass(frozen=True)
class Hit:
    """A moment that a search found: `cosine` of its embedding with the query (of a text as Bundle.queries has it), and
    the `score` that it is ranked by, which is the same unless hubs were held down. `start_s` and `end_s`: within what
    was recorded from `started_at` on (UTC seconds); a file's is when it was put into the archive."""

    file: str
    start_s: float
    end_s: float
    score: float
    cosine: float
    started_at: float

    @property
    def start_at(self) -> float:
        return self.started_at + self.start_s

    @property
    def of_a_file(self) -> bool:
        """`file` is a path; else it is a source that was heard as time went by."""
        return Path(self.file).is_absolute()


@dataclass(frozen=True)
class Moment:
    """Seconds [start_s, end_s) of a recording, by its id."""

    recording: int
    start_s: float
    end_s: float
    score: float
    cosine: float

    def overlaps(self, other: "Moment") -> bool:
        return self.recording == other.recording and self.start_s < other.end_s and other.start_s < self.end_s


def apart(ranked: Iterable[Moment], k: int) -> list[Moment]:
    """The first k that overlap none before them."""
    kept: list[Moment] = []
    taken: dict[int, list[Moment]] = {}
    for moment in ranked:
        own = taken.setdefault(moment.recording, [])
        if not any(map(moment.overlaps, own)):
            own.append(moment)
            kept.append(moment)
            if len(kept) == k:
                break
    return kept


def merged(moments: Sequence[Moment]) -> list[Moment]:
    """Runs of moments that overlap or touch, each as one with the best of their scores; in the order of time."""
    found: list[Moment] = []
    for moment in sorted(moments, key=lambda each: (each.recording, each.start_s)):
        last = found[-1] if found else None
        if last and last.recording == moment.recording and moment.start_s <= last.end_s:
            best = max(last, moment, key=lambda each: each.score)
            end_s = max(last.end_s, moment.end_s)
            found[-1] = Moment(last.recording, last.start_s, end_s, best.score, best.cosine)
        else:
            found.append(moment)
    return found
