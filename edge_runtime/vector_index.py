"""An HNSW index of unit vectors, saved with all that hnswlib leaves out, and never trusted blindly.

    index = VectorIndex.build(vectors, spec)
    index.save(path, fingerprint=...); index = VectorIndex.load(path, spec, fingerprint=..., width=...)
    labels, cosines = index.search(query, k=5)

`path` gets a sidecar `path + ".json"` with the settings, the model's fingerprint, a digest of what was indexed and the
file's sha256, because hnswlib saves no `ef`, and a corrupt file can crash the process. The index is a cache: whoever
loads it must be able to build it again.
"""

import json
from collections.abc import Sequence
from pathlib import Path

import hnswlib
import numpy as np

from edge_runtime.errors import BundleError
from edge_runtime.manifest import IndexSpec, sha256_of

__all__ = ["StaleIndexError", "VectorIndex"]

SEED = 100
"""hnswlib draws each node's level from this seed; a fixed one makes an index reproducible."""


class StaleIndexError(BundleError):
    """A sound index of this model, but of a list that has changed since."""


class VectorIndex:
    """HNSW by inner product. Labels are the rows of what was added, in order."""

    def __init__(self, index: hnswlib.Index, spec: IndexSpec) -> None:
        self._index = index
        self._spec = spec

    @classmethod
    def build(cls, vectors: np.ndarray, spec: IndexSpec) -> "VectorIndex":
        """Index `vectors (N, E)`, unit length, float32."""
        index = hnswlib.Index(space="ip", dim=vectors.shape[1])
        index.init_index(max(1, len(vectors)), M=spec.m, ef_construction=spec.ef_construction, random_seed=SEED)
        if len(vectors):
            index.add_items(vectors, np.arange(len(vectors)), num_threads=1)  # several threads: another graph each time
        return cls(index, spec)

    def __len__(self) -> int:
        return int(self._index.get_current_count())

    def add(self, vectors: np.ndarray) -> None:
        """Append `vectors (n, E)`; their labels follow the last one."""
        count = len(self)
        if count + len(vectors) > self._index.get_max_elements():
            self._index.resize_index(2 * (count + len(vectors)))
        self._index.add_items(vectors, np.arange(count, count + len(vectors)), num_threads=1)

    def vectors(self, labels: Sequence[int] | None = None) -> np.ndarray:
        """The vectors (n, E) float32 of these labels; of all, in order, where none are given."""
        wanted = np.arange(len(self)) if labels is None else np.asarray(labels)
        if not len(wanted):
            return np.zeros((0, self._index.dim), np.float32)
        return np.asarray(self._index.get_items(wanted, return_type="numpy"), np.float32)

    def search(self, query: np.ndarray, *, k: int) -> tuple[np.ndarray, np.ndarray]:
        """The k nearest of `query (E,)`: labels (k,) and cosines (k,), best first; fewer where fewer are indexed."""
        k = min(k, len(self))
        if not k:
            return np.zeros(0, np.int64), np.zeros(0, np.float32)
        self._index.set_ef(max(self._spec.ef, k))
        labels, distances = self._index.knn_query(query[None], k=k, num_threads=1)
        return labels[0].astype(np.int64), 1.0 - distances[0]

    def save(self, path: Path, *, fingerprint: str, content: str) -> None:
        """Write index and sidecar; `content` names what was indexed (a digest of the phrases)."""
        part = path.with_name(path.name + ".part")
        self._index.save_index(str(part))
        about = {
            "fingerprint": fingerprint,
            "content": content,
            "count": len(self),
            "width": self._index.dim,
            "m": self._spec.m,
            "ef_construction": self._spec.ef_construction,
            "ef": self._spec.ef,
            "sha256": sha256_of(part),
        }
        part.replace(path)
        _sidecar(path).write_text(json.dumps(about, indent=2) + "\n", encoding="utf-8")

    @classmethod
    def load(cls, path: Path, spec: IndexSpec, *, fingerprint: str, content: str, width: int) -> "VectorIndex":
        """Load what `save` wrote. Raises BundleError where it is absent, damaged, or of another model or content."""
        try:
            about = json.loads(_sidecar(path).read_text(encoding="utf-8"))
            found = {name: about[name] for name in ("fingerprint", "content", "width", "m", "ef_construction")}
            count, digest, ef = int(about["count"]), str(about["sha256"]), int(about["ef"])
        except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
            raise BundleError(f"index {path.name} has no readable description ({error})") from error
        asked = {
            "fingerprint": fingerprint,
            "width": width,
            "m": spec.m,
            "ef_construction": spec.ef_construction,
        }
        for name, value in asked.items():
            if found[name] != value:
                raise BundleError(
                    f"index {path.name} has {name} {found[name]!r}, expected {value!r}: it is of another model"
                )
        if found["content"] != content:
            raise StaleIndexError(f"index {path.name} is of other phrases")
        if not path.is_file() or sha256_of(path) != digest:
            raise BundleError(f"index {path.name} is damaged: its sha256 is not the one in its description")
        index = hnswlib.Index(space="ip", dim=width)
        index.load_index(str(path))
        if index.get_current_count() != count:
            raise BundleError(
                f"index {path.name} holds {index.get_current_count()} vectors, its description says {count}"
            )
        return cls(index, IndexSpec(spec.m, spec.ef_construction, ef))


def _sidecar(path: Path) -> Path:
    return path.with_name(path.name + ".json")
