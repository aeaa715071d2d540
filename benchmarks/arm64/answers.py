"""What a bundle answers to one recording, stage by stage; the same program on this machine and on the emulated board.

    python answers.py --bundle FOLDER --recording scene.flac --out x86.npz
    python answers.py --bundle FOLDER --recording scene.flac --given x86.npz --out arm64.npz     # on the board

With `--given`, each stage takes what the other machine's stage before it gave, so that its own difference is seen;
`embeddings` alone is the whole path, from the file. It needs an installed Earmark and nothing else of the repository.
onnxruntime is imported before hnswlib here, and after it by the commands: both orders must work.
"""

import argparse
import json
import platform
from collections.abc import Iterator, Mapping
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


def answers(folder: Path, recording: Path, probes: Path | None, given: Mapping[str, np.ndarray]) -> Arrays:
    """Stage -> array. Stages of a profile are named `PROFILE/stage`, `/stage` where the bundle has no profiles."""
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
    for profile in getattr(bundle.manifest, "profiles", {}) or [""]:
        model = Bundle(folder, profile=profile) if profile else bundle
        fed = found | dict(given)
        windows = list(windows_of(model, fed["log_mel"]))
        for number, segments in enumerate(windows):
            found[f"{profile}/segments.{number}"] = segments
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


def windows_of(bundle: Bundle, frames: np.ndarray) -> Iterator[np.ndarray]:
    """The segments (S, D) of each window, as a listener asks for them: frames (T, M) come a segment at a time."""
    encoder, plan = bundle.encoder(), bundle.manifest.window
    step = bundle.manifest.encoder.segment_frames
    last, end = 0, plan.segments
    for start in range(0, len(frames) + step, step):
        if start < len(frames):
            encoder.push(frames[start : start + step])
        else:
            encoder.flush()
        while end <= encoder.available:
            yield encoder.segments(end - plan.segments, end)
            last, end = end, end + plan.archive_hop
    if encoder.available > last:
        yield encoder.segments(max(0, encoder.available - plan.segments), encoder.available)


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
    options = parser.parse_args()
    given: Arrays = {}
    if options.given:
        with np.load(options.given, allow_pickle=False) as file:
            given = {name: file[name] for name in file}
    found = answers(options.bundle, options.recording, options.probes, given)
    np.savez(options.out, **found)
    versions = {"numpy": np.__version__, "onnxruntime": onnxruntime.__version__, "python": platform.python_version()}
    print(json.dumps({"machine": platform.machine(), **versions}))


if __name__ == "__main__":
    main()
