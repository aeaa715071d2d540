"""`python -m benchmarks peers`: ten seconds in other engines, beside a streamed hop.

PyTorch eager, this project's graphs in onnxruntime fp32 and int8, and in OpenVINO f32, bf16 and int8 where that is
installed. All hear the same window, front end included, in turn in one process. Beside them: the streaming hop, which
none of them has.
"""

from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from benchmarks.contenders import Field
from benchmarks.model import Model
from benchmarks.openvino import openvino_contenders
from benchmarks.plots import bars
from benchmarks.report import Report, Table, say
from benchmarks.timing import Timing, interleaved, ratio

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["peers"]


def peers(model: Model, sound: np.ndarray, *, threads: Sequence[int], rounds: int) -> Report:
    found: dict[int, dict[str, Timing]] = {}
    for count in threads:
        say(f"peers on {count} thread{'s' if count > 1 else ''} …")
        field = Field(model, sound, threads=count)
        eager, eager_note = field.eager()
        others, openvino_note = openvino_contenders(model, sound, threads=count)
        entered = [*([eager] if eager else []), *(field.window(name) for name in field.encoders), *others]
        if model.streams:
            entered += [field.hop(name, hop=1) for name in field.encoders]
        found[count] = interleaved(entered, rounds=rounds)
    best = {count: min(_hops(timings).values(), default=None) for count, timings in found.items()}
    figures: dict[str, Any] = {
        "timings": [
            {"threads": count, "contender": _name(model, name), **vars(timing)}
            for count, timings in found.items()
            for name, timing in timings.items()
        ],
        "against_fastest_hop": {
            f"{_name(model, name)}, {count} threads": timing.median_ms / best[count]
            for count, timings in found.items()
            for name, timing in timings.items()
            if best[count]
        },
        "against_eager": {
            f"{_name(model, name)}, {count} threads": ratio(timings.get("eager/window"), timing)
            for count, timings in found.items()
            for name, timing in timings.items()
            if "eager/window" in timings
        },
    }
    tables = [_table(model, count, timings, best[count]) for count, timings in found.items()]
    return Report("peers", figures, tables, [eager_note, openvino_note], {"peers": partial(_draw, model, found)})


def _hops(timings: dict[str, Timing]) -> dict[str, float]:
    return {name: timing.median_ms for name, timing in timings.items() if name.endswith("/hop1")}


def _name(model: Model, name: str) -> str:
    who, mode = name.split("/")
    if who in model.profiles:
        who = f"onnxruntime {who}"
    return f"{who}, {'10 s' if mode == 'window' else f'hop of {model.manifest.segment_s:.2f} s'}"


def _table(model: Model, threads: int, timings: dict[str, Timing], best: float | None) -> Table:
    eager = timings.get("eager/window")
    rows = [
        (
            _name(model, name),
            timing.median_ms,
            f"{timing.q1_ms:.2f} to {timing.q3_ms:.2f}",
            timing.cpu_ms,
            ratio(eager, timing),
            timing.median_ms / best if best else None,
        )
        for name, timing in timings.items()
    ]
    columns = (
        "contender",
        "median ms",
        "quartiles",
        "processor ms",
        "times faster than eager",
        "times the fastest hop",
    )
    return Table(f"{model.manifest.name}, {threads} thread{'s' if threads > 1 else ''}", columns, rows)


def _draw(model: Model, found: dict[int, dict[str, Timing]], figure: "Figure") -> None:
    first = next(iter(found.values()))
    names = sorted(first, key=lambda name: -first[name].median_ms)
    series = {
        f"{count} thread{'s' if count > 1 else ''}": [timings.get(name) for name in names]
        for count, timings in found.items()
    }
    bars(figure, [_name(model, name) for name in names], series, title=f"One answer: {model.manifest.name}")
