"""`python -m benchmarks archive`: a search of a year of windows, of a day, and what an archive takes in.

The year is made once (archive_year.py) and searched by a process of its own, as `earmark search` does: warm, exact,
through all that a search does (days known to be whole, checksums of what is found, moments apart). Memory counts all
of that process, the interpreter and onnxruntime too. Recall is against float32 over the embeddings as they were
before they were rounded. Ingest is what one recording writes into a home on the same disk, with its tail. Ways of
multiplying are timed in turn, on one thread, over records in memory.
"""

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.archive_year import HOP_S, K, Year, windows_like
from benchmarks.report import Report, Table
from benchmarks.timing import Contender, interleaved
from edge_runtime.archive import Archive
from edge_runtime.archive.product import Product
from edge_runtime.archive.record import ZERO, quantised
from edge_runtime.home import Home
from edge_runtime.listener import Window

__all__ = ["GOALS", "archive"]

GOALS = {"year_s": 1.0, "day_ms": 20.0, "peak_mib": 300.0, "recall": 0.99, "ingest_per_s": 1000.0}
DAY_ROUNDS = 60
INGESTED = 5000
MULTIPLIED = 65_536
"""Records, 48 MB at E = 512: far more than any cache."""


def archive(cache: Path, *, days: int, rounds: int) -> Report:
    year = Year.made(cache, days=days)
    searched = _searched(cache, days)
    whole_s, day_ms = np.array(searched["whole_s"]), 1000 * np.array(searched["day_s"])
    right = [len(set(found) & set(best)) / K for found, best in zip(searched["found"], year.best.tolist(), strict=True)]
    half = len(right) // 2
    ways = _ways(year, rounds)
    figures: dict[str, Any] = {
        "windows": year.windows,
        "year_s": float(np.median(whole_s)),
        "year_worst_s": float(whole_s.max()),
        "year_cpu_s": float(np.median(searched["whole_cpu_s"])),
        "day_ms": float(np.median(day_ms)),
        "day_worst_ms": float(day_ms.max()),
        "recall": float(np.mean(right)),
        "recall_of_phrases": float(np.mean(right[:half])),
        "recall_of_sounds": float(np.mean(right[half:])),
        "peak_mib": searched["peak_mib"],
        "imported_mib": searched["imported_mib"],
        "ingest_per_s": _ingest(year),
        "record_bytes": quantised(year.queries[:1], width=year.width).itemsize,
        "damaged": searched["damaged"],
        "ways": ways,
        "goals": GOALS,
    }
    kept = Table(
        f"{year.windows} windows of {year.width} numbers, one each {HOP_S:g} s, {figures['record_bytes']} bytes each",
        ("what", "median", "worst", "goal"),
        (
            (f"the best {K} of {days} days, s", figures["year_s"], figures["year_worst_s"], f"< {GOALS['year_s']:g}"),
            ("the same, s of the processor", figures["year_cpu_s"], max(searched["whole_cpu_s"]), None),
            (f"the best {K} of one day, ms", figures["day_ms"], figures["day_worst_ms"], f"< {GOALS['day_ms']:g}"),
            (f"recall@{K} against float32", figures["recall"], min(right), f">= {GOALS['recall']:g}"),
            ("memory of the process, MiB", figures["peak_mib"], None, f"<= {GOALS['peak_mib']:g}"),
            ("windows taken in a second", figures["ingest_per_s"], None, f">= {GOALS['ingest_per_s']:g}"),
        ),
    )
    multiplied = Table(
        "a query times records, one thread",
        ("way", "GB/s", "microseconds a window"),
        [(name, found["gb_s"], found["us"]) for name, found in ways.items()],
    )
    niceness = os.getpriority(os.PRIO_PROCESS, 0)
    notes = [f"at priority {niceness} (nice): beside other work"] if niceness else []
    return Report("archive", figures, [kept, multiplied], notes)


def _searched(cache: Path, days: int) -> dict[str, Any]:
    """What the process that searches says."""
    line = [sys.executable, "-m", "benchmarks.archive_search", str(cache), str(days), str(DAY_ROUNDS)]
    done = subprocess.run(line, capture_output=True, text=True, check=True, cwd=Path(__file__).parents[1])
    return dict(json.loads(done.stdout))


def _ingest(year: Year) -> float:
    """Windows a second that one live recording keeps."""
    rng = np.random.default_rng(1)
    rows = windows_like(year.queries, 256, rng)
    with tempfile.TemporaryDirectory(dir=year.folder) as folder:
        home = Home.open(Path(folder))
        assert home is not None
        kept = Archive(home, year.fingerprint, width=year.width)
        started = time.perf_counter()
        with kept.recording("mic", live=True) as writer:
            for number in range(INGESTED):
                at_s = number * HOP_S
                writer.add(Window(at_s, at_s + HOP_S, rows[number % len(rows)], True, number))
        took = time.perf_counter() - started
        home.close()
    return INGESTED / took


def _ways(year: Year, rounds: int) -> dict[str, dict[str, float]]:
    """Gigabytes of records a second, and microseconds a window, of each way to multiply them with a query."""
    rows = np.tile(windows_like(year.queries, 4096, np.random.default_rng(2)), (MULTIPLIED // 4096, 1))
    records = quantised(rows, width=year.width)
    raw = records.view(np.uint8).reshape(len(records), -1)
    query = year.queries[0]
    product = Product(query, record_bytes=raw.shape[1])
    calls: dict[str, Callable[[], object]] = {}
    for count in (512, 2048, 8192):
        slices = [slice(first, first + count) for first in range(0, MULTIPLIED, count)]
        calls[f"MatMulInteger, {count} at a time"] = lambda own=slices: [product(raw[each]) for each in own]
        calls[f"NumPy floats, {count} at a time"] = lambda own=slices: [
            (records["embedding"][each].astype(np.float32) - ZERO) @ query for each in own
        ]
    if cast := _cast_product(query, raw.shape[1]):
        slices = [slice(first, first + 2048) for first in range(0, MULTIPLIED, 2048)]
        calls["Cast and MatMul, 2048 at a time"] = lambda: [cast(raw[each]) for each in slices]
    timings = interleaved([Contender(name, call, audio_s=1) for name, call in calls.items()], rounds=rounds)
    return {
        name: {"gb_s": raw.nbytes / timing.median_ms / 1e6, "us": 1000 * timing.median_ms / MULTIPLIED}
        for name, timing in timings.items()
    }


def _cast_product(query: np.ndarray, record_bytes: int) -> Callable[[np.ndarray], object] | None:
    """The same product in float32 by onnxruntime; None where onnx, which writes its graph, is not here."""
    try:
        from onnx import TensorProto, helper
    except ImportError:
        return None
    import onnxruntime

    nodes = [
        helper.make_node("Cast", ["a"], ["f"], to=TensorProto.FLOAT),
        helper.make_node("MatMul", ["f", "b"], ["y"]),
    ]
    inputs = [
        helper.make_tensor_value_info("a", TensorProto.UINT8, [None, record_bytes]),
        helper.make_tensor_value_info("b", TensorProto.FLOAT, [record_bytes, 1]),
    ]
    output = helper.make_tensor_value_info("y", TensorProto.FLOAT, [None, 1])
    model = helper.make_model(
        helper.make_graph(nodes, "product", inputs, [output]),
        opset_imports=[helper.make_opsetid("", 13)],
        ir_version=8,
    )
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    column = np.zeros((record_bytes, 1), np.float32)
    column[-len(query) :, 0] = query
    return lambda rows: session.run(None, {"a": rows, "b": column})
