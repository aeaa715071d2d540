"""What a run of the papers' systems came to: its best epoch on the test split, as the authors measure it.

results = measured(collection, stores, texts, "val", losses, Path("runs/ce-clotho-0"), device)
results.test.text_to_audio.r1, results.intervals["t2a_r1"]
"""

import json
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch

from training.bootstrap import Interval
from training.datasets.collection import Collection, Skipped
from training.papers.authors_evaluation import BothWays, evaluate, intervals
from training.papers.checkpoint import PaperCheckpoint
from training.papers.joint import similarity
from training.papers.models import parameters
from training.papers.query_bank import normalised
from training.papers.scoring import Stores, embedded_clips, embedded_texts, scored
from training.papers.token_lookup import Texts

__all__ = ["Results", "measured"]

BANK = 5000
"""Training clips, with one caption each, that stand for the queries of the world, at most."""


@dataclass(frozen=True)
class Results:
    """Of the best epoch. `chosen_on` is the split that chose it: "test" where a collection has no validation clips, as
    ActivityNet-Captions had none in paper 2. `skipped`: clips without any of the experts, and the reader's own.
    `unknown`: captions of which no word has a vector. `query_bank`: the test after normalisation, where asked for."""

    validation: BothWays
    test: BothWays
    intervals: dict[str, Interval]
    query_bank: BothWays | None
    chosen_on: str
    epoch: int
    losses: tuple[float, ...]
    parameters: int
    skipped: tuple[Skipped, ...]
    unknown: tuple[str, ...]

    def save(self, path: Path) -> None:
        """As JSON, with the figures by their flat names."""
        flat = asdict(self) | {"validation": self.validation.figures(), "test": self.test.figures()}
        flat["query_bank"] = self.query_bank.figures() if self.query_bank else None
        path.write_text(json.dumps(flat, indent=2) + "\n", encoding="utf-8")


def measured(
    collection: Collection,
    stores: Stores,
    texts: Texts,
    chosen_on: str,
    losses: list[float],
    out: Path,
    device: torch.device,
) -> Results:
    """The best epoch in `out`, on the split that chose it and on the test split."""
    best = PaperCheckpoint.load(out)
    config, model = best.config, best.model
    model.to(device)
    test = collection.part("test") or collection.part(chosen_on)
    scores, owner = scored(model, test, stores, texts, config)
    return Results(
        validation=evaluate(*scored(model, collection.part(chosen_on), stores, texts, config)),
        test=evaluate(scores, owner),
        intervals=intervals(scores, owner, seed=config.seed),
        query_bank=banked(collection, stores, texts, best, scores, owner) if config.query_bank else None,
        chosen_on=chosen_on,
        epoch=best.epoch,
        losses=tuple(losses),
        parameters=parameters(model),
        skipped=collection.skipped,
        unknown=texts.unknown,
    )


def banked(
    collection: Collection,
    stores: Stores,
    texts: Texts,
    best: PaperCheckpoint,
    scores: np.ndarray,
    owner: np.ndarray,
) -> BothWays:
    """The test split after query-bank normalisation; the bank is the training clips and their captions."""
    rng = np.random.default_rng(best.config.seed)
    train, test = collection.part("train"), collection.part("test")
    bank = [train[i] for i in rng.permutation(len(train))[:BANK]]
    clips, captions = embedded_clips, embedded_texts
    model, config = best.model, best.config
    asked = captions(model, [str(rng.choice(item.captions)) for item in bank], texts, config)
    told = captions(model, [text for item in test for text in item.captions], texts, config)
    by_text = similarity(*asked, *clips(model, test, stores, config)).cpu().numpy()  # (B, A)
    by_clip = similarity(*told, *clips(model, bank, stores, config)).cpu().numpy()  # (T, B)
    return evaluate(normalised(scores, by_text), owner, of_clips=normalised(scores.T, by_clip.T))
