"""One process whose memory is measured: load an encoder and its head, hear half a minute, say what it took.

    python -m benchmarks.resident runs/bench/cnn14-1 small              # one JSON line
    python -m benchmarks.resident runs/bench/cnn14-1 small --cached runs/bench/graphs
    python -m benchmarks.resident runs/bench/cnn14-1 small --headless
    python -m benchmarks.resident runs/bench/cnn14-1 small --engine openvino
    python -m benchmarks.resident runs/bench/cnn14-1 eager              # PyTorch, over 10 s windows

It imports no more than the runtime does, and hears noise that takes no import either: that of numpy's generators would
count as the listener's.
"""

import hashlib
import json
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from benchmarks.model import WINDOW_S, Model
from edge_runtime.graph import load_onnxruntime
from edge_runtime.graph_cache import GraphCache
from edge_runtime.graph_engine import DEFAULT_ENGINE

__all__ = ["HEARD_S", "memory_mib", "noise"]

HEARD_S = 30.0
FIELDS = {"VmRSS": "resident", "RssAnon": "anonymous", "RssFile": "mapped", "VmHWM": "peak"}


def memory_mib(status: Path = Path("/proc/self/status")) -> dict[str, float]:
    """MiB of this process: resident now, of that anonymous and mapped from files, and the most that was resident."""
    lines = dict(line.split(":", 1) for line in status.read_text(encoding="utf-8").splitlines() if ":" in line)
    return {name: int(lines[field].split()[0]) / 1024 for field, name in FIELDS.items() if field in lines}


def noise(block: int, count: int) -> Iterator[np.ndarray]:
    """`count` blocks of white noise, (block,) float32, of a tenth of full scale at most, the same in every process."""
    for number in range(count):
        drawn = hashlib.shake_128(str(number).encode()).digest(2 * block)
        yield np.frombuffer(drawn, "<i2").astype(np.float32) / np.float32(327_680)


def hear(folder: Path, profile: str, cached: GraphCache | None, *, headless: bool, engine: str) -> dict[str, object]:
    """Stream noise through one profile; the head, if there is to be one, answers at each hop."""
    model = Model(folder)
    started = time.perf_counter()
    head = None if headless else model.head_graph(profile, cached=cached, engine=engine)  # in the runtime's order
    encoder_graph = model.encoder_graph(profile, cached=cached, engine=engine)
    load_s = time.perf_counter() - started
    loaded = memory_mib()
    mel, encoder = model.front_end(), model.stream(encoder_graph, profile)
    spec, window = model.manifest.mel, model.manifest.window.segments
    block = model.manifest.encoder.segment_frames * spec.hop_samples
    for samples in noise(block, round(HEARD_S * spec.rate_hz) // block):
        encoder.push(mel.push(samples))
        if head and encoder.available >= window:
            head(segments=encoder.segments(encoder.available - window, encoder.available))
    return {"load_s": load_s, "loaded": loaded, "steady": memory_mib()}


def hear_eager(folder: Path) -> dict[str, object]:
    """The same in PyTorch, which hears ten seconds at a time; its load time counts the import, as its users wait."""
    started = time.perf_counter()
    from benchmarks.eager import open_eager

    eager, note = open_eager(folder, threads=1)
    if eager is None:
        return {"note": note}
    load_s = time.perf_counter() - started
    loaded = memory_mib()
    rate_hz = Model(folder).rate_hz
    for seed in range(round(HEARD_S / WINDOW_S)):
        eager.window(np.random.default_rng(seed).normal(0, 0.1, round(WINDOW_S * rate_hz)).astype(np.float32))
    return {"load_s": load_s, "loaded": loaded, "steady": memory_mib(), "note": note}


def main(arguments: list[str]) -> None:
    folder, profile, *rest = arguments
    if profile != "eager":
        load_onnxruntime()
    imported = memory_mib()
    cached = GraphCache(Path(rest[rest.index("--cached") + 1])) if "--cached" in rest else None
    if profile == "eager":
        found = hear_eager(Path(folder))
    else:
        engine = rest[rest.index("--engine") + 1] if "--engine" in rest else DEFAULT_ENGINE
        found = hear(Path(folder), profile, cached, headless="--headless" in rest, engine=engine)
    print(json.dumps({"imported": imported, **found}))


if __name__ == "__main__":
    main(sys.argv[1:])
