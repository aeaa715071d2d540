"""Captions by the million, and their embeddings: phrases of the bundle joined in twos, with a place and a time.

    captions = made_up_captions(phrases, 100_000)       # distinct; the first n are those of any smaller count
    vectors = caption_vectors(Path("runs/bench"), 100_000)      # (100000, E) float32, cached

Combined words cluster as real vocabularies do: thousands of captions about rain, few about a theremin. Random vectors
would all be equally far from each other, which is harder than anything that a user has.
"""

import itertools
import zlib
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from benchmarks.report import say
from edge_runtime.bundle import DEFAULT_BUNDLE, Bundle
from edge_runtime.graph import OnnxGraph
from edge_runtime.phrases import default_phrases
from edge_runtime.tokenizer import batch_of

__all__ = ["caption_vectors", "made_up_captions"]

JOINERS = ("and", "while there is", "followed by", "drowned by", "after")
PLACES = (
    "",
    "in the distance",
    "close by",
    "in a small room",
    "in a large hall",
    "on a busy street",
    "in the forest",
    "by the sea",
    "in the kitchen",
    "behind a closed door",
    "in a tunnel",
    "at the station",
)
TIMES = ("", "at night", "in the morning", "in winter", "for a long time", "again and again")
SEED = 1
BATCH = 256


def made_up_captions(phrases: Sequence[str], count: int, *, seed: int = SEED) -> list[str]:
    """`count` distinct captions. ValueError: so many cannot be made from these phrases."""
    kinds = (phrases, JOINERS, phrases, PLACES, TIMES)
    shape = tuple(map(len, kinds))
    total = int(np.prod(shape))
    if count > total // 2:
        raise ValueError(f"{len(phrases)} phrases make {total} captions; half of them can be asked for, not {count}")
    rng, seen = np.random.default_rng(seed), dict[int, None]()
    while len(seen) < count:
        seen.update(dict.fromkeys(rng.integers(0, total, 65_536).tolist()))
    picked = np.unravel_index(np.fromiter(itertools.islice(seen, count), np.int64, count), shape)
    return [
        " ".join(part for part in (kind[i] for kind, i in zip(kinds, row, strict=True)) if part)
        for row in zip(*picked, strict=True)
    ]


def caption_vectors(cache: Path, count: int, *, folder: Path = DEFAULT_BUNDLE) -> np.ndarray:
    """Unit vectors (count, E) float32 of `made_up_captions` by the bundle's text encoder; kept for the next time."""
    bundle = Bundle.open(folder)
    path = cache / f"captions-{bundle.fingerprint}-{zlib.crc32(repr((JOINERS, PLACES, TIMES, SEED)).encode()):08x}.npy"
    if path.exists() and len(kept := np.load(path, mmap_mode="r")) >= count:
        return np.ascontiguousarray(kept[:count])
    say(f"embedding {count} captions …")
    vectors = _embedded(bundle, made_up_captions(default_phrases(bundle), count))
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_suffix(".part.npy")
    np.save(part, vectors)
    part.replace(path)
    return vectors


def _embedded(bundle: Bundle, captions: Sequence[str]) -> np.ndarray:
    """Captions of one length go through the graph together: a million one by one would take an hour."""
    manifest = bundle.manifest
    graph = OnnxGraph(
        bundle.folder / manifest.text.graph.file,
        inputs={"token_ids": (None, None)},
        outputs={"embedding": (None, manifest.head.width)},
    )
    by_length: dict[int, list[tuple[int, np.ndarray]]] = defaultdict(list)
    for row, caption in enumerate(captions):
        ids = bundle.tokenizer.encode(caption)
        by_length[len(ids)].append((row, ids))
    vectors = np.empty((len(captions), manifest.head.width), np.float32)
    for alike in by_length.values():
        for start in range(0, len(alike), BATCH):
            rows, ids = zip(*alike[start : start + BATCH], strict=True)
            vectors[list(rows)] = graph(token_ids=batch_of(list(ids)))
    return vectors
