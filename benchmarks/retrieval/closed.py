"""The closed protocol: sounds of known labels from known collections, the test split as a bundle hears it.

The figures are those of `python -m training evaluate` (and of the model card), each with its interval, and for each
source, label and width. Both directions:
- audio -> text: each clip against all labels of the split (or, `names_top1`, of its own source);
- text -> audio: each label against all clips; any clip of the label, or of one that names the same sound, is right.

A width below the bundle's own keeps the first numbers of each embedding and scales them to unit length: a bundle that
was trained for it (Kusupati et al., "Matryoshka Representation Learning", 2022) loses little, another one more.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from benchmarks.retrieval.contender import Contender, clip_scores
from training.bootstrap import Draws, Interval, text_to_audio
from training.evaluate import NAMED_SOURCES, same_sound
from training.label_names import tidy_label
from training.metrics import average_precision_at_10, ranks
from training.sounds import Clip

__all__ = ["LabelTable", "closed", "queried"]

NARROWEST = 64


@dataclass(frozen=True)
class LabelTable:
    """Labels (L,) against clips (N,): `scores (L, N)`, and `relevant (L, N)` bool."""

    clips: Sequence[Clip]
    labels: list[str]
    scores: np.ndarray
    relevant: np.ndarray

    @classmethod
    def of(
        cls,
        clips: Sequence[Clip],
        windows: Sequence[np.ndarray],
        texts: np.ndarray,
        labels: Sequence[str],
        *,
        held_down: Sequence[np.ndarray] | None = None,
    ) -> "LabelTable":
        """`windows[i] (W_i, E)` of clip i, `held_down[i] (W_i,)` if they are; `texts (L, E)` of the labels."""
        rows = [labels.index(clip.label) for clip in clips]
        return cls(clips, list(labels), clip_scores(texts, windows, held_down), same_sound(labels)[:, rows])

    def part(self, keep: np.ndarray, *, own_labels: bool = False) -> "LabelTable":
        """The clips of those rows, and with `own_labels` their labels alone."""
        clips = [self.clips[i] for i in keep]
        own = {clip.label for clip in clips}
        rows = [i for i, label in enumerate(self.labels) if label in own or not own_labels]
        scores, relevant = (each[rows][:, keep] for each in (self.scores, self.relevant))
        return LabelTable(clips, [self.labels[i] for i in rows], scores, relevant)

    @property
    def recordings(self) -> list[str]:
        return [clip.recording for clip in self.clips]

    def search(self, *, seed: int) -> dict[str, Interval]:
        """Each label searches the clips: R@1, R@5, R@10, mAP@10."""
        labels = [clip.label for clip in self.clips]
        return text_to_audio(self.scores, self.relevant, recordings=self.recordings, labels=labels, seed=seed)

    def guesses(self) -> np.ndarray:
        """The best label of each clip (N,)."""
        return np.array(self.labels)[self.scores.argmax(axis=0)]


def closed(
    contender: Contender, clips: Sequence[Clip], windows: Sequence[np.ndarray], *, seed: int
) -> tuple[dict[str, Any], np.ndarray]:
    """All figures of the protocol, and the label (N,) that each clip is taken for: its own one where the best label
    names the same sound. `windows[i] (W_i, E)` of clip i."""
    labels = sorted({clip.label for clip in clips})
    texts = contender.texts([tidy_label(label) for label in labels])
    table = LabelTable.of(clips, windows, texts, labels)
    named = {name: sources for name, sources in NAMED_SOURCES.items() if len(_rows(table, sources))}
    figures = {
        "labels": both_ways(table, seed=seed),
        "captions": _captions(contender, clips, windows, seed=seed),
        "names": {name: _names(table, sources, seed) for name, sources in named.items()},
        "names_pool": {
            name: {"clips": len(part.clips), "labels": len(part.labels)}
            for name, part in ((name, table.part(_rows(table, each), own_labels=True)) for name, each in named.items())
        },
        "sources": {source: _source(table, source, seed) for source in sorted({clip.source for clip in clips})},
        "per_label": per_label(table),
        "widths": {
            width: both_ways(
                LabelTable.of(clips, [_narrow(each, width) for each in windows], _narrow(texts, width), labels),
                seed=seed,
            )
            for width in _widths(texts.shape[1])
        },
    }
    right = ranks(table.scores.T, table.relevant.T) <= 1
    return figures, np.where(right, [clip.label for clip in clips], table.guesses())


def queried(scores: np.ndarray, relevant: np.ndarray, draws: Draws) -> dict[str, Interval]:
    """R@1, R@5, R@10 and mAP@10 of queries (Q,), which are the items of `draws`; scores and relevant (Q, N)."""
    places = ranks(scores, relevant)
    recall = {f"r{k}": draws.mean(places <= k) for k in (1, 5, 10)}
    return recall | {"map10": draws.mean(average_precision_at_10(scores, relevant))}


def both_ways(table: LabelTable, *, seed: int) -> dict[str, Any]:
    draws = Draws(table.recordings, seed=seed)
    return {
        "clips": len(table.clips),
        "recordings": draws.groups,
        "labels": len(table.labels),
        "audio->text": queried(table.scores.T, table.relevant.T, draws),
        "text->audio": table.search(seed=seed),
    }


def per_label(table: LabelTable) -> list[dict[str, Any]]:
    """Each label with its clips: how often they are told right, how its text fares, what they are taken for."""
    guesses, label_of = table.guesses(), np.array([clip.label for clip in table.clips])
    right = ranks(table.scores.T, table.relevant.T) <= 1
    precision = average_precision_at_10(table.scores, table.relevant)
    rows = []
    for row, label in enumerate(table.labels):
        own = label_of == label
        wrong = Counter(guesses[own & ~right].tolist()).most_common(1)
        rows.append(
            {
                "label": label,
                "clips": int(own.sum()),
                "recordings": len({clip.recording for clip in table.clips if clip.label == label}),
                "audio->text_r1": 100 * float(right[own].mean()),
                "text->audio_ap10": 100 * float(precision[row]),
                "taken_for": wrong[0][0] if wrong else "",
                "times": wrong[0][1] if wrong else 0,
            }
        )
    return rows


def _captions(contender: Contender, clips: Sequence[Clip], windows: Sequence[np.ndarray], *, seed: int) -> dict:
    """People's captions, as `training.evaluate` asks them: each once, right are the clips of its own recording.

    They search all clips, though most have no caption and many sound as one says: every other dog in the pool counts as
    wrong. "among captioned" is the search of the papers' pools, whose clips all have captions.
    """
    asked = sorted({(text, clip.recording) for clip in clips for text in clip.captions})
    if not asked:
        return {}
    scores = clip_scores(contender.texts([text for text, _ in asked]), windows)
    recordings = np.array([clip.recording for clip in clips])
    own = [recording for _, recording in asked]
    relevant = np.array(own)[:, None] == recordings
    captioned = relevant.any(axis=0)
    return {
        "captions": len(asked),
        "clips": int(captioned.sum()),
        "pool": len(clips),
        "recordings": len(set(own)),
        "audio->text": queried(
            scores.T[captioned], relevant.T[captioned], Draws(recordings[captioned].tolist(), seed=seed)
        ),
        "text->audio": queried(scores, relevant, Draws(own, seed=seed)),
        "among captioned": queried(scores[:, captioned], relevant[:, captioned], Draws(own, seed=seed)),
    }


def _rows(table: LabelTable, sources: Sequence[str]) -> np.ndarray:
    return np.flatnonzero([clip.source in sources for clip in table.clips])


def _names(table: LabelTable, sources: Sequence[str], seed: int) -> Interval:
    """Top-1 among the source's own class names: the usual zero-shot figure."""
    part = table.part(_rows(table, sources), own_labels=True)
    right = part.guesses() == np.array([clip.label for clip in part.clips])
    return Draws(part.recordings, seed=seed).mean(right)


def _source(table: LabelTable, source: str, seed: int) -> dict[str, Any]:
    """One source's clips: among its own labels, among all labels, and its labels' search of them."""
    rows = _rows(table, [source])
    part, own = table.part(rows), table.part(rows, own_labels=True)
    draws = Draws(part.recordings, seed=seed)
    among_all = queried(part.scores.T, part.relevant.T, draws)
    return {
        "clips": len(part.clips),
        "recordings": draws.groups,
        "labels": len(own.labels),
        "names_top1": _names(table, [source], seed),
        "audio->text_r1": among_all["r1"],
        "audio->text_r10": among_all["r10"],
        "text->audio_map10": own.search(seed=seed)["map10"],
    }


def _widths(width: int) -> list[int]:
    """64, 128, … up to the bundle's own."""
    doubled = [NARROWEST << i for i in range(width.bit_length()) if NARROWEST << i < width]
    return [*doubled, width]


def _narrow(vectors: np.ndarray, width: int) -> np.ndarray:
    """The first `width` numbers of each (n, E), at unit length again."""
    kept = vectors[:, :width]
    return kept / np.maximum(np.linalg.norm(kept, axis=1, keepdims=True), 1e-12)
