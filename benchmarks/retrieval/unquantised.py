"""A bundle as it was trained: the same bundle with its graphs in fp32, to tell what quantisation costs.

    with tempfile.TemporaryDirectory() as scratch:
        exact = unquantised(contender, Path("runs/stream/train"), Path(scratch))
        exact = unquantised(contender, Path("runs/slim/train"), Path(scratch), encoder=Path("runs/slim"))

The towers come from the checkpoint; the encoder from `encoder`, as `python -m export --encoder` takes it, or from the
bundle where that has it in fp32. All else, the windows above all, is the bundle's.
"""

import shutil
from dataclasses import replace
from pathlib import Path

from benchmarks.retrieval.contender import Contender
from edge_runtime.bundle import Bundle
from edge_runtime.errors import EarmarkError
from edge_runtime.golden import Golden
from edge_runtime.manifest import Graph, Manifest, Profile, sha256_of
from export.graphs import head_graph, text_graph
from export.profiles import RECIPES
from export.stream_encoder import stream_encoder
from export.streaming_parts import load_encoder
from training.train import Checkpoint

__all__ = ["unquantised"]

FP32 = "fp32"
MIN_COSINE = 0.95
"""Between the golden embeddings of both forms: int8 keeps .99, another checkpoint or encoder has about 0."""


def unquantised(contender: Contender, checkpoint: Path, scratch: Path, *, encoder: Path | None = None) -> Contender:
    """Raises EarmarkError where checkpoint or encoder are others than the bundle's, and where the bundle has no encoder
    in fp32 and none is given."""
    shipped, trained = contender.engine.bundle, Checkpoint.load(checkpoint)
    manifest = shipped.manifest
    sizes = trained.model.config.segment_width, trained.model.config.width, len(trained.tokenizer)
    expected = manifest.encoder.width, manifest.head.width, len(shipped.tokenizer)
    if sizes != expected:
        raise EarmarkError(
            f"{checkpoint} is not what {shipped.folder} was made from: segments, joint space and words of {sizes}, the "
            f"bundle has {expected}: give its own checkpoint"
        )
    folder = scratch / "bundle"
    shutil.copytree(shipped.folder, folder, ignore=shutil.ignore_patterns("phrases.hnsw*", "golden.npz"))
    exact = _encoder_in_fp32(manifest) if encoder is None else _written(encoder, manifest, folder)
    head, text = (Graph(f"{name}.fp32.onnx", FP32, "as trained") for name in ("audio_head", "text_encoder"))
    trained.tokenizer.save(folder / "tokenizer.json")
    head_graph(trained.model, folder / head.file)
    text_graph(trained.model, folder / text.file, int8_words=False)
    own = {name for name in manifest.files if (folder / name).is_file()} | {exact.encoder.file, head.file, text.file}
    manifest = replace(
        manifest,
        encoder=replace(manifest.encoder, graph=exact.encoder),
        head=replace(manifest.head, graph=head),
        text=replace(manifest.text, graph=text),
        files={name: sha256_of(folder / name) for name in sorted(own)},
        profiles={FP32: Profile(exact.encoder, head, exact.states, {})} if manifest.profiles else {},
    )
    manifest.write(folder)
    golden = Golden.load(shipped.folder / "golden.npz", profile=shipped.profile)
    bundle = Bundle(folder)
    told = bundle.answers(golden.signal, golden.token_ids)
    alike = min(float(told.embedding @ golden.embedding), float(told.text_embedding @ golden.text_embedding))
    if alike < MIN_COSINE:
        given = f"{checkpoint} with {encoder}" if encoder else f"{checkpoint}"
        raise EarmarkError(
            f"{given} is not what {shipped.folder} was made from, their embeddings have a cosine of {alike:.2f}: "
            "give its own checkpoint and encoder"
        )
    embeddings = {FP32: told.embedding} if manifest.profiles else None
    told.save(folder / "golden.npz", profiles=embeddings)
    replace(manifest, files=manifest.files | {"golden.npz": sha256_of(folder / "golden.npz")}).write(folder)
    opened = Contender.open(folder, profile=None)
    return replace(opened, name=f"{manifest.name}/{FP32}")


def _encoder_in_fp32(manifest: Manifest) -> Profile:
    """A profile of the bundle whose encoder is not quantised."""
    profiles = list(manifest.profiles.values()) or [manifest.profile()]
    exact = next((each for each in profiles if each.encoder.precision == FP32), None)
    if exact is None:
        raise EarmarkError(f"{manifest.name} has no encoder in fp32: give --encoder, what it was exported from")
    return exact


def _written(encoder: Path, manifest: Manifest, folder: Path) -> Profile:
    """The fp32 graph of a streaming encoder, written into the bundle's folder with its front end."""
    made = stream_encoder(load_encoder(encoder, ""))
    graph = Graph("audio_encoder.fp32.onnx", FP32, "as trained")
    if manifest.encoder.stream is None or made.spec != manifest.mel:
        raise EarmarkError(
            f"{encoder} is not what {manifest.name} was made from: it streams from {made.spec}, the bundle's encoder "
            f"is {manifest.encoder.kind} from {manifest.mel}: give its own encoder"
        )
    states = made.write(RECIPES["exact"], [], folder / graph.file)
    made.tables.save(folder / "mel.npz")
    return Profile(graph, graph, states, {})
