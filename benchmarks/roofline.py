"""`python -m benchmarks roofline`: how near a hop and a window come to what this machine can do at best.

The least time that the work could take is the longer of two: multiply-adds at the measured matrix peak of their
precision, and weights and states at the measured bandwidth (Williams et al. 2009). A window of 10 s reuses each weight
a thousand times and is bound by arithmetic; a hop reuses it a few dozen times and nears the bandwidth. Peaks are the
fastest of many runs, and so are the times held against them.
"""

from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from benchmarks.contenders import Field
from benchmarks.model import WINDOW_S, Model
from benchmarks.peaks import Peaks, measure_peaks
from benchmarks.plots import COLOURS, logarithmic
from benchmarks.report import Report, Table, say
from benchmarks.timing import Contender, interleaved
from benchmarks.work import Work, encoder_work

if TYPE_CHECKING:
    from pathlib import Path

    from matplotlib.figure import Figure

__all__ = ["least_ms", "over_the_roof", "roofline"]

MAX_OF_ROOF = 105.0
"""Per cent: the fastest of many runs still differs by a few from one time to the next."""


def roofline(model: Model, sound: np.ndarray, *, cache: "Path", threads: Sequence[int], rounds: int) -> Report:
    rows: list[dict[str, Any]] = []
    found: list[Peaks] = []
    for count in threads:
        say(f"roofline on {count} thread{'s' if count > 1 else ''} …")
        peaks = measure_peaks(cache, threads=count)
        found.append(peaks)
        rows += _measured(model, sound, peaks, rounds)
    notes = ["front end left out: this is the encoder alone"]
    if any(peaks.int8_gmacs is None for peaks in found):
        notes.append(f"no matrix peaks: onnx is not here (copy {cache}/peak-*.onnx from a machine that has it)")
    notes += over_the_roof(rows)
    peak_rows = [(each.threads, each.fp32_gmacs, each.int8_gmacs, each.read_gbytes) for each in found]
    columns = (
        "profile",
        "mode",
        "threads",
        "GMAC",
        "MB",
        "ms",
        "GMAC/s",
        "GB/s",
        "least ms",
        "of the roof %",
        "bound by",
    )
    keys = ("profile", "mode", "threads", "gmac", "mb", "ms", "gmac_s", "gb_s", "least_ms", "of_roof_percent", "bound")
    tables = [
        Table("this machine at best", ("threads", "fp32 GMAC/s", "int8 GMAC/s", "read GB/s"), peak_rows),
        Table(model.manifest.name, columns, [tuple(row[key] for key in keys) for row in rows]),
    ]
    figures = {"peaks": found, "work": rows}
    return Report("roofline", figures, tables, notes, {"roofline": partial(_draw, model, found[0], rows)})


def least_ms(work: Work, peaks: Peaks) -> tuple[float | None, str]:
    """The roof, and what holds it up: "arithmetic" or "memory"."""
    if peaks.fp32_gmacs is None or peaks.int8_gmacs is None:
        return None, "unknown"
    arithmetic = (work.fp32_macs / peaks.fp32_gmacs + work.int8_macs / peaks.int8_gmacs) / 1e6
    memory = work.bytes / peaks.read_gbytes / 1e6
    return max(arithmetic, memory), "arithmetic" if arithmetic > memory else "memory"


def over_the_roof(rows: Sequence[dict[str, Any]]) -> list[str]:
    """A note where something is faster than this machine can do at best: then it is not that which was measured."""
    over = [f"{row['profile']} {row['mode']}" for row in rows if (row["of_roof_percent"] or 0) > MAX_OF_ROOF]
    told = ", ".join(dict.fromkeys(over))
    why = "its weights stay in a cache, or others used the machine while its peaks were measured"
    return [f"faster than the roof: {told}: {why}"] if over else []


def _measured(model: Model, sound: np.ndarray, peaks: Peaks, rounds: int) -> list[dict[str, Any]]:
    field = Field(model, sound, threads=peaks.threads)
    hop_frames = model.manifest.encoder.segment_frames
    frames = model.frames(sound[: round(WINDOW_S * model.rate_hz)])
    contenders = []
    for profile in field.encoders:
        graph, stream = field.graph(profile), model.stream(field.graph(profile), profile)
        stream.push(frames)
        stream.push(frames)
        contenders += [
            Contender(f"{profile}/hop", partial(stream.push, frames[:hop_frames]), model.manifest.segment_s, calls=4),
            Contender(f"{profile}/window", partial(model.offline, graph, profile, frames), WINDOW_S),
        ]
    rows = []
    for name, timing in interleaved(contenders, rounds=rounds).items():
        profile, mode = name.split("/")
        work = encoder_work(model, profile, frames=hop_frames if mode == "hop" else len(frames))
        roof, bound = least_ms(work, peaks)
        rows.append(
            {
                "profile": profile,
                "mode": mode,
                "threads": peaks.threads,
                "gmac": work.macs / 1e9,
                "mb": work.bytes / 1e6,
                "ms": timing.fastest_ms,
                "gmac_s": work.macs / timing.fastest_ms / 1e6,
                "gb_s": work.bytes / timing.fastest_ms / 1e6,
                "least_ms": roof,
                "of_roof_percent": 100 * roof / timing.fastest_ms if roof else None,
                "bound": bound,
            }
        )
    return rows


def _draw(model: Model, peaks: Peaks, rows: Sequence[dict[str, Any]], figure: "Figure") -> None:
    axes = figure.add_subplot()
    intensity = np.geomspace(0.5, 5000, 200)
    roofs = (("fp32", peaks.fp32_gmacs, COLOURS[0]), ("int8", peaks.int8_gmacs, COLOURS[1]))
    for name, peak, colour in roofs:
        if peak is not None:
            axes.plot(intensity, np.minimum(peak, intensity * peaks.read_gbytes), color=colour, label=f"roof, {name}")
    for i, profile in enumerate(dict.fromkeys(row["profile"] for row in rows)):
        for row in rows:
            if row["profile"] == profile and row["threads"] == peaks.threads:
                x, marker = 1000 * row["gmac"] / row["mb"], "o" if row["mode"] == "hop" else "s"
                axes.plot(x, row["gmac_s"], marker, color=COLOURS[i + 2], markersize=8)
                axes.annotate(
                    f"{profile}, {row['mode']}", (x, row["gmac_s"]), (6, -10), textcoords="offset points", fontsize=8
                )
    logarithmic(axes.xaxis)
    logarithmic(axes.yaxis)
    axes.set_xlabel("multiply-adds a byte of weights and state")
    axes.set_ylabel("thousand million multiply-adds a second")
    axes.set_title(f"Roofline: {model.manifest.name}, {peaks.threads} thread", loc="left", fontsize=11)
    axes.grid(alpha=0.3)
    if axes.get_legend_handles_labels()[0]:
        axes.legend()
