"""`python -m benchmarks index`: HNSW against the exact answer, from a thousand to a million captions.

Two kinds of queries: held-out captions, and windows of synthesised sound, which is what a listener asks with. Those lie
in another part of the joint space than the captions (audio and text embeddings do), and are the harder ones. A found
caption counts if its cosine reaches that of the tenth exact one, so that ties do not count against the index. Time is
of one query through the runtime's own index, on one thread. What the memory cannot hold, or what the time given to a
graph is not enough for, is told and not measured.
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from benchmarks.captions import caption_vectors
from benchmarks.hnsw import Graph, memory_needed
from benchmarks.machine import available_bytes
from benchmarks.plots import COLOURS, logarithmic
from benchmarks.report import Report, Table
from benchmarks.stand_in import scene
from edge_runtime.bundle import DEFAULT_BUNDLE, Bundle
from edge_runtime.errors import EarmarkError
from edge_runtime.listener import Listener
from edge_runtime.manifest import IndexSpec
from edge_runtime.vector_index import VectorIndex

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["Found", "exact_top", "index", "recall"]

K = 10
QUERIES = 300
SOUND_S = 240.0
TIE = 1e-6
"""Cosines nearer than this are the same: float32 sums differ with their order."""
GOAL = {"captions": 100_000, "recall": 0.99, "ms": 1.0}


@dataclass(frozen=True)
class Found:
    """One index, one beam (`ef`), one kind of query: recall@10, and milliseconds a query. `build_s` is None where the
    graph was kept from another time."""

    captions: int
    m: int
    ef_construction: int
    ef: int
    queries: str
    recall: float
    median_ms: float
    q1_ms: float
    q3_ms: float
    exact_ms: float
    build_s: float | None
    resident_mib: float | None
    bytes: int


def index(
    cache: Path,
    *,
    counts: Sequence[int],
    links: Sequence[int],
    beams: Sequence[int],
    ef_construction: int,
    build_threads: int,
    budget_s: float,
) -> Report:
    """`budget_s`: the most that building one graph may take."""
    counts, notes = _that_fit(counts, max(links))
    vectors = caption_vectors(cache, max(counts) + QUERIES)
    questions = {"captions": vectors[-QUERIES:], "sounds": _sound_queries()}
    found: list[Found] = []
    for count in counts:
        for m in links:
            spec = IndexSpec(m, ef_construction, max(beams))
            graph = Graph.of(cache, vectors[:count], spec, threads=build_threads, budget_s=budget_s)
            if graph.captions < count:
                notes.append(
                    f"{count} captions, m {m}: {budget_s:.0f} s were over after {graph.captions}, which are measured"
                )
            found += _measured(graph, vectors[: graph.captions], spec, beams, questions)
            del graph
    best = {kind: _chosen(found, kind) for kind in questions}
    figures: dict[str, Any] = {"goal": GOAL, "chosen": best, "found": [vars(each) for each in found]}
    notes += [_verdict(kind, each) for kind, each in best.items()]
    if build_threads > 1:
        notes.append(f"indexes built on {build_threads} threads: the graph differs a little from run to run")
    return Report("index", figures, _tables(found), notes, {"index": partial(_draw, found)})


def _that_fit(counts: Sequence[int], m: int) -> tuple[list[int], list[str]]:
    """The counts whose graph and vectors the free memory holds, and a note on each of the others."""
    width, free = Bundle(DEFAULT_BUNDLE).manifest.head.width, available_bytes()
    needs = {count: memory_needed(count, width, m) for count in sorted(set(counts))}
    held = [count for count, needed in needs.items() if free is None or needed <= free]
    notes = [
        f"{count} captions need {needed / 2**30:.1f} GiB, {(free or 0) / 2**30:.1f} GiB are free: left out"
        for count, needed in needs.items()
        if count not in held
    ]
    if not held:
        raise EarmarkError(f"{notes[0]}: give a smaller --count")
    return held, notes


def _measured(
    graph: Graph, table: np.ndarray, spec: IndexSpec, beams: Sequence[int], questions: dict[str, np.ndarray]
) -> list[Found]:
    """One graph of the captions `table (N, E)` at every beam, asked all `questions (Q, E)`."""
    exact = {kind: exact_top(table, queries) for kind, queries in questions.items()}
    exact_ms = _exact_ms(table, questions["sounds"])
    found = []
    for ef in beams:
        searched = VectorIndex(graph.index, IndexSpec(spec.m, spec.ef_construction, ef))
        for kind, queries in questions.items():
            rate, times = _searched(searched, queries, exact[kind], table)
            q1, median, q3 = (float(x) for x in np.percentile(times, [25, 50, 75]))
            settings = (len(table), spec.m, spec.ef_construction, ef, kind)
            took = (graph.build_s, graph.resident_mib, graph.bytes)
            found.append(Found(*settings, rate, median, q1, q3, exact_ms, *took))
    return found


def _tables(found: Sequence[Found]) -> list[Table]:
    """What a search finds and costs, and what each graph costs."""
    searches = ("captions", "m", "ef constr.", "ef", "queries", "recall@10", "median ms", "quartiles", "exact ms")
    graphs = {(each.captions, each.m, each.ef_construction): each for each in found}
    return [
        Table(
            f"recall@{K} and one query's time",
            searches,
            [
                (
                    each.captions,
                    each.m,
                    each.ef_construction,
                    each.ef,
                    each.queries,
                    f"{each.recall:.4f}",
                    each.median_ms,
                    f"{each.q1_ms:.2f} to {each.q3_ms:.2f}",
                    each.exact_ms,
                )
                for each in found
            ],
        ),
        Table(
            "what each graph takes",
            ("captions", "m", "ef constr.", "built in s", "process MiB", "graph MB"),
            [(*key, each.build_s, each.resident_mib, each.bytes / 1e6) for key, each in graphs.items()],
        ),
    ]


def exact_top(table: np.ndarray, queries: np.ndarray) -> np.ndarray:
    """The cosine (Q,) of each query's tenth best row of `table (N, E)`."""
    best = np.full((len(queries), 1), -np.inf, np.float32)
    for start in range(0, len(table), 65_536):
        best = np.concatenate((best, queries @ table[start : start + 65_536].T), axis=1)
        best = np.partition(best, -min(K, best.shape[1]), axis=1)[:, -K:]
    return best.min(axis=1)


def recall(cosines: Sequence[np.ndarray], tenth: np.ndarray, *, of: int) -> float:
    """The share of the `of` best that was found: `cosines` of what was found for each query, `tenth (Q,)` best."""
    hits = sum(int((found >= least - TIE).sum()) for found, least in zip(cosines, tenth, strict=True))
    return hits / (of * len(tenth))


def _searched(
    searched: VectorIndex, queries: np.ndarray, tenth: np.ndarray, table: np.ndarray
) -> tuple[float, list[float]]:
    times, cosines = [], []
    for query in queries:
        started = time.perf_counter()
        labels, _ = searched.search(query, k=K)
        times.append(1000 * (time.perf_counter() - started))
        cosines.append(table[labels] @ query)
    return recall(cosines, tenth, of=min(K, len(table))), times


def _exact_ms(table: np.ndarray, queries: np.ndarray) -> float:
    """The median time of one query against every row, on one thread: einsum has no BLAS, which would start more."""
    times = []
    for query in queries[:12]:
        started = time.perf_counter()
        scores = np.einsum("ne,e->n", table, query)
        np.argpartition(scores, -min(K, len(scores)))
        times.append(1000 * (time.perf_counter() - started))
    return float(np.median(times))


def _sound_queries() -> np.ndarray:
    """Embeddings (Q, E) of windows of synthesised scenes, one each hop."""
    bundle = Bundle.open(DEFAULT_BUNDLE)
    listener = Listener(bundle, hop=2)
    windows = list(listener.push(scene(bundle.manifest.mel.rate_hz, SOUND_S)))
    rows = np.linspace(0, len(windows) - 1, min(QUERIES, len(windows))).astype(int)
    return np.stack([windows[row].embedding for row in rows])


def _chosen(found: Sequence[Found], kind: str) -> dict[str, Any] | None:
    """The fastest settings that reach the goal's recall at its number of captions, or at the most that were tried."""
    most = max(each.captions for each in found)
    count = GOAL["captions"] if any(each.captions == GOAL["captions"] for each in found) else most
    fitting = [
        each for each in found if each.captions == count and each.queries == kind and each.recall >= GOAL["recall"]
    ]
    return vars(min(fitting, key=lambda each: each.median_ms)) if fitting else None


def _verdict(kind: str, best: dict[str, Any] | None) -> str:
    if best is None:
        return f"{kind}: no settings reach a recall of {GOAL['recall']}"
    return (
        f"{kind}: m {best['m']}, ef_construction {best['ef_construction']}, ef {best['ef']} reach {best['recall']:.4f} "
        f"over {best['captions']} captions in {best['median_ms']:.2f} ms (goal {GOAL['ms']} ms)"
    )


def _draw(found: Sequence[Found], figure: "Figure") -> None:
    left, right = figure.subplots(1, 2)
    counts = sorted({each.captions for each in found})
    links = max(each.m for each in found)
    for colour, count in zip(COLOURS, counts, strict=False):
        for kind, style in (("captions", "--"), ("sounds", "-")):
            line = [each for each in found if (each.captions, each.queries, each.m) == (count, kind, links)]
            left.plot([e.median_ms for e in line], [e.recall for e in line], style, marker="o", ms=4, color=colour)
        left.plot([], [], color=colour, label=f"{count:,} captions")
    left.axhline(GOAL["recall"], color="#888", lw=1)
    logarithmic(left.xaxis)
    left.set_xlabel("milliseconds a query, one thread")
    left.set_ylabel(f"recall@{K}")
    left.set_title(f"m = {links}; sounds solid, captions dashed", loc="left", fontsize=11)
    left.legend(fontsize=8)
    exact = [next(each.exact_ms for each in found if each.captions == count) for count in counts]
    right.plot(counts, exact, "s-", color=COLOURS[5], label="exact")
    for ef, colour in zip(sorted({each.ef for each in found}), COLOURS, strict=False):
        line = [each for each in found if (each.ef, each.queries, each.m) == (ef, "sounds", links)]
        right.plot([e.captions for e in line], [e.median_ms for e in line], "o-", color=colour, label=f"ef {ef}")
    right.set_xscale("log")
    logarithmic(right.yaxis)
    right.set_xlabel("captions")
    right.set_ylabel("milliseconds a query")
    right.legend(fontsize=8)
    for axes in (left, right):
        axes.grid(alpha=0.3)
