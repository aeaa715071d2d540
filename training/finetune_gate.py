"""What fine-tuning gained and what it cost: the same questions to the model before and after.

    before, after = standing(old, …), standing(new, …)
    judge(finetune_gates(before, after))        # training/gates.py: raises GateError

*The new sound*: held-out clips of one's own, each against all labels, old and new: is its own label the nearest (R@1)?
*The old benchmark*, where its clips are there: the report of `python -m training evaluate`, and how often an old clip
finds its label while the new labels stand beside the old ones. Without those clips: how many of the default phrases
still lie nearest to where they were; fine-tuning does not hold these, so they speak for all other texts.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from training.evaluate import Report, same_sound
from training.features import Features
from training.finetune import old_labels
from training.gates import MAX_DROP, Gate, drop_gates
from training.own_sounds import HELD
from training.phrasings import tidy_label
from training.sounds import Clip
from training.train import Checkpoint

__all__ = ["Standing", "finetune_gates", "standing"]

OldSounds = tuple[Sequence[Clip], Features]


@dataclass(frozen=True)
class Standing:
    """R@1 in percent of each of one's own labels, and of how many clips; the old benchmark and R@1 of its clips among
    old and new labels, where it is there; the default phrases' embeddings (P, E)."""

    own: dict[str, float]
    clips: dict[str, int]
    report: Report | None
    among_new: float | None
    phrases: np.ndarray

    @property
    def own_r1(self) -> float:
        """Over all held-out clips, in percent."""
        return sum(self.own[label] * count for label, count in self.clips.items()) / sum(self.clips.values())


def standing(
    checkpoint: Checkpoint, own: OldSounds, old: OldSounds | None, phrases: Sequence[str], *, split: str = "test"
) -> Standing:
    """How a model does on the held-out clips of `own` and on a split of `old`: clips and their clean features."""
    mine = sorted({clip.label for clip in own[0]})
    told = sorted({clip.label for clip in old[0]}) if old else []
    labels = [*mine, *(label for label in old_labels(mine, told) if checkpoint.tokenizer.reads(tidy_label(label)))]
    names = checkpoint.embed_text([tidy_label(label) for label in labels])
    right = _finds_label(checkpoint, own, HELD, labels, names)
    report = among = None
    if old:
        report = checkpoint.evaluate(old[0], old[1], split)
        among = 100 * float(np.mean(list(_finds_label(checkpoint, old, split, labels, names).values())))
    clips = {label: [row for row in right if own[0][row].label == label] for label in mine}
    return Standing(
        own={label: 100 * float(np.mean([right[row] for row in rows])) for label, rows in clips.items() if rows},
        clips={label: len(rows) for label, rows in clips.items() if rows},
        report=report,
        among_new=among,
        phrases=checkpoint.embed_text([text for text in phrases if checkpoint.tokenizer.reads(text)]),
    )


def finetune_gates(before: Standing, after: Standing) -> list[Gate]:
    """The new sound must gain; the old benchmark may lose `MAX_DROP`."""
    count = sum(after.clips.values())
    told = f"new sound, R@1 of {count} held-out clips: {before.own_r1:.1f} -> {after.own_r1:.1f}, gain"
    least = 100 / count  # one clip more
    gates = [Gate(told, after.own_r1 - before.own_r1, least, at_most=False)]
    if before.report and after.report and before.among_new is not None and after.among_new is not None:
        what = "old clips among old and new labels, R@1"
        drop = before.among_new - after.among_new
        gates.append(Gate(f"{what}: {before.among_new:.2f} -> {after.among_new:.2f}, drop", drop, MAX_DROP))
        return [*gates, *drop_gates(before.report, after.report, what="old benchmark", told_apart=True)]
    still = 100 * float(((after.phrases @ before.phrases.T).argmax(axis=1) == np.arange(len(after.phrases))).mean())
    return [*gates, Gate("default phrases that left their place, %", 100 - still, MAX_DROP)]


def _finds_label(
    checkpoint: Checkpoint, sounds: OldSounds, split: str, labels: Sequence[str], names: np.ndarray
) -> dict[int, bool]:
    """By the row of each clip of a split: whether the nearest of `labels`, embedded as `names`, is its own."""
    clips, features = sounds
    rows = [row for row, clip in enumerate(clips) if clip.split == split]
    part = features.of_clips(rows)
    scores = checkpoint.embed_windows(part) @ names.T
    same = same_sound(labels)
    place = {label: column for column, label in enumerate(labels)}
    return {
        row: bool(same[place[clips[row].label], scores[part.clip == row].max(axis=0).argmax()])
        for row in rows
        if clips[row].label in place
    }
