"""Run a table's trainings, seed after seed, and write the table after each: what is finished stays finished.

    make(experiment, sources, Path("runs/papers"), seeds=3)

A run lies in OUT/runs/TRAINING/seed-S, whatever table it belongs to: the next table that has the same row takes it from
there. An interrupted run goes on from its last whole epoch, and comes to what it would have come to. Over several GPUs:
`torchrun --nproc_per_node 4 -m training experiment NAME`.
"""

import json
import os
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from dataclasses import replace as with_
from pathlib import Path

from training.commit import commit
from training.experiments import plot
from training.experiments.recipe import Experiment, Training
from training.experiments.sources import Sources
from training.experiments.table import Found, Seed, write
from training.papers.loop import LAST, RESULTS, run

__all__ = ["GOES_ON", "Run", "leads", "make", "say"]

GIVEN = "given.json"
GOES_ON = "interrupted: the same command goes on from the last whole epoch"


def make(experiment: Experiment, sources: Sources, out: Path, *, seeds: int, device: str = "auto") -> Path:
    """The Markdown table, also as JSON and as a plot beside it. Raises what `training.papers.loop.run` does."""
    runs = [Run(training, seed, sources, out) for training in experiment.trainings() for seed in range(seeds)]
    if why := plot.missing():
        say(why)  # before the hours of training too
    clock = Clock()
    path = tabled(experiment, sources, out, seeds)
    try:
        for number, each in enumerate(runs, start=1):
            if each.came_to() is not None:
                continue
            rest = clock.left(other for other in runs if other.came_to() is None)
            say(f"{experiment.name}, run {number} of {len(runs)}{rest}: {each.folder}")
            started = time.monotonic()
            each.train(device)
            clock.took(each, time.monotonic() - started)
            path = tabled(experiment, sources, out, seeds)
    except KeyboardInterrupt:
        say(GOES_ON)
        raise
    if leads():
        say(plot.draw(experiment, found_in(experiment, sources, out, seeds), out))
    return path


@dataclass(frozen=True)
class Run:
    """One training from one seed."""

    training: Training
    seed: int
    sources: Sources
    out: Path

    @property
    def folder(self) -> Path:
        return self.out / "runs" / self.training.folder / f"seed-{self.seed}"

    @property
    def size(self) -> float:
        """Clips that it sees in training."""
        clips = len(self.sources.collections[self.training.collection].part("train"))
        return clips * self.training.config.epochs * self.training.config.share / 100

    @property
    def given(self) -> dict[str, str]:
        """What it learns from, beside its settings: a run of others is none of this table."""
        return {"clips": self.sources.clips[self.training.collection], "vectors": self.sources.vectors.source}

    def came_to(self) -> Seed | None:
        """Or None where it has not ended. ValueError: it was given other clips or words."""
        try:
            given = json.loads((self.folder / GIVEN).read_text(encoding="utf-8"))
            told = json.loads((self.folder / RESULTS).read_text(encoding="utf-8"))
        except (FileNotFoundError, json.JSONDecodeError):
            return None
        trained_at = given.pop("commit")
        if given != self.given:
            raise ValueError(f"{self.folder} was trained on {given}, but there is {self.given}: give another --out")
        return Seed(told["test"], len(told["skipped"]), told["parameters"], trained_at, told.get("query_bank"))

    def train(self, device: str) -> None:
        """Begin, or go on."""
        before = self.training.start
        if leads():
            self.folder.mkdir(parents=True, exist_ok=True)
            (self.folder / GIVEN).write_text(json.dumps(self.given | {"commit": commit()}), encoding="utf-8")
        run(
            self.sources.collections[self.training.collection],
            self.sources.stores[self.training.collection],
            self.sources.vectors,
            with_(self.training.config, seed=self.seed, device=device),
            self.folder,
            start_from=with_(self, training=before).folder if before else None,
            resume=True,
        )
        if leads():
            (self.folder / LAST).unlink(missing_ok=True)  # as large as the best epoch, and no longer needed


class Clock:
    """How long the rest takes, by how long each clip and epoch has taken in this call."""

    def __init__(self) -> None:
        self.seconds, self.done = 0.0, 0.0

    def took(self, ended: Run, seconds: float) -> None:
        self.seconds += seconds
        self.done += ended.size

    def left(self, rest: Iterator[Run]) -> str:
        """Nothing before a run has ended."""
        if not self.done:
            return ""
        minutes = sum(each.size for each in rest) * self.seconds / self.done / 60
        return f", about {minutes / 60:.1f} h left" if minutes >= 90 else f", about {minutes:.0f} min left"


def found_in(experiment: Experiment, sources: Sources, out: Path, seeds: int) -> Found:
    """The finished seeds of every row, by its training's folder."""
    runs = {
        row.training.folder: [Run(row.training, seed, sources, out).came_to() for seed in range(seeds)]
        for row in experiment.rows
    }
    return {folder: [each for each in ended if each is not None] for folder, ended in runs.items()}


def tabled(experiment: Experiment, sources: Sources, out: Path, seeds: int) -> Path:
    """The table of what there is so far."""
    if leads():
        write(experiment, sources, found_in(experiment, sources, out, seeds), out)
    return out / f"{experiment.name}.md"


def leads() -> bool:
    """Of several processes that torchrun has started the first one writes and tells."""
    return os.environ.get("RANK", "0") == "0"


def say(text: str) -> None:
    """Progress, on standard error: standard output is for the table."""
    if leads():
        print(text, file=sys.stderr, flush=True)
