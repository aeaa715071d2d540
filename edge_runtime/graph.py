"""One ONNX graph, opened for a small device: few threads, no spinning, names and shapes checked against the manifest.

graph = OnnxGraph(path, inputs={"log_mel": (1, 128, None)}, outputs={"segments": (None, 384)})
segments = graph(log_mel=frames)
segments, *states = graph.all(feeds)        # a graph with several outputs
again = graph.bound(inputs, outputs)        # again() reads and fills these very arrays
"""

import os
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from edge_runtime.errors import BundleError

__all__ = ["OnnxGraph", "OpenGraph", "Shape", "check_dtypes", "check_shapes", "load_onnxruntime"]

Shape = tuple[int | None, ...]


class OpenGraph(Protocol):
    """What every engine makes of a graph (graph_engine.py)."""

    def __call__(self, **inputs: np.ndarray) -> np.ndarray:
        """The first output."""
        ...

    def all(self, inputs: Mapping[str, np.ndarray]) -> list[np.ndarray]:
        """All outputs, in the order in which they were declared."""
        ...

    def bound(self, inputs: Mapping[str, np.ndarray], outputs: Mapping[str, np.ndarray]) -> Callable[[], None]:
        """A call that reads the arrays `inputs` and fills the arrays `outputs`, where they are: for what is called over
        and over with the same shapes. All must be contiguous."""
        ...


class OnnxGraph:
    """A session. `None` in a shape is an axis of any length."""

    def __init__(
        self,
        path: Path,
        *,
        inputs: Mapping[str, Shape],
        outputs: Mapping[str, Shape],
        dtypes: Mapping[str, str] | None = None,
        threads: int = 1,
        optimised: bool = False,
        packed: bool = True,
    ) -> None:
        """`dtypes` of inputs and outputs by name ("uint8"); those not named are not checked. `optimised`: the file
        is a graph that onnxruntime has optimised for this CPU (graph_cache.py), to be run as it is. `packed=False`:
        its weights stay where they are mapped, for fp32 graphs, which have theirs in the kernels' layout; int8 runs
        several times slower so."""
        onnxruntime = load_onnxruntime()
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        options.log_severity_level = 3
        # idle threads of a listener that works 1 % of the time must not spin
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        # nor must what the longest call took stay taken; the C library's own allocator is as fast
        options.enable_cpu_mem_arena = False
        if optimised:
            options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
        if not packed:
            options.add_session_config_entry("session.disable_prepacking", "1")
        try:
            self._session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
        except Exception as error:  # onnxruntime raises a family of its own without a public base
            raise BundleError(f"{path.name} cannot be loaded by onnxruntime: {error}") from error
        found, given = self._session.get_inputs(), self._session.get_outputs()
        check_shapes(path.name, "inputs", inputs, _shapes(found))
        check_shapes(path.name, "outputs", outputs, _shapes(given))
        check_dtypes(path.name, dtypes or {}, _dtypes([*found, *given]))
        self._outputs = list(outputs)

    def __call__(self, **inputs: np.ndarray) -> np.ndarray:
        """The first output."""
        return self._session.run(self._outputs, inputs)[0]

    def all(self, inputs: Mapping[str, np.ndarray]) -> list[np.ndarray]:
        """All outputs, in the order in which they were declared."""
        return self._session.run(self._outputs, inputs)

    def bound(self, inputs: Mapping[str, np.ndarray], outputs: Mapping[str, np.ndarray]) -> Callable[[], None]:
        """A call that reads the arrays `inputs` and fills the arrays `outputs`, where they are."""
        value = load_onnxruntime().OrtValue.ortvalue_from_numpy
        binding = self._session.io_binding()
        kept = {name: value(array) for name, array in (*inputs.items(), *outputs.items())}
        for name in inputs:
            binding.bind_ortvalue_input(name, kept[name])
        for name in outputs:
            binding.bind_ortvalue_output(name, kept[name])

        def call(alive: object = kept) -> None:  # the binding itself does not keep its arrays
            self._session.run_with_iobinding(binding)

        return call


def load_onnxruntime() -> Any:
    """onnxruntime, which from 1.29 on reports to its makers unless told not to before its import: a device that hears
    people's homes reports to nobody. ORT_DISABLE_TELEMETRY=0 in the environment is respected."""
    os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
    import onnxruntime

    if os.environ["ORT_DISABLE_TELEMETRY"] != "0":
        onnxruntime.disable_telemetry_events()  # where somebody else has imported it first
    return onnxruntime


def check_shapes(file: str, what: str, expected: Mapping[str, Shape], found: Mapping[str, Shape]) -> None:
    """BundleError unless the graph has the inputs or outputs that its manifest asks for."""
    if dict(found) != dict(expected):
        raise BundleError(
            f"{file} has the {what} {dict(found)}, its manifest asks for {dict(expected)}: export it again"
        )


def check_dtypes(file: str, expected: Mapping[str, str], found: Mapping[str, str]) -> None:
    """BundleError unless those named in `expected` have that dtype; both in numpy's names."""
    for name, dtype in expected.items():
        if found[name] != dtype:
            raise BundleError(f"{file} has {name} as {found[name]}, its manifest asks for {dtype}: export it again")


def _shapes(nodes: Iterable[Any]) -> dict[str, Shape]:
    return {node.name: tuple(axis if isinstance(axis, int) else None for axis in node.shape) for node in nodes}


def _dtypes(nodes: Iterable[Any]) -> dict[str, str]:
    """A dtype of float32 is "float" to ONNX; here it has numpy's name."""
    names = {"float": "float32", "double": "float64"}
    types = {node.name: node.type.removeprefix("tensor(").removesuffix(")") for node in nodes}
    return {name: names.get(type_, type_) for name, type_ in types.items()}
