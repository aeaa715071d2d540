"""Which library runs the audio graphs: onnxruntime, or OpenVINO where it is installed and faster.

    graph = open_graph(path, None, precision="int8", engine="openvino", inputs=…, outputs=…)
    installed_engines()         # ["onnxruntime"], or both

`earmark doctor --tune` measures which (tune.py). The text encoder always runs in onnxruntime.
"""

from importlib.util import find_spec
from pathlib import Path
from typing import Any

from edge_runtime.errors import EarmarkError
from edge_runtime.graph import OnnxGraph, OpenGraph
from edge_runtime.openvino_graph import OpenvinoGraph

__all__ = ["DEFAULT_ENGINE", "ENGINES", "installed_engines", "open_graph"]

ENGINES = ("onnxruntime", "openvino")
DEFAULT_ENGINE = ENGINES[0]


def installed_engines() -> list[str]:
    """Without importing any."""
    return [name for name in ENGINES if find_spec(name) is not None]


def open_graph(
    source: Path,
    optimised: Path | None,
    *,
    precision: str,
    engine: str = DEFAULT_ENGINE,
    threads: int = 1,
    **io: Any,
) -> OpenGraph:
    """`optimised`: the form that onnxruntime made of `source` for this CPU (graph_cache.py), if there is one; its fp32
    weights stay where they are mapped, others are packed. `io`: `inputs`, `outputs` and `dtypes`.

    Raises BundleError where the graph is not as `io` says, EarmarkError where there is no such engine.
    """
    if engine not in ENGINES:
        raise EarmarkError(f"no engine {engine!r}: this runtime knows {' and '.join(ENGINES)}")
    if engine == "openvino":
        return OpenvinoGraph(source, threads=threads, **io)
    if optimised is None:
        return OnnxGraph(source, threads=threads, **io)
    return OnnxGraph(optimised, threads=threads, optimised=True, packed=precision != "fp32", **io)
