"""Firings of one name, one after another, as one event."""

from dataclasses import dataclass

from edge_runtime.matching.firing import Kind

__all__ = ["Event"]


@dataclass(frozen=True)
class Event:
    """A phrase, group or rule (`name`, `kind`) heard at a source from `start_s` to `end_s`, monotonic seconds.

    `peak_s` is the middle of the window that was furthest above its threshold; `score`, `threshold` and `phrases` (what
    was heard, furthest first) are of that window. `windows` fired; `heard_s` of its length were heard at all.
    """

    source: str
    name: str
    kind: Kind
    phrases: tuple[str, ...]
    start_s: float
    end_s: float
    peak_s: float
    score: float
    threshold: float
    windows: int
    heard_s: float

    @property
    def excess(self) -> float:
        """How far its peak was above the threshold."""
        return self.score - self.threshold

    @property
    def coverage(self) -> float:
        """The share of it that was heard, 0 to 1."""
        return min(1.0, self.heard_s / (self.end_s - self.start_s))
