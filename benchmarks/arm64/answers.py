"""What a bundle answers to one recording, stage by stage; the same program on this machine and on the emulated board.

    python answers.py --bundle FOLDER --recording scene.flac --out x86.npz
    python answers.py --bundle FOLDER --recording scene.flac --given x86.npz --out arm64.npz     # on the board
    python answers.py --bundle FOLDER --recording scene.flac --out x86.npz --profile small       # of several

With `--given`, each stage takes what the other machine's stage before it gave, so that its own difference is seen;
`embeddings` alone is the whole path, from the file. A streaming encoder is run offline as well (`whole`), and, where
its int8 activations are laid open, they are told, from the frames on and from the first of them on (`layers`, `rest`).
It needs an installed Earmark and nothing else of the repository.
onnxruntime is imported before hnswlib here, and after it by the commands: both orders must work.
"""

import argparse
import json
import platform
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path

import numpy as np
import onnxruntime

from edge_runtime import Bundle, Engine, Phrases
from edge_runtime.audio_file import AudioFile
from edge_runtime.mel import log_mel
from edge_runtime.phrases import default_phrases
from edge_runtime.resample import Resampler
from edge_runtime.tokenizer import batch_of

Arrays = dict[str, np.ndarray]

TEXTS = 4
"""Phrases of the bundle's own vocabulary, which it surely knows."""
NEAREST = 5


def answers(
    folder: Path, recording: Path, probes: Path | None, given: Mapping[str, np.ndarray], profiles: Sequence[str] = ()
) -> Arrays:
    """Stage -> array. Stages of a profile are named `PROFILE/stage`, `/stage` where none is named."""
    # not `open`: its self-test computes a window more, and asks less than is asked here
    bundle = Bundle(folder)
    signal = resampled(recording, bundle.manifest.mel.rate_hz)
    found: Arrays = {"signal": signal}
    fed = found | dict(given)
    found["log_mel"] = log_mel(bundle.manifest.mel, bundle.tables, fed["signal"])
    texts = default_phrases(bundle)[:TEXTS]
    found["text"] = bundle.embed_text(texts)
    for number, ids in enumerate(map(bundle.tokenizer.encode, texts)):
        found[f"ids.{number}"] = np.asarray(ids)
        found |= probed(probes, bundle.manifest.text.graph.file, f"text.{number}", token_ids=batch_of([ids]))
    for profile in profiles or [""]:
        model = Bundle(folder, profile=profile) if profile else bundle
        fed = found | dict(given)
        windows = list(windows_of(model, fed["log_mel"]))
        for number, (_, segments) in enumerate(windows):
            found[f"{profile}/segments.{number}"] = segments
        if model.manifest.encoder.stream:
            whole = model.whole_clip(fed["log_mel"])
            for number, (first, segments) in enumerate(windows):
                found[f"{profile}/whole.{number}"] = whole[first : first + len(segments)]
            found |= layers_of(model, probes, given, fed["log_mel"], f"{profile}/")
        fed = found | dict(given)
        segments = [fed[f"{profile}/segments.{number}"] for number in range(len(windows))]
        found[f"{profile}/head"] = np.stack([model.embed_segments(each) for each in segments])
        head = model.manifest.profiles[profile].head if profile else model.manifest.head.graph
        for number, each in enumerate(segments):
            found |= probed(probes, head.file, f"{profile}/head.{number}", segments=each)
        phrases = Phrases.of(model, default_phrases(model), cache=model.folder / "phrases.hnsw")
        found[f"{profile}/embeddings"] = Engine(model, phrases, None).embed_audio(recording)
        fed = found | dict(given)
        matches = [phrases.match(each, k=NEAREST) for each in fed[f"{profile}/head"]]
        found[f"{profile}/nearest"] = np.array([[match.phrase for match in row] for row in matches])
    return found


def resampled(recording: Path, rate_hz: int) -> np.ndarray:
    """The whole recording at the bundle's rate, (n,) float32."""
    with AudioFile.open(recording) as file:
        resampler = Resampler(file.rate_hz, rate_hz)
        parts = [resampler.push(block) for block in file.blocks()]
        return np.concatenate([*parts, resampler.flush()])


def windows_of(bundle: Bundle, frames: np.ndarray) -> Iterator[tuple[int, np.ndarray]]:
    """The first segment's number and the segments (S, D) of each window, as a listener asks for them: frames (T, M)
    come a segment at a time."""
    encoder, plan = bundle.encoder(), bundle.manifest.window
    step = bundle.manifest.encoder.segment_frames
    last, end = 0, plan.segments
    for start in range(0, len(frames) + step, step):
        if start < len(frames):
            encoder.push(frames[start : start + step])
        else:
            encoder.flush()
        while end <= encoder.available:
            yield end - plan.segments, encoder.segments(end - plan.segments, end)
            last, end = end, end + plan.archive_hop
    if encoder.available > last:
        first = max(0, encoder.available - plan.segments)
        yield first, encoder.segments(first, encoder.available)


def layers_of(
    bundle: Bundle, probes: Path | None, given: Mapping[str, np.ndarray], frames: np.ndarray, prefix: str
) -> Arrays:
    """The int8 activations of a streaming encoder, offline: `layers` from the frames (T, M) on, `rest` of the part that
    is int8 throughout, from the first int8 activation on."""
    parts, stream = bundle.manifest.profile(bundle.profile), bundle.manifest.encoder.stream
    pad = stream.pad if stream else 0
    edges = {each.name: np.zeros(each.shape(pad, beginning=True), each.dtype) for each in parts.states}
    edges["right"] = np.zeros((1, 1, 1, pad), np.float32)
    log_mel = np.ascontiguousarray(frames.T)[None]  # (1, M, T)
    found = probed(probes, parts.encoder.file, f"{prefix}layers", log_mel=log_mel, **edges)
    if probes is None or not (rest := probes / rest_of(parts.encoder.file)).exists():
        return found
    fed = found | dict(given)
    asked = [node.name for node in opened(rest).get_inputs()]
    inputs = {name: edges[name] if name in edges else fed[f"{prefix}layers/int8.{name}"] for name in asked}
    return found | probed(probes, rest.name, f"{prefix}rest", **inputs)


def rest_of(graph: str) -> str:
    """The file in `probes` that holds the part of a graph behind its first int8 activation."""
    return f"rest-{graph}"


def probed(probes: Path | None, graph: str, name: str, **inputs: np.ndarray) -> Arrays:
    """The int8 activations inside a graph, from its copy in `probes` that gives them too; none where there is none."""
    if probes is None or not (probes / graph).exists():
        return {}
    session = opened(probes / graph)
    names = [node.name for node in session.get_outputs() if "int8" in node.type]
    values = session.run(names, inputs)
    return {f"{name}/int8.{tensor}": value for tensor, value in zip(names, values, strict=True)}


@cache
def opened(graph: Path) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    return onnxruntime.InferenceSession(graph, options, providers=["CPUExecutionProvider"])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--bundle", type=Path, required=True)
    parser.add_argument("--recording", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--given", type=Path)
    parser.add_argument("--probes", type=Path)
    parser.add_argument("--profile", action="append", default=[])
    options = parser.parse_args()
    given: Arrays = {}
    if options.given:
        with np.load(options.given, allow_pickle=False) as file:
            given = {name: file[name] for name in file}
    found = answers(options.bundle, options.recording, options.probes, given, options.profile)
    np.savez(options.out, **found)
    versions = {"numpy": np.__version__, "onnxruntime": onnxruntime.__version__, "python": platform.python_version()}
    print(json.dumps({"machine": platform.machine(), **versions}))


if __name__ == "__main__":
    main()
