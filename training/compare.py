"""The papers' comparisons on the shared sounds: contenders that differ in one thing, each trained from three seeds.

    python -m training compare features     # LMS, MFCC, a slim CNN14, mn04 -> benchmarks/results/features.md
    python -m training compare poolings     # mean, max, LSTM, NetVLAD, NetRVLAD -> benchmarks/results/poolings.md

What they hear comes first, of each one copy beside the clean one (`--copies 1`): `python -m training features`, and the
same with `--student lms`, `--student mfcc` and `--student runs/slim`, which `distil` made.

Every contender is the same dual encoder, trained the same number of epochs on the same copies of the clips. What is
finished is read again from its `report.json`, and an interrupted run goes on where it was.
"""

import itertools
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from training.caption_teacher import CaptionTeacher
from training.commit import commit
from training.features import Features, load
from training.sounds import Clip
from training.train import Checkpoint, TrainConfig, train
from training.words import WordVectors

__all__ = ["TABLES", "Contender", "Setting", "Table", "cell", "commit", "compare", "markdown"]

FIGURES = {
    f"{task}_{way}_{figure}": f"{task} {way.upper().replace('2', '→')} R@{figure[1:]}"
    for task in ("labels", "captions")
    for way in ("t2a", "a2t")
    for figure in ("r1", "r10")
}
"""The columns: a headline number of `training.evaluate.Report`, and its heading."""


@dataclass(frozen=True)
class Contender:
    """One row: its name, the folder of its features under the runs, and what it sets in TrainConfig. Contenders of two
    tables with one `run` are the same training."""

    name: str
    run: str
    features: str
    config: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Table:
    """`order`: what the paper found, by the contenders' names: each of a group lies below each of the next. `source`:
    where. `note`: what a reader of the figures must know."""

    title: str
    source: str
    order: tuple[tuple[str, ...], ...]
    contenders: tuple[Contender, ...]
    config: dict[str, Any] = field(default_factory=dict)
    note: str = ""


@dataclass(frozen=True)
class Setting:
    """What all contenders of a table have in common. `copies` of each clip are heard, the clean one first; `precision`
    is TrainConfig's."""

    clips: Sequence[Clip]
    vectors: WordVectors
    teacher: CaptionTeacher | None
    runs: Path
    epochs: int
    seeds: int
    copies: int
    precision: str = "auto"

    @property
    def flags(self) -> str:
        """Those of the command that made them so."""
        precision = "" if self.precision == "auto" else f" --precision {self.precision}"
        return f"--epochs {self.epochs} --seeds {self.seeds} --copies {self.copies}{precision}"

    @property
    def home(self) -> Path:
        """Runs of other settings lie elsewhere."""
        precision = "" if self.precision == "auto" else f"-{self.precision}"
        return self.runs / "compare" / f"{self.epochs}-epochs-{self.copies}-copies{precision}"


def _pooled(name: str, pooling: str) -> Contender:
    """mn04's segments and the words, both pooled so."""
    run = "mn04" if pooling == "netrvlad" else f"mn04-{pooling}"
    return Contender(name, run, "features", {"audio_pooling": pooling, "text_pooling": pooling})


OWN = {"tag_weight": 0.0}
"""The tags that features bring are mn04's: what a contender hears must be its own."""

TABLES = {
    "features": Table(
        title="Audio features, pooled by NetRVLAD",
        source="Table 1, where MFCC is not, and the networks are VGGish, VGGSound's ResNet18 and CNN14",
        order=(("LMS", "MFCC"), ("slim CNN14", "mn04")),
        contenders=(
            Contender("LMS", "lms", "features/lms"),
            Contender("MFCC", "mfcc", "features/mfcc"),
            Contender("slim CNN14", "slim", "slim/features"),
            Contender("mn04", "mn04", "features"),
        ),
        config=OWN,
        note="The slim CNN14 was distilled from mn04 on the training clips of these very sounds, labels included; "
        "mn04 is as published, trained on AudioSet alone.",
    ),
    "poolings": Table(
        title="Poolings of mn04's segments and of the words",
        source="Table 2, on both of its collections",
        order=(("mean", "max", "LSTM"), ("NetVLAD",), ("NetRVLAD",)),
        contenders=(
            _pooled("mean", "mean"),
            _pooled("max", "max"),
            _pooled("LSTM", "lstm"),
            _pooled("NetVLAD", "netvlad"),
            _pooled("NetRVLAD", "netrvlad"),
        ),
        config=OWN,
    ),
}


def compare(name: str, setting: Setting, *, say: Callable[[str], None] = print) -> str:
    """Train what is missing of one table, seed by seed, and return it as Markdown."""
    table = TABLES[name]
    reports: dict[str, list[dict[str, Any]]] = {contender.name: [] for contender in table.contenders}
    for seed in range(setting.seeds):
        for contender in table.contenders:
            reports[contender.name].append(
                _report(contender, table, setting, setting.home / f"{contender.run}-{seed}", seed, say)
            )
    return markdown(name, table, reports, setting)


def markdown(name: str, table: Table, reports: dict[str, list[dict[str, Any]]], setting: Setting) -> str:
    """`reports`: of each contender, one of each seed: its `figures`, and the `commit` that trained it. A cell has their
    mean and standard deviation (of a sample)."""
    rows = {contender: [each["figures"] for each in found] for contender, found in reports.items()}
    commits = sorted({each["commit"] for found in reports.values() for each in found})
    lines = [
        f"# {table.title}",
        "",
        f"`python -m training compare {name} {setting.flags}`, trained at commit {', '.join(commits)}",
        "",
        f"Shared sounds, test split: {', '.join(_pools(setting.clips))}. Percent, mean ± standard deviation of"
        f" {setting.seeds} seeds; {setting.epochs} epochs, copies of each clip: {setting.copies}.",
        "",
        f"| {name} | {' | '.join(FIGURES.values())} |",
        f"|---|{'---|' * len(FIGURES)}",
    ]
    for contender, found in rows.items():
        cells = [cell([figures[key] for figures in found]) for key in FIGURES]
        lines.append(f"| {contender} | {' | '.join(cells)} |")
    note = ["", table.note] if table.note else []
    return "\n".join([*lines, "", *_verdict(table, rows), *note, ""])


def _report(
    contender: Contender, table: Table, setting: Setting, out: Path, seed: int, say: Callable[[str], None]
) -> dict[str, Any]:
    """The test figures of one training, read where they are there."""
    report = out / "report.json"
    if report.exists():
        return json.loads(report.read_text())
    own = {"epochs": setting.epochs, "precision": setting.precision, "seed": seed}
    config = TrainConfig(**{**table.config, **contender.config, **own})
    copies = _copies(setting.runs / contender.features, setting.copies)
    train(
        setting.clips, copies, setting.vectors, config, out, teacher=setting.teacher, resume=(out / "last.pt").exists()
    )
    found = {"commit": commit(), "figures": Checkpoint.load(out).evaluate(setting.clips, copies[0], "test").figures()}
    part = report.with_suffix(".part")
    part.write_text(json.dumps(found) + "\n")
    part.replace(report)
    (out / "last.pt").unlink()  # nothing is left to go on with; it is the larger part of what a run keeps
    say(f"{out.name}: {json.dumps(found['figures'])}")
    return found


def _copies(folder: Path, count: int) -> list[Features]:
    paths = sorted(folder.glob("*-*.npz"))[:count]
    if len(paths) < count:
        raise FileNotFoundError(
            f"{folder} holds {len(paths)} copies of the clips, {count} are compared: run `python -m training features` "
            "for mn04's, with --student lms, mfcc or runs/slim for the others"
        )
    return load(paths)


def _pools(clips: Sequence[Clip]) -> list[str]:
    test = [clip for clip in clips if clip.split == "test"]
    captions = {(text, clip.recording) for clip in test for text in clip.captions}
    return [f"{len(test)} clips", f"{len({clip.label for clip in test})} labels", f"{len(captions)} captions"]


def cell(values: Sequence[float]) -> str:
    """Mean and standard deviation (of a sample), where there are several."""
    return f"{np.mean(values):.1f} ± {_deviation(values):.1f}" if len(values) > 1 else f"{values[0]:.1f}"


def _deviation(values: Sequence[float]) -> float:
    """0 of one seed."""
    return float(np.std(values, ddof=1)) if len(values) > 1 else 0.0


def _verdict(table: Table, rows: dict[str, list[dict[str, float]]]) -> list[str]:
    """Whether the paper's order holds, step by step, each by the means of every column."""
    values = {name: {key: [each[key] for each in found] for key in FIGURES} for name, found in rows.items()}
    steps, whole = [], True
    for low, high in itertools.pairwise(table.order):
        gaps, within = [], 0
        for key in FIGURES:
            best, worst = (
                choose(group, key=lambda name: np.mean(values[name][key]))
                for choose, group in ((max, low), (min, high))
            )
            gaps.append(np.mean(values[worst][key]) - np.mean(values[best][key]))
            within += abs(gaps[-1]) <= max(_deviation(values[name][key]) for name in (best, worst))
        held = sum(gap > 0 for gap in gaps)
        whole = whole and held == len(gaps)
        steps.append(
            f"- {' and '.join(high)} above {', '.join(low)}: in {held} of {len(gaps)} columns, by {min(gaps):.1f} to "
            f"{max(gaps):.1f} points (worst against best), in {within} no more than the seeds' deviation"
        )
    order = " < ".join(", ".join(group) for group in table.order)
    told = "holds here in every column" if whole else "does not hold here in every column"
    return [f"The paper's order, {order} ({table.source}), {told}:", "", *steps]
