"""What a table of a paper is made of: rows, each of one training from several seeds, beside the published figures.

    Row("CNN14", Training("clotho", config), published(R1_R10, "13.1±0.2 45.1±0.3 13.0±0.2 45.4±0.8"))

Two rows with the same training, in one table or in two, are trained once: `Training.folder` is named after all that
matters to the weights.
"""

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from training.papers.authors_evaluation import MeanStd
from training.papers.config import PaperConfig

__all__ = ["ALL", "R1_R10", "Experiment", "Row", "Training", "published"]

FLAGS = {"padded": "--masked", "query_bank": "--query-bank"}
"""What the command calls settings that differ from the papers', where not by their names and values."""
WAYS = ("t2a", "a2t")
R1_R10 = tuple(f"{way}_{name}" for way in WAYS for name in ("r1", "r10"))
ALL = tuple(f"{way}_{name}" for way in WAYS for name in ("r1", "r5", "r10", "median_rank"))


@dataclass(frozen=True)
class Training:
    """A system trained on a collection (a name of `datasets.readers`); `start`: the training whose weights it begins
    with, seed by seed. The configuration's seed is each run's own."""

    collection: str
    config: PaperConfig
    start: "Training | None" = None

    @property
    def folder(self) -> str:
        """A name for its runs: what it is, and a digest of every setting."""
        experts = "-".join(expert.name for expert in self.config.experts)
        settings = {name: value for name, value in asdict(self.config).items() if name not in ("seed", "device")}
        before = self.start.folder if self.start else None
        text = json.dumps([self.collection, settings, before], sort_keys=True)
        return f"{self.collection}-{self.config.model}-{experts}-{hashlib.sha256(text.encode()).hexdigest()[:8]}"

    def chain(self) -> Iterator["Training"]:
        """Those it begins with, the first one first, and itself."""
        if self.start:
            yield from self.start.chain()
        yield self

    def having(self, settings: Mapping[str, Any]) -> "Training":
        """With other settings than the paper's, all along the chain."""
        start = self.start.having(settings) if self.start else None
        return Training(self.collection, replace(self.config, **settings), start)


@dataclass(frozen=True)
class Row:
    """`published` figures by the names of `BothWays.figures`; those that the paper does not print are absent."""

    name: str
    training: Training
    published: Mapping[str, MeanStd] = field(default_factory=dict)


@dataclass(frozen=True)
class Experiment:
    """`note`: what the reader of the table must know of how it was made, and of what the paper leaves open. `curve`:
    its rows differ in the share of training items, which is the axis of its plot. `flags`: of the command, where it
    has other settings than the paper's."""

    name: str
    title: str
    rows: tuple[Row, ...]
    note: str = ""
    curve: bool = False
    flags: str = ""

    def trainings(self) -> list[Training]:
        """Each once, in an order in which every one comes after those it begins with."""
        found: dict[str, Training] = {}
        for row in self.rows:
            for each in row.training.chain():
                found.setdefault(each.folder, each)
        return list(found.values())

    def having(self, settings: Mapping[str, Any]) -> "Experiment":
        """With other settings than the paper's, which the note then tells."""
        if not settings:
            return self
        rows = tuple(replace(row, training=row.training.having(settings)) for row in self.rows)
        named = {name: f"--{name} {value}".replace("_", "-") for name, value in settings.items()}
        flags = "".join(f" {FLAGS.get(name, flag)}" for name, flag in named.items())
        return replace(self, rows=rows, flags=flags, note=f"Not the paper's settings:{flags}. {self.note}".rstrip())


def published(names: Sequence[str], figures: str) -> dict[str, MeanStd]:
    """Figures as a paper prints them: "29.3±0.3 79.3±1.0 …", in the order of `names`."""
    pairs = [text.split("±") for text in figures.split()]
    return {name: MeanStd(float(mean), float(std)) for name, (mean, std) in zip(names, pairs, strict=True)}
