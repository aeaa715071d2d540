"""One window on disk: a record of fixed size, with a checksum of its own.

    record = encoded(recording, window, width=512)      # bytes
    records = np.frombuffer(data, record_type(512))
    intact(records)                                     # (n,) bool

The embedding's numbers are kept in 12 bits beside one scale. The upper 8 stand together, 128 more than they are (1 to
255): a matrix product of unsigned rows with a signed query is what processors have instructions for (product.py). With
them alone a search of a year would miss one in fifty of its best 20 (`python -m benchmarks archive`). The lower 4, in
planes of one bit, are read of what that product finds.
"""

import zlib

import numpy as np

from edge_runtime.listener import Window

__all__ = [
    "FINER",
    "ZERO",
    "cosines",
    "embeddings",
    "encoded",
    "intact",
    "put_steps",
    "quantised",
    "record_type",
    "with_checksums",
]

ZERO = 128
LEVELS = 127
PLANES = 4
FINER = 1 << PLANES
"""Steps in one of the upper 8 bits."""


def record_type(width: int) -> np.dtype:
    """`crc` of all that follows it, id of the recording, scale, start and end in seconds from the recording's start,
    and E numbers: their lower bits and their upper ones."""
    return np.dtype(
        [
            ("crc", "<u4"),
            ("recording", "<u4"),
            ("scale", "<f4"),
            ("start_s", "<f8"),
            ("end_s", "<f8"),
            ("finer", "u1", (PLANES, (width + 7) // 8)),
            ("embedding", "u1", (width,)),
        ]
    )


def encoded(recording: int, window: Window, *, width: int) -> bytes:
    """The record of a window."""
    record = quantised(window.embedding[None], width=width)
    record["recording"], record["start_s"], record["end_s"] = recording, window.start_s, window.end_s
    record["crc"] = zlib.crc32(record.tobytes()[4:])
    return record.tobytes()


def quantised(rows: np.ndarray, *, width: int) -> np.ndarray:
    """Embeddings (n, E) float32 -> records (n,) of them, of no recording, without checksums."""
    records = np.zeros(len(rows), record_type(width))
    records["scale"] = np.maximum(np.abs(rows).max(axis=1), 1e-12) / LEVELS
    put_steps(records, np.rint(rows * (FINER / records["scale"][:, None])).astype(np.int16))
    return records


def put_steps(records: np.ndarray, steps: np.ndarray) -> None:
    """Set the numbers of records (n,) to steps (n, E) int16, each a sixteenth of the record's scale."""
    upper = (steps + FINER // 2) >> PLANES
    lower = steps - (upper << PLANES) + FINER // 2  # 0 to 15
    records["embedding"] = upper + ZERO
    for plane in range(PLANES):
        records["finer"][:, plane] = np.packbits((lower >> plane & 1).astype(np.uint8), axis=1)


def embeddings(records: np.ndarray) -> np.ndarray:
    """Records (n,) -> (n, E) float32, unit length but for the rounding."""
    width = records["embedding"].shape[1]
    steps = records["embedding"].astype(np.int16) << PLANES
    for plane in range(PLANES):
        steps += np.unpackbits(records["finer"][:, plane], axis=1, count=width) << plane
    steps -= (ZERO << PLANES) + FINER // 2
    return steps * (records["scale"] / np.float32(FINER))[:, None]


def cosines(records: np.ndarray, query: np.ndarray) -> np.ndarray:
    """Of records (n,) with a query (E,), unit length: (n,) float32."""
    return embeddings(records) @ query


def intact(records: np.ndarray) -> np.ndarray:
    """Whether each of records (n,) is what was written: (n,) bool. A microsecond each."""
    return records["crc"] == _checksums(records)


def with_checksums(records: np.ndarray) -> np.ndarray:
    """The same records (n,), each with the checksum of what it holds."""
    found = records.copy()
    found["crc"] = _checksums(records)
    return found


def _checksums(records: np.ndarray) -> np.ndarray:
    size = records.dtype.itemsize
    data = np.ascontiguousarray(records).tobytes()
    return np.array([zlib.crc32(data[at + 4 : at + size]) for at in range(0, len(data), size)], np.uint32)
