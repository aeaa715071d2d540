"""A run of the papers' models and its experts' networks -> a bundle that the runtime hears, reads and searches with.

    python -m export runs/ce-clotho-0 my-bundle --experts vggish=vggish-10086976.pth,vggsound=H.pth.tar

`export_joint(folder, assembly)` is one straight line. Each expert is a graph of its own, from samples to segments; one
head takes them all (joint_graphs.py). The bundle's own encoder only keeps the time: it has a segment of one number
every 0.32 s, the level, and nothing is taken of it. All is fp32, and windows are heard one by one: this is the papers'
system as it is, for comparison, not a small one. An expert of the model that is not given is missing, and the others
share its weight.

It reads the words of the run's captions, and with `--words FILE` all of that file's, which must be those that it was
trained with. No score says whether a phrase is heard at all: that takes
recordings to calibrate on, so every match counts, and only their order tells.
"""

import dataclasses
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from edge_runtime.bundle import Bundle
from edge_runtime.graph import OnnxGraph
from edge_runtime.manifest import (
    SCHEMA,
    EncoderSpec,
    ExpertSpec,
    Graph,
    HeadSpec,
    Manifest,
    MatchSpec,
    TextSpec,
    WindowSpec,
    digests_of,
)
from edge_runtime.phrases import digest_of, read_phrase_file, tidy
from edge_runtime.tokenizer import Tokenizer, words_of
from edge_runtime.vector_index import VectorIndex
from export.bundle import INDEX, golden_signal
from export.graphs import write_graph
from export.joint_graphs import TIMEKEEPER_WIDTH, JointHead, JointText, joint_head_graph, joint_text_graph, joint_width
from export.sample_encoders import SampleEncoder, expert_graph, published
from export.verify import MAX_FP32_ERROR, MAX_SEGMENT_ERROR
from training.gates import Gate, judge
from training.mel_tables import panns_mel
from training.papers.checkpoint import PaperCheckpoint
from training.words import WordVectors

__all__ = ["JointAssembly", "export_joint", "joint_assembly"]

SEGMENT_FRAMES = 32
HOP_SEGMENTS = 4
HEAD, TEXT, TIMEKEEPER = "audio_head.onnx", "text_encoder.onnx", "timekeeper.onnx"
WHY = "the papers' model as it was trained"
TIMEKEEPER_WHY = "keeps the time alone: nothing is taken of what it says"
LICENCE = "that of the recordings, captions, word vectors and networks that it was made from: see MODEL_CARD.md"


@dataclass(frozen=True)
class JointAssembly:
    """What a bundle is made from. `window_s`: the papers' clips have 10 s (AudioCaps) or 15 to 30 s (Clotho)."""

    checkpoint: PaperCheckpoint
    encoders: Sequence[SampleEncoder]
    name: str
    version: str
    phrases: Sequence[str]
    window_s: float = 10.24


def joint_assembly(
    run: Path, experts: str, name: str, version: str, phrases: Path, *, words: Path | None = None
) -> JointAssembly:
    """From the command line: `experts` as NAME=FILE, separated by commas; `words`: what `training words` wrote."""
    pairs = [part.partition("=") for part in experts.split(",")]
    if wrong := [part for part, equals, file in pairs if not (part and equals and file)]:
        raise ValueError(f"--experts has {wrong[0]!r} without a file: give NAME=FILE,NAME=FILE")
    encoders = [published(part, Path(file)) for part, _, file in pairs]
    checkpoint = PaperCheckpoint.load(run)
    if words is not None:
        checkpoint = checkpoint.reading(WordVectors.load(words))
    return JointAssembly(checkpoint, encoders, name, version, read_phrase_file(phrases))


class Timekeeper(nn.Module):
    """log_mel (1, M, T) -> (ceil(T / 32), 1): the mean level of each segment's first frame."""

    def forward(self, log_mel: Tensor) -> Tensor:
        return log_mel.mean(dim=1)[0, ::SEGMENT_FRAMES][:, None]  # (S, 1)


def export_joint(folder: Path, made_from: JointAssembly) -> None:
    """Write the whole bundle into the empty `folder`. Raises GateError where a graph and PyTorch part."""
    checkpoint = made_from.checkpoint
    model, config = checkpoint.model, checkpoint.config
    given = {encoder.name: encoder for encoder in made_from.encoders}
    check_encoders(given, checkpoint)
    heard = [expert.name for expert in config.experts if expert.name in given]

    spec, tables = panns_mel()
    tables.save(folder / "mel.npz")
    tokenizer = Tokenizer(checkpoint.words, max_words=config.text_frames)
    readable = [phrase for phrase in map(tidy, made_from.phrases) if tokenizer.reads(phrase)]
    if not readable:
        raise ValueError(f"none of {len(made_from.phrases)} phrases has a word of the captions: give --phrases")
    tokenizer.save(folder / "tokenizer.json")
    example = torch.zeros(1, spec.bands, 320)
    write_graph(Timekeeper(), {"log_mel": example}, {"log_mel": {2: "frames"}}, ["segments"], folder / TIMEKEEPER)
    for name in heard:
        expert_graph(given[name], folder / f"expert_{name}.onnx")
    joint_head_graph(model, config, folder / HEAD, heard=heard)
    joint_text_graph(model, config, folder / TEXT, heard=heard)

    segments = max(1, round(made_from.window_s * spec.rate_hz / spec.hop_samples / SEGMENT_FRAMES))
    hop = min(HOP_SEGMENTS, segments)
    manifest = Manifest(
        schema=SCHEMA,
        name=made_from.name,
        version=made_from.version,
        licence=LICENCE,
        notices=[],
        mel=spec,
        encoder=EncoderSpec(Graph(TIMEKEEPER, "fp32", TIMEKEEPER_WHY), "windowed", TIMEKEEPER_WIDTH, SEGMENT_FRAMES, 1),
        head=HeadSpec(Graph(HEAD, "fp32", WHY), joint_width(model, config, heard), config.model),
        text=TextSpec(Graph(TEXT, "fp32", WHY), config.text_frames),
        window=WindowSpec(segments, hop, hop * max(1, segments // 2 // hop)),
        index=INDEX,
        match=MatchSpec(heard=-1.0),
        quality={
            name: value for name, value in checkpoint.validation.items() if not name.endswith(("queries", "pool"))
        },
        files=digests_of(folder),
        experts=[expert_spec(given[name]) for name in heard],
    )
    manifest.write(folder)
    shipped = Bundle(folder)  # verified but for the self-test, which is written next
    judge(gates := [*head_gates(shipped, checkpoint, given, heard), text_gate(shipped, checkpoint, readable, heard)])

    words = words_of(readable[0])
    golden = shipped.answers(golden_signal(spec.rate_hz), tokenizer.encode(" ".join(words)))
    golden.save(folder / "golden.npz")
    (folder / "phrases.jsonl").write_text("".join(json.dumps({"phrase": text}) + "\n" for text in readable))
    index = VectorIndex.build(shipped.embed_text(readable), INDEX)
    index.save(folder / "phrases.hnsw", fingerprint=shipped.fingerprint, content=digest_of(readable))
    card = joint_card(manifest, checkpoint, heard, gates, skipped=len(made_from.phrases) - len(readable))
    (folder / "MODEL_CARD.md").write_text(card, encoding="utf-8")
    dataclasses.replace(manifest, files=digests_of(folder)).write(folder)
    Bundle.open(folder)


def expert_spec(encoder: SampleEncoder) -> ExpertSpec:
    graph = Graph(f"expert_{encoder.name}.onnx", "fp32", WHY)
    return ExpertSpec(encoder.name, graph, encoder.width, encoder.rate_hz, encoder.min_samples)


def check_encoders(given: dict[str, SampleEncoder], checkpoint: PaperCheckpoint) -> None:
    widths = {expert.name: expert.width for expert in checkpoint.config.experts}
    if not given or (unknown := sorted(given.keys() - widths.keys())):
        asked = ", ".join(unknown) if given else "none"
        raise ValueError(f"networks of {asked} are given, the model's experts are {', '.join(widths)}: give those")
    for name, encoder in given.items():
        if encoder.width != widths[name]:
            raise ValueError(f"{name} gives {encoder.width} numbers a segment, the model was trained on {widths[name]}")


def head_gates(
    shipped: Bundle, checkpoint: PaperCheckpoint, given: dict[str, SampleEncoder], heard: Sequence[str]
) -> list[Gate]:
    """Experts and head, from samples at each expert's rate, against PyTorch."""
    rng = np.random.default_rng(0)
    head = JointHead(checkpoint.model, checkpoint.config, heard)
    apart = 0.0
    for seconds in (0.5, 3.0, 12.0):
        samples = (0.1 * rng.standard_normal(round(seconds * shipped.manifest.mel.rate_hz))).astype(np.float32)
        experts = shipped.experts()
        experts.push(samples)
        segments = experts.between(0, len(samples))
        with torch.inference_mode():
            eager = head(torch.zeros(1, TIMEKEEPER_WIDTH), *(torch.from_numpy(x) for x in segments.values())).numpy()
        found = shipped.embed_segments(np.zeros((1, TIMEKEEPER_WIDTH), np.float32), segments)
        apart = max(apart, float(np.abs(eager - found).max()))
    gates = [Gate("head: largest difference of PyTorch and ONNX", apart, MAX_FP32_ERROR)]
    for name in heard:
        encoder = given[name]
        graph = OnnxGraph(
            shipped.folder / f"expert_{name}.onnx",
            inputs={"samples": (None,)},
            outputs={"segments": (None, encoder.width)},
        )
        samples = (0.1 * rng.standard_normal(3 * encoder.rate_hz + encoder.min_samples)).astype(np.float32)
        with torch.inference_mode():
            eager = nn.Sequential(encoder.front, encoder.network)(torch.from_numpy(samples)).numpy()
        error = float(np.abs(eager - graph(samples=samples)).max() / max(float(eager.std()), 1e-9))
        told = f"{name}: largest difference of PyTorch and ONNX, in standard deviations"
        gates.append(Gate(told, error, MAX_SEGMENT_ERROR))
    return gates


def text_gate(shipped: Bundle, checkpoint: PaperCheckpoint, phrases: Sequence[str], heard: Sequence[str]) -> Gate:
    text = JointText(checkpoint.model, checkpoint.config, heard)
    apart = 0.0
    for phrase in phrases:
        ids = torch.from_numpy(shipped.tokenizer.encode(phrase))[None]
        with torch.inference_mode():
            eager = text(ids)[0].numpy()
        apart = max(apart, float(np.abs(eager - shipped.embed_text([phrase])[0]).max()))
    return Gate("text encoder: largest difference of PyTorch and ONNX", apart, MAX_FP32_ERROR)


def joint_card(
    manifest: Manifest, checkpoint: PaperCheckpoint, heard: Sequence[str], gates: Sequence[Gate], *, skipped: int
) -> str:
    """What the model is, what was measured, and what it was made from."""
    config = checkpoint.config
    missing = [expert.name for expert in config.experts if expert.name not in heard]
    rows = [f"| {name} | {value:.1f} |" for name, value in checkpoint.validation.items()]
    lines = [
        f"# {manifest.name} {manifest.version}",
        "",
        f"A model of the papers' kind {config.model!r}: experts {', '.join(heard)}"
        + (f"; without {', '.join(missing)}, whose weight the others share" if missing else "")
        + f". Words: {checkpoint.words_source}, {len(checkpoint.words)} of them. Phrases left out for want of a known "
        f"word: {skipped}. Scores order phrases; none is calibrated. Licence: {manifest.licence}.",
        "",
        "It was made from the recordings and captions of its run, the word vectors above, and the experts' published "
        "networks; whoever ships it must name them and keep to their licences.",
        "",
        "## Validation split, before the export",
        "",
        "| figure | value |",
        "|---|---|",
        *rows,
        "",
        "## Measured at export",
        "",
        *(f"- {gate}" for gate in gates),
    ]
    return "\n".join(lines) + "\n"
