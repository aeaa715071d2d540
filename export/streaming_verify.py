"""The gates of a streaming export: every profile against PyTorch, its stream against itself offline, and retrieval.

Bounds that all profiles share, and why:
- a stream differs from the whole clip by nothing at all: the same kernels add the same numbers in the same order;
- `MAX_STREAM_ERROR`: the fp32 stream against PyTorch in float64, in standard deviations of the segments: what fp32 sums
  may round. PyTorch's own fp32 is no yardstick for it: its fast convolutions round more on some CPUs than on others;
- `MAX_RETRIEVAL_DROP`: half a point of a retrieval figure, against the exact profile.
What int8 may cost stands with each profile in export/profiles.py.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence

import numpy as np
import torch

from edge_runtime.bundle import Bundle
from edge_runtime.engine import Engine
from edge_runtime.graph import OnnxGraph
from edge_runtime.streaming import StreamingEncoder, streaming_graph_io, whole_clip
from export.calibration import snr_db
from export.profiles import Recipe
from export.stream_encoder import StreamEncoder
from export.verify import cosines
from training.evaluate import Report, evaluate
from training.gates import Gate
from training.sounds import Clip
from training.train import Checkpoint

__all__ = ["profile_gates", "retrieval", "retrieval_gates", "stream_and_whole", "windows_of_segments"]

MAX_STREAM_ERROR = 2e-5
MAX_RETRIEVAL_DROP = 0.5


def windows_of_segments(segments: np.ndarray, length: int) -> list[np.ndarray]:
    """(S, D) -> windows of `length` segments side by side; the whole where it is shorter."""
    return [segments[i : i + length] for i in range(0, max(1, len(segments) - length + 1), length)]


@torch.no_grad()
def profile_gates(
    recipe: Recipe, bundle: Bundle, encoder: StreamEncoder, checkpoint: Checkpoint, clips: Sequence[np.ndarray]
) -> tuple[dict[str, float], list[Gate]]:
    """One profile against PyTorch, on clips (1, M, T) that calibrated nothing, and its stream against itself offline:
    the figures for the manifest, and the gates."""
    name = recipe.name
    exact, found, apart = [], [], 0.0
    for clip, (streamed, whole) in zip(clips, stream_and_whole(bundle, (clip[0].T for clip in clips)), strict=True):
        apart = max(apart, float(np.abs(streamed - whole).max()))
        exact.append(encoder.segments(clip))
        found.append(streamed)
    length = bundle.manifest.window.segments
    wanted = np.stack([_embedding(checkpoint, rows) for each in exact for rows in windows_of_segments(each, length)])
    embeddings = np.stack([bundle.embed_segments(rows) for each in found for rows in windows_of_segments(each, length)])
    eager, streamed = np.concatenate(exact), np.concatenate(found)
    alive = np.linalg.norm(eager, axis=1) > 0
    figures = {
        "snr_db": round(snr_db(eager, streamed), 2),
        "segment_cosine": round(float(cosines(eager[alive], streamed[alive]).min()), 6),
        "embedding_cosine": round(float(cosines(wanted, embeddings).min()), 6),
    } | encoder.found_before(recipe)
    gates = [
        Gate(f"{name}: stream and whole clip, largest difference", apart, 0.0),
        Gate(f"{name}: segments' signal to noise, dB", figures["snr_db"], recipe.min_snr_db, False),
        Gate(f"{name}: lowest segment cosine", figures["segment_cosine"], recipe.min_segment_cosine, False),
        Gate(f"{name}: lowest embedding cosine", figures["embedding_cosine"], recipe.min_embedding_cosine, False),
    ]
    if recipe.fp32:
        worst = float(np.abs(eager - streamed).max()) / float(eager.std())
        gates.append(
            Gate(f"{name}: largest difference with PyTorch in float64, in deviations", worst, MAX_STREAM_ERROR)
        )
    return figures, gates


def stream_and_whole(bundle: Bundle, clips: Iterable[np.ndarray]) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Frames (T, M) of each clip -> its segments (S, D) a hop at a time, and those of the whole, by the graph
    as it is shipped."""
    spec, profile = bundle.manifest.encoder, bundle.manifest.profile(bundle.profile)
    path = bundle.folder / profile.encoder.file
    graph = OnnxGraph(path, **streaming_graph_io(spec, profile.states, bands=bundle.manifest.mel.bands))
    for frames in clips:
        encoder = StreamingEncoder(graph, spec, profile.states, silence=bundle.silence, keep_segments=len(frames))
        encoder.push(frames)
        encoder.flush()
        yield encoder.segments(0, encoder.available), whole_clip(graph, spec, profile.states, frames)


def _embedding(checkpoint: Checkpoint, segments: np.ndarray) -> np.ndarray:
    """Segments (S, D) of one window -> (E,), by the trained model itself."""
    x = torch.from_numpy(segments)[None]
    return checkpoint.model.audio(x, torch.ones(x.shape[:2], dtype=torch.bool))[0].numpy()


def retrieval(engine: Engine, clips: Sequence[Clip]) -> tuple[Report, list[np.ndarray]]:
    """How well this profile finds labelled recordings, through the whole runtime; and the windows (W, E) of each."""
    heard = [engine.embed_audio(clip.path) for clip in clips]
    return evaluate(clips, heard, engine.bundle.embed_text), heard


def retrieval_gates(reports: Mapping[str, Report]) -> list[Gate]:
    """Each profile against `exact`: every figure of enough queries to tell half a point (one answer that changes place
    moves a smaller one by more), and the mean over all figures, the small ones included."""
    if "exact" not in reports:
        return []
    before, queries = reports["exact"].figures(), reports["exact"].queries()
    gates = []
    for name, report in reports.items():
        if name == "exact":
            continue
        drops = {figure: before[figure] - value for figure, value in report.figures().items()}
        gates += [
            Gate(f"{name}: drop of {figure} against exact, points", drop, MAX_RETRIEVAL_DROP)
            for figure, drop in drops.items()
            if 100 / queries[figure] <= MAX_RETRIEVAL_DROP
        ]
        mean = float(np.mean(list(drops.values())))
        gates.append(Gate(f"{name}: mean drop of all {len(drops)} figures, points", mean, MAX_RETRIEVAL_DROP))
    return gates
