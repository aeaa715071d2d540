"""The open protocol: sounds of collections and of labels that training never had (training/hold_out.py).

    python -m training train --hold-out open --out runs/open/train
    python -m training fallback runs/open/train --student runs/stream --out runs/open/head
    python -m benchmarks retrieval --suite open --checkpoint runs/open/train --checkpoint runs/open/head

Three sets of clips: *unseen sources* (whole collections), *unseen labels* (of the other collections), and, for
comparison, *seen* (the rest of the test split). A checkpoint answers from the features that training kept; beside it
- *ConSE* (Norouzi et al. 2014), which is not trained on any of these sounds: the mean of the word vectors of the ten
  likeliest AudioSet classes, weighted by the teacher's probabilities, against the mean of the label's word vectors;
- the bundles, of the *closed* protocol: they have trained on these labels and collections, and so are only asked about
  the test split.
Clips are held against the labels of their own set, and (`among_all`) against all labels of all clips.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.report import Table
from benchmarks.retrieval.closed import LabelTable, queried
from benchmarks.retrieval.contender import Contender, watched
from edge_runtime.errors import EarmarkError
from edge_runtime.tokenizer import Tokenizer
from training.bootstrap import Draws, Interval
from training.features import Features, class_names, load
from training.hold_out import HoldOut
from training.label_names import tidy_label
from training.sounds import Clip
from training.train import Checkpoint

__all__ = ["conse", "open_protocol", "open_tables"]

LIKELIEST = 10
"""Classes that ConSE mixes, as in its paper."""
SETS = {"source": "unseen sources", "label": "unseen labels", None: "seen"}


@dataclass(frozen=True)
class Answering:
    """Who answers: `windows[i] (W_i, E)` of clip i by its row (None: not heard), and its texts -> (n, E)."""

    name: str
    windows: dict[int, np.ndarray]
    texts: Callable[[Sequence[str]], np.ndarray]
    test_only: bool


def open_protocol(
    clips: Sequence[Clip],
    checkpoints: Sequence[Path],
    contenders: Sequence[Contender],
    *,
    features: Path,
    weights: Path,
    limit: int | None,
    seed: int,
) -> dict[str, Any]:
    """Figures by set, split and who answers; ConSE in the word space of the first of `checkpoints`, one at least.
    `clips`: all of them, in the rows of the features."""
    trained = {str(folder): Checkpoint.load(folder) for folder in checkpoints}
    for name, each in trained.items():
        if each.config.get("hold_out") != "open":
            raise EarmarkError(
                f"{name} was trained on every label: train one with `python -m training train --hold-out open`"
            )
    copies = sorted(features.glob("*-0.npz"))
    if len(copies) != 1:
        raise FileNotFoundError(f"{features} holds {len(copies)} clean features (*-0.npz), expected 1: give --features")
    held = HoldOut.of(clips)
    sets: dict[str, list[int]] = {name: [] for name in SETS.values()}
    for row, clip in enumerate(clips):
        why = held.why(clip)
        if why in SETS and (why or clip.split == "test"):
            sets[SETS[why]].append(row)
    if limit:
        sets = {name: _some(rows, limit) for name, rows in sets.items()}
    clean = load(copies)[0].of_clips({row for rows in sets.values() for row in rows})
    everyone = [
        *(_embedded(f"open: {name}" if len(trained) > 1 else "open", clean, each) for name, each in trained.items()),
        conse(clean, class_names(weights), next(iter(trained.values()))),
        *(_heard(each, clips, [row for rows in sets.values() for row in rows]) for each in contenders),
    ]
    every_label = sorted({clip.label for clip in clips})
    found: dict[str, Any] = {}
    for name, rows in sets.items():
        for split, part in (("test", [row for row in rows if clips[row].split == "test"]), ("every split", rows)):
            if part and not (split == "every split" and name == "seen"):
                found.setdefault(name, {})[split] = {
                    "clips": len(part),
                    "recordings": len({clips[row].recording for row in part}),
                    "labels": len({clips[row].label for row in part}),
                    "by": {
                        each.name: _figures(each, clips, part, every_label, seed=seed)
                        for each in everyone
                        if split == "test" or not each.test_only
                    },
                }
    configs = {name: each.config for name, each in trained.items()}
    return {"checkpoints": configs, "held_labels": sorted(held.labels), "sets": found}


def _embedded(name: str, clean: Features, trained: Checkpoint) -> Answering:
    """What a checkpoint answers, in windows as long as those that it was trained on."""
    heard = trained.in_windows(clean)
    embeddings = trained.embed_windows(heard)
    windows = {row: embeddings[own] for row, own in heard.rows_by_clip().items()}
    return Answering(name, windows, trained.embed_text, False)


def conse(features: Features, names: Sequence[str], trained: Checkpoint) -> Answering:
    """The untrained answer, in the space of the checkpoint's word vectors."""
    vectors = trained.model.state_dict()["words"].numpy()  # (V + 1, 300), row 0 is padding
    classes = _word_means(names, vectors, trained.tokenizer)
    likeliest = np.argsort(-features.tags, axis=1)[:, :LIKELIEST]  # (N, 10)
    shares = np.take_along_axis(features.tags, likeliest, axis=1).astype(np.float32)
    mixed = _unit(np.einsum("nk,nkd->nd", shares, classes[likeliest]))
    windows = {row: mixed[own] for row, own in features.rows_by_clip().items()}
    return Answering("ConSE", windows, lambda texts: _word_means(texts, vectors, trained.tokenizer), False)


def _word_means(texts: Sequence[str], vectors: np.ndarray, tokenizer: Tokenizer) -> np.ndarray:
    """The mean word vector of each text, (n, 300), unit length."""
    return _unit(np.stack([vectors[tokenizer.encode(text)].mean(axis=0) for text in texts]))


def _unit(rows: np.ndarray) -> np.ndarray:
    return rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-12)


def _heard(contender: Contender, clips: Sequence[Clip], rows: Sequence[int]) -> Answering:
    test = [row for row in rows if clips[row].split == "test"]
    windows = {row: contender.recording(clips[row].path) for row in watched(test, f"{contender.name}, the test split")}
    return Answering(f"{contender.name} (closed)", windows, contender.texts, True)


def _some(rows: Sequence[int], limit: int) -> list[int]:
    return list(rows[:: max(1, len(rows) // limit)][:limit])


def _figures(
    who: Answering, clips: Sequence[Clip], rows: Sequence[int], every_label: Sequence[str], *, seed: int
) -> dict[str, Interval]:
    part = [clips[row] for row in rows]
    draws = Draws([clip.recording for clip in part], seed=seed)
    windows = [who.windows[row] for row in rows]
    wide = LabelTable.of(part, windows, who.texts([tidy_label(label) for label in every_label]), every_label)
    own = wide.part(np.arange(len(part)), own_labels=True)
    among_own, among_all = (queried(each.scores.T, each.relevant.T, draws) for each in (own, wide))
    return {
        "text->audio_map10": own.search(seed=seed)["map10"],
        "audio->text_r1": among_own["r1"],
        "audio->text_r10": among_own["r10"],
        "among_all_r1": among_all["r1"],
        "among_all_r10": among_all["r10"],
    }


def open_tables(found: dict[str, Any]) -> list[Table]:
    """For people."""
    columns = ("text->audio mAP@10", "audio->text R@1", "R@10", "R@1 among all labels", "R@10 among all labels")
    return [
        Table(
            f"{name}, {split} ({part['clips']} clips, {part['recordings']} recordings, {part['labels']} labels), %",
            ("by", *columns),
            [(who, *map(str, figures.values())) for who, figures in part["by"].items()],
        )
        for name, splits in found["sets"].items()
        for split, part in splits.items()
    ]
