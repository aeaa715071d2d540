"""`python -m benchmarks footprint`: what a listener takes of a small device: load time, memory, disk.

Every measurement is a process of its own (benchmarks/resident.py) that loads one encoder and its head and hears half a
minute: from the graphs as a device keeps them (`cached`), and from the bundle's own files, which serve a start without
a home. Resident memory is anonymous (the process's own) or mapped (pages of files, which the system may drop and read
again); the peak counts both. No form can take less than the process with its imports and the weights, once: that sum
stands beside the peak.
"""

import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from benchmarks.model import Model
from benchmarks.plots import COLOURS
from benchmarks.report import Report, Table, say
from edge_runtime.errors import EarmarkError
from edge_runtime.graph_cache import GraphCache
from edge_runtime.manifest import Profile

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["footprint", "fresh"]

GOALS_MIB = {"small, cached": 170.0, "exact, cached": 360.0}
"""Peaks that the design promises for CNN14 encoder and head."""
EAGER = "eager"
CACHED, HEADLESS = ", cached", ", encoder alone"
"""`CACHED`: in the optimised form that a device keeps in its home, where it has one."""


def footprint(model: Model, *, cache: Path, repeats: int) -> Report:
    graphs = cache.absolute() / "graphs"
    wanted: dict[str, list[str]] = {}
    for name, profile in model.profiles.items():
        _optimise(model, name, GraphCache(graphs))
        for form, options in {CACHED: ["--cached", str(graphs)], "": []}.items():
            wanted[f"{name}{form}"] = [name, *options]
            if profile is _first_of(model, profile):
                wanted[f"{name}{form}{HEADLESS}"] = [name, *options, "--headless"]
    wanted[EAGER] = [EAGER]
    found: dict[str, list[dict[str, Any]]] = {name: [] for name in wanted}
    for number in range(repeats):
        say(f"footprint, {number + 1} of {repeats} …")
        for name, arguments in wanted.items():
            found[name].append(fresh(model.folder, arguments))
    notes = sorted({each[0]["note"] for each in found.values() if "note" in each[0]})
    rows = {name: _row(model, name, each, graphs) for name, each in found.items() if "steady" in each[0]}
    table = [
        (name, row["load_s"], f"{row['load_s_q1']:.2f} to {row['load_s_q3']:.2f}", *_sizes(row), GOALS_MIB.get(name))
        for name, row in rows.items()
    ]
    sizes = ("imports MiB", "steady", "anonymous", "mapped", "peak", "imports + disk", "disk MB")
    columns = ("profile", "load s", "quartiles", *sizes)
    return Report(
        "footprint",
        {"footprint": rows, "goals_peak_mib": GOALS_MIB},
        [Table(f"{model.manifest.name}: a listening process, one thread", (*columns, "peak goal"), table)],
        notes,
        {"footprint": lambda figure: _draw(model, rows, figure)},
    )


def _first_of(model: Model, profile: Profile) -> Profile:
    """The first of the profiles that share an encoder."""
    return next(each for each in model.profiles.values() if each.encoder.file == profile.encoder.file)


def _optimise(model: Model, profile: str, cache: GraphCache) -> None:
    """As `earmark` does at its first start: not part of what a start costs."""
    model.encoder_graph(profile, cached=cache)
    model.head_graph(profile, cached=cache)


def fresh(folder: Path, arguments: Sequence[str]) -> dict[str, Any]:
    """What benchmarks/resident.py says of this bundle, in a process of its own."""
    command = [sys.executable, "-m", "benchmarks.resident", str(folder.absolute()), *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=Path(__file__).parents[1])
    if done.returncode:
        told = (done.stderr.strip().splitlines() or ["it said nothing"])[-1]
        raise EarmarkError(f"`{' '.join(command[1:])}` failed: {told}")
    return json.loads(done.stdout.splitlines()[-1])


def _row(model: Model, name: str, found: Sequence[dict[str, Any]], graphs: Path) -> dict[str, float]:
    """Medians over the repeats."""
    loads = [each["load_s"] for each in found]
    q1, median, q3 = (float(x) for x in np.percentile(loads, [25, 50, 75]))
    row = {"load_s": median, "load_s_q1": q1, "load_s_q3": q3}
    row["imported_mib"] = float(np.median([each["imported"]["resident"] for each in found]))
    for field in ("resident", "anonymous", "mapped", "peak"):
        row[f"{field}_mib"] = float(np.median([each["steady"][field] for each in found]))
    disk_bytes = _disk_bytes(model, name, graphs)
    row["disk_mb"], row["least_mib"] = disk_bytes / 1e6, row["imported_mib"] + disk_bytes / 2**20
    return row


def _disk_bytes(model: Model, name: str, graphs: Path) -> int:
    """What is loaded: graphs, or the weights' file of the eager network."""
    if name == EAGER:
        from benchmarks.stand_in import WEIGHTS

        return (model.folder / WEIGHTS).stat().st_size
    profile = model.profiles[name.split(",", maxsplit=1)[0]]
    files = {profile.encoder.file} if name.endswith(HEADLESS) else {profile.encoder.file, profile.head.file}
    if CACHED not in name:
        return sum((model.folder / file).stat().st_size for file in files)
    entries = [GraphCache(graphs).find(model.manifest.files[file]) for file in files]
    return sum(path.stat().st_size for entry in entries if entry for path in entry.parent.iterdir())


def _sizes(row: dict[str, float]) -> list[float]:
    shown = ("imported_mib", "resident_mib", "anonymous_mib", "mapped_mib", "peak_mib", "least_mib", "disk_mb")
    return [row[name] for name in shown]


def _draw(model: Model, rows: dict[str, dict[str, float]], figure: "Figure") -> None:
    axes = figure.add_subplot()
    at = range(len(rows))
    anonymous, mapped, peak = ([row[f"{key}_mib"] for row in rows.values()] for key in ("anonymous", "mapped", "peak"))
    axes.barh(at, anonymous, 0.6, color=COLOURS[0], label="anonymous, steady")
    axes.barh(at, mapped, 0.6, left=anonymous, color=COLOURS[2], label="mapped from files, steady")
    axes.plot(peak, at, "d", color=COLOURS[1], label="peak")
    for y, value in zip(at, peak, strict=True):
        axes.text(value, y - 0.38, f"{value:.0f}", fontsize=8, ha="center")
    axes.set_yticks(at, list(rows))
    axes.invert_yaxis()
    axes.set_xlabel("MiB resident")
    axes.set_title(f"Memory of a listening process: {model.manifest.name}", loc="left", fontsize=11)
    axes.grid(axis="x", alpha=0.3)
    axes.set_axisbelow(True)
    axes.legend()
