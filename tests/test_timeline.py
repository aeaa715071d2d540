"""The timeline for people: what stands on a terminal's lines, and what a pipe gets."""

import io
import re

import numpy as np
import pytest
from rich.console import Console

from edge_runtime.cli.timeline import Timeline
from edge_runtime.engine import Heard
from edge_runtime.listener import Window
from edge_runtime.phrases import Match

HOP_S = 1.28
NOTHING = "nothing that the vocabulary names"


class Screen:
    """A timeline and the lines that its terminal shows, the cursor's included; a pipe's are those ended."""

    def __init__(self, *, terminal: bool) -> None:
        self.out = io.StringIO()
        console = Console(file=self.out, force_terminal=terminal, width=100, highlight=False, markup=False)
        self.timeline = Timeline(console, hop_s=HOP_S)

    def say(self, hop: int, phrase: str, score: float = 0.8, *, provisional: bool = False) -> list[str]:
        """The answer of the window that ends with this hop; returns the lines."""
        matches = (Match(phrase, score, 0.4), Match("something much longer that stands behind it", 0.1, 0.4))
        window = Window(0.0, hop * HOP_S, np.zeros(2, np.float32), not provisional, 0, provisional=provisional)
        self.timeline.add(Heard(window.start_s, window.end_s, matches, window))
        return self.lines

    @property
    def lines(self) -> list[str]:
        """As a terminal draws them: a carriage return goes to the line's begin, `ESC [2K` empties it."""
        lines, column = [""], 0
        for mark in re.findall(r"\x1b\[[\d;]*[A-Za-z]|.|\n", self.out.getvalue()):
            if mark == "\n":
                lines.append("")
                column = 0
            elif mark == "\r":
                column = 0
            elif mark == "\x1b[2K":
                lines[-1] = " " * column
            elif len(mark) == 1:
                lines[-1] = lines[-1][:column].ljust(column) + mark + lines[-1][column + 1 :]
                column += 1
        return [line.rstrip() for line in lines]


@pytest.fixture
def terminal() -> Screen:
    return Screen(terminal=True)


def test_a_shorter_line_leaves_nothing_of_the_longer_one(terminal):
    (line,) = terminal.say(1, "rain", 0.3)
    assert line.endswith(NOTHING)
    assert NOTHING[-5:] not in terminal.say(2, "a dog")[0].split("a dog")[0]
    terminal.timeline.add(Heard(0, 3 * HOP_S, (Match("a dog", 0.9, 0.4),), Window(0, 3 * HOP_S, np.zeros(2), True, 0)))
    assert terminal.lines[-1].endswith("0.90 a dog")


def test_a_stretch_too_short_to_be_told_leaves_no_text(terminal):
    terminal.say(1, "rain", 0.1)
    terminal.timeline.close()
    assert terminal.lines == [""]


def test_a_provisional_answer_stands_behind_the_settled_one_until_that_is_replaced(terminal):
    (before,) = terminal.say(1, "a dog")
    assert "something much longer" in before
    (line,) = terminal.say(2, "a siren", provisional=True)
    assert line.endswith("0.80 a dog   now a siren?")
    told, line = terminal.say(2, "a siren")
    assert told == before
    assert "now" not in line
    assert " a siren   something" in line


def test_a_provisional_answer_that_agrees_or_was_wrong_leaves_the_line_as_it_was(terminal):
    before = terminal.say(1, "a dog")
    assert terminal.say(2, "a dog", 0.9, provisional=True) == before
    assert terminal.say(2, "rain", 0.1, provisional=True)[0].endswith("a dog   now nothing?")
    terminal.timeline.close()
    assert terminal.lines == [*before, ""]


def test_the_first_answer_may_be_provisional(terminal):
    assert terminal.say(1, "a dog", provisional=True) == ["   now a dog?"]
    terminal.timeline.close()
    assert terminal.lines == [""]


def test_a_pipe_gets_settled_stretches_and_no_control_characters():
    pipe, without = Screen(terminal=False), Screen(terminal=False)
    for hop, phrase in enumerate(["a dog", "a dog", "a siren", "a siren"], start=1):
        pipe.say(hop + 1, "rain", provisional=True)
        pipe.say(hop, phrase)
        without.say(hop, phrase)
    pipe.timeline.close()
    without.timeline.close()
    assert pipe.out.getvalue() == without.out.getvalue()
    assert re.sub(r"[^\n]", "", pipe.out.getvalue()) == "\n\n"
    assert not set("\r\x1b") & set(pipe.out.getvalue())
