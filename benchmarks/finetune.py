"""Fine-tuning on labels that a model never had: what twenty clips gain, and what they cost the old benchmark.

    python -m training train --hold-out open --out runs/open/train
    python -m training fallback runs/open/train --student runs/stream --out runs/open/head
    python -m benchmarks finetune --checkpoint runs/open/head

A lesson is that of `python -m training finetune`: the text side alone is trained, on embeddings of the clips and their
roughened copies, beside what a bundle would remember of the training split. For each label that the open protocol holds
out and each seed, the clips are of recordings that the test split does not have, one of a recording as far as they go.
Asked are the label's other recordings, among all labels, and the test clips of all labels that training had.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.report import Report, Table
from benchmarks.retrieval.contender import watched
from edge_runtime.errors import EarmarkError
from training.features import load
from training.finetune import FinetuneConfig
from training.finetune import finetune as learn
from training.finetune_gate import Standing, standing
from training.gates import drop_gates
from training.hold_out import HoldOut
from training.label_names import tidy_label
from training.memory import Memory
from training.new_words import new_words
from training.sounds import Clip, read_clips
from training.text_side import TextSide
from training.train import MAX_WORDS, Checkpoint

__all__ = ["Setting", "finetune"]

MIN_GAIN, MAX_COST = 20.0, 1.0
MIN_ASKED = 4
"""Clips of a label that are asked: of fewer nothing could be said."""


@dataclass(frozen=True)
class Setting:
    """`labels` none: all that are held out and have the clips; each is taught by `count` clips, `seeds` times."""

    sounds: Path
    checkpoint: Path
    features: Path
    labels: Sequence[str] = ()
    count: int = 20
    seeds: int = 3


@dataclass(frozen=True)
class Ground:
    """All clips in their rows, which of them may be taught, what the model makes of each copy, and its memory."""

    clips: list[Clip]
    held: dict[str, list[int]]
    copies: list[list[np.ndarray]]
    memory: Memory
    asked: Memory
    side: TextSide


@dataclass(frozen=True)
class Lesson:
    """One label and seed: R@1 before and after, points that the old benchmark lost: of its clips among old and new
    labels, in the mean of all figures, and of the gated figure that lost most."""

    asked: int
    before: float
    after: float
    among: float
    mean: float
    worst: float


def finetune(setting: Setting, config: FinetuneConfig) -> Report:
    """Raises EarmarkError or FileNotFoundError, which say what to do."""
    ground = _ground(setting)
    labels = list(setting.labels) or [label for label in ground.held if _enough(ground, label, setting.count)]
    if unknown := [label for label in labels if label not in ground.held or not _enough(ground, label, setting.count)]:
        raise EarmarkError(
            f"the label {unknown[0]!r} was not held out, or has fewer than {setting.count} clips beside those that are "
            f"asked: choose of {', '.join(label for label in ground.held if _enough(ground, label, setting.count))}"
        )
    lessons: dict[str, list[Lesson]] = {label: [] for label in labels}
    for label, seed in watched([(label, seed) for label in labels for seed in range(setting.seeds)], "lessons"):
        lessons[label].append(_lesson(ground, label, setting.count, replace(config, seed=seed)))
    rows = {label: _row(each) for label, each in lessons.items()}
    figures = {"clips": setting.count, "seeds": setting.seeds, "config": vars(config), "labels": rows}
    notes = [
        f"means of {setting.seeds} seeds, gain with its standard deviation; a label holds that gains {MIN_GAIN:g} "
        f"points, or all that was left, and costs {MAX_COST:g} at most",
        f"old benchmark: {len(ground.asked.clips)} test clips of the labels that training had; cost: points lost",
    ]
    return Report("finetune", figures, [_table(setting, rows)], notes)


def _ground(setting: Setting) -> Ground:
    trained = Checkpoint.load(setting.checkpoint)
    if trained.config.get("hold_out") != "open":
        raise EarmarkError(
            f"{setting.checkpoint} was trained on every label: train one with `python -m training train --hold-out "
            "open`"
        )
    paths = sorted(setting.features.glob("*-*.npz"))
    if not paths:
        raise FileNotFoundError(f"{setting.features} holds no features: run `python -m training features` first")
    clips = read_clips(setting.sounds)
    hold_out = HoldOut.of(clips)
    why = [hold_out.why(clip) for clip in clips]
    held: dict[str, list[int]] = {}
    for row, clip in enumerate(clips):
        if why[row] == "label":
            held.setdefault(clip.label, []).append(row)
    copies = []
    for features in map(trained.in_windows, load(paths)):
        embeddings, rows_of = trained.embed_windows(features), features.rows_by_clip()
        copies.append([embeddings[rows_of[row]] for row in range(len(clips))])
    row_of = {clip.path: row for row, clip in enumerate(clips)}
    known = [clip for clip, reason in zip(clips, why, strict=True) if reason is None]
    test = [clip for clip in known if clip.split == "test"]

    def hear(clip: Clip) -> np.ndarray:
        return copies[0][row_of[clip.path]]

    asked = Memory.of(test, [hear(clip) for clip in test])
    return Ground(clips, held, copies, Memory.heard(known, hear), asked, TextSide.of_checkpoint(trained))


def _enough(ground: Ground, label: str, count: int) -> bool:
    teaching, asked = _parts(ground, label, count, seed=0)
    return len(teaching) == count and len(asked) >= MIN_ASKED


def _parts(ground: Ground, label: str, count: int, *, seed: int) -> tuple[list[int], list[int]]:
    """Rows to teach with, of as many recordings as there are outside the test split, and rows of all others."""
    rng = np.random.default_rng(seed)
    rows = ground.held[label]
    aside = {ground.clips[row].recording for row in rows if ground.clips[row].split == "test"}
    drawn = [row for row in rng.permutation(rows).tolist() if ground.clips[row].recording not in aside]
    first = {ground.clips[row].recording: row for row in reversed(drawn)}
    chosen = [*first.values(), *(row for row in drawn if row not in first.values())][:count]
    used = {ground.clips[row].recording for row in chosen}
    return chosen, [row for row in rows if ground.clips[row].recording not in used]


def _lesson(ground: Ground, label: str, count: int, config: FinetuneConfig) -> Lesson:
    teaching, asked = _parts(ground, label, count, seed=config.seed)
    clips = [replace(ground.clips[row], split="train", source="own", captions=()) for row in teaching]
    own = Memory.of(clips, [np.concatenate([copy[row] for copy in ground.copies]) for row in teaching])
    held = Memory.of([ground.clips[row] for row in asked], [ground.copies[0][row] for row in asked])
    side = ground.side
    found = new_words([tidy_label(label)], side.vocabulary, side.words.numpy()[1:], max_words=MAX_WORDS)
    start = side.with_words(found)
    taught = learn(start, len(found), own, ground.memory.of_split("train"), config)
    before, after = (standing(each, held, ground.asked, ["silence"]) for each in (start, taught))
    return Lesson(len(asked), before.own[label], after.own[label], *_costs(before, after))


def _costs(before: Standing, after: Standing) -> tuple[float, float, float]:
    assert before.report and after.report and before.among_new is not None and after.among_new is not None
    old, new = before.report.figures(), after.report.figures()
    mean = float(np.mean([old[name] - new[name] for name in old]))
    drops = [gate.found for gate in drop_gates(before.report, after.report, what="old benchmark", told_apart=True)]
    return before.among_new - after.among_new, mean, max(drops)


def _row(lessons: Sequence[Lesson]) -> dict[str, Any]:
    gains = [each.after - each.before for each in lessons]
    means = {name: float(np.mean([getattr(each, name) for each in lessons])) for name in vars(lessons[0])}
    left = 100 - means["before"]
    cost = max(means["among"], means["mean"], means["worst"])
    holds = float(np.mean(gains)) >= min(MIN_GAIN, left) and cost <= MAX_COST
    return means | {"gain": float(np.mean(gains)), "gain_sd": float(np.std(gains)), "holds": holds}


def _table(setting: Setting, rows: dict[str, dict[str, Any]]) -> Table:
    columns = ("label", "asked", "R@1 before", "after", "gain", "cost among old and new", "cost, mean of all figures")
    return Table(
        f"{setting.count} clips of a label that training never had, %",
        (*columns, "cost of the dearest", "holds"),
        [
            (
                label,
                f"{row['asked']:.0f}",
                f"{row['before']:.1f}",
                f"{row['after']:.1f}",
                f"{row['gain']:+.1f} ± {row['gain_sd']:.1f}",
                *(f"{row[name]:+.2f}" for name in ("among", "mean", "worst")),
                "yes" if row["holds"] else "no",
            )
            for label, row in rows.items()
        ],
    )
