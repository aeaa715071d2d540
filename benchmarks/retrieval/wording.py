"""Other words for the same sounds: how much a bundle's answers depend on how one asks.

Training hears the labels and their phrasings (training/phrasings.py), bare and in its own templates. So three forms
are asked beside the plain label: those *phrasings*; the label in `ASKED`, templates that training never uses; and a
phrasing in one of them. Each form is drawn `DRAWS` times, one wording for every label, and searched as a whole.
"""

import random
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from benchmarks.report import Table
from benchmarks.retrieval.closed import LabelTable
from benchmarks.retrieval.contender import Contender, clip_scores
from training.bootstrap import Draws, Interval
from training.label_names import tidy_label
from training.metrics import average_precision_at_10, ranks
from training.phrasings import phrasings_of
from training.sounds import Clip

__all__ = ["ASKED", "wording", "wording_tables"]

ASKED = (
    "I can hear {}",
    "there is {} here",
    "what does {} sound like",
    "find {}",
    "an audio clip with {}",
    "somewhere, {}",
)
DRAWS = 5
UNEVEN_LABELS = 12


def wording(contender: Contender, clips: Sequence[Clip], windows: Sequence[np.ndarray], *, seed: int) -> dict[str, Any]:
    """Figures by form, their change from the plain label, and how far a label's wordings lie apart."""
    labels = sorted({clip.label for clip in clips})
    draws = Draws([clip.recording for clip in clips], seed=seed)

    def table(texts: Sequence[str]) -> LabelTable:
        return LabelTable.of(clips, windows, contender.texts(texts), labels)

    labelled = table([tidy_label(label) for label in labels])
    plain = _outcome(labelled)
    forms: dict[str, Any] = {"label": _summary([plain], plain, draws)}
    for name, form in _FORMS.items():
        outcomes = []
        for number in range(DRAWS):
            rng = random.Random(f"{seed} {name} {number}")
            outcomes.append(_outcome(table([form(label, rng) for label in labels])))
        forms[name] = _summary(outcomes, plain, draws)
    spread = [_spread(contender, labelled, label, windows) for label in labels if len(phrasings_of(label)) > 1]
    return {
        "clips": len(clips),
        "labels": len(labels),
        "templates": ASKED,
        "draws": DRAWS,
        "forms": forms,
        "labels_with_phrasings": len(spread),
        "mean_sd_of_ap10": float(np.mean([each["sd"] for each in spread])) if spread else None,
        "by_label": spread,
    }


def _phrasing(label: str, rng: random.Random) -> str:
    return rng.choice(phrasings_of(label)[1:] or phrasings_of(label))


def _noun(label: str, rng: random.Random) -> str:
    """A phrasing that fits into a template: no sentence."""
    return rng.choice([text for text in phrasings_of(label) if not text.endswith(".")])


_FORMS: dict[str, Callable[[str, random.Random], str]] = {
    "phrasing": _phrasing,
    "label, new template": lambda label, rng: rng.choice(ASKED).format(tidy_label(label)),
    "phrasing, new template": lambda label, rng: rng.choice(ASKED).format(_noun(label, rng)),
}


def _outcome(table: LabelTable) -> tuple[np.ndarray, float]:
    """Of each clip, whether its label is the best one (N,); and the labels' mAP@10."""
    right = ranks(table.scores.T, table.relevant.T) <= 1
    return right.astype(float), 100 * float(average_precision_at_10(table.scores, table.relevant).mean())


def _summary(
    outcomes: Sequence[tuple[np.ndarray, float]], plain: tuple[np.ndarray, float], draws: Draws
) -> dict[str, Interval | float]:
    """Means over the draws of a form; the spread is their standard deviation."""
    right, precision = np.mean([each for each, _ in outcomes], axis=0), np.array([each for _, each in outcomes])
    return {
        "audio->text_r1": draws.mean(right),
        "r1_change": draws.mean(right - plain[0]),
        "r1_sd": float(np.std([100 * each.mean() for each, _ in outcomes])),
        "text->audio_map10": float(precision.mean()),
        "map10_change": float(precision.mean() - plain[1]),
        "map10_sd": float(precision.std()),
    }


def _spread(contender: Contender, plain: LabelTable, label: str, windows: Sequence[np.ndarray]) -> dict[str, Any]:
    """Average precision within the first ten of each of a label's wordings: the best, the worst, how far apart."""
    texts = phrasings_of(label)
    relevant = np.tile(plain.relevant[plain.labels.index(label)], (len(texts), 1))
    found = 100 * average_precision_at_10(clip_scores(contender.texts(texts), windows), relevant)
    best, worst = int(found.argmax()), int(found.argmin())
    return {
        "label": label,
        "wordings": len(texts),
        "best": {"text": texts[best], "ap10": float(found[best])},
        "worst": {"text": texts[worst], "ap10": float(found[worst])},
        "sd": float(found.std()),
    }


def wording_tables(name: str, found: dict[str, Any]) -> list[Table]:
    """For people."""
    uneven = sorted(found["by_label"], key=lambda row: row["worst"]["ap10"] - row["best"]["ap10"])[:UNEVEN_LABELS]
    pool = f"{found['labels']} labels, {found['clips']} clips"
    columns = ("R@1", "change of R@1", "sd", "search mAP@10", "change of mAP@10", "sd")
    return [
        Table(
            f"{name}: other words ({pool}), % ({found['draws']} draws a form; sd between them)",
            ("asked as", *(f"audio->text {column}" if column == "R@1" else column for column in columns)),
            [
                (form, *(str(each) if isinstance(each, Interval) else each for each in row.values()))
                for form, row in found["forms"].items()
            ],
        ),
        Table(
            f"{name}: the {len(uneven)} labels whose wordings lie farthest apart, search of {found['clips']} clips, %",
            ("label", "best wording", "AP@10", "worst wording", "AP@10 "),
            [
                (row["label"], row["best"]["text"], row["best"]["ap10"], row["worst"]["text"], row["worst"]["ap10"])
                for row in uneven
            ],
        ),
    ]
