"""A streaming network and a trained dual encoder -> a streaming bundle of several profiles, verified.

    python -m export runs/train-cnn14 my-bundle --encoder Cnn14_mAP=0.431.pth --network cnn14 --sounds FOLDER
    python -m export runs/stream/train my-bundle --encoder runs/stream --profiles light

`export_streaming(folder, parts)` is one straight line from networks to verified folder. A profile outside its own
tolerance (export/profiles.py) leaves no bundle: GateError says by how much.
"""

import dataclasses
import json
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import onnx

from edge_runtime.background import FILE as BACKGROUND
from edge_runtime.bundle import Bundle
from edge_runtime.engine import Engine
from edge_runtime.manifest import (
    SCHEMA,
    EncoderSpec,
    Graph,
    HeadSpec,
    Manifest,
    MatchSpec,
    Profile,
    StateSpec,
    StreamSpec,
    TextSpec,
    WindowSpec,
    digests_of,
)
from edge_runtime.mel import log_mel
from edge_runtime.phrases import Phrases, digest_of
from edge_runtime.recall import Recall
from edge_runtime.vector_index import VectorIndex
from export.background import background_of, calibrated
from export.bundle import INDEX, golden_signal
from export.card import model_card
from export.graphs import head_graph, text_graph
from export.kept_encoder import SENSITIVITY
from export.precision import HEAVY_WEIGHTS, int8_text
from export.profiles import RECIPES, sensitivity_table
from export.quantise import heavy_nodes, quantise, quantise_blocks
from export.stream_encoder import SENSITIVITY_CLIPS, StreamEncoder, StreamNet, stream_encoder
from export.streaming_verify import profile_gates, retrieval, retrieval_gates, windows_of_segments
from training.evaluate import Report
from training.gates import Gate, GateError
from training.memory import MEMORY, Memory
from training.sounds import Clip
from training.train import MAX_WORDS, Checkpoint

__all__ = ["StreamingParts", "export_streaming", "judged"]

WINDOW_S = 5.12
"""Half of what the head is trained on: most events are shorter, and over scenes it hears more of them, and sooner."""
LIVE_HOPS_S = (0.32, 0.64, 1.28)
BULK_HOP_S = 5.12
"""Recordings are read in longer chunks: the weights are then read 16 times less often. Also the archive's hop."""
CHECK_EVERY = 4
"""Every so many-th sound calibrates nothing: the gates hear it."""


@dataclass(frozen=True)
class StreamingParts:
    """What a streaming bundle is made from. `sounds`: float32 mono at 32 kHz, a second or more each, eight or more of
    them: they calibrate int8 and judge it. `clips`: labelled recordings for the retrieval gate and the thresholds, none
    to leave both out; `ambience`: recordings among which background is looked for. `profiles`: in the order of
    preference of a device that has not been tuned.
    """

    net: StreamNet
    checkpoint: Checkpoint
    name: str
    version: str
    licence: str
    notices: list[str]
    phrases: list[str]
    sounds: Sequence[np.ndarray]
    profiles: Sequence[str] = ("small", "balanced", "exact")
    hop_s: float = 1.28
    heard: float = 0.4
    clips: Sequence[Clip] = field(default_factory=list)
    ambience: Sequence[Clip] = field(default_factory=list)
    tuning: Sequence[np.ndarray] = ()
    """Sounds like `sounds`, on which int8 is fine-tuned with its rounding in the loop; none: calibration alone."""
    report: Callable[[str], None] = print

    def __post_init__(self) -> None:
        width = self.checkpoint.model.config.segment_width
        if width != self.net.config.segment_dim:
            raise ValueError(
                f"the dual encoder hears segments of {width} numbers, the network gives {self.net.config.segment_dim}: "
                "train it on this network's segments"
            )
        if unknown := [name for name in self.profiles if name not in RECIPES]:
            raise ValueError(f"profiles {unknown} are not known; there are {', '.join(RECIPES)}")
        if self.net.training or self.checkpoint.model.training:
            raise ValueError("export needs the networks in evaluation mode: call net.eval()")
        if not self.profiles or len(self.sounds) < 2:
            raise ValueError("a streaming bundle needs one profile and two sounds at least")


def export_streaming(folder: Path, parts: StreamingParts) -> Manifest:
    """Write the whole bundle into the empty `folder`. Raises GateError where a profile breaks its tolerance."""
    encoder = stream_encoder(parts.net)
    spec, tables = encoder.spec, encoder.tables
    heard = [np.ascontiguousarray(log_mel(spec, tables, sound).T)[None] for sound in parts.sounds]  # (1, M, T) each
    heard = [clip for clip in heard if clip.shape[2] >= parts.net.config.prime_frames]
    calibrating = [clip for i, clip in enumerate(heard) if i % CHECK_EVERY]
    if not calibrating:
        raise ValueError(f"the sounds are too short: {parts.net.config.prime_frames * spec.hop_s:.1f} s or more each")
    tables.save(folder / "mel.npz")
    manifest = _write_graphs(folder, parts, encoder, calibrating)
    rows = encoder.sensitivity(calibrating[:SENSITIVITY_CLIPS])
    if rows:
        parts.report(sensitivity_table(rows))
        told = json.dumps([dataclasses.asdict(row) for row in rows], indent=2)
        (folder / SENSITIVITY).write_text(told + "\n")

    manifest, gates = judged(folder, parts, manifest, heard[::CHECK_EVERY])
    _write_golden(folder, manifest, parts.checkpoint)
    (folder / "phrases.jsonl").write_text("".join(json.dumps({"phrase": text}) + "\n" for text in parts.phrases))
    shipped = Bundle(folder)
    index = VectorIndex.build(shipped.embed_text(parts.phrases), INDEX)
    index.save(folder / "phrases.hnsw", fingerprint=shipped.fingerprint, content=digest_of(parts.phrases))
    report = _as_shipped(folder, parts)
    if report:
        manifest = dataclasses.replace(manifest, quality=manifest.quality | report.figures())
    card = model_card(
        manifest,
        parts.ambience,
        parts.checkpoint.words_source,
        [str(gate) for gate in gates],
        {"Test split, as shipped": report} if report else {},
        towers=parts.checkpoint.model.config,
        encoder=[*_profile_table(manifest), *(["", sensitivity_table(rows)] if rows else [])],
    )
    (folder / "MODEL_CARD.md").write_text(card, encoding="utf-8")
    manifest = dataclasses.replace(manifest, files=digests_of(folder))
    manifest.write(folder)
    for name in manifest.profiles:
        Bundle.open(folder, profile=name)
    return manifest


def _write_graphs(folder: Path, parts: StreamingParts, encoder: StreamEncoder, clips: Sequence[np.ndarray]) -> Manifest:
    """All graphs and the tokeniser, and the manifest that they need to be opened."""
    config, checkpoint, spec = parts.net.config, parts.checkpoint, encoder.spec
    segment_s = config.hop_frames * spec.hop_s
    window = round(WINDOW_S / segment_s)
    scratch = folder / "fp32"
    scratch.mkdir()
    checkpoint.tokenizer.save(folder / "tokenizer.json")
    tuning = [np.ascontiguousarray(log_mel(spec, encoder.tables, sound).T)[None] for sound in parts.tuning]
    windows = [rows for clip in clips for rows in windows_of_segments(encoder.segments(clip), window)]
    heads = _heads(checkpoint, folder, scratch, {RECIPES[name].head for name in parts.profiles}, windows)
    text_graph(checkpoint.model, scratch / "text_encoder.onnx", int8_words=False)
    text = int8_text(checkpoint.model, checkpoint.tokenizer, scratch, folder / "text_encoder.onnx", parts.phrases)
    shutil.rmtree(scratch)
    profiles: dict[str, Profile] = {}
    made: dict[str, tuple[Graph, list[StateSpec]]] = {}
    for name in parts.profiles:
        recipe = RECIPES[name]
        if recipe.encoder not in made:  # profiles that differ in the head alone share their encoder
            file = folder / f"audio_encoder.{name}.onnx"
            states = encoder.write(recipe, clips, file, tuning=tuning)
            made[recipe.encoder] = Graph(file.name, encoder.precision(recipe), encoder.why(recipe)), states
        graph, states = made[recipe.encoder]
        profiles[name] = Profile(graph, heads[recipe.head], states, {})
    first = profiles[parts.profiles[0]]
    hops = [round(hop_s / segment_s) for hop_s in (*LIVE_HOPS_S, BULK_HOP_S)]
    stream = StreamSpec(config.prime_frames, encoder.pad, sorted({1, *hops}))
    frames = config.hop_frames
    manifest = Manifest(
        schema=SCHEMA,
        name=parts.name,
        version=parts.version,
        licence=parts.licence,
        notices=parts.notices,
        mel=spec,
        encoder=EncoderSpec(first.encoder, "streaming", config.segment_dim, frames, frames, stream),
        head=HeadSpec(first.head, checkpoint.model.config.width, checkpoint.model.config.audio_pooling),
        text=TextSpec(text, MAX_WORDS),
        window=WindowSpec(window, round(parts.hop_s / segment_s), hops[-1]),
        index=INDEX,
        match=MatchSpec(parts.heard),
        quality={},
        files=digests_of(folder),
        profiles=profiles,
    )
    manifest.write(folder)
    return manifest


def judged(
    folder: Path, parts: StreamingParts, manifest: Manifest, clips: Sequence[np.ndarray]
) -> tuple[Manifest, list[Gate]]:
    """The manifest with its figures, and the gates, all of them passed. Raises GateError."""
    gates: list[Gate] = []
    encoder = stream_encoder(parts.net)
    profiles, reports = {}, {}
    match, calibration = manifest.match, {}
    for name, profile in manifest.profiles.items():
        bundle = Bundle(folder, profile=name)  # verified but for the self-test, which is not written yet
        figures, found = profile_gates(RECIPES[name], bundle, encoder, parts.checkpoint, clips)
        profiles[name] = dataclasses.replace(profile, figures=figures)
        gates += found
        if parts.clips:
            engine = Engine(bundle, Phrases.of(bundle, parts.phrases), None)
            reports[name], heard = retrieval(engine, parts.clips)
            if name == parts.profiles[0]:
                background = background_of(engine, parts.ambience)
                background.save(folder / BACKGROUND)
                _remember(engine, parts.ambience or parts.clips).save(folder / MEMORY)
                recall = Recall.load(folder / MEMORY, width=manifest.head.width)
                match, calibration = calibrated(engine, background, parts.clips, heard, recall=recall)
    gates += retrieval_gates(reports)
    for gate in gates:
        parts.report(str(gate))
    if failed := [gate for gate in gates if not gate.passed]:
        raise GateError("; ".join(map(str, failed)))
    manifest = dataclasses.replace(manifest, profiles=profiles)
    if reports:
        quality = reports[parts.profiles[0]].figures() | calibration
        manifest = dataclasses.replace(manifest, quality=quality, match=match)
    return manifest, gates


def _remember(engine: Engine, clips: Sequence[Clip]) -> Memory:
    return Memory.heard(clips, lambda clip: engine.embed_audio(clip.path))


def _heads(
    checkpoint: Checkpoint, folder: Path, scratch: Path, kinds: set[str], windows: Sequence[np.ndarray]
) -> dict[str, Graph]:
    """The head in each of the `kinds`. One too small for int8 to save anything stays fp32, whatever was asked."""
    fp32 = scratch / "audio_head.onnx"
    head_graph(checkpoint.model, fp32)
    heavy = heavy_nodes(onnx.load(fp32), ("MatMul", "Gemm"), HEAVY_WEIGHTS)
    made = {}
    for kind in sorted(kinds):
        target = folder / f"audio_head.{kind}.onnx"
        if kind == "fp32" or not heavy:
            target = folder / "audio_head.fp32.onnx"
            shutil.copyfile(fp32, target)
            made[kind] = Graph(target.name, "fp32", "as trained" if kind == "fp32" else "too small for int8 to save")
        elif kind == "int8":
            feeds = ({"segments": window.astype(np.float32)} for window in windows)
            quantise(fp32, target, feeds, ops=("MatMul", "Gemm"), min_weights=HEAVY_WEIGHTS)
            made[kind] = Graph(target.name, "int8", f"FC and gate in int8, calibrated on {len(windows)} windows")
        else:
            quantise_blocks(fp32, target, min_weights=HEAVY_WEIGHTS)
            made[kind] = Graph(target.name, "int4", "weights of FC and gate in 4-bit blocks of 32")
    return made


def _write_golden(folder: Path, manifest: Manifest, checkpoint: Checkpoint) -> None:
    """A signal, and what each profile answers."""
    signal, ids = golden_signal(manifest.mel.rate_hz), checkpoint.tokenizer.encode("a dog barks in the rain")
    answers = {name: Bundle(folder, profile=name).answers(signal, ids) for name in manifest.profiles}
    embeddings = {name: answer.embedding for name, answer in answers.items()}
    next(iter(answers.values())).save(folder / "golden.npz", profiles=embeddings)


def _as_shipped(folder: Path, parts: StreamingParts) -> Report | None:
    """The test split through the profile that an untuned device runs; None without labelled recordings."""
    test = [clip for clip in parts.ambience if clip.split == "test"]
    if not test or not parts.clips:
        return None
    bundle = Bundle(folder, profile=parts.profiles[0])
    return retrieval(Engine(bundle, Phrases.of(bundle, parts.phrases), None), test)[0]


def _profile_table(manifest: Manifest) -> list[str]:
    return [
        "| profile | encoder | head | segments' SNR, dB | lowest embedding cosine |",
        "|---|---|---|---|---|",
        *(
            f"| {name} | {each.encoder.precision}: {each.encoder.why} | {each.head.precision} | "
            f"{each.figures['snr_db']:.1f} | {each.figures['embedding_cosine']:.4f} |"
            for name, each in manifest.profiles.items()
        ),
    ]
