"""The same graphs in OpenVINO, where it is installed: f32, bf16 and int8 over a window, as fast as it can.

Not as the runtime opens them (edge_runtime/openvino_graph.py): compiled for this one length, and in bf16 as well.

contenders, note = openvino_contenders(model, sound, threads=1)
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.model import WINDOW_S, Model
from benchmarks.timing import Contender
from edge_runtime.errors import EarmarkError
from edge_runtime.openvino_graph import load_openvino

__all__ = ["openvino_contenders"]


def openvino_contenders(model: Model, sound: np.ndarray, *, threads: int) -> tuple[list[Contender], str]:
    """f32 and bf16 run the fp32 graph, int8 the graph of the first int8 profile; our front end feeds them."""
    try:
        openvino = load_openvino()
    except EarmarkError as error:
        return [], f"OpenVINO left out: {error}"
    window = sound[: round(WINDOW_S * model.rate_hz)]
    core = openvino.Core()
    contenders, lacking = [], []
    for name, precision, hint in (("f32", "fp32", "f32"), ("bf16", "fp32", "bf16"), ("int8", "int8", "f32")):
        profile = model.of_precision(precision)
        if profile is None:
            continue
        if hint == "bf16" and "BF16" not in core.get_property("CPU", "OPTIMIZATION_CAPABILITIES"):
            lacking.append("OpenVINO bf16 left out: this CPU has none")
            continue
        infer = _compiled(core, model, profile, threads, hint, len(model.frames(window)))
        contenders.append(_contender(f"openvino {name}/window", model, window, infer))
    return contenders, "; ".join([f"OpenVINO {openvino.__version__.split('-')[0]}", *lacking])


def _compiled(
    core: Any, model: Model, profile: str, threads: int, hint: str, frames: int
) -> Callable[[np.ndarray], np.ndarray]:
    """frames (T, M) of one fixed length -> segments (S, D)."""
    graph = core.read_model(Path(model.folder) / model.profiles[profile].encoder.file)
    stream = model.manifest.encoder.stream
    shapes: dict[str, list[int]] = {"log_mel": [1, model.manifest.mel.bands, frames]}
    edges: dict[str, np.ndarray] = {}
    if stream is not None:
        shapes["right"] = [1, 1, 1, stream.pad]
        edges["right"] = np.zeros(shapes["right"], np.float32)
        for state in model.profiles[profile].states:
            shapes[state.name] = [1, state.channels, state.bands, stream.pad]
            edges[state.name] = np.zeros(shapes[state.name], np.dtype(state.dtype))
    graph.reshape(shapes)
    settings = {
        "INFERENCE_NUM_THREADS": threads,
        "NUM_STREAMS": 1,
        "INFERENCE_PRECISION_HINT": hint,
        "PERFORMANCE_HINT": "LATENCY",
    }
    request = core.compile_model(graph, "CPU", settings).create_infer_request()

    def infer(log_mel: np.ndarray) -> np.ndarray:
        request.infer({"log_mel": np.ascontiguousarray(log_mel.T)[None], **edges})
        return request.get_tensor("segments").data

    return infer


def _contender(name: str, model: Model, window: np.ndarray, infer: Callable[[np.ndarray], np.ndarray]) -> Contender:
    return Contender(name, lambda: infer(model.frames(window)), WINDOW_S)
