"""One ONNX graph in OpenVINO: what `OnnxGraph` is in onnxruntime, for the CPUs on which this one is faster.

    graph = OpenvinoGraph(path, inputs={"log_mel": (1, 128, None)}, outputs={"segments": (None, 384)})
    segments = graph(log_mel=frames)

fp32 is computed in fp32, on CPUs that have bf16 too. The answers differ from onnxruntime's in the last bits of fp32,
and by a step of int8 where a sum falls between two: a bundle's self-test says by how much.

A graph is compiled once, for all lengths of its time axes. For each length by itself a hop was no more than a tenth
faster, and the weights were there once for each. Nor is what was compiled kept: reading it again took nearly as long.
"""

import sys
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from edge_runtime.errors import BundleError, EarmarkError
from edge_runtime.graph import Shape, check_dtypes, check_shapes

__all__ = ["OpenvinoGraph", "load_openvino"]

CONVERTER = "openvino.tools.ovc"


class OpenvinoGraph:
    """A compiled graph; threads may share it, and take turns. `None` in a shape is an axis of any length."""

    def __init__(
        self,
        path: Path,
        *,
        inputs: Mapping[str, Shape],
        outputs: Mapping[str, Shape],
        dtypes: Mapping[str, str] | None = None,
        threads: int = 1,
    ) -> None:
        """`dtypes` of inputs and outputs by name ("uint8"); those not named are not checked."""
        openvino = load_openvino()
        settings = {
            "PERFORMANCE_HINT": "LATENCY",
            "NUM_STREAMS": 1,
            "INFERENCE_NUM_THREADS": threads,
            "INFERENCE_PRECISION_HINT": "f32",
            "EXECUTION_MODE_HINT": "ACCURACY",  # nor activations in int8 that the graph has in fp32
            "ENABLE_CPU_PINNING": False,  # a listener is not alone on its device
        }
        try:
            compiled = openvino.Core().compile_model(path, "CPU", settings)
        except Exception as error:  # OpenVINO raises plain RuntimeErrors and a family of its own
            raise BundleError(f"{path.name} cannot be loaded by OpenVINO: {error}") from error
        takes, gives = _named(compiled.inputs, inputs), _named(compiled.outputs, outputs)
        check_shapes(path.name, "inputs", inputs, {name: _shape(node) for name, node in takes.items()})
        # a length that OpenVINO does not infer is left as declared: onnxruntime would have told another one
        found = {name: _shape(node, outputs.get(name)) for name, node in gives.items()}
        check_shapes(path.name, "outputs", outputs, found)
        types = {name: np.dtype(node.element_type.to_dtype()).name for name, node in (takes | gives).items()}
        check_dtypes(path.name, dtypes or {}, types)
        self._names = list(outputs)
        self._outputs = [gives[name] for name in outputs]
        self._request = compiled.create_infer_request()
        self._turn = threading.Lock()

    def __call__(self, **inputs: np.ndarray) -> np.ndarray:
        """The first output."""
        return self.all(inputs)[0]

    def all(self, inputs: Mapping[str, np.ndarray]) -> list[np.ndarray]:
        """All outputs, in the order in which they were declared; copies, which the next call leaves alone."""
        with self._turn:
            found = self._request.infer(dict(inputs))
        return [found[node] for node in self._outputs]

    def bound(self, inputs: Mapping[str, np.ndarray], outputs: Mapping[str, np.ndarray]) -> Callable[[], None]:
        """A call that reads the arrays `inputs` and fills the arrays `outputs`, where they are."""

        def call() -> None:
            found = dict(zip(self._names, self.all(inputs), strict=True))
            for name, array in outputs.items():
                np.copyto(array, found[name])

        return call


def load_openvino() -> Any:
    """OpenVINO without its conversion tools, which report to their makers when they are imported: a device that hears
    people's homes reports to nobody. EarmarkError: it is not installed."""
    if loaded := sys.modules.get("openvino"):
        return loaded
    with _absent(CONVERTER):
        try:
            import openvino
        except ImportError as error:
            raise EarmarkError(
                f"the engine openvino cannot be loaded ({error}): pip install 'earmark[openvino]', or use onnxruntime"
            ) from error
    return openvino


@contextmanager
def _absent(module: str) -> Iterator[None]:
    """As if this module were not installed."""
    if module in sys.modules:
        yield
        return
    sys.modules.update({module: None})  # type: ignore[dict-item]  # the documented way to make its import fail
    try:
        yield
    finally:
        del sys.modules[module]


def _named(nodes: Iterable[Any], expected: Iterable[str]) -> dict[str, Any]:
    """By the expected names, where they are among a node's: OpenVINO gives it those of the steps that it took out."""
    wanted = set(expected)
    return {min(wanted & node.get_names(), default=node.get_any_name()): node for node in nodes}


def _shape(node: Any, declared: Shape | None = None) -> Shape:
    """Of an input or output; where OpenVINO knows no length, the `declared` one, if any."""
    found = tuple(axis.get_length() if axis.is_static else None for axis in node.partial_shape)
    if declared is None or len(declared) != len(found):
        return found
    return tuple(want if have is None else have for have, want in zip(found, declared, strict=True))
