"""How well a model retrieves, on one split of the shared sounds.

    python -m training evaluate runs/train            # a checkpoint, fp32 PyTorch
    python -m training evaluate edge_runtime/default_bundle     # the bundle, from audio, through the runtime

Three tasks, each with its pool size (../shared/data/README.md says how relevance is meant):
- *names*: which of a source's class names fits a clip (audio -> text R@1), the usual zero-shot figure;
- *labels*: all labels of the split (as `tidy_label` spells them) against all its clips, both ways; any clip of the
  query's label is right;
- *captions*: human captions against all clips of the split, and its captioned clips against all its captions; only
  clips of the caption's own recording are right.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from training.label_names import SAME_SOUND, tidy_label
from training.metrics import Ranking, ranking
from training.sounds import Clip

__all__ = ["NAMED_SOURCES", "Report", "bundle_embedder", "evaluate", "markdown", "same_sound", "selection_score"]

NAMED_SOURCES = {
    "esc50": ("esc50",),
    "kitchen20": ("kitchen20", "kitchen20_LL"),
    "urbansound8k": ("urbansound8k",),
}
"""The sources with class names of their own, by the name that a table gives them."""


@dataclass(frozen=True)
class Report:
    """`names`: top-1 in percent a source; the others by direction ("text->audio", "audio->text")."""

    names: dict[str, float]
    names_clips: dict[str, int]
    labels: dict[str, Ranking]
    captions: dict[str, Ranking]

    def figures(self) -> dict[str, float]:
        """The headline numbers, flat, in percent."""
        flat = {f"{source}_top1": value for source, value in self.names.items()}
        for task, table in (("labels", self.labels), ("captions", self.captions)):
            for direction, result in table.items():
                way = "t2a" if direction == "text->audio" else "a2t"
                flat |= {f"{task}_{way}_{name}": getattr(result, name) for name in ("r1", "r5", "r10", "map10")}
        return {name: round(value, 2) for name, value in flat.items()}

    def queries(self) -> dict[str, int]:
        """How many queries each headline number is the mean of, by its name."""
        counts = {f"{source}_top1": count for source, count in self.names_clips.items()}
        for task, table in (("labels", self.labels), ("captions", self.captions)):
            for direction, result in table.items():
                way = "t2a" if direction == "text->audio" else "a2t"
                counts |= {f"{task}_{way}_{name}": result.queries for name in ("r1", "r5", "r10", "map10")}
        return counts


def evaluate(
    clips: Sequence[Clip],
    windows: Sequence[np.ndarray],
    embed_text: Callable[[Sequence[str]], np.ndarray],
) -> Report:
    """Score `clips` whose window embeddings are `windows[i] (W_i, E)`; `embed_text` gives (n, E).

    A clip's score for a text is that of its best window, as in the runtime.
    """
    owner = np.repeat(np.arange(len(clips)), [len(each) for each in windows])
    stacked = np.concatenate(list(windows))

    def scores(texts: Sequence[str]) -> np.ndarray:
        table = np.full((len(texts), len(clips)), -np.inf, np.float32)
        np.maximum.at(table.T, owner, stacked @ embed_text(texts).T)
        return table

    label_of = np.array([clip.label for clip in clips])
    labels = sorted(set(label_of))
    names, names_clips = {}, {}
    for name, sources in NAMED_SOURCES.items():
        rows = np.array([i for i, clip in enumerate(clips) if clip.source in sources], int)
        if len(rows):
            own = sorted({label_of[i] for i in rows})
            guess = np.array(own)[scores([tidy_label(label) for label in own])[:, rows].argmax(axis=0)]
            names[name] = 100 * float((guess == label_of[rows]).mean())
            names_clips[name] = len(rows)
    relevant = same_sound(labels)[:, [labels.index(label) for label in label_of]]
    by_label = scores([tidy_label(label) for label in labels])

    # several clips may share a recording, and with it its captions: each caption is asked once
    texts = sorted({(text, clip.recording) for clip in clips for text in clip.captions})
    owns = np.array([[clip.recording == recording for clip in clips] for _, recording in texts], bool)
    by_caption = scores([text for text, _ in texts]) if texts else np.zeros((0, len(clips)), np.float32)
    return Report(
        names=names,
        names_clips=names_clips,
        labels=_both_ways(by_label, relevant),
        captions=_both_ways(by_caption, owns) if texts else {},
    )


def selection_score(report: Report) -> float:
    """One number to choose a checkpoint by: geometric mean of R@1, R@5, R@10 over labels, both directions.

    Captions stay out: the validation split has so few that one of them moves the mean by a point.
    """
    values = np.array([getattr(table, name) for table in report.labels.values() for name in ("r1", "r5", "r10")])
    return float(np.exp(np.log(np.maximum(values, 1e-3)).mean()))


def same_sound(labels: Sequence[str]) -> np.ndarray:
    """(L, L) bool: which labels name the same sound: each itself, and the groups of `SAME_SOUND`."""
    same = np.eye(len(labels), dtype=bool)
    for group in SAME_SOUND:
        rows = [i for i, label in enumerate(labels) if label in group]
        same[np.ix_(rows, rows)] = True
    return same


def markdown(report: Report, title: str) -> list[str]:
    """The figures as Markdown tables, line by line, ready for a README."""
    lines = [f"### {title}", "", "| class names of | clips | top-1 % |", "|---|---|---|"]
    lines += [f"| {name} | {report.names_clips[name]} | {value:.1f} |" for name, value in report.names.items()]
    lines += ["", "| task | direction | queries | pool | R@1 | R@5 | R@10 | median rank | mean rank | mAP@10 |"]
    lines += ["|---|---|---|---|---|---|---|---|---|---|"]
    for task, table in (("labels", report.labels), ("captions", report.captions)):
        for direction, r in table.items():
            recalls = " | ".join(f"{value:.1f}" for value in (r.r1, r.r5, r.r10, r.median_rank, r.mean_rank, r.map10))
            lines.append(f"| {task} | {direction} | {r.queries} | {r.pool} | {recalls} |")
    return lines


def bundle_embedder(
    folder: Path,
) -> tuple[Callable[[Path], np.ndarray], Callable[[Sequence[str]], np.ndarray]]:
    """What `evaluate` needs, out of a bundle: file -> (W, E), and texts -> (n, E), both through the runtime."""
    from edge_runtime import Engine

    engine = Engine.open(folder, phrases=["silence"])
    return engine.embed_audio, engine.bundle.embed_text


def _both_ways(scores: np.ndarray, relevant: np.ndarray) -> dict[str, Ranking]:
    asked = relevant.any(axis=1)
    heard = relevant.any(axis=0)
    return {
        "text->audio": ranking(scores[asked], relevant[asked]),
        "audio->text": ranking(scores.T[heard], relevant.T[heard]),
    }
