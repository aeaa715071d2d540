"""The straight path of one audio buffer: samples -> mel -> encoder -> head -> embedding of each window.

    listener = Listener(bundle)
    for window in listener.push(samples): …    # any block length; often no window, sometimes several
    for window in listener.flush(): …          # the tail

Windows end at each hop and reach back one window length. With `early=True` a live listener also answers at each hop
before the first window is full (`settled` is False there), so that a person at a microphone need not wait 10 s. With
`provisional=True` a streaming encoder also answers before its look-ahead is heard, 1.26 s earlier with CNN14.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from edge_runtime.bundle import Bundle
from edge_runtime.streaming import StreamingEncoder

__all__ = ["Listener", "Window"]


@dataclass(frozen=True)
class Window:
    """A stretch of a recording, in seconds from its start, and its embedding (E,), unit length, float32.

    `settled`: full length, or the end of the recording; only such windows are archived. `index` counts segments to
    the window's start. `provisional`: its last segments lack their look-ahead; the same window comes again when they
    have it.
    """

    start_s: float
    end_s: float
    embedding: np.ndarray
    settled: bool
    index: int
    provisional: bool = False


class Listener:
    """Streaming state of one recording. `hop` is in segments (default: the manifest's).

    `provisional` changes nothing with a windowed encoder, which withholds no segment.
    """

    def __init__(
        self, bundle: Bundle, *, hop: int | None = None, early: bool = False, provisional: bool = False
    ) -> None:
        self._bundle = bundle
        self._plan = bundle.manifest.window
        self._hop = hop or self._plan.hop
        self._early = early
        self._mel = bundle.log_mel()
        stream = bundle.manifest.encoder.stream
        self._encoder = bundle.encoder(hop=stream.chunk_for(self._hop) if stream else None)
        self._experts = bundle.experts()
        self._provisional = provisional and isinstance(self._encoder, StreamingEncoder)
        self.reset()

    def reset(self) -> None:
        """Begin a new recording; equal to a new listener."""
        self._mel.reset()
        self._encoder.reset()
        self._experts.reset()
        self._samples = 0
        self._frames = 0
        self._next_end = self._next_provisional_end = self._first_end()
        self._last_end = 0
        self._settled_only = False

    def push(self, samples: np.ndarray) -> Iterator[Window]:
        """Take float32 mono samples (n,) at the bundle's rate; yield the windows that they complete.

        The samples are taken in as the iterator is consumed: consume it whole.
        """
        at_once = self._plan.segments * self._bundle.manifest.encoder.segment_frames * self._mel.spec.hop_samples
        for start in range(0, len(samples), at_once):
            block = samples[start : start + at_once]
            self._samples += len(block)
            self._experts.push(block)
            yield from self._encode(self._mel.push(block))

    def flush(self) -> Iterator[Window]:
        """End the recording: yield the windows of its tail, then reset."""
        yield from self._encode(self._mel.flush())
        self._encoder.flush()
        yield from self._due()
        end = self._encoder.available
        if end > self._last_end:
            yield self._window(end, settled=True)
        self.reset()

    def settled_only(self) -> None:
        """Give no provisional windows from now on, until `reset`: they cost a third of the time, and nobody waits."""
        self._settled_only = True

    def provisional(self) -> Window | None:
        """The window that ends with the newest frame, without waiting for a streaming encoder's look-ahead; its last
        segments may still change, so it is not settled. None where nothing newer than `push` gave is known."""
        if not isinstance(self._encoder, StreamingEncoder):
            return None
        newest = self._encoder.provisional()
        if not len(newest):
            return None
        end = self._encoder.available + len(newest)
        first = max(0, end - self._plan.segments)
        parts = [newest[-(end - first) :]]
        if first < self._encoder.available:
            parts.insert(0, self._encoder.segments(first, self._encoder.available))
        embedding = self._bundle.embed_segments(np.concatenate(parts), self._of_experts(first, end))
        segment_s = self._bundle.manifest.segment_s
        heard_s = self._samples / self._mel.spec.rate_hz
        return Window(first * segment_s, min(end * segment_s, heard_s), embedding, False, first, provisional=True)

    def _encode(self, frames: np.ndarray) -> Iterator[Window]:
        """Frames (n, M) -> the windows due, and the provisional ones: cut at their ends, they too do not depend on how
        the sound arrives."""
        while len(frames):
            end = self._next_provisional_end * self._bundle.manifest.encoder.segment_frames
            provisional = self._provisional and not self._settled_only
            taken = frames[: end - self._frames] if provisional else frames
            self._encoder.push(taken)
            self._frames += len(taken)
            frames = frames[len(taken) :]
            yield from self._due()
            if provisional and self._frames == end:
                self._next_provisional_end += self._hop
                if window := self.provisional():
                    yield window

    def _first_end(self) -> int:
        if not self._early:
            return self._plan.segments
        return self._plan.segments % self._hop or self._hop

    def _due(self) -> Iterator[Window]:
        while self._next_end <= self._encoder.available:
            end = self._next_end
            self._next_end += self._hop
            yield self._window(end, settled=end >= self._plan.segments)

    def _window(self, end: int, *, settled: bool) -> Window:
        first = max(0, end - self._plan.segments)
        embedding = self._bundle.embed_segments(self._encoder.segments(first, end), self._of_experts(first, end))
        if settled:
            self._last_end = end
        segment_s = self._bundle.manifest.segment_s
        heard_s = self._samples / self._mel.spec.rate_hz
        return Window(first * segment_s, min(end * segment_s, heard_s), embedding, settled, first)

    def _of_experts(self, first: int, end: int) -> dict[str, np.ndarray]:
        """What the further encoders hear in segments [first, end)."""
        samples = self._bundle.manifest.encoder.segment_frames * self._mel.spec.hop_samples
        return self._experts.between(first * samples, end * samples)
