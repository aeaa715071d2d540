"""How a bundle bears the field: the test split through every variant of `variants.py`, and other words.

Every figure stands beside the clean one, and the change of R@1 has an interval of its own: both are taken over the same
draws of recordings. Windows are held down as a caption and a search do it (Engine.caption): in a longer clip windows of
noise alone have their say, and noise is near to every text.

Mixtures ask for both sounds: how often is one of them the best label, are both among the first five.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np

from benchmarks.report import Table
from benchmarks.retrieval.closed import LabelTable
from benchmarks.retrieval.contender import Contender
from benchmarks.retrieval.heard import CLEAN, Heard
from benchmarks.retrieval.variants import MIXTURE, VARIANTS
from edge_runtime.errors import EarmarkError
from training.bootstrap import Draws, Interval
from training.evaluate import same_sound
from training.label_names import tidy_label
from training.metrics import ranks
from training.sounds import Clip

__all__ = ["partners_of", "robust", "robust_tables"]

TOP = 5


def robust(
    contender: Contender, clips: Sequence[Clip], heard: Heard, partners: np.ndarray, *, seed: int
) -> dict[str, Any]:
    """Figures by the name of the variant; `heard[name][i] (W_i, E)` of clip i, over which `partners[i]` was mixed."""
    labels = sorted({clip.label for clip in clips})
    texts = contender.texts([tidy_label(label) for label in labels])

    def table_of(windows: Sequence[np.ndarray]) -> LabelTable:
        return LabelTable.of(clips, windows, texts, labels, held_down=contender.held_down(windows))

    clean = table_of(heard[CLEAN])
    draws = Draws(clean.recordings, seed=seed)
    variants: dict[str, Any] = {"clean": _figures(clean, clean, draws, seed)}
    for variant in VARIANTS:
        table = table_of(heard[variant.name])
        if variant.kind == MIXTURE:
            variants[variant.name] = _both_heard(table, partners, draws)
        else:
            variants[variant.name] = _figures(table, clean, draws, seed)
    return {
        "clips": len(clips),
        "recordings": draws.groups,
        "labels": len(labels),
        "variants": variants,
    }


def _figures(table: LabelTable, clean: LabelTable, draws: Draws, seed: int) -> dict[str, Interval]:
    places, before = (ranks(each.scores.T, each.relevant.T) for each in (table, clean))
    return {
        "audio->text_r1": draws.mean(places <= 1),
        "audio->text_r5": draws.mean(places <= TOP),
        "r1_change": draws.mean((places <= 1).astype(float) - (before <= 1)),
        "text->audio_map10": table.search(seed=seed)["map10"],
    }


def partners_of(clips: Sequence[Clip], *, seed: int) -> np.ndarray:
    """For each clip another one (its row) whose label does not name the same sound."""
    rng = np.random.default_rng(seed)
    labels = sorted({clip.label for clip in clips})
    alike, row_of = same_sound(labels), np.array([labels.index(clip.label) for clip in clips])
    chosen = []
    for row in row_of:
        others = np.flatnonzero(~alike[row, row_of])
        if not len(others):
            raise EarmarkError("all clips are of one sound, a mixture needs two: take more clips")
        chosen.append(rng.choice(others))
    return np.array(chosen)


def _both_heard(table: LabelTable, partners: np.ndarray, draws: Draws) -> dict[str, Interval]:
    """`table.relevant` says which labels are right for a clip; its partner's are right as well."""
    own, other = (ranks(table.scores.T, right.T) for right in (table.relevant, table.relevant[:, partners]))
    return {
        "one_is_first": draws.mean(np.minimum(own, other) <= 1),
        "one_in_top5": draws.mean(np.minimum(own, other) <= TOP),
        "both_in_top5": draws.mean(np.maximum(own, other) <= TOP),
    }


def robust_tables(name: str, found: dict[str, Any]) -> list[Table]:
    """For people."""
    mixtures = {key: row for key, row in found["variants"].items() if key.startswith(MIXTURE)}
    pool = f"{found['labels']} labels, {found['clips']} clips"
    return [
        Table(
            f"{name}: the test split as the field would have it ({pool}), % (95 % interval over recordings)",
            ("variant", "audio->text R@1", "R@5", "change of R@1", "text->audio mAP@10"),
            [(key, *map(str, row.values())) for key, row in found["variants"].items() if key not in mixtures],
        ),
        Table(
            f"{name}: two sounds at equal level ({pool}), %",
            ("variant", "one is the best label", "one in the first five", "both in the first five"),
            [(key, *map(str, row.values())) for key, row in mixtures.items()],
        ),
    ]
