"""A trained model of the papers, with its words and its settings: what evaluation, fine-tuning and export take.

checkpoint = PaperCheckpoint.load(Path("runs/ce-audiocaps"))        # its best epoch
checkpoint.model, checkpoint.config, checkpoint.words
"""

from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from training.own_checkpoint import read_own
from training.papers.config import PaperConfig
from training.papers.models import PaperModel, build
from training.published import load_strict
from training.words import WordVectors

__all__ = ["BEST", "PaperCheckpoint", "save_whole", "table_of"]

BEST = "best.pt"


@dataclass(frozen=True)
class PaperCheckpoint:
    """`words` are those of the table's rows after the first; `optimiser`: its state, for fine-tuning."""

    model: PaperModel
    config: PaperConfig
    words: list[str]
    words_source: str
    epoch: int
    validation: dict[str, float]
    optimiser: dict[str, Any]

    @classmethod
    def load(cls, folder: Path, name: str = BEST) -> "PaperCheckpoint":
        path = folder / name
        if not path.is_file():
            raise FileNotFoundError(f"{folder} has no {name}: give the folder of a run of the papers' models")
        keys = ("model", "config", "words", "table", "words_source", "epoch", "validation", "optimiser")
        state = read_own(path, keys, by="training experiment")
        config = PaperConfig.of(state["config"])
        model = build(config, state["table"])
        load_strict(model, state["model"], path)
        return cls(
            model.eval(),
            config,
            state["words"],
            state["words_source"],
            state["epoch"],
            state["validation"],
            state["optimiser"],
        )

    def save(self, folder: Path) -> None:
        state = {
            "model": self.model.state_dict(),
            "config": asdict(self.config),
            "words": self.words,
            "table": table_of(self.model).cpu(),
            "words_source": self.words_source,
            "epoch": self.epoch,
            "validation": self.validation,
            "optimiser": self.optimiser,
        }
        save_whole(state, folder / BEST)

    def reading(self, vectors: WordVectors) -> "PaperCheckpoint":
        """The same, and it also reads all words of `vectors`: a word table is not trained, only what is made of it.
        ValueError where they are others than those that it was trained with."""
        table, rows = table_of(self.model), {word: row for row, word in enumerate(vectors.words)}
        common = [(row, rows[word]) for row, word in enumerate(self.words, start=1) if word in rows]
        own, given = table[[row for row, _ in common]], torch.from_numpy(vectors.vectors[[row for _, row in common]])
        if not common or not torch.equal(own, given):
            raise ValueError(
                f"this model was trained with the word vectors {self.words_source!r}, and {vectors.source!r} has other "
                "numbers for the same words: give the same ones"
            )
        known = set(self.words)
        new = [row for row, word in enumerate(vectors.words) if word not in known]
        model = build(self.config, torch.cat((table, torch.from_numpy(vectors.vectors[new]))))
        model.load_state_dict(self.model.state_dict())
        return replace(self, model=model.eval(), words=[*self.words, *(vectors.words[row] for row in new)])

    def check_fits(self, config: PaperConfig, *, source: Path) -> None:
        """ValueError where a model of `config` cannot go on from these weights, naming what differs."""
        own, asked = self.config.architecture(), config.architecture()
        apart = [f"{name} {own[name]} there, {asked[name]} here" for name in own if own[name] != asked[name]]
        if self.config.optimiser != config.optimiser:
            apart.append(f"optimiser {self.config.optimiser} there, {config.optimiser} here")
        if apart:
            raise ValueError(f"{source} is a checkpoint of another architecture: {'; '.join(apart)}")


def table_of(model: PaperModel) -> Tensor:
    """The word vectors (V + 1, W) that a model reads with; row 0 is padding."""
    return next(buffer for name, buffer in model.named_buffers() if name.rpartition(".")[2] == "words")


def save_whole(state: dict[str, Any], path: Path) -> None:
    """The old file stays until the new one is whole."""
    part = path.with_suffix(".part")
    torch.save(state, part)
    part.replace(path)
