"""A bundle as the benchmarks open it: each graph by itself, for any profile and number of threads.

model = Model(Path("runs/bench/cnn14"))
graph = model.encoder_graph("small", threads=1)
segments = model.offline(graph, "small", frames)        # a whole clip at once
stream = model.stream(graph, "small", hop=1)            # the runtime's own streaming encoder
"""

from pathlib import Path

import numpy as np

from edge_runtime.encoder import WindowedEncoder
from edge_runtime.errors import BundleError
from edge_runtime.graph import OpenGraph
from edge_runtime.graph_cache import GraphCache
from edge_runtime.graph_engine import DEFAULT_ENGINE, open_graph
from edge_runtime.manifest import Graph, Manifest, Profile
from edge_runtime.mel import LogMel, MelTables, log_mel
from edge_runtime.streaming import StreamingEncoder, streaming_graph_io, whole_clip

__all__ = ["WINDOW_S", "Model"]

WINDOW_S = 10.0
"""What every windowed contender hears at a time."""


class Model:
    """Stateless but for what it has open. A bundle of one precision has one profile, called after that."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.manifest = manifest = Manifest.read(folder)
        self.tables = MelTables.load(folder / "mel.npz", manifest.mel)
        only = {manifest.encoder.graph.precision: manifest.profile()}
        self.profiles: dict[str, Profile] = dict(manifest.profiles) or only

    @property
    def rate_hz(self) -> int:
        return self.manifest.mel.rate_hz

    @property
    def streams(self) -> bool:
        return self.manifest.encoder.stream is not None

    def of_precision(self, precision: str) -> str | None:
        """The first profile whose encoder has this precision."""
        return next((name for name, each in self.profiles.items() if each.encoder.precision == precision), None)

    def encoder_graph(
        self, profile: str, *, threads: int = 1, cached: GraphCache | None = None, engine: str = DEFAULT_ENGINE
    ) -> OpenGraph:
        """`cached`: open the form that onnxruntime optimised for this CPU, as a device does. It is made if need be."""
        spec, parts = self.manifest.encoder, self.profiles[profile]
        if spec.stream is None:
            shapes = {"inputs": {"log_mel": (1, self.manifest.mel.bands, None)}}
            shapes["outputs"] = {"segments": (None, spec.width)}
        else:
            shapes = streaming_graph_io(spec, parts.states, bands=self.manifest.mel.bands)
        return self._open(parts.encoder, shapes, threads, cached, engine)

    def head_graph(
        self, profile: str, *, threads: int = 1, cached: GraphCache | None = None, engine: str = DEFAULT_ENGINE
    ) -> OpenGraph:
        shapes = {"inputs": {"segments": (None, self.manifest.encoder.width)}}
        shapes["outputs"] = {"embedding": (self.manifest.head.width,)}
        return self._open(self.profiles[profile].head, shapes, threads, cached, engine)

    def front_end(self) -> LogMel:
        return LogMel(self.manifest.mel, self.tables)

    def frames(self, samples: np.ndarray) -> np.ndarray:
        """A whole clip (n,) -> frames (T, M)."""
        return log_mel(self.manifest.mel, self.tables, samples)

    def stream(self, graph: OpenGraph, profile: str, *, hop: int = 1) -> StreamingEncoder | WindowedEncoder:
        """A new encoder state; a windowed encoder has no hop of its own."""
        spec, silence = self.manifest.encoder, self.tables.silence(self.manifest.mel)
        keep = self.manifest.window.segments
        if spec.stream is None:
            return WindowedEncoder(graph, spec, silence=silence, keep_segments=keep)
        states = self.profiles[profile].states
        return StreamingEncoder(graph, spec, states, silence=silence, keep_segments=keep, hop=hop)

    def offline(self, graph: OpenGraph, profile: str, frames: np.ndarray) -> np.ndarray:
        """A whole clip of frames (T, M) in one call -> segments (S, D)."""
        if self.streams:
            return whole_clip(graph, self.manifest.encoder, self.profiles[profile].states, frames)
        return graph(log_mel=np.ascontiguousarray(frames.T)[None])

    def _open(self, graph: Graph, shapes: dict, threads: int, cached: GraphCache | None, engine: str) -> OpenGraph:
        path, found = self.folder / graph.file, None
        if cached is not None:
            sha256 = self.manifest.files[graph.file]
            found = cached.find(sha256) or cached.build(path, sha256)
            if found is None:
                raise BundleError(
                    f"{path.name} could not be optimised into {cached.folder}: free some disk, or see the log"
                )
        return open_graph(path, found, precision=graph.precision, engine=engine, threads=threads, **shapes)
