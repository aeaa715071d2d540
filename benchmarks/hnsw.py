"""An HNSW graph of captions, built within a time and kept for the next one, and what it took.

    graph = Graph.of(cache, vectors, IndexSpec(16, 200, 512), threads=2, budget_s=1500)
    graph.captions, graph.build_s, graph.resident_mib   # fewer captions than vectors where the time was over before

A graph that the time cut short is a whole one of the captions that it has: it is measured as such.
"""

import time
import zlib
from dataclasses import dataclass
from pathlib import Path

import hnswlib
import numpy as np

from benchmarks.report import say
from benchmarks.resident import memory_mib
from edge_runtime.manifest import IndexSpec
from edge_runtime.vector_index import SEED

__all__ = ["Graph", "memory_needed"]

BATCH = 1_000
"""Captions that are added between two looks at the clock."""


@dataclass(frozen=True)
class Graph:
    """`build_s` is None where the graph was kept from another time; `resident_mib`: of this process with the graph and
    what it was made from; `bytes` of the graph's file, which holds what its memory does."""

    index: hnswlib.Index
    captions: int
    build_s: float | None
    resident_mib: float | None
    bytes: int

    @classmethod
    def of(cls, cache: Path, vectors: np.ndarray, spec: IndexSpec, *, threads: int, budget_s: float) -> "Graph":
        """Of `vectors (N, E)`, or of as many as `budget_s` is enough for, the first batch at least."""
        path = _path(cache, vectors, spec)
        build_s = None
        index = hnswlib.Index(space="ip", dim=vectors.shape[1])
        if path.exists():
            index.load_index(str(path))
        else:
            say(f"indexing {len(vectors)} captions, m {spec.m} …")
            build_s = _add(index, vectors, spec, threads=threads, budget_s=budget_s)
            path = _path(cache, vectors[: index.get_current_count()], spec)
            part = path.with_suffix(".part")
            index.save_index(str(part))
            part.replace(path)
        return cls(index, index.get_current_count(), build_s, memory_mib().get("resident"), path.stat().st_size)


def memory_needed(captions: int, width: int, m: int) -> int:
    """Bytes of the vectors, of their copies in the graph, and of its lowest level's links; those above are few."""
    return captions * (4 * width + 4 * width + 4 * (2 * m + 1) + 8)


def _add(index: hnswlib.Index, vectors: np.ndarray, spec: IndexSpec, *, threads: int, budget_s: float) -> float:
    """Fill an empty index; return the seconds that it took."""
    started = time.perf_counter()
    index.init_index(len(vectors), M=spec.m, ef_construction=spec.ef_construction, random_seed=SEED)
    for first in range(0, len(vectors), BATCH):
        rows = np.arange(first, min(first + BATCH, len(vectors)))
        index.add_items(vectors[rows], rows, num_threads=threads)
        if time.perf_counter() - started > budget_s:
            break
    return time.perf_counter() - started


def _path(cache: Path, vectors: np.ndarray, spec: IndexSpec) -> Path:
    """Named after enough to tell one set of vectors from another."""
    digest = zlib.crc32(np.ascontiguousarray(vectors[:: max(1, len(vectors) // 64)]))
    count, width = vectors.shape
    return cache / f"index-{count}-{width}-{spec.m}-{spec.ef_construction}-{digest:08x}.hnsw"
