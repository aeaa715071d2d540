"""What the detection suite tells people: tables, and the plot of hits over false alerts."""

from typing import TYPE_CHECKING, Any

from benchmarks.plots import COLOURS, logarithmic
from benchmarks.report import Table
from training.bootstrap import Interval

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["detection_tables", "draw_detection"]

COLUMNS = ("hits %", "false alerts an hour", "alerts an hour", "median delay s", "90 % within s")
FIGURES = ("hits", "false_alerts_per_hour", "alerts_per_hour", "delay_median_s", "delay_p90_s")
FAR = 2.0
"""Cosines are no further apart."""


def detection_tables(name: str, found: dict[str, Any]) -> list[Table]:
    """For people: each SNR at the bundle's own thresholds, the curve over all scenes, and the rules side by side."""
    curve = found["by_snr"]["all"]["curve"]
    own = {snr: _own(part["curve"]) for snr, part in found["by_snr"].items()}
    return [
        Table(
            f"{name}: scenes as a live stream, the bundle's own thresholds (95 % interval)",
            ("SNR", "hours", "events", *COLUMNS),
            [(snr, part["hours"], part["events"], *_cells(own[snr])) for snr, part in found["by_snr"].items()],
        ),
        Table(
            f"{name}: all thresholds moved alike, all scenes",
            ("offset", *COLUMNS),
            [(f"{point['offset']:+.2f}", *_cells(point)) for point in curve],
        ),
        Table(
            f"{name}: which rule hears more at as many false alerts, all scenes",
            ("at most, an hour", "rule", *COLUMNS, "more hits than by cosine"),
            [
                (f"{each['rate']:g}", rule, *_cells(point), str(each["more_hits"]) if not i else "")
                for each in found.get("at_rates", [])
                for i, (rule, point) in enumerate(each["rules"].items())
            ],
        ),
        Table(
            f"{name}: as a service tells it, all scenes, the bundle's own thresholds",
            ("beside the best phrase", *COLUMNS),
            [
                ("however far below" if each["within"] >= FAR else f"within {each['within']:g} of it", *_cells(each))
                for each in found.get("as_told", [])
            ],
        ),
        Table(
            f"{name}: what was heard falsely, all scenes, the bundle's own thresholds",
            ("phrase", "false alerts"),
            own["all"]["false_phrases"],
        ),
    ]


def _own(curve: list[dict[str, Any]]) -> dict[str, Any]:
    return next(point for point in curve if point["offset"] == 0)


def _cells(point: dict[str, Any]) -> tuple:
    told = (point[name] for name in FIGURES)
    return tuple(str(each) if isinstance(each, Interval) else each for each in told)


def draw_detection(figure: "Figure", found: dict[str, dict[str, Any]]) -> None:
    """Hits over false alerts an hour, by contender. Above, a line an SNR, a ring at the bundle's own thresholds; below,
    over all scenes, the rules at equal rates, with the intervals of their hits."""
    rows = figure.subplots(2, len(found), squeeze=False, sharey="row")
    for (above, below), (name, each) in zip(rows.T, found.items(), strict=True):
        for (snr, part), colour in zip(each["by_snr"].items(), COLOURS, strict=False):
            above.plot(*_line(part["curve"]), marker=".", color=colour, label=snr)
            above.plot(*_line([_own(part["curve"])]), "o", ms=10, mfc="none", color=colour)
        rates = [row["rate"] for row in each["at_rates"]]
        for i, rule in enumerate(each["at_rates"][0]["rules"]):
            hits = [row["rules"][rule]["hits"] for row in each["at_rates"]]
            ends = [[hit.value - hit.low for hit in hits], [hit.high - hit.value for hit in hits]]
            places = [rate * (1 + 0.03 * i) for rate in rates]  # side by side
            below.errorbar(places, [hit.value for hit in hits], ends, marker="o", color=COLOURS[i], label=rule)
        logarithmic(below.xaxis)
        above.set_title(name, loc="left", fontsize=11)
        below.set_xlabel("false alerts an hour")
        for axes in (above, below):
            axes.grid(alpha=0.3)
    for axes, title in zip(rows[:, 0], ("SNR", "rule, all scenes"), strict=True):
        axes.set_ylabel("events heard, %")
        axes.legend(title=title)


def _line(points: list[dict[str, Any]]) -> tuple[list[float], list[float]]:
    return [point["false_alerts_per_hour"].value for point in points], [point["hits"].value for point in points]
