"""A table as a picture: recall found here beside what was published, or a curve over shares of the training clips.

draw(experiment, found, Path("runs/papers"))        # NAME.png
"""

import importlib.util
from pathlib import Path
from typing import TYPE_CHECKING

from training.datasets.readers import READERS
from training.experiments.recipe import Experiment, Row
from training.experiments.table import Found, over

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["draw", "missing", "picture"]

COLOURS = {"t2a_r1": "#2a6f97", "t2a_r10": "#61a5c2", "a2t_r1": "#e07a5f", "a2t_r10": "#f2b8a0"}
NAMES = {"t2a_r1": "T→A R@1", "t2a_r10": "T→A R@10", "a2t_r1": "A→T R@1", "a2t_r10": "A→T R@10"}
DARK = "#222222"


def missing() -> str:
    """Why nothing can be drawn; nothing where it can."""
    if importlib.util.find_spec("matplotlib"):
        return ""
    return "no plot is made: matplotlib is not installed (pip install 'earmark[train]', then give the command again)"


def draw(experiment: Experiment, found: Found, out: Path) -> str:
    """What was drawn, or why nothing was."""
    if why := missing():
        return why
    path = out / f"{experiment.name}.png"
    picture(experiment, found).savefig(path)
    return f"{path}: the plot"


def picture(experiment: Experiment, found: Found) -> "Figure":
    """A part for each collection, one below the other."""
    from matplotlib.figure import Figure

    collections = list(dict.fromkeys(row.training.collection for row in experiment.rows))
    parts = [[row for row in experiment.rows if row.training.collection == each] for each in collections]
    size = (7.0, 5.0) if experiment.curve else (9.0, 1.2 + 0.7 * len(parts) + 0.6 * len(experiment.rows))
    figure = Figure(figsize=size, dpi=120, layout="constrained")
    grid = figure.add_gridspec(len(parts), height_ratios=[len(rows) + 0.7 for rows in parts])
    for number, rows in enumerate(parts):
        axes = figure.add_subplot(grid[number])
        (_curve if experiment.curve else _bars)(axes, rows, found)
        axes.set_title(READERS[collections[number]].about, loc="left", fontsize=10)
    figure.suptitle(experiment.title, fontsize=10)
    known = {label: line for axes in figure.axes for line, label in zip(*axes.get_legend_handles_labels(), strict=True)}
    figure.legend(list(known.values()), list(known), loc="outside lower center", ncols=len(known), fontsize=8)
    return figure


def _bars(axes: "Axes", rows: list[Row], found: Found) -> None:
    height = 0.8 / len(COLOURS)
    for line, row in enumerate(rows):
        figures = over([seed.figures for seed in found[row.training.folder]])
        for place, (name, colour) in enumerate(COLOURS.items()):
            at = line + (place - 1.5) * height
            if here := figures.get(name):
                spread = {"xerr": here.std, "error_kw": {"ecolor": "#888888"}}
                axes.barh(at, here.mean, height * 0.9, color=colour, label=NAMES[name], **spread)
            if told := row.published.get(name):
                axes.errorbar(told.mean, at, xerr=told.std, fmt="D", color=DARK, markersize=4, label="published")
    axes.set_yticks(range(len(rows)), [row.name for row in rows])
    axes.invert_yaxis()
    axes.set_xlim(0, 100)
    axes.set_xlabel("recall, %")
    axes.grid(axis="x", alpha=0.3)


def _curve(axes: "Axes", rows: list[Row], found: Found) -> None:
    shares = {row.name: row.training.config.share for row in rows}
    for name, colour in COLOURS.items():
        runs = {row.name: [seed.figures for seed in found[row.training.folder]] for row in rows}
        here = [(shares[row.name], over(runs[row.name]).get(name)) for row in rows]
        there = [(share, each.mean, each.std) for share, each in here if each]
        if there:
            at, mean, spread = zip(*there, strict=True)
            axes.errorbar(at, mean, yerr=spread, color=colour, marker="o", label=NAMES[name])
        for row in rows:
            if told := row.published.get(name):
                place = (shares[row.name], told.mean)
                axes.plot(*place, "D", color=colour, markeredgecolor=DARK, markersize=6, label="published")
    axes.set_xlabel("training clips, %")
    axes.set_ylabel("recall, %")
    axes.grid(alpha=0.3)
