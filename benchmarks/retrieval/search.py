"""What a search gains by what it does beside taking cosines: holding down hubs (edge_runtime/label_bank.py), and moving
a text towards sounds that it brings to mind (edge_runtime/recall.py). Labels, labels put otherwise and people's
captions search the test split, by cosines alone and as the bundle is set. A clip's score is that of its best window, as
in the closed protocol."""

import random
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from benchmarks.report import Table
from benchmarks.retrieval.closed import queried
from benchmarks.retrieval.contender import Contender, clip_scores
from benchmarks.retrieval.wording import ASKED
from training.bootstrap import Draws, Interval, text_to_audio
from training.evaluate import same_sound
from training.label_names import tidy_label
from training.phrasings import phrasings_of
from training.sounds import Clip

__all__ = ["HUBS_HELD_DOWN", "PLAIN", "RECALLED", "search", "search_tables"]

PLAIN, HUBS_HELD_DOWN, RECALLED = "plain cosines", "hubs held down", "hubs held down, sounds recalled"
REWORDED = "labels, put otherwise"
Texts = Callable[[Sequence[str]], np.ndarray]


def search(contender: Contender, clips: Sequence[Clip], *, seed: int) -> dict[str, Any]:
    """By ranking, which is one alone where the bundle is set to cosines: the figures of labels and of captions."""
    windows = [contender.recording(clip.path) for clip in clips]
    match = contender.engine.bundle.manifest.match
    ways: dict[str, tuple[Texts, list[np.ndarray] | None]] = {PLAIN: (contender.texts, None)}
    held_down = contender.held_down(windows)
    if held_down:
        ways[HUBS_HELD_DOWN] = contender.texts, held_down
    if match.recall:
        ways[RECALLED] = contender.queries, held_down
    return {
        "clips": len(clips),
        "sharpness": match.sharpness,
        "recall": match.recall,
        "rankings": {name: _figures(texts, clips, windows, less, seed) for name, (texts, less) in ways.items()},
    }


def _figures(
    embed: Texts,
    clips: Sequence[Clip],
    windows: Sequence[np.ndarray],
    less: Sequence[np.ndarray] | None,
    seed: int,
) -> dict[str, dict[str, Interval]]:
    labels = sorted({clip.label for clip in clips})
    recordings = [clip.recording for clip in clips]
    relevant = same_sound(labels)[:, [labels.index(clip.label) for clip in clips]]
    of_clips = [clip.label for clip in clips]
    found = {}
    for task, texts in (("labels", [tidy_label(label) for label in labels]), (REWORDED, _reworded(labels, seed))):
        scores = clip_scores(embed(texts), windows, less)
        found[task] = text_to_audio(scores, relevant, recordings=recordings, labels=of_clips, seed=seed)
    captions = sorted({(text, clip.recording) for clip in clips for text in clip.captions})
    if captions:
        own = [recording for _, recording in captions]
        scores = clip_scores(embed([text for text, _ in captions]), windows, less)
        relevant = np.array(own)[:, None] == np.array(recordings)
        found["captions"] = queried(scores, relevant, Draws(own, seed=seed))
    return found


def _reworded(labels: Sequence[str], seed: int) -> list[str]:
    """Each label in a phrasing of it and in a template that no training uses."""
    words = random.Random(seed)
    return [words.choice(ASKED).format(words.choice(phrasings_of(label))) for label in labels]


def search_tables(name: str, found: dict[str, Any]) -> list[Table]:
    """For people."""
    return [
        Table(
            f"{name}: a search of {found['clips']} clips, by cosines and as the bundle is set, %",
            ("queries", "ranked by", "R@1", "R@5", "R@10", "mAP@10"),
            [
                (task, ranking, *(str(figures[task][each]) for each in ("r1", "r5", "r10", "map10")))
                for task in next(iter(found["rankings"].values()))
                for ranking, figures in found["rankings"].items()
            ],
        )
    ]
