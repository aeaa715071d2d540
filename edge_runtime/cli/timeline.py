"""What is heard, for people: one line for each stretch in which the same phrase is on top.

A window looks back over 10 s that earlier windows have told already, so a line's times are those of the hops that its
windows add. On a terminal the line of the current stretch is rewritten at each window, and a provisional answer that
differs stands behind it until the settled one comes; elsewhere a stretch is printed when it ends, from settled answers.
"""

from rich.console import Console
from rich.control import Control
from rich.segment import ControlType
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
        self._newest: Heard | None = None
        """The provisional answer about what comes after the stretch."""

    def add(self, heard: Heard) -> None:
        if heard.window.provisional:
            self._newest = heard
        else:
            self._newest = None
            if self._stretch and self._name(heard) != self._name(self._stretch[0]):
                self.close()
            self._stretch.append(heard)
        if self._console.is_terminal:
            self._erase()
            self._console.print(self._live_line(), end="\r", overflow="crop", no_wrap=True)

    def close(self) -> None:
        """End the current stretch; a provisional answer ends with it."""
        if self._stretch or self._newest:
            self._erase()
        self._newest = None
        if self._stretch and (self._name(self._stretch[0]) or self._start_s() + BRIEF_S <= self._stretch[-1].end_s):
            self._console.print(self._line(), overflow="crop", no_wrap=True)
        self._stretch = []

    def _erase(self) -> None:
        """A shorter line would leave the end of the one before it."""
        self._console.control(Control((ControlType.ERASE_IN_LINE, 2)))

    def _start_s(self) -> float:
        return max(0.0, self._stretch[0].end_s - self._hop_s)

    def _name(self, heard: Heard) -> str:
        top = heard.matches[:1]  # none where every phrase was removed
        return top[0].phrase if top and top[0].heard else ""

    def _live_line(self) -> Text:
        """The stretch so far, and what the newest sound may be where that is something else."""
        if not self._newest:
            return self._line()
        name = self._name(self._newest)
        if self._stretch and name == self._name(self._stretch[0]):
            return self._line()
        line = self._line(others=False) if self._stretch else Text()
        return line.append(f"   now {name or 'nothing'}?", style="dim italic")

    def _line(self, *, others: bool = True) -> Text:
        name = self._name(self._stretch[0])
        line = Text(f"{clock(self._start_s()):>7}–{clock(self._stretch[-1].end_s):<7} ", style="dim")
        if not name:
            return line.append("nothing that the vocabulary names", style="dim")
        best = max(self._stretch, key=lambda heard: heard.matches[0].score)
        line.append(bar(best.matches[0].score), style="cyan")
        line.append(f" {best.matches[0].score:.2f} ")
        line.append(name, style="bold")
        if others:
            line.append(f"   {' · '.join(match.phrase for match in best.matches[1:3])}", style="dim")
        return line


def bar(score: float) -> str:
    """A score of 0 to 1 as a bar of fixed width."""
    eighths = round(max(0.0, min(1.0, score)) * BAR_CELLS * 8)
    full, rest = divmod(eighths, 8)
    return ("█" * full + (EIGHTHS[rest] if rest else "")).ljust(BAR_CELLS)
