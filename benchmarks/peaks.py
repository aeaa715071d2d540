"""What this machine can do at best: matrix products in fp32 and int8 through onnxruntime, and reading memory.

    peaks = measure_peaks(Path("runs/bench"), threads=1)
    peaks.fp32_gmacs        # thousand million multiply-adds a second

The products are square, in cache, and as short as a scheduler leaves alone; the peak is the fastest of many. Their
graphs are made with `onnx` once and kept in the cache: where that is not installed and they are not there, the figure
is None.
"""

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnxruntime

__all__ = ["Peaks", "measure_peaks"]

SIDE = 768
REPEATS = 100
READ_BYTES = 256 << 20
"""Far beyond any cache."""
OPSET, IR_VERSION = 20, 10


@dataclass(frozen=True)
class Peaks:
    """Thousand million multiply-adds, and bytes, a second, on `threads` threads."""

    threads: int
    fp32_gmacs: float | None
    int8_gmacs: float | None
    read_gbytes: float


def measure_peaks(cache: Path, *, threads: int) -> Peaks:
    fp32, int8 = (_product_gmacs(cache / f"peak-{kind}-{SIDE}.onnx", kind, threads) for kind in ("fp32", "int8"))
    return Peaks(threads, fp32, int8, _read_gbytes(threads))


def _product_gmacs(path: Path, kind: str, threads: int) -> float | None:
    if not path.exists():
        try:
            _write_product(path, kind)
        except ImportError:
            return None
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    dtype = np.float32 if kind == "fp32" else np.uint8
    x = np.random.default_rng(0).integers(0, 100, (SIDE, SIDE)).astype(dtype)
    return SIDE**3 / _fastest_s(lambda: session.run(None, {"x": x})) / 1e9


def _write_product(path: Path, kind: str) -> None:
    """x (SIDE, SIDE) times a constant: fp32, or uint8 times int8 into int32."""
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    rng = np.random.default_rng(0)
    if kind == "fp32":
        node, types = helper.make_node("MatMul", ["x", "w"], ["y"]), (TensorProto.FLOAT, TensorProto.FLOAT)
        weights = rng.standard_normal((SIDE, SIDE)).astype(np.float32)
    else:
        node, types = helper.make_node("MatMulInteger", ["x", "w"], ["y"]), (TensorProto.UINT8, TensorProto.INT32)
        weights = rng.integers(-100, 100, (SIDE, SIDE)).astype(np.int8)
    x, y = (helper.make_tensor_value_info(name, type_, [SIDE, SIDE]) for name, type_ in zip("xy", types, strict=True))
    graph = helper.make_graph([node], kind, [x], [y], [numpy_helper.from_array(weights, "w")])
    path.parent.mkdir(parents=True, exist_ok=True)
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=IR_VERSION), path)


def _read_gbytes(threads: int) -> float:
    """The largest of many numbers: a sweep that is bound by memory, and that numpy runs without Python's lock."""
    parts = np.array_split(np.ones(READ_BYTES // 4, np.float32), threads)
    with ThreadPoolExecutor(threads) as pool:
        return READ_BYTES / _fastest_s(lambda: list(pool.map(np.max, parts))) / 1e9


def _fastest_s(call: Callable[[], object]) -> float:
    times = []
    for _ in range(REPEATS):
        started = time.perf_counter()
        call()
        times.append(time.perf_counter() - started)
    return min(times)
