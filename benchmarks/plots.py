"""What several plots share: bars of milliseconds with quartiles as whiskers, and logarithmic axes that can be read.

bars(figure, ["eager", "stream"], {"1 thread": [timing, timing]}, title="…")
logarithmic(axes.xaxis)
"""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from benchmarks.timing import Timing

if TYPE_CHECKING:
    from matplotlib.axis import Axis
    from matplotlib.figure import Figure

__all__ = ["COLOURS", "bars", "logarithmic"]

COLOURS = ("#2a6f97", "#e07a5f", "#81b29a", "#b8860b", "#6d597a", "#444444")


def logarithmic(axis: "Axis") -> None:
    """Ticks at 1, 2 and 5, as plain numbers."""
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

    (axis.axes.set_xscale if axis.axis_name == "x" else axis.axes.set_yscale)("log")
    axis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}" if value < 1e4 else f"{value:,.0f}"))
    axis.set_minor_formatter(NullFormatter())


def bars(figure: "Figure", labels: Sequence[str], series: Mapping[str, Sequence[Timing | None]], *, title: str) -> None:
    """A group of bars for each label, one bar each series; None leaves a gap."""
    axes = figure.add_subplot()
    height = 0.8 / len(series)
    for i, (name, timings) in enumerate(series.items()):
        for row, timing in enumerate(timings):
            if timing is None:
                continue
            at = row + (i - (len(series) - 1) / 2) * height
            spread = [[timing.median_ms - timing.q1_ms], [timing.q3_ms - timing.median_ms]]
            axes.barh(
                at,
                timing.median_ms,
                height * 0.92,
                xerr=spread,
                color=COLOURS[i],
                error_kw={"lw": 1, "ecolor": "#222"},
                label=name if row == 0 else None,
            )
            told = f"{timing.median_ms:.0f}" if timing.median_ms >= 100 else f"{timing.median_ms:.3g}"
            axes.text(timing.q3_ms * 1.08, at, told, va="center", fontsize=8)
    axes.set_yticks(range(len(labels)), labels)
    axes.invert_yaxis()
    logarithmic(axes.xaxis)
    low, high = axes.get_xlim()
    axes.set_xlim(low, high * 1.5)
    axes.set_xlabel("milliseconds (median, quartiles; logarithmic)")
    axes.set_title(title, loc="left", fontsize=11)
    axes.grid(axis="x", alpha=0.3)
    axes.set_axisbelow(True)
    if len(series) > 1:
        axes.legend()
