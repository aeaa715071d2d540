"""`python -m benchmarks latency`: what a hop, a window, a beginning and an end cost, for every profile.

A hop is 0.32 s of a running stream; against it stand the ways without one, which hear the last 10 s again at each
hop: PyTorch eager, and the same graphs in onnxruntime. Where OpenVINO is installed, the encoders run in it as well. All
run in turn in one process; ratios are of medians, one thread, one run. `ratios_cpu` are of processor time, which a busy
machine disturbs least.
"""

from collections.abc import Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from benchmarks.contenders import EAGER, Field
from benchmarks.model import Model
from benchmarks.plots import bars
from benchmarks.report import Report, Table, say
from benchmarks.timing import Timing, interleaved, ratio
from edge_runtime.graph_engine import DEFAULT_ENGINE, installed_engines

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["OPENVINO_RATIOS", "RATIOS", "latency", "ratios"]

RATIOS = {
    "stream_small_vs_eager_window": (EAGER, "small/hop1"),
    "stream_small_vs_ort_fp32_window": ("exact/window", "small/hop1"),
    "stream_small_vs_ort_int8_window": ("small/window", "small/hop1"),
    "stream_exact_vs_eager_window": (EAGER, "exact/hop1"),
    "offline_fp32_vs_eager": (EAGER, "exact/window"),
    "offline_int8_vs_eager": (EAGER, "small/window"),
}
"""How many times more a call of the first takes than one of the second."""
GOALS = {
    "stream_small_vs_eager_window": 64.0,
    "stream_small_vs_ort_fp32_window": 30.0,
    "stream_small_vs_ort_int8_window": 12.0,
    "stream_exact_vs_eager_window": 19.0,
    "offline_fp32_vs_eager": 2.3,
    "offline_int8_vs_eager": 5.3,
}
"""What the design promises for CNN14 on x86 with VNNI, nothing else running."""
OPENVINO_RATIOS = {
    "stream_small_openvino_vs_eager_window": (EAGER, "small in openvino/hop1"),
    "stream_small_openvino_vs_stream_small": ("small/hop1", "small in openvino/hop1"),
    "offline_fp32_openvino_vs_eager": (EAGER, "exact in openvino/window"),
    "offline_int8_openvino_vs_eager": (EAGER, "small in openvino/window"),
}
"""The same with the encoder in OpenVINO, where it is installed."""
MODES = {"window": "10 s at once", "prime": "beginning", "flush": "end or early answer", "head": "head, one window"}


def ratios(
    timings: dict[str, Timing], *, cpu: bool = False, wanted: Mapping[str, tuple[str, str]] = RATIOS
) -> dict[str, float | None]:
    """Every ratio by its name; None where a contender could not run here."""
    return {name: ratio(timings.get(slow), timings.get(fast), cpu=cpu) for name, (slow, fast) in wanted.items()}


def latency(model: Model, sound: np.ndarray, *, threads: Sequence[int], rounds: int) -> Report:
    found: dict[int, dict[str, Timing]] = {}
    notes: list[str] = []
    for count in threads:
        say(f"latency on {count} thread{'s' if count > 1 else ''} …")
        field = Field(model, sound, threads=count)
        entered = [field.front_end()]
        others = [engine for engine in installed_engines() if engine != DEFAULT_ENGINE]
        for profile in field.encoders:
            entered.append(field.window(profile))
            if model.manifest.encoder.stream is not None:
                entered += [field.hop(profile, hop=hop) for hop in model.manifest.encoder.stream.hops]
                entered += [field.prime(profile), field.flush(profile)]
            for engine in others:
                entered.append(field.window(profile, engine=engine))
                if model.streams:
                    entered.append(field.hop(profile, hop=1, engine=engine))
        entered += [field.head(profile) for profile in field.heads]
        eager, note = field.eager()
        notes = [note, *([] if others else ["OpenVINO left out: it is not here (pip install 'earmark[openvino]')"])]
        found[count] = interleaved([*entered, *([eager] if eager else [])], rounds=rounds)
    if len(field.encoders) < len(model.profiles):
        notes.append("profiles that share an encoder are timed once, under the first one's name")
    figures: dict[str, Any] = {
        "ratios": ratios(found[threads[0]]),
        "ratios_cpu": ratios(found[threads[0]], cpu=True),
        "ratios_openvino": ratios(found[threads[0]], wanted=OPENVINO_RATIOS),
        "ratios_openvino_cpu": ratios(found[threads[0]], cpu=True, wanted=OPENVINO_RATIOS),
        "ratios_threads": threads[0],
        "timings": [
            {"threads": count, "contender": name.split("/")[0], "mode": name.split("/")[1], **_told(timing)}
            for count, timings in found.items()
            for name, timing in timings.items()
        ],
    }
    tables = [*(_table(model, count, timings) for count, timings in found.items()), _ratio_table(figures)]
    return Report("latency", figures, tables, notes, {"latency": partial(_draw, model, found)})


def _told(timing: Timing) -> dict[str, float]:
    return {**vars(timing), "per_10s_ms": timing.per_10s_ms}


def _mode(model: Model, mode: str) -> str:
    if mode.startswith("hop"):
        return f"hop of {int(mode[3:]) * model.manifest.segment_s:.2f} s"
    return MODES[mode]


def _table(model: Model, threads: int, timings: dict[str, Timing]) -> Table:
    rows = []
    for name, timing in timings.items():
        who, mode = name.split("/")
        steady = mode.startswith("hop") or mode == "window"
        spread = f"{timing.q1_ms:.2f} to {timing.q3_ms:.2f}"
        per_10s = timing.per_10s_ms if steady else None
        duty = timing.per_10s_ms / 100 if steady else None
        rows.append((who, _mode(model, mode), timing.median_ms, spread, timing.cpu_ms, per_10s, duty))
    columns = ("contender", "mode", "median ms", "quartiles", "processor ms", "ms per 10 s of sound", "% of real time")
    return Table(f"{model.manifest.name}, {threads} thread{'s' if threads > 1 else ''}", columns, rows)


def _ratio_table(figures: dict[str, Any]) -> Table:
    found, cpu = ({**figures[f"ratios{kind}"], **figures[f"ratios_openvino{kind}"]} for kind in ("", "_cpu"))
    rows = [(name.replace("_", " "), value, cpu[name], GOALS.get(name)) for name, value in found.items()]
    title = f"how many times less time, {figures['ratios_threads']} thread"
    return Table(title, ("ratio", "of medians", "of processor time", "goal (CNN14, x86 with VNNI)"), rows)


def _draw(model: Model, found: dict[int, dict[str, Timing]], figure: "Figure") -> None:
    first = next(iter(found.values()))
    names = [name for name in first if name.split("/")[1] in ("hop1", "window") and not name.startswith("front")]
    names.sort(key=lambda name: -first[name].median_ms)
    labels = [f"{name.split('/')[0]}, {_mode(model, name.split('/')[1])}" for name in names]
    series = {
        f"{count} thread{'s' if count > 1 else ''}": [timings.get(name) for name in names]
        for count, timings in found.items()
    }
    bars(figure, labels, series, title=f"Time of one answer, front end included: {model.manifest.name}")
