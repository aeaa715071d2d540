"""What is heard, for people: one line for each stretch in which the same phrase is on top.

A window looks back over 10 s that earlier windows have told already, so a line's times are those of the hops that its
windows add. On a terminal the line of the current stretch is rewritten at each window; elsewhere a stretch is printed
when it ends.
"""

from rich.console import Console
from rich.text import Text

from edge_runtime.cli.options import clock
from edge_runtime.engine import Heard

__all__ = ["Timeline"]

BAR_CELLS = 12
BRIEF_S = 4.0
"""A stretch in which nothing is heard is only told from this length on: between two sounds it is no news."""
EIGHTHS = " ▏▎▍▌▋▊▉█"


class Timeline:
    """`hop_s`: between windows."""

    def __init__(self, console: Console, *, hop_s: float) -> None:
        self._console = console
        self._hop_s = hop_s
        self._stretch: list[Heard] = []

    def add(self, heard: Heard) -> None:
        if self._stretch and self._name(heard) != self._name(self._stretch[0]):
            self.close()
        self._stretch.append(heard)
        if self._console.is_terminal:
            self._console.print(self._line(), end="\r", overflow="crop", no_wrap=True)

    def close(self) -> None:
        """End the current stretch."""
        if self._stretch and (self._name(self._stretch[0]) or self._start_s() + BRIEF_S <= self._stretch[-1].end_s):
            self._console.print(self._line(), overflow="crop", no_wrap=True)
        self._stretch = []

    def _start_s(self) -> float:
        return max(0.0, self._stretch[0].end_s - self._hop_s)

    def _name(self, heard: Heard) -> str:
        top = heard.matches[:1]  # none where every phrase was removed
        return top[0].phrase if top and top[0].heard else ""

    def _line(self) -> Text:
        name = self._name(self._stretch[0])
        line = Text(f"{clock(self._start_s()):>7}–{clock(self._stretch[-1].end_s):<7} ", style="dim")
        if not name:
            return line.append("nothing that the vocabulary names", style="dim")
        best = max(self._stretch, key=lambda heard: heard.matches[0].score)
        line.append(bar(best.matches[0].score), style="cyan")
        line.append(f" {best.matches[0].score:.2f} ")
        line.append(name, style="bold")
        others = [match.phrase for match in best.matches[1:3]]
        return line.append(f"   {' · '.join(others)}", style="dim")


def bar(score: float) -> str:
    """A score of 0 to 1 as a bar of fixed width."""
    eighths = round(max(0.0, min(1.0, score)) * BAR_CELLS * 8)
    full, rest = divmod(eighths, 8)
    return ("█" * full + (EIGHTHS[rest] if rest else "")).ljust(BAR_CELLS)
