"""What fine-tuning gained and what it cost: the same questions to the model before and after.

    before, after = (standing(side, held, memory.of_split("val"), phrases) for side in (start, taught))
    judge(finetune_gates(before, after))        # training/gates.py: raises GateError

*The new sound*: held-out clips of one's own, each against all labels, old and new: is its own label the nearest (R@1)?
*The old benchmark*, where the bundle remembers its clips (memory.py): the report of `python -m training evaluate`, and
how often an old clip finds its label while the new labels stand beside the old ones. Where it does not: how many of
the default phrases still lie nearest to where they were; fine-tuning does not hold these, so they speak for all others.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from training.evaluate import Report, same_sound
from training.finetune import old_labels
from training.gates import MAX_DROP, Gate, drop_gates
from training.label_names import tidy_label
from training.memory import Memory
from training.text_side import TextSide

__all__ = ["Standing", "finetune_gates", "standing"]


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


def standing(side: TextSide, held: Memory, old: Memory | None, phrases: Sequence[str]) -> Standing:
    """How a text side does on one's own held-out clips, and on old clips that it was not trained on."""
    mine = sorted({clip.label for clip in held.clips})
    told = sorted({clip.label for clip in old.clips}) if old else []
    labels = [*mine, *(label for label in old_labels(mine, told) if side.tokenizer.reads(tidy_label(label)))]
    names = side.embed_text([tidy_label(label) for label in labels])
    right = _finds_label(held, labels, names)
    clips = {label: [row for row in right if held.clips[row].label == label] for label in mine}
    return Standing(
        own={label: 100 * float(np.mean([right[row] for row in rows])) for label, rows in clips.items()},
        clips={label: len(rows) for label, rows in clips.items()},
        report=old.report(side.embed_text) if old else None,
        among_new=100 * float(np.mean(list(_finds_label(old, labels, names).values()))) if old else None,
        phrases=side.embed_text([text for text in phrases if side.tokenizer.reads(text)]),
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


def _finds_label(sounds: Memory, labels: Sequence[str], names: np.ndarray) -> dict[int, bool]:
    """By the row of each clip: whether the nearest of `labels`, embedded as `names`, is its own; clips of other labels
    are left out."""
    same, place = same_sound(labels), {label: row for row, label in enumerate(labels)}
    nearest = sounds.scores(names).argmax(axis=0)
    return {
        row: bool(same[place[clip.label], nearest[row]]) for row, clip in enumerate(sounds.clips) if clip.label in place
    }
