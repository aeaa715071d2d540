"""What one window says: a phrase, a group or a rule at or above its threshold."""

from dataclasses import dataclass
from typing import Literal

__all__ = ["Firing", "Kind"]

Kind = Literal["phrase", "group", "rule"]


@dataclass(frozen=True)
class Firing:
    """`score` and `threshold` are cosines: of a phrase its own, of a group those of the phrase that is furthest above
    its threshold, of a rule those of the weakest thing that it needed. `phrases`: what was heard, furthest first."""

    name: str
    kind: Kind
    score: float
    threshold: float
    phrases: tuple[str, ...]

    @property
    def excess(self) -> float:
        return self.score - self.threshold
