"""Many records times one query, in 8-bit integers: the only arithmetic of a search that touches every window.

    product = Product(query, record_bytes=796)
    product(rows)                   # (n, 796) uint8, whole records -> (n,) float32, cosines but for each one's scale

A query is two columns of 7 bits, a coarse one and one of what that leaves: fourteen bits in all. Wider ones would
overflow where a processor adds two products in 16 bits (x86 without VNNI). The columns are zero where a record has its
checksum, times and scale, so that records are multiplied as they lie on disk. onnxruntime has the kernels, which are 3
to 10 times faster than NumPy's way through floats; the graph is one node, written here byte by byte.
"""

from functools import cache

import numpy as np

from edge_runtime.archive.record import ZERO

__all__ = ["Product"]

LEVELS = 63
"""255 * 63 * 2 fits into 16 bits."""
FINER = 2 * LEVELS
"""What the coarse column leaves is half a level at most."""


class Product:
    """Threads may share it. `query (E,)` float32 stands against the last E bytes of each record."""

    def __init__(self, query: np.ndarray, *, record_bytes: int) -> None:
        step = max(float(np.abs(query).max()), 1e-12) / LEVELS
        levels = query / step
        coarse = np.rint(levels)
        fine = np.rint((levels - coarse) * FINER)
        self._columns = np.zeros((record_bytes, 2), np.int8)
        self._columns[record_bytes - len(query) :] = np.stack((coarse, fine), axis=1)
        self._parts = np.array([step, step / FINER], np.float32)
        self.error = 0.5 * step / FINER * float(np.sqrt(len(query)))
        """What the columns leave of the query's cosine with a row of unit length, at most."""
        self._zero = np.float32(ZERO * (self._columns.sum(axis=0, dtype=np.int64) * self._parts).sum())
        self._session = _session(record_bytes)

    def __call__(self, rows: np.ndarray) -> np.ndarray:
        (found,) = self._session.run(None, {"a": rows, "b": self._columns})  # (n, 2) int32
        return found.astype(np.float32) @ self._parts - self._zero


@cache
def _session(record_bytes: int):  # type: ignore[no-untyped-def]
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.enable_cpu_mem_arena = False
    return onnxruntime.InferenceSession(_graph(record_bytes), options, providers=["CPUExecutionProvider"])


UINT8, INT8, INT32 = 2, 3, 6
"""onnx.TensorProto.DataType."""


def _graph(record_bytes: int) -> bytes:
    """ONNX: y (n, 2) int32 = MatMulInteger(a (n, record_bytes) uint8, b (record_bytes, 2) int8)."""
    node = _field(1, b"a") + _field(1, b"b") + _field(2, b"y") + _field(4, b"MatMulInteger")
    inputs = _field(11, _value(b"a", UINT8, (None, record_bytes))) + _field(11, _value(b"b", INT8, (record_bytes, 2)))
    graph = _field(1, node) + _field(2, b"product") + inputs + _field(12, _value(b"y", INT32, (None, 2)))
    return _number(1, 8) + _field(7, graph) + _field(8, _number(2, 13))


def _value(name: bytes, kind: int, shape: tuple[int | None, ...]) -> bytes:
    """A ValueInfoProto; a dimension without a number is free."""
    dims = b"".join(_field(1, _number(1, size) if size else _field(2, b"n")) for size in shape)
    return _field(1, name) + _field(2, _field(1, _number(1, kind) + _field(2, dims)))


def _number(field: int, value: int) -> bytes:
    return _varint(field << 3) + _varint(value)


def _field(field: int, data: bytes) -> bytes:
    return _varint(field << 3 | 2) + _varint(len(data)) + data


def _varint(value: int) -> bytes:
    found = bytearray()
    while value > 0x7F:
        found.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*found, value])
