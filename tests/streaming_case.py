"""A narrow CNN14 with a random dual encoder, and its streaming bundle: what the streaming tests are run on."""

import atexit
import functools
import shutil
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from panns_case import fitted_net

from edge_runtime.graph import OnnxGraph
from edge_runtime.manifest import EncoderSpec, Graph, StateSpec, StreamSpec
from edge_runtime.mel import log_mel
from edge_runtime.streaming import StreamingEncoder, streaming_graph_io, whole_clip
from export.network import layers_of
from export.profiles import RECIPES, encoder_profile
from export.streaming_bundle import StreamingParts, export_streaming
from training.mel_tables import panns_mel
from training.panns import Panns, PannsConfig
from training.retrieval import DualEncoder, RetrievalConfig
from training.train import Checkpoint

__all__ = [
    "NARROW",
    "NARROW_CNN14",
    "Case",
    "frames_of",
    "narrow_bundle",
    "narrow_parts",
    "random_checkpoint",
    "random_net",
    "sounds",
]

NARROW_CNN14 = PannsConfig((8, 16, 16, 24, 24, 32), pool_last=False, classes=5)
NARROW = {
    "cnn14": NARROW_CNN14,
    "cnn10": PannsConfig((8, 16, 16, 24), classes=5),
    "cnn6": PannsConfig((8, 16, 16, 24), convs_per_block=1, kernel=5, classes=5),
}
WORDS = ["a", "dog", "barks", "in", "the", "rain", "water", "runs", "engine", "bird", "sings", "loud", "quiet", "door"]


def sounds(count: int, *, seconds: float = 4.0, seed: int = 0) -> list[np.ndarray]:
    """Noise whose colour and loudness wander, float32 (n,) at 32 kHz."""
    rng = np.random.default_rng(seed)
    found = []
    for _ in range(count):
        n = int(seconds * 32000)
        spectrum = np.fft.rfft(rng.standard_normal(n)) / (1 + np.arange(n // 2 + 1) / rng.uniform(300, 9000))
        wave = np.fft.irfft(spectrum, n) * np.interp(np.arange(n), np.linspace(0, n, 9), rng.uniform(0, 1, 9))
        found.append((0.3 * wave / np.abs(wave).max()).astype(np.float32))
    return found


def random_net(config: PannsConfig, *, seed: int = 0) -> Panns:
    """Random weights, and batch norms fitted to `sounds`."""
    spec, tables = panns_mel()
    frames = np.stack([log_mel(spec, tables, sound).T for sound in sounds(4, seed=99)])
    return fitted_net(config, torch.from_numpy(frames), seed=seed)


def random_checkpoint(width: int, *, joint_width: int = 512, seed: int = 0) -> Checkpoint:
    torch.manual_seed(seed)
    config = RetrievalConfig(width, joint_width=joint_width, audio_clusters=4, text_clusters=3)
    model = DualEncoder(config, torch.randn(len(WORDS) + 1, config.word_width))
    return Checkpoint(model.eval(), WORDS, "random", {}, {})


def narrow_parts() -> StreamingParts:
    net = random_net(NARROW_CNN14)
    return StreamingParts(
        net,
        random_checkpoint(net.config.segment_dim),
        name="random",
        version="0",
        licence="none",
        notices=[],
        phrases=["a dog barks", "rain", "a loud engine"],
        sounds=sounds(8),
        profiles=("small", "balanced", "exact", "tiny"),
        report=lambda line: None,
    )


@functools.cache
def narrow_bundle() -> Path:
    """A streaming bundle with all profiles, made once; copy it to spoil it."""
    folder = Path(tempfile.mkdtemp(prefix="earmark-streaming-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    export_streaming(folder, narrow_parts())
    return folder


@dataclass(frozen=True)
class Case:
    """One network in one precision: its graph, and what drives it."""

    net: Panns
    graph: OnnxGraph
    spec: EncoderSpec
    states: list[StateSpec]

    @classmethod
    def of(cls, net: Panns, profile: str, path: Path, *, hops: Sequence[int] = (1, 2, 4)) -> "Case":
        calibrating = [frames.T.copy()[None] for frames in frames_of(net, sounds(4, seed=3))]
        states = encoder_profile(RECIPES[profile], layers_of(net), calibrating, path)
        config = net.config
        stream = StreamSpec(config.prime_frames, config.pad, list(hops))
        frames = config.hop_frames
        spec = EncoderSpec(Graph(path.name, profile, ""), "streaming", config.segment_dim, frames, frames, stream)
        graph = OnnxGraph(path, **streaming_graph_io(spec, states, bands=config.bands))
        return cls(net, graph, spec, states)

    def encoder(self, *, hop: int = 1, keep_segments: int = 10_000) -> StreamingEncoder:
        silence = np.full(self.net.config.bands, -3, np.float32)
        return StreamingEncoder(
            self.graph, self.spec, self.states, silence=silence, keep_segments=keep_segments, hop=hop
        )

    def whole(self, frames: np.ndarray) -> np.ndarray:
        return whole_clip(self.graph, self.spec, self.states, frames)


def frames_of(net: Panns, heard: Sequence[np.ndarray]) -> list[np.ndarray]:
    """What `encode` takes, (T, M) of each sound."""
    spec, tables = panns_mel()
    return [log_mel(spec, net.fold_input_norm(tables), sound) for sound in heard]
