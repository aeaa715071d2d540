"""Unit vectors in 8 bits a number, in the file and in memory; a product turns few of them into floats at a time.

rows = UnitRows.of(vectors)             # (N, E) float32, unit length
rows.cosines(queries)                   # (Q, E) -> (Q, N)
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from edge_runtime.errors import BundleError

__all__ = ["UnitRows"]

LEVELS = 31
"""Either side of zero. A cosine moves by .0016 in the mean and by .015 at most; the file is a quarter smaller than with
127 levels, for what is nearly noise cannot be packed any closer."""
CHUNK_ROWS = 128
"""Rows that are floats at a time: a quarter of a megabyte at E = 512. With fewer, each costs more time; with more, a
listener's heap grows by as much."""


@dataclass(frozen=True)
class UnitRows:
    """`codes (N, E)` int8; `scales (N,)` float32 makes each row one of unit length."""

    codes: np.ndarray
    scales: np.ndarray

    @classmethod
    def of(cls, vectors: np.ndarray) -> "UnitRows":
        """vectors (N, E), of any length but zero."""
        peaks = np.abs(vectors).max(axis=1, keepdims=True)
        return cls.from_codes(np.rint(vectors * (LEVELS / peaks)).astype(np.int8))

    @classmethod
    def from_codes(cls, codes: np.ndarray) -> "UnitRows":
        """Raises BundleError where a row is all zeros."""
        norms = np.sqrt(np.einsum("ne,ne->n", codes, codes, dtype=np.float32))
        if not norms.all():
            raise BundleError("an embedding is all zeros: export the bundle again")
        return cls(codes, (1 / norms).astype(np.float32))

    def __len__(self) -> int:
        return len(self.codes)

    def __getitem__(self, rows: np.ndarray) -> "UnitRows":
        """Some rows, by a mask (N,) or by numbers."""
        return UnitRows(self.codes[rows], self.scales[rows])

    def vectors(self) -> np.ndarray:
        """(N, E) float32, unit length."""
        return self.codes.astype(np.float32) * self.scales[:, None]

    def chunks(self) -> Iterator["UnitRows"]:
        """All of them in order, a few at a time."""
        for start in range(0, len(self), CHUNK_ROWS):
            rows = slice(start, start + CHUNK_ROWS)
            yield UnitRows(self.codes[rows], self.scales[rows])

    def cosines(self, vectors: np.ndarray) -> np.ndarray:
        """vectors (V, E), unit length -> (V, N) float32: each vector by itself, for in one product its last bit would
        depend on how many they are."""
        found = np.empty((len(vectors), len(self)), np.float32)
        for start in range(0, len(self), CHUNK_ROWS):
            rows = slice(start, start + CHUNK_ROWS)
            floats = self.codes[rows].astype(np.float32)
            for vector, cosines in zip(vectors, found, strict=True):
                cosines[rows] = (floats @ vector) * self.scales[rows]
        return found
