"""The speech gate: sound in which somebody speaks is dropped before anything of it is written.

    gate = SpeechGate(bundle)
    if gate.push(window): …             # speech-like: its embedding should not be kept either
    gate.settled_s                      # up to where nothing can be gated any more
    gate.gated(start_s, end_s)          # the parts of it in which somebody may speak

A window's score is that of the nearest of `SPEECH` above the window's reference, whatever else is nearer: a voice under
a bird song is not among the ten best phrases, and is a voice all the same. A moment counts as speech if any window that
touches it does, so sound may be written only once all of these have come.
"""

from collections import deque

import numpy as np

from edge_runtime.bundle import Bundle
from edge_runtime.listener import Window

__all__ = ["SPEECH", "SpeechGate"]

SPEECH = (
    "a man speaking",
    "a woman speaking",
    "a child speaking",
    "two people in conversation",
    "a crowd of people chattering",
    "people talking in a café",
    "someone whispering",
    "someone shouting",
    "a radio playing speech",
    "a television in the next room",
    "unintelligible chatter on a two-way radio",
)
STRICT = 0.1
"""How far above a window's reference speech is suspected: much less than a phrase is heard from. `python -m benchmarks
gate` has how much speech that silences, and how much of other sounds."""
KEEP_S = 120.0
"""How long ago gated parts are remembered: clips are shorter, and are written meanwhile."""


class SpeechGate:
    """One stretch's; `reset` begins another. Windows come in order, and each hop has one."""

    def __init__(self, bundle: Bundle, *, threshold: float = STRICT) -> None:
        self._bundle = bundle
        self._speech = bundle.embed_text(SPEECH)
        self._threshold = threshold
        self._hop_s = bundle.manifest.hop_s
        self.reset()

    def reset(self) -> None:
        self._gated: deque[tuple[float, float]] = deque()
        self.settled_s = 0.0

    def score(self, embedding: np.ndarray) -> float:
        """How far above its reference a window (E,) is like speech."""
        return float((self._speech @ embedding).max() - self._bundle.reference(embedding[None])[0])

    def push(self, window: Window) -> bool:
        """Whether somebody may speak in this window; a score that is no number says so too."""
        full = window.settled and not window.provisional
        speech = not self.score(window.embedding) < self._threshold
        if speech:
            start_s, end_s = window.start_s, window.end_s
            while self._gated and self._gated[-1][1] >= start_s:
                earlier = self._gated.pop()
                start_s, end_s = min(start_s, earlier[0]), max(end_s, earlier[1])
            self._gated.append((start_s, end_s))
        while self._gated and self._gated[0][1] < window.start_s - KEEP_S:
            self._gated.popleft()
        if full:
            self.settled_s = max(self.settled_s, window.start_s + self._hop_s)
        return speech

    def finish(self) -> None:
        """The stretch is over: no more windows come."""
        self.settled_s = float("inf")

    def gated(self, start_s: float, end_s: float) -> list[tuple[float, float]]:
        """The parts of [start_s, end_s) in which somebody may speak, in order."""
        parts = ((max(start, start_s), min(end, end_s)) for start, end in self._gated)
        return [(start, end) for start, end in parts if start < end]
