"""Lines that a bundle should hold, and whether it does: each a measured figure beside its bound.

`lines(found)` reads the figures of a bundle's suites; a line whose suite has not run is left out. Bounds of single
figures are held by the figure itself; its interval stands in the suite's own table. Of the figures against fp32, one of
so few queries that a single answer moves it by more than the bound counts in the mean of all alone.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from benchmarks.report import Table
from benchmarks.retrieval.search import HUBS_HELD_DOWN, RECALLED

__all__ = ["Line", "fp32_table", "line_table", "lines", "quantised_changes", "told_lines"]

TOP1 = {"esc50": 90.0, "kitchen20": 84.0, "urbansound8k": 89.0}
CAPTIONS_R10 = 75.0
NARROW, NARROW_COST = "rate 16 kHz", 3.0
QUANTISED_COST = 0.7
NOISES = ("silence", "white noise")


@dataclass(frozen=True)
class Line:
    what: str
    found: float
    bound: float
    at_most: bool = False

    @property
    def holds(self) -> bool:
        return self.found <= self.bound if self.at_most else self.found >= self.bound


def lines(found: dict[str, Any]) -> list[Line]:
    """`found`: the figures of one bundle, by suite."""
    return [
        *_closed(found.get("closed")),
        *_searched(found.get("search")),
        *_robust(found.get("robust")),
        *_no_sound(found.get("no_sound")),
        *_quantised(found),
    ]


def told_lines(found: dict[str, Any]) -> list[dict[str, Any]]:
    """For JSON."""
    return [{**vars(each), "holds": each.holds} for each in lines(found)]


def _closed(closed: dict[str, Any] | None) -> Iterator[Line]:
    if not closed:
        return
    for name, bound in TOP1.items():
        if name in closed["names"]:
            yield Line(f"{name}: top-1 among its class names, %", closed["names"][name].value, bound)
    if closed["captions"]:
        found = closed["captions"]["text->audio"]["r10"].value
        yield Line(f"captions search {closed['captions']['pool']} clips: R@10, %", found, CAPTIONS_R10)
        if among := closed["captions"].get("among captioned"):
            what = f"captions search the {closed['captions']['clips']} clips that have captions: R@10, %"
            yield Line(what, among["r10"].value, CAPTIONS_R10)


def _searched(search: dict[str, Any] | None) -> Iterator[Line]:
    """As the archive ranks moments, where that is not by cosines alone."""
    for ranking in (HUBS_HELD_DOWN, RECALLED) if search else ():
        if found := search["rankings"].get(ranking, {}).get("captions"):
            yield Line(f"captions search {search['clips']} clips, {ranking}: R@10, %", found["r10"].value, CAPTIONS_R10)


def _robust(robust: dict[str, Any] | None) -> Iterator[Line]:
    if not robust:
        return
    cost = -robust["variants"][NARROW]["r1_change"].value
    yield Line("16 kHz input costs points of R@1", cost, NARROW_COST, at_most=True)


def _no_sound(no_sound: dict[str, Any] | None) -> Iterator[Line]:
    if not no_sound:
        return
    told = [row["false_alert"] for name, row in no_sound.items() if name.startswith(NOISES)]
    yield Line(f"false alerts of {len(told)} sounds of silence and white noise", sum(told), 0, at_most=True)


def _quantised(found: dict[str, Any]) -> Iterator[Line]:
    if "fp32" not in found or "closed" not in found:
        return
    changes = quantised_changes(found)
    costs = [-change for change, queries in changes.values() if 100 / queries <= QUANTISED_COST]
    if costs:
        yield Line(
            f"quantised against fp32: the dearest of {len(costs)} figures, points", max(costs), QUANTISED_COST, True
        )
    mean = -sum(change for change, _ in changes.values()) / len(changes)
    yield Line(f"quantised against fp32: the mean of {len(changes)} figures, points", mean, QUANTISED_COST, True)


def quantised_changes(found: dict[str, Any]) -> dict[str, tuple[float, int]]:
    """By figure: quantised less fp32, in points, and of how many queries."""
    shipped, fp32 = _flat(found["closed"]), _flat(found["fp32"]["closed"])
    return {name: (value - fp32[name][0], queries) for name, (value, queries) in shipped.items()}


def _flat(closed: dict[str, Any]) -> dict[str, tuple[float, int]]:
    """Each closed figure and the number of its queries."""
    flat = {
        f"{name} top-1": (value.value, closed["names_pool"][name]["clips"]) for name, value in closed["names"].items()
    }
    for task, asked in (("labels", "labels"), ("captions", "captions")):
        table = closed[task]
        for way, queries in (("text->audio", asked), ("audio->text", "clips")):
            for name, value in table.get(way, {}).items():
                flat[f"{task} {way} {name}"] = (value.value, table[queries])
    return flat


def line_table(name: str, found: dict[str, Any]) -> Table:
    """For people."""
    return Table(
        f"{name}: the lines that it should hold",
        ("line", "measured", "bound", "holds"),
        [
            (each.what, f"{each.found:z.1f}", f"{'≤' if each.at_most else '≥'} {each.bound:g}", _yes(each.holds))
            for each in lines(found)
        ],
    )


def fp32_table(name: str, found: dict[str, Any]) -> Table:
    """The shipped precision beside the network as trained."""
    shipped, fp32, changes = _flat(found["closed"]), _flat(found["fp32"]["closed"]), quantised_changes(found)
    return Table(
        f"{name}: quantised and fp32, %",
        ("figure", "queries", "quantised", "fp32", "change"),
        [
            (figure, queries, f"{shipped[figure][0]:.1f}", f"{fp32[figure][0]:.1f}", f"{change:+z.1f}")
            for figure, (change, queries) in changes.items()
        ],
    )


def _yes(holds: bool) -> str:
    return "yes" if holds else "no"
