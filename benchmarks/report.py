"""What a benchmark says: tables for people, plots, and one JSON line last.

publish(Report("latency", figures, tables, notes, draw), card, out=Path("runs/bench"), as_json=False)
"""

import dataclasses
import json
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.machine import MachineCard

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["Report", "Table", "plain", "publish", "say", "shown"]

Cell = str | int | float | None


@dataclass(frozen=True)
class Table:
    title: str
    columns: Sequence[str]
    rows: Sequence[Sequence[Cell]]


@dataclass(frozen=True)
class Report:
    """`figures` go into the JSON line; `draw(figure)` fills an empty matplotlib figure, by the name of its file."""

    name: str
    figures: dict[str, Any]
    tables: Sequence[Table]
    notes: Sequence[str] = ()
    draw: dict[str, Callable[["Figure"], None]] = field(default_factory=dict)


def say(text: str) -> None:
    """Progress, on standard error: standard output is for results."""
    print(text, file=sys.stderr, flush=True)


def publish(report: Report, card: MachineCard, *, out: Path, as_json: bool) -> None:
    """Print and plot a report. With `as_json` standard output has the JSON line alone."""
    plots, lacking = _plots(report, out)
    notes = [*report.notes, *lacking]
    if not as_json:
        _print_tables(report.tables, card, notes, plots)
    line = {
        "benchmark": report.name,
        **plain(report.figures),
        "notes": notes,
        "plots": [str(path) for path in plots],
        "machine": dataclasses.asdict(card),
    }
    print(json.dumps(line, ensure_ascii=False), flush=True)


def _plots(report: Report, out: Path) -> tuple[list[Path], list[str]]:
    if not report.draw:
        return [], []
    try:
        from matplotlib.figure import Figure
    except ImportError:
        return [], ["no plots: matplotlib is not here (pip install 'earmark[bench]')"]
    out.mkdir(parents=True, exist_ok=True)
    written = []
    for name, draw in report.draw.items():
        figure = Figure(figsize=(9, 5), layout="constrained")
        draw(figure)
        path = out / f"{name}.png"
        figure.savefig(path, dpi=110)
        written.append(path)
    return written, []


def _print_tables(tables: Sequence[Table], card: MachineCard, notes: Sequence[str], plots: Sequence[Path]) -> None:
    from rich.console import Console
    from rich.table import Table as RichTable

    console = Console(width=None if sys.stdout.isatty() else 140, highlight=False)
    for table in tables:
        printed = RichTable(title=table.title, title_justify="left")
        for i, column in enumerate(table.columns):
            printed.add_column(column, justify="right" if i and _numeric(table.rows, i) else "left")
        for row in table.rows:
            printed.add_row(*map(shown, row))
        console.print(printed)
    for line in [*_about(card), *notes, *(f"plot: {path}" for path in plots)]:
        console.print(line, markup=False)


def _about(card: MachineCard) -> list[str]:
    after = card.after or card.before
    state = [f"load {card.before.load} before, {after.load} after"]
    if card.governor:
        state.append(f"governor {card.governor}")
    if after.temperature_c is not None:
        state.append(f"{card.before.temperature_c} °C before, {after.temperature_c} °C after")
    if after.throttling is not None:
        state.append("throttling: " + (", ".join(after.throttling) or "none"))
    libraries = ", ".join(f"{name} {version}" for name, version in card.libraries.items())
    return [
        f"machine: {card.board} {card.cpu}, {card.cores} cores, {' '.join(card.instructions)}, {card.memory_gib} GiB",
        f"         {'; '.join(state)}",
        f"         {libraries}; Python {card.python}; commit {card.commit or 'unknown'}",
    ]


def shown(value: Cell) -> str:
    """A cell as a table has it."""
    if value is None:
        return "–"
    if isinstance(value, float):
        return f"{value:.3g}" if abs(value) < 100 else f"{value:.0f}"
    return str(value)


def _numeric(rows: Sequence[Sequence[Cell]], column: int) -> bool:
    return all(not isinstance(row[column], str) for row in rows)


def plain(value: Any) -> Any:
    """For JSON: dataclasses as objects, floats to six digits."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        value = dataclasses.asdict(value)
    if isinstance(value, dict):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    return float(f"{value:.6g}") if isinstance(value, float) else value
