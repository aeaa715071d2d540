"""One ONNX graph, opened for a small device: few threads, no spinning, names and shapes checked against the manifest.

graph = OnnxGraph(path, inputs={"log_mel": (1, 128, None)}, outputs={"segments": (None, 384)})
segments = graph(log_mel=frames)
"""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from edge_runtime.errors import BundleError

__all__ = ["OnnxGraph"]

Shape = tuple[int | None, ...]


class OnnxGraph:
    """A session with one output. `None` in a shape is an axis of any length."""

    def __init__(
        self, path: Path, *, inputs: Mapping[str, Shape], outputs: Mapping[str, Shape], threads: int = 1
    ) -> None:
        onnxruntime = _onnxruntime()
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        options.log_severity_level = 3
        # idle threads of a listener that works 1 % of the time must not spin
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        try:
            self._session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
        except Exception as error:  # onnxruntime raises a family of its own without a public base
            raise BundleError(f"{path.name} cannot be loaded by onnxruntime: {error}") from error
        _check(path.name, "inputs", inputs, self._session.get_inputs())
        _check(path.name, "outputs", outputs, self._session.get_outputs())
        self._outputs = list(outputs)

    def __call__(self, **inputs: np.ndarray) -> np.ndarray:
        return self._session.run(self._outputs, inputs)[0]


def _onnxruntime() -> Any:
    """onnxruntime, which from 1.29 on reports to its makers unless told not to before its import: a device that hears
    people's homes reports to nobody. ORT_DISABLE_TELEMETRY=0 in the environment is respected."""
    os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
    import onnxruntime

    if os.environ["ORT_DISABLE_TELEMETRY"] != "0":
        onnxruntime.disable_telemetry_events()  # where somebody else has imported it first
    return onnxruntime


def _check(file: str, what: str, expected: Mapping[str, Shape], found: list) -> None:
    shapes = {node.name: tuple(axis if isinstance(axis, int) else None for axis in node.shape) for node in found}
    if shapes != dict(expected):
        raise BundleError(f"{file} has the {what} {shapes}, its manifest asks for {dict(expected)}: export it again")
