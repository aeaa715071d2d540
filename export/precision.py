"""Which precision each graph ships in, decided by measurement on real audio.

int8 where it keeps what the graph says and costs no time; else fp32. The reason goes into the manifest, with figures.
"""

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from edge_runtime.graph import OnnxGraph
from edge_runtime.manifest import Graph
from edge_runtime.mel import log_mel
from edge_runtime.tokenizer import Tokenizer, batch_of
from export.graphs import TextModel, text_graph
from export.quantise import quantise
from export.verify import cosines, interleaved_ms
from training.features import Features, load_samples, windows_of
from training.mel_tables import efficientat_mel
from training.mn import MobileNet
from training.sounds import Clip

__all__ = ["calibration_frames", "choose_encoder", "int8_head", "int8_text"]

CALIBRATION_CLIPS = 96
HEAVY_WEIGHTS = 30_000
"""Products with fewer weights stay fp32: the assignment to clusters is small and sensitive."""
MIN_ENCODER_COSINE = 0.995


def calibration_frames(clips: list[Clip]) -> Iterator[np.ndarray]:
    """log_mel (1, M, T) of windows of training clips, evenly over the table."""
    spec, tables = efficientat_mel()
    train = [clip for clip in clips if clip.split == "train"]
    for clip in train[:: max(1, len(train) // CALIBRATION_CLIPS)][:CALIBRATION_CLIPS]:
        window, _ = windows_of(log_mel(spec, tables, load_samples(clip.path, spec.rate_hz)), tables.silence(spec))[0]
        yield np.ascontiguousarray(window.T)[None]


def choose_encoder(net: MobileNet, fp32: Path, target: Path, frames: list[np.ndarray]) -> Graph:
    """int8 if it keeps the segments' direction and saves time on this machine; fp32 otherwise, and the reason."""
    int8 = fp32.with_name("encoder_int8.onnx")
    quantise(fp32, int8, ({"log_mel": frame} for frame in frames), ops=("Conv", "MatMul", "Gemm"))
    inputs, outputs = {"log_mel": (1, frames[0].shape[1], None)}, {"segments": (None, net.config.segment_dim)}
    exact, small = (OnnxGraph(path, inputs=inputs, outputs=outputs) for path in (fp32, int8))
    cosine = float(np.mean([cosines(exact(log_mel=x), small(log_mel=x)).mean() for x in frames]))
    longest = max(frames, key=lambda frame: frame.shape[2])
    exact_ms, small_ms = interleaved_ms([lambda: exact(log_mel=longest), lambda: small(log_mel=longest)])
    figures = f"static int8: mean segment cosine {cosine:.3f}, {small_ms / exact_ms:.2f} x the time of fp32"
    if cosine >= MIN_ENCODER_COSINE and small_ms < exact_ms:
        target.write_bytes(int8.read_bytes())
        return Graph(target.name, "int8", figures)
    target.write_bytes(fp32.read_bytes())
    return Graph(target.name, "fp32", f"kept in fp32 ({figures})")


def int8_head(fp32: Path, target: Path, features: Features, clips: list[Clip]) -> Graph:
    train = [i for i, clip in enumerate(clips) if clip.split == "train"]
    rows = np.flatnonzero(np.isin(features.clip, train))[:: max(1, len(train) // 256)]
    feeds = ({"segments": features.segments[row, : features.lengths[row]].astype(np.float32)} for row in rows)
    quantise(fp32, target, feeds, ops=("MatMul", "Gemm"), min_weights=HEAVY_WEIGHTS)
    return Graph(
        target.name, "int8", f"FC and gate in int8, calibrated on {len(rows)} real windows; the assignment is fp32"
    )


def int8_text(model: TextModel, tokenizer: Tokenizer, scratch: Path, target: Path, phrases: list[str]) -> Graph:
    words = scratch / "words_int8.onnx"
    text_graph(model, words, int8_words=True)
    feeds = ({"token_ids": batch_of([tokenizer.encode(phrase)])} for phrase in phrases)
    quantise(words, target, feeds, ops=("MatMul", "Gemm"), min_weights=HEAVY_WEIGHTS)
    return Graph(target.name, "int8", f"word table, FC and gate in int8, calibrated on {len(phrases)} phrases")
