"""Who competes: one bundle's profiles, streaming and windowed, and PyTorch eager; each hears the same sound.

    field = Field(model, sound, threads=1)
    field.hop("small", hop=1)       # Contender: front end and encoder for one 0.32 s hop of a running stream
    field.window("small")           # front end and the same graph over the last 10 s, all of it again

A front end is part of every contender. Heads stand apart: they cost the same whatever feeds them. `engine` runs the
encoder (edge_runtime/graph_engine.py); one that is not onnxruntime stands in the contender's name.
"""

from collections.abc import Callable
from itertools import cycle
from pathlib import Path

import numpy as np

from benchmarks.eager import open_eager
from benchmarks.model import WINDOW_S, Model
from benchmarks.timing import Contender
from edge_runtime.graph import OpenGraph
from edge_runtime.graph_engine import DEFAULT_ENGINE
from edge_runtime.mel import BLOCK_FRAMES
from edge_runtime.streaming import StreamingEncoder

__all__ = ["EAGER", "Field"]

EAGER = "eager/window"
HOP_CALLS, SHORT_CALLS = 4, 2
"""Calls a round: short ones scatter more."""


class Field:
    """Contenders over `sound (n,)`, a minute or so. Graphs are opened once each and shared."""

    def __init__(self, model: Model, sound: np.ndarray, *, threads: int) -> None:
        self.model = model
        self.threads = threads
        self._sound = sound
        self._graphs: dict[str, OpenGraph] = {}
        self._window = sound[: round(WINDOW_S * model.rate_hz)]

    @property
    def encoders(self) -> list[str]:
        """Profiles with an encoder of their own: those that differ in the head alone are named by the first."""
        files = {each.encoder.file: name for name, each in reversed(self.model.profiles.items())}
        return [name for name, each in self.model.profiles.items() if files[each.encoder.file] == name]

    @property
    def heads(self) -> list[str]:
        files = {each.head.file: name for name, each in reversed(self.model.profiles.items())}
        return [name for name, each in self.model.profiles.items() if files[each.head.file] == name]

    def graph(self, profile: str, engine: str = DEFAULT_ENGINE) -> OpenGraph:
        name = _name(profile, engine)
        if name not in self._graphs:
            self._graphs[name] = self.model.encoder_graph(profile, threads=self.threads, engine=engine)
        return self._graphs[name]

    def hop(self, profile: str, *, hop: int, engine: str = DEFAULT_ENGINE) -> Contender:
        """A hop of `hop` segments in a stream that has long been running."""
        mel, encoder = self.model.front_end(), self._stream(profile, hop, engine)
        samples = hop * self.model.manifest.encoder.segment_frames * self.model.manifest.mel.hop_samples
        blocks = cycle(np.split(self._sound[: len(self._sound) // samples * samples], len(self._sound) // samples))
        while encoder.available < self.model.manifest.window.segments:
            encoder.push(mel.push(next(blocks)))
        return Contender(
            f"{_name(profile, engine)}/hop{hop}",
            lambda: encoder.push(mel.push(next(blocks))),
            samples / self.model.rate_hz,
            calls=max(1, HOP_CALLS // hop),
        )

    def prime(self, profile: str) -> Contender:
        """A recording's beginning: the first frames, up to the first segment."""
        mel, encoder = self.model.front_end(), self._stream(profile, 1)
        stream, spec = self.model.manifest.encoder.stream, self.model.manifest.mel
        assert stream is not None
        frames = -(-stream.prime_frames // BLOCK_FRAMES) * BLOCK_FRAMES
        samples = (frames - 1) * spec.hop_samples + spec.fft_samples // 2
        beginning = self._sound[:samples]

        def call() -> None:
            mel.reset()
            encoder.reset()
            encoder.push(mel.push(beginning))

        return Contender(f"{profile}/prime", call, samples / self.model.rate_hz, calls=SHORT_CALLS)

    def flush(self, profile: str) -> Contender:
        """A recording's end, or an early answer: the segments that the look-ahead withholds (no front end)."""
        mel, encoder = self.model.front_end(), self._stream(profile, 1)
        encoder.push(mel.push(self._window))
        assert isinstance(encoder, StreamingEncoder)
        count = len(encoder.provisional())
        return Contender(
            f"{profile}/flush", encoder.provisional, count * self.model.manifest.segment_s, calls=SHORT_CALLS
        )

    def window(self, profile: str, *, engine: str = DEFAULT_ENGINE) -> Contender:
        """Ten seconds at once, as a recorder without streaming runs them at every hop, and as a file is read."""
        graph = self.graph(profile, engine)

        def call() -> None:
            self.model.offline(graph, profile, self.model.frames(self._window))

        return Contender(f"{_name(profile, engine)}/window", call, WINDOW_S)

    def front_end(self) -> Contender:
        """Log-mel alone, over ten seconds."""
        return Contender("front end/window", lambda: self.model.frames(self._window), WINDOW_S)

    def head(self, profile: str) -> Contender:
        """Pooling, FC and gate over a window of segments."""
        graph = self.model.head_graph(profile, threads=self.threads)
        segments = self.model.offline(self.graph(self.encoders[0]), self.encoders[0], self.model.frames(self._window))
        segments = segments[-self.model.manifest.window.segments :]
        return Contender(
            f"{profile}/head", lambda: graph(segments=segments), self.model.manifest.window_s, calls=SHORT_CALLS
        )

    def eager(self) -> tuple[Contender | None, str]:
        """PyTorch eager over ten seconds, and what to say about it."""
        found, note = open_eager(Path(self.model.folder), threads=self.threads)
        if found is None:
            return None, note
        window: Callable[[np.ndarray], object] = found.window
        return Contender(EAGER, lambda: window(self._window), WINDOW_S), note

    def _stream(self, profile: str, hop: int, engine: str = DEFAULT_ENGINE):
        return self.model.stream(self.graph(profile, engine), profile, hop=hop)


def _name(profile: str, engine: str) -> str:
    return profile if engine == DEFAULT_ENGINE else f"{profile} in {engine}"
