"""What holding down hubs does for a search (edge_runtime/label_bank.py): labels and captions search the test split, by
cosines alone and as the bundle is set. A clip's score is that of its best window, as in the closed protocol."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from benchmarks.report import Table
from benchmarks.retrieval.closed import queried
from benchmarks.retrieval.contender import Contender, clip_scores
from training.bootstrap import Draws, Interval, text_to_audio
from training.evaluate import same_sound
from training.label_names import tidy_label
from training.sounds import Clip

__all__ = ["HUBS_HELD_DOWN", "PLAIN", "search", "search_tables"]

PLAIN, HUBS_HELD_DOWN = "plain cosines", "hubs held down"


def search(contender: Contender, clips: Sequence[Clip], *, seed: int) -> dict[str, Any]:
    """By ranking, which is one alone where the bundle is set to cosines: the figures of labels and of captions."""
    windows = [contender.recording(clip.path) for clip in clips]
    lowered: dict[str, list[np.ndarray] | None] = {PLAIN: None}
    if held_down := contender.held_down(windows):
        lowered[HUBS_HELD_DOWN] = held_down
    return {
        "clips": len(clips),
        "sharpness": contender.engine.bundle.manifest.match.sharpness,
        "rankings": {name: _figures(contender, clips, windows, less, seed) for name, less in lowered.items()},
    }


def _figures(
    contender: Contender,
    clips: Sequence[Clip],
    windows: Sequence[np.ndarray],
    less: Sequence[np.ndarray] | None,
    seed: int,
) -> dict[str, dict[str, Interval]]:
    labels = sorted({clip.label for clip in clips})
    recordings = [clip.recording for clip in clips]
    scores = clip_scores(contender.texts([tidy_label(label) for label in labels]), windows, less)
    relevant = same_sound(labels)[:, [labels.index(clip.label) for clip in clips]]
    of_clips = [clip.label for clip in clips]
    found = {"labels": text_to_audio(scores, relevant, recordings=recordings, labels=of_clips, seed=seed)}
    captions = sorted({(text, clip.recording) for clip in clips for text in clip.captions})
    if captions:
        own = [recording for _, recording in captions]
        scores = clip_scores(contender.texts([text for text, _ in captions]), windows, less)
        relevant = np.array(own)[:, None] == np.array(recordings)
        found["captions"] = queried(scores, relevant, Draws(own, seed=seed))
    return found


def search_tables(name: str, found: dict[str, Any]) -> list[Table]:
    """For people."""
    return [
        Table(
            f"{name}: a search of {found['clips']} clips, by cosines and with hubs held down, %",
            ("queries", "ranked by", "R@1", "R@5", "R@10", "mAP@10"),
            [
                (task, ranking, *(str(figures[task][each]) for each in ("r1", "r5", "r10", "map10")))
                for task in next(iter(found["rankings"].values()))
                for ranking, figures in found["rankings"].items()
            ],
        )
    ]
