"""A table as Markdown and JSON: each row as found here, over seeds, above what the paper printed.

path = write(experiment, sources, found, Path("runs/papers"))       # NAME.md; NAME.json beside it
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from training.datasets.readers import READERS, departures
from training.experiments.recipe import ALL, Experiment, Row
from training.experiments.sources import Sources
from training.papers.authors_evaluation import MeanStd

__all__ = ["Found", "Seed", "lines", "over", "write"]

HEADINGS = ("R@1", "R@5", "R@10", "median rank")
ABSENT = "-"


@dataclass(frozen=True)
class Seed:
    """One finished run: its figures on the test split, how many clips were left out, the trained parameters and the
    commit that trained them; `query_bank`: the figures after query-bank normalisation, where it was asked for."""

    figures: Mapping[str, float]
    skipped: int
    parameters: int
    commit: str
    query_bank: Mapping[str, float] | None = None


Found = Mapping[str, Sequence[Seed]]
"""Finished seeds by `Training.folder`."""


def write(experiment: Experiment, sources: Sources, found: Found, out: Path) -> Path:
    out.mkdir(parents=True, exist_ok=True)
    path = out / f"{experiment.name}.md"
    path.write_text("\n".join(lines(experiment, sources, found)) + "\n", encoding="utf-8")
    figures = [
        {
            "row": row.name,
            "collection": row.training.collection,
            "run": row.training.folder,
            "seeds": len(found[row.training.folder]),
            "found": {
                name: asdict(each) for name, each in over([seed.figures for seed in found[row.training.folder]]).items()
            },
            "published": {name: asdict(each) for name, each in row.published.items()},
        }
        for row in experiment.rows
    ]
    path.with_suffix(".json").write_text(json.dumps(figures, indent=2) + "\n", encoding="utf-8")
    return path


def over(runs: Sequence[Mapping[str, float]]) -> dict[str, MeanStd]:
    """Mean and sample deviation of each figure over the finished seeds; nothing of none."""
    if not runs:
        return {}
    values = {name: np.array([figures[name] for figures in runs]) for name in runs[0]}
    return {
        name: MeanStd(float(each.mean()), float(each.std(ddof=1)) if len(each) > 1 else 0.0)
        for name, each in values.items()
    }


def lines(experiment: Experiment, sources: Sources, found: Found) -> list[str]:
    """The table line by line: a part for each collection, then what to know of it."""
    commits = ", ".join(sorted({seed.commit for seeds in found.values() for seed in seeds})) or ABSENT
    command = f"`python -m training experiment {experiment.name}{experiment.flags}`, trained at commit {commits}"
    how = (
        "Mean ± standard deviation (of the sample) over seeds; every caption a query, ties at the average rank. Each "
        "run's results.json has mean rank, mAP@10, and 95 % intervals over its clips."
    )
    told = [f"# {experiment.title}", "", command, "", how]
    for collection in dict.fromkeys(row.training.collection for row in experiment.rows):
        rows = [row for row in experiment.rows if row.training.collection == collection]
        told += ["", f"## {READERS[collection].about}", "", *_part(rows, found)]
        told += _remarks(collection, rows, sources, found)
    return [*told, *(("", experiment.note) if experiment.note else ())]


def _part(rows: Sequence[Row], found: Found) -> list[str]:
    ways = [f"{way} {heading}" for way in ("T→A", "A→T") for heading in HEADINGS]
    told = [f"| system | | seeds | pool | {' | '.join(ways)} | M parameters |", "|" + "---|" * (len(ways) + 5)]
    for row in rows:
        seeds = found[row.training.folder]
        figures = over([seed.figures for seed in seeds])
        pool = f"{figures['t2a_pool'].mean:.0f}" if seeds else ABSENT
        size = f"{seeds[0].parameters / 1e6:.2f}" if seeds else ABSENT
        told.append(f"| {row.name} | here | {len(seeds)} | {pool} | {_cells(figures, seeds=len(seeds))} | {size} |")
        if banked := over([seed.query_bank for seed in seeds if seed.query_bank]):
            cells = _cells(banked, seeds=len(seeds))
            told.append(f"| | here, query-bank normalised | {len(seeds)} | {pool} | {cells} | |")
        if row.published:
            pool = f"{READERS[row.training.collection].clips['test']}"
            told.append(f"| | published | 3 | {pool} | {_cells(row.published)} | |")
    return told


def _cells(figures: Mapping[str, MeanStd], *, seeds: int = 3) -> str:
    """One seed has no deviation."""
    told = [figures.get(name) for name in ALL]
    return " | ".join(ABSENT if each is None else str(each) if seeds > 1 else f"{each.mean:.1f}" for each in told)


def _remarks(collection: str, rows: Sequence[Row], sources: Sources, found: Found) -> list[str]:
    """What of the collection is not as published, and how many clips a row had to do without."""
    read = sources.collections[collection]
    told = [f"- {each}" for each in departures(READERS[collection], read)]
    skipped = {row.name: seeds[0].skipped for row in rows if (seeds := found[row.training.folder])}
    if most := max(skipped.values(), default=0):
        rest = ", ".join(f"{name} {count}" for name, count in skipped.items() if count)
        what = f"at most {most} clips ({rest}); each run's results.json lists them"
        told.append(f"- left out, without captions, audio or features: {what}")
    return ["", *told] if told else []
