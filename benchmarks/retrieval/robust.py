"""How a bundle bears the field: the test split through every variant of `variants.py`, other words, and no sound.

Each clip is decoded once and heard once a variant. Every figure stands beside the clean one, and the change of R@1 has
an interval of its own: both are taken over the same draws of recordings.

Mixtures ask for both sounds: how often is one of them the best label, are both among the first five. "No sound"
(digital silence, white and pink noise) should be called that (answers.py) or nothing: its best phrase and score stand
beside its threshold, and a wrong phrase from there on is a false alert.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np

from benchmarks.report import Table
from benchmarks.retrieval.answers import NOTHING
from benchmarks.retrieval.bootstrap import Draws, Interval
from benchmarks.retrieval.closed import LabelTable
from benchmarks.retrieval.contender import Contender, watched
from benchmarks.retrieval.variants import MIXTURE, VARIANTS, chance, pink
from edge_runtime.errors import EarmarkError
from training.augment import RATE_HZ
from training.evaluate import same_sound
from training.metrics import ranks
from training.phrasings import tidy_label
from training.sounds import Clip, load_samples

__all__ = ["no_sound", "robust", "robust_tables"]

TOP = 5
NO_SOUND_S = 10.0
NO_SOUND_DBFS = (-60.0, -40.0, -20.0)


def robust(contender: Contender, clips: Sequence[Clip], windows: Sequence[np.ndarray], *, seed: int) -> dict[str, Any]:
    """Figures by the name of the variant; `windows[i] (W_i, E)` of clip i, clean."""
    if contender.rate_hz != RATE_HZ:
        raise EarmarkError(
            f"{contender.name} hears {contender.rate_hz} Hz, the variants are made at {RATE_HZ} Hz: "
            "run the other suites with --suite"
        )
    labels = sorted({clip.label for clip in clips})
    texts = contender.texts([tidy_label(label) for label in labels])
    partners = _partners(clips, labels, seed=seed)
    heard: dict[str, list[np.ndarray]] = {variant.name: [] for variant in VARIANTS}
    for i, clip in enumerate(watched(clips, f"{contender.name}, {len(VARIANTS)} variants")):
        samples = load_samples(clip.path, RATE_HZ)
        other = load_samples(clips[partners[i]].path, RATE_HZ)
        for variant in VARIANTS:
            edited = variant.of(samples, other, chance(variant, clip, seed=seed))
            heard[variant.name].append(contender.sound(edited))
    clean = LabelTable.of(clips, windows, texts, labels)
    draws = Draws(clean.recordings, seed=seed)
    variants: dict[str, Any] = {"clean": _figures(clean, clean, draws, seed)}
    for variant in VARIANTS:
        table = LabelTable.of(clips, heard[variant.name], texts, labels)
        if variant.kind == MIXTURE:
            variants[variant.name] = _both_heard(table, partners, draws)
        else:
            variants[variant.name] = _figures(table, clean, draws, seed)
    return {
        "clips": len(clips),
        "recordings": draws.groups,
        "variants": variants,
        "no_sound": no_sound(contender, seed=seed),
    }


def no_sound(contender: Contender, *, seed: int) -> dict[str, Any]:
    """What the shipped vocabulary says to nothing: the best phrase, and its score beside its threshold."""
    count = round(NO_SOUND_S * contender.rate_hz)
    rng = np.random.default_rng(seed)
    sounds = {"silence": np.zeros(count, np.float32)}
    for dbfs in NO_SOUND_DBFS:
        gain = np.float32(10 ** (dbfs / 20))
        sounds[f"white noise {dbfs:g} dBFS"] = gain * rng.standard_normal(count).astype(np.float32)
        sounds[f"pink noise {dbfs:g} dBFS"] = gain * pink(count, rng)
    found = {}
    for name, sound in sounds.items():
        best = contender.engine.phrases.match(contender.sound(sound)[0], k=1)[0]
        wrong = best.heard and best.phrase not in NOTHING
        found[name] = {"phrase": best.phrase, "score": best.score, "threshold": best.threshold, "false_alert": wrong}
    return {"sounds": found}


def _figures(table: LabelTable, clean: LabelTable, draws: Draws, seed: int) -> dict[str, Interval]:
    places, before = (ranks(each.scores.T, each.relevant.T) for each in (table, clean))
    return {
        "audio->text_r1": draws.mean(places <= 1),
        "audio->text_r5": draws.mean(places <= TOP),
        "r1_change": draws.mean((places <= 1).astype(float) - (before <= 1)),
        "text->audio_map10": table.search(seed=seed)["map10"],
    }


def _partners(clips: Sequence[Clip], labels: Sequence[str], *, seed: int) -> np.ndarray:
    """For each clip another one whose label does not name the same sound."""
    rng = np.random.default_rng(seed)
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
    return [
        Table(
            f"{name}: the test split as the field would have it, labels, % (95 % interval over recordings)",
            ("variant", "audio->text R@1", "R@5", "change of R@1", "text->audio mAP@10"),
            [(key, *map(str, row.values())) for key, row in found["variants"].items() if key not in mixtures],
        ),
        Table(
            f"{name}: two sounds at equal level, %",
            ("variant", "one is the best label", "one in the first five", "both in the first five"),
            [(key, *map(str, row.values())) for key, row in mixtures.items()],
        ),
        Table(
            f"{name}: no sound, and whether a phrase counts as heard",
            ("sound", "best phrase", "score", "its threshold", "false alert"),
            [
                (key, row["phrase"], row["score"], row["threshold"], "yes" if row["false_alert"] else "no")
                for key, row in found["no_sound"]["sounds"].items()
            ],
        ),
    ]
