"""Assemble a bundle: graphs, front end, vocabulary, index, golden vectors, card, manifest.

`export_bundle(folder, assembly)` is one straight line from checkpoint to verified folder.
"""

import dataclasses
import json
import shutil
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from edge_runtime.background import FILE as BACKGROUND
from edge_runtime.bundle import Bundle
from edge_runtime.manifest import (
    SCHEMA,
    EncoderSpec,
    HeadSpec,
    IndexSpec,
    Manifest,
    MatchSpec,
    TextSpec,
    WindowSpec,
    digests_of,
    sha256_of,
)
from edge_runtime.phrases import digest_of, read_phrase_file, tidy
from edge_runtime.recall import Recall
from edge_runtime.vector_index import VectorIndex
from export.background import background_of, calibrated
from export.card import LICENCE, NOTICES, model_card
from export.graphs import encoder_graph, head_graph, text_graph
from export.precision import calibration_frames, choose_encoder, int8_head, int8_text
from export.verify import Fp32, verify
from training.features import MIN_FRAMES, SEGMENT_FRAMES, WINDOW_SEGMENTS, load
from training.mel_tables import efficientat_mel
from training.memory import MEMORY, Memory
from training.mn import load_mn04
from training.sounds import read_clips
from training.train import MAX_WORDS, Checkpoint

__all__ = ["Assembly", "export_bundle"]

ENCODER, HEAD, TEXT = "audio_encoder.onnx", "audio_head.onnx", "text_encoder.onnx"
HOP_SEGMENTS, ARCHIVE_HOP_SEGMENTS = 4, 16
INDEX = IndexSpec(m=16, ef_construction=200, ef=128)
GOLDEN_S = 2.0


@dataclass(frozen=True)
class Assembly:
    """What a bundle is made from."""

    checkpoint: Path
    name: str
    version: str
    phrases: Path
    sounds: Path
    weights: Path
    features: Path


def export_bundle(folder: Path, made_from: Assembly) -> None:
    """Write the whole bundle into the empty `folder`. Raises GateError where a bound is broken."""
    checkpoint = Checkpoint.load(made_from.checkpoint)
    net = load_mn04(made_from.weights)
    clips = read_clips(made_from.sounds)
    paths = sorted(made_from.features.glob("*-0.npz"))
    if not paths:
        raise FileNotFoundError(f"{made_from.features} holds no clean features: run `python -m training features`")
    features = load(paths[:1])[0]
    phrases = [tidy(phrase) for phrase in read_phrase_file(made_from.phrases)]
    spec, tables = efficientat_mel()

    fp32 = folder / "fp32"
    fp32.mkdir()
    tables.save(folder / "mel.npz")
    checkpoint.tokenizer.save(folder / "tokenizer.json")
    encoder_graph(net, fp32 / ENCODER, bands=spec.bands)
    head_graph(checkpoint.model, fp32 / HEAD)
    text_graph(checkpoint.model, fp32 / TEXT, int8_words=False)

    encoder = choose_encoder(net, fp32 / ENCODER, folder / ENCODER, list(calibration_frames(clips)))
    head = int8_head(fp32 / HEAD, folder / HEAD, features, clips)
    text = int8_text(checkpoint.model, checkpoint.tokenizer, fp32, folder / TEXT, phrases)

    manifest = Manifest(
        schema=SCHEMA,
        name=made_from.name,
        version=made_from.version,
        licence=LICENCE,
        notices=NOTICES,
        mel=spec,
        encoder=EncoderSpec(encoder, "windowed", net.config.segment_dim, SEGMENT_FRAMES, MIN_FRAMES),
        head=HeadSpec(head, checkpoint.model.config.width, checkpoint.model.config.audio_pooling),
        text=TextSpec(text, MAX_WORDS),
        window=WindowSpec(WINDOW_SEGMENTS, HOP_SEGMENTS, ARCHIVE_HOP_SEGMENTS),
        index=INDEX,
        match=MatchSpec(heard=0.0),
        quality={},
        files={name: sha256_of(folder / name) for name in ("mel.npz", "tokenizer.json", ENCODER, HEAD, TEXT)},
    )
    manifest.write(folder)
    shipped = Bundle(folder)  # verified but for the self-test, which is written next
    reference = Fp32(fp32 / ENCODER, fp32 / HEAD, fp32 / TEXT, checkpoint, spec.bands)
    verdict = verify(shipped, reference, checkpoint, net, clips, features, phrases)

    background = background_of(verdict.engine, clips)
    background.save(folder / BACKGROUND)
    Memory.heard(clips, lambda clip: verdict.engine.embed_audio(clip.path)).save(folder / MEMORY)
    recall = Recall.load(folder / MEMORY, width=manifest.head.width)
    match, calibration = calibrated(verdict.engine, background, verdict.clips, verdict.heard, recall=recall)
    signal = golden_signal(spec.rate_hz)
    shipped.answers(signal, checkpoint.tokenizer.encode("a dog barks in the rain")).save(folder / "golden.npz")
    (folder / "phrases.jsonl").write_text("".join(json.dumps({"phrase": text}) + "\n" for text in phrases))
    index = VectorIndex.build(shipped.embed_text(phrases), INDEX)
    index.save(folder / "phrases.hnsw", fingerprint=shipped.fingerprint, content=digest_of(phrases))

    shutil.rmtree(fp32)
    quality = next(iter(verdict.reports.values())).figures() | calibration
    manifest = dataclasses.replace(manifest, match=match, quality=quality)
    gates, towers = [str(gate) for gate in verdict.gates], checkpoint.model.config
    card = model_card(manifest, clips, checkpoint.words_source, gates, verdict.reports, towers=towers)
    (folder / "MODEL_CARD.md").write_text(card, encoding="utf-8")
    dataclasses.replace(manifest, files=digests_of(folder)).write(folder)
    Bundle.open(folder)


def golden_signal(rate_hz: int) -> np.ndarray:
    """Two seconds of a rising tone over noise, float32 (n,): every band and both edges are exercised. In steps of 12
    bits, which pack into half the bytes."""
    t = np.arange(int(GOLDEN_S * rate_hz)) / rate_hz
    sweep = 0.4 * np.sin(2 * np.pi * (100 * t + 3000 * t**2))
    signal = sweep + np.random.default_rng(7).normal(0, 0.02, len(t))
    return (np.rint(signal * 2**11) / 2**11).astype(np.float32)
