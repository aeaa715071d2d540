"""Further encoders of a bundle: each turns the samples of one window into segments of its own, for one common head.

    experts = bundle.experts()              # a new state for one source; an empty one where the bundle has none
    experts.push(samples)                   # float32 (n,) at the bundle's rate
    bundle.embed_segments(segments, experts.between(first, last))

A bundle's own encoder keeps the time: its segments say where windows begin and end. An expert's graph holds its front
end too, takes samples at a rate of its own, and hears each window by itself, as a windowed encoder does.
"""

from collections.abc import Sequence

import numpy as np

from edge_runtime.graph import OpenGraph
from edge_runtime.manifest import ExpertSpec
from edge_runtime.resample import Resampler

__all__ = ["Experts"]


class Experts:
    """State: the newest samples, and where in the recording they begin."""

    def __init__(self, experts: Sequence[tuple[ExpertSpec, OpenGraph]], *, rate_hz: int, keep_samples: int) -> None:
        """`keep_samples`: how far before a block just pushed a window may reach back."""
        self._experts = experts
        self._rate_hz = rate_hz
        self._keep = keep_samples
        self.reset()

    def reset(self) -> None:
        self._samples = np.zeros(0, np.float32)
        self._first = 0

    def push(self, samples: np.ndarray) -> None:
        """Take samples (n,); those too old for any window go."""
        if self._experts:
            surplus = max(0, len(self._samples) - self._keep)
            self._first += surplus
            self._samples = np.concatenate((self._samples[surplus:], samples))

    def between(self, first: int, last: int) -> dict[str, np.ndarray]:
        """The segments (S, D) of samples [first, last) of the recording, as far as it goes, by the head's inputs."""
        if not self._experts:
            return {}
        if first < self._first:
            raise ValueError(f"samples from {first} on asked for, those before {self._first} are gone")
        heard = self._samples[first - self._first : last - self._first]
        return {spec.head_input: self._segments(spec, graph, heard) for spec, graph in self._experts}

    def _segments(self, spec: ExpertSpec, graph: OpenGraph, samples: np.ndarray) -> np.ndarray:
        resampler = Resampler(self._rate_hz, spec.rate_hz)
        samples = np.concatenate((resampler.push(samples), resampler.flush()))
        missing = max(0, spec.min_samples - len(samples))
        return graph(samples=np.pad(samples, (0, missing)))
