"""Log-mel frames -> segments, each computed once and for all: the driver of a streaming encoder (the PANNs family).

    encoder = StreamingEncoder(graph, spec, states, silence=silence, keep_segments=31, hop=1)
    encoder.push(frames)                    # (n, M), any n
    encoder.segments(first, last)           # those that are complete, counted from the recording's start
    encoder.provisional()                   # those that the look-ahead withholds, as if the recording ended here
    encoder.flush()                         # it ends here

One graph serves four modes by the lengths of its time axes (training/panns.py proves them): `prime` takes the zeros
before a recording and its first frames, `steady` the columns that each convolution carried and a whole hop, `flush`
the rest with the zeros after it, and `offline` a whole clip that is too short to prime. Chunks have fixed lengths
counted from the first frame, so the result does not depend on how the frames arrive; it equals the whole clip run
offline bit for bit. A segment is complete when the frames up to 1.26 s past its end (CNN14) have been heard.
"""

from collections.abc import Mapping

import numpy as np

from edge_runtime.errors import BundleError
from edge_runtime.graph import OpenGraph
from edge_runtime.heap import hand_back
from edge_runtime.manifest import EncoderSpec, StateSpec, StreamSpec

__all__ = ["StreamingEncoder", "streaming_graph_io", "whole_clip"]

States = dict[str, np.ndarray]


class StreamingEncoder:
    """State: what the convolutions carry, the frames that fill no chunk yet, and the newest segments."""

    def __init__(
        self,
        graph: OpenGraph,
        spec: EncoderSpec,
        states: list[StateSpec],
        *,
        silence: np.ndarray,
        keep_segments: int,
        hop: int = 1,
    ) -> None:
        """`hop`: segments that a chunk brings; `silence (M,)` pads a recording shorter than the spec's `min_frames`.

        Raises BundleError where the encoder is not made for such a hop.
        """
        if spec.stream is None:
            raise BundleError(f"a {spec.kind} encoder cannot stream: use a bundle with a streaming encoder")
        if hop not in spec.stream.hops:
            raise BundleError(
                f"this encoder cannot take a hop of {hop} segments: it is made for {sorted(spec.stream.hops)}"
            )
        self._graph = graph
        self._spec = spec
        self._stream: StreamSpec = spec.stream
        self._silence = silence
        self._keep = keep_segments
        self._hop_frames = hop * spec.segment_frames
        self._prime_frames = spec.stream.prime_frames + self._hop_frames - spec.segment_frames
        pad = spec.stream.pad
        self._edge = _beginning(states, pad)
        self._going_on = np.zeros((1, 1, 1, 0), np.float32)
        self._ending = np.zeros((1, 1, 1, pad), np.float32)
        after = {each.name: (each.shape(pad, beginning=False), np.dtype(each.dtype)) for each in states}
        self._steady = _Steady(graph, after, bands=len(silence), frames=self._hop_frames, rows=(hop, spec.width))
        self.reset()

    def reset(self) -> None:
        """Begin a new recording; equal to a new encoder."""
        self._states = self._edge
        self._frames = np.zeros((0, len(self._silence)), np.float32)
        self._rows = np.zeros((0, self._spec.width), np.float32)
        self._first = 0
        self._ended = False

    @property
    def available(self) -> int:
        """Segments that are complete, counted from the recording's start."""
        return self._first + len(self._rows)

    def push(self, frames: np.ndarray) -> None:
        """Take frames (n, M) float32."""
        if self._ended:
            raise ValueError("the recording has ended: reset the encoder before the next one")
        surplus = max(0, len(self._rows) - self._keep)
        self._first += surplus
        found = [self._rows[surplus:]]
        self._frames = np.concatenate((self._frames, frames))
        while len(self._frames) >= (take := self._take()):
            rows, self._states = self._advance(self._frames[:take])
            self._frames = self._frames[take:]
            found.append(rows)
        self._rows = np.concatenate(found)
        if self._frames.base is not None:
            self._frames = self._frames.copy()  # a view would keep all that was ever joined

    def provisional(self) -> np.ndarray:
        """The segments (n, D) that `flush` would add now. The stream goes on as if nobody had asked.

        They are what is known without the look-ahead: the nearer to the end, the more they may still change.
        """
        frames, segment_frames = self._frames, self._spec.segment_frames
        if self._ended:
            return self._rows[:0]
        if self._states is not self._edge:
            return self._step(frames, self._states, self._ending)[0]
        if 0 < len(frames) < self._spec.min_frames:
            frames = np.concatenate((frames, np.tile(self._silence, (self._spec.min_frames - len(frames), 1))))
        if len(frames) < segment_frames:
            return self._rows[:0]
        return self._step(frames, self._edge, self._ending)[0]

    def flush(self) -> None:
        """The recording ends: its last segments are complete. There are as many as the whole clip has offline, and
        one of a recording shorter than a segment."""
        self._rows = np.concatenate((self._rows, self.provisional()))
        self._ended = True

    def segments(self, first: int, last: int) -> np.ndarray:
        """Segments [first, last) of the recording, (last - first, D) float32."""
        if not self._first <= first < last <= self.available:
            raise ValueError(f"segments {first} to {last} asked for, {self._first} to {self.available} are here")
        return self._rows[first - self._first : last - self._first]

    def _take(self) -> int:
        return self._prime_frames if self._states is self._edge else self._hop_frames

    def _advance(self, frames: np.ndarray) -> tuple[np.ndarray, States]:
        """The next chunk (T, M) of a recording that goes on."""
        if self._states is self._edge:
            found = self._step(frames, self._states, self._going_on)
            hand_back()  # the first chunk takes several times what those after it do
            return found
        return self._steady.step(frames, self._states)

    def _step(self, frames: np.ndarray, states: States, right: np.ndarray) -> tuple[np.ndarray, States]:
        """One chunk (T, M) -> its segments (S, D) and the states after it."""
        log_mel = np.ascontiguousarray(frames.T)[None]  # (1, M, T)
        rows, *after = self._graph.all({"log_mel": log_mel, "right": right, **states})
        return rows, dict(zip(states, after, strict=True))


class _Steady:
    """A whole hop of a running stream: always the same shapes, in arrays that are kept. States go to and fro between
    two sets, so that those of before stay for whoever asks what the recording would be if it ended there."""

    def __init__(
        self,
        graph: OpenGraph,
        after: Mapping[str, tuple[tuple[int, ...], np.dtype]],
        *,
        bands: int,
        frames: int,
        rows: tuple[int, int],
    ) -> None:
        """`after`: shape and dtype of each state after a chunk; `frames`: of a hop; `rows`: its segments (S, D)."""
        self._log_mel = np.zeros((1, bands, frames), np.float32)
        self._rows = np.zeros(rows, np.float32)
        self._sets = [{name: np.zeros(*each) for name, each in after.items()} for _ in range(2)]
        fixed = {"log_mel": self._log_mel, "right": np.zeros((1, 1, 1, 0), np.float32)}
        self._calls = [
            graph.bound(fixed | old, {"segments": self._rows} | {f"{name}_next": new[name] for name in after})
            for old, new in (self._sets, reversed(self._sets))
        ]

    def step(self, frames: np.ndarray, states: States) -> tuple[np.ndarray, States]:
        """Frames (T, M) of a hop, and the states before it -> its segments (S, D) and the states after it."""
        at = int(states is self._sets[1])
        if states is not self._sets[at]:  # of the recording's beginning
            for name, state in states.items():
                np.copyto(self._sets[at][name], state)
        np.copyto(self._log_mel[0], frames.T)
        self._calls[at]()
        return self._rows.copy(), self._sets[1 - at]


def whole_clip(graph: OpenGraph, spec: EncoderSpec, states: list[StateSpec], frames: np.ndarray) -> np.ndarray:
    """The same graph offline: a whole clip (T, M), T of one segment or more -> (S, D). What a stream must equal."""
    pad = spec.stream.pad if spec.stream else 0
    log_mel = np.ascontiguousarray(frames.T)[None]  # (1, M, T)
    right = np.zeros((1, 1, 1, pad), np.float32)
    return graph.all({"log_mel": log_mel, "right": right, **_beginning(states, pad)})[0]


def _beginning(states: list[StateSpec], pad: int) -> States:
    """The zeros before a recording's first frame."""
    return {each.name: np.zeros(each.shape(pad, beginning=True), np.dtype(each.dtype)) for each in states}


def streaming_graph_io(spec: EncoderSpec, states: list[StateSpec], *, bands: int) -> dict[str, dict]:
    """What the graph of these states must take and give: `inputs`, `outputs` and `dtypes` for `open_graph`."""
    pad = spec.stream.pad if spec.stream else 0
    inputs: dict[str, tuple] = {"log_mel": (1, bands, None), "right": (1, 1, 1, None)}
    outputs: dict[str, tuple] = {"segments": (None, spec.width)}
    dtypes = dict.fromkeys(("log_mel", "right", "segments"), "float32")
    for state in states:
        after = state.shape(pad, beginning=False)
        fixed = after == state.shape(pad, beginning=True)
        inputs[state.name] = after if fixed else (*after[:3], None)
        outputs[f"{state.name}_next"] = after
        dtypes[state.name] = dtypes[f"{state.name}_next"] = state.dtype
    return {"inputs": inputs, "outputs": outputs, "dtypes": dtypes}
