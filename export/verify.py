"""The gates of an export: PyTorch against fp32 ONNX against what ships. Beyond a bound there is no bundle.

Bounds, and why:
- `MAX_FP32_ERROR`: PyTorch and onnxruntime sum in other orders; unit vectors then part by 1e-6, a wrong graph by 1e-1.
- `MAX_SEGMENT_ERROR`: the same for segments, which are no unit vectors, in their standard deviations.
- `MIN_INT8_COSINE`: below .98 an embedding's neighbours begin to change places (int8 products reach .999 here).
- what retrieval on the validation split may cost stands in training/gates.py.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from edge_runtime.bundle import Bundle
from edge_runtime.engine import Engine
from edge_runtime.graph import OnnxGraph
from edge_runtime.mel import log_mel
from edge_runtime.phrases import Phrases
from edge_runtime.tokenizer import batch_of
from training.evaluate import Report, evaluate
from training.features import Features, load_samples, windows_of
from training.gates import Gate, drop_gates, judge
from training.mn import MobileNet
from training.sounds import Clip
from training.train import Checkpoint

__all__ = ["Fp32", "Verdict", "cosines", "interleaved_ms", "verify"]

MAX_FP32_ERROR = 1e-4
MAX_SEGMENT_ERROR = 1e-3
MIN_INT8_COSINE = 0.98
ENCODER_CLIPS = 24


def cosines(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Row-wise cosines of (N, E) and (N, E)."""
    return (a * b).sum(axis=1) / np.linalg.norm(a, axis=1) / np.linalg.norm(b, axis=1)


class Fp32:
    """The unquantised graphs of an export, as the reference that the shipped ones are held against."""

    def __init__(self, encoder: Path, head: Path, text: Path, checkpoint: Checkpoint, bands: int) -> None:
        width, joint = checkpoint.model.config.segment_width, checkpoint.model.config.width
        self._tokenizer = checkpoint.tokenizer
        self.encoder = OnnxGraph(encoder, inputs={"log_mel": (1, bands, None)}, outputs={"segments": (None, width)})
        self.head = OnnxGraph(head, inputs={"segments": (None, width)}, outputs={"embedding": (joint,)})
        self._text = OnnxGraph(text, inputs={"token_ids": (None, None)}, outputs={"embedding": (None, joint)})

    def embed_text(self, texts: Sequence[str]) -> np.ndarray:
        return np.concatenate([self._text(token_ids=batch_of([self._tokenizer.encode(text)])) for text in texts])

    def embed_windows(self, features: Features) -> np.ndarray:
        return np.stack([self.head(segments=rows) for rows in _segments(features)])

    def report(self, clips: Sequence[Clip], features: Features, split: str) -> Report:
        rows = [i for i, clip in enumerate(clips) if clip.split == split]
        part = features.of_clips(rows)
        table = self.embed_windows(part)
        return evaluate([clips[i] for i in rows], [table[part.clip == i] for i in rows], self.embed_text)


@dataclass(frozen=True)
class Verdict:
    """All gates as measured, the reports by the title of their table; what was heard of the validation split, for
    calibration: its clips and their windows (W, E)."""

    gates: list[Gate]
    reports: dict[str, Report]
    engine: Engine
    clips: list[Clip]
    heard: list[np.ndarray]


def verify(
    shipped: Bundle,
    fp32: Fp32,
    checkpoint: Checkpoint,
    net: MobileNet,
    clips: Sequence[Clip],
    features: Features,
    phrases: Sequence[str],
) -> Verdict:
    """Measure every gate on the validation split, and the test split for the card. Raises GateError."""
    rows = [i for i, clip in enumerate(clips) if clip.split == "val"]
    part = features.of_clips(rows)
    shipped_head = np.stack([shipped.embed_segments(each) for each in _segments(part)])
    torch_text = np.concatenate([checkpoint.embed_text([phrase]) for phrase in phrases])
    gates = [
        *_encoder_gates(net, fp32, shipped, [clips[i] for i in rows]),
        *_compare_embeddings("head", checkpoint.embed_windows(part), fp32.embed_windows(part), shipped_head),
        *_compare_embeddings("text encoder", torch_text, fp32.embed_text(phrases), shipped.embed_text(phrases)),
    ]
    engine = Engine(shipped, Phrases.of(shipped, phrases), None)
    val = [clips[i] for i in rows]
    heard = [engine.embed_audio(clip.path) for clip in val]
    as_shipped = evaluate(val, heard, shipped.embed_text)
    gates += drop_gates(fp32.report(clips, features, "val"), as_shipped, what="validation")
    judge(gates)

    test = [clip for clip in clips if clip.split == "test"]
    reports = {
        "Test split, as shipped": evaluate(test, [engine.embed_audio(clip.path) for clip in test], shipped.embed_text),
        "Test split, fp32": fp32.report(clips, features, "test"),
    }
    return Verdict(gates, reports, engine, val, heard)


def _segments(features: Features) -> list[np.ndarray]:
    """Each window's own segments (S, D) float32."""
    return [x[:n].astype(np.float32) for x, n in zip(features.segments, features.lengths, strict=True)]


def _apart(a: np.ndarray, b: np.ndarray) -> float:
    return float(np.abs(a - b).max())


def _encoder_gates(net: MobileNet, fp32: Fp32, shipped: Bundle, clips: Sequence[Clip]) -> list[Gate]:
    spec, tables = shipped.manifest.mel, shipped.tables
    apart, lowest = 0.0, 1.0
    for clip in clips[:: max(1, len(clips) // ENCODER_CLIPS)][:ENCODER_CLIPS]:
        frames = log_mel(spec, tables, load_samples(clip.path, spec.rate_hz))
        window, count = windows_of(frames, shipped.silence)[0]
        with torch.inference_mode():
            eager = net.segments(torch.from_numpy(window.T.copy())[None])[0, :count].numpy()
        exact = fp32.encoder(log_mel=np.ascontiguousarray(window.T)[None])[:count]
        encoder = shipped.encoder()
        encoder.push(frames[: len(window)])
        encoder.flush()
        apart = max(apart, _apart(eager, exact) / float(eager.std()))
        lowest = min(lowest, float(cosines(exact, encoder.segments(0, count)).min()))
    return [
        Gate("encoder: largest difference of PyTorch and fp32 ONNX, in standard deviations", apart, MAX_SEGMENT_ERROR),
        Gate("encoder: lowest segment cosine of fp32 and shipped", lowest, MIN_INT8_COSINE, False),
    ]


def _compare_embeddings(what: str, torch_out: np.ndarray, fp32: np.ndarray, shipped: np.ndarray) -> list[Gate]:
    """Embeddings (N, E) of the same inputs by the three forms."""
    return [
        Gate(f"{what}: largest difference of PyTorch and fp32 ONNX", _apart(torch_out, fp32), MAX_FP32_ERROR),
        Gate(f"{what}: lowest cosine of fp32 and shipped", float(cosines(fp32, shipped).min()), MIN_INT8_COSINE, False),
    ]


def interleaved_ms(forms: Sequence[Callable[[], object]], *, repeats: int = 40) -> list[float]:
    """Median milliseconds of each form, run in turn, so that a noisy neighbour disturbs all alike."""
    times: list[list[float]] = [[] for _ in forms]
    for _ in range(repeats):
        for kept, form in zip(times, forms, strict=True):
            started = time.perf_counter()
            form()
            kept.append(1000 * (time.perf_counter() - started))
    return [float(np.median(kept)) for kept in times]
