"""Log-mel frames -> segments, for an encoder that must see a whole window (any network that averages over time).

`WindowedEncoder` keeps the frames of the newest window and runs the graph when a window is asked for. It offers what a
listener needs of any encoder: push, flush, `available`, and `segments(first, last)`.
"""

import numpy as np

from edge_runtime.graph import OpenGraph
from edge_runtime.manifest import EncoderSpec

__all__ = ["WindowedEncoder"]


class WindowedEncoder:
    """State: the frames from the oldest segment that may still be asked for, and how many were ever pushed."""

    def __init__(self, graph: OpenGraph, spec: EncoderSpec, *, silence: np.ndarray, keep_segments: int) -> None:
        """`silence (M,)`: the frame of digital silence, which pads a clip shorter than the spec's `min_frames`."""
        self._graph = graph
        self._spec = spec
        self._silence = silence
        self._keep = keep_segments
        self.reset()

    def reset(self) -> None:
        self._frames = np.zeros((0, len(self._silence)), np.float32)
        self._first = 0
        self.available = 0
        """Segments that are complete, counted from the recording's start."""

    def push(self, frames: np.ndarray) -> None:
        """Take frames (n, M)."""
        surplus = max(0, self.available - self._keep - self._first) * self._spec.segment_frames
        self._frames = np.concatenate((self._frames[surplus:], frames))
        self._first += surplus // self._spec.segment_frames
        self.available = self._first + len(self._frames) // self._spec.segment_frames

    def flush(self) -> None:
        """The recording ends: its last frames make one more segment, however few they are."""
        self.available = self._first + -(-len(self._frames) // self._spec.segment_frames)

    def segments(self, first: int, last: int) -> np.ndarray:
        """Segments [first, last) of the recording, (last - first, D) float32, computed from their own frames alone."""
        if not self._first <= first < last <= self.available:
            raise ValueError(f"segments {first} to {last} asked for, {self._first} to {self.available} are here")
        step = self._spec.segment_frames
        frames = self._frames[(first - self._first) * step : (last - self._first) * step]
        if len(frames) < self._spec.min_frames:
            frames = np.concatenate((frames, np.tile(self._silence, (self._spec.min_frames - len(frames), 1))))
        log_mel = np.ascontiguousarray(frames.T)[None]  # (1, M, T)
        return self._graph(log_mel=log_mel)[: last - first]
