"""The closed protocol for people: tables, and a plot of what each label is taken for."""

from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from benchmarks.report import Table

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["closed_tables", "draw_confusion"]

WORST_LABELS = 20
MIN_CLIPS_DRAWN = 3
"""Labels of fewer clips are left out of the confusion plot, unless there are no others."""


def closed_tables(name: str, found: dict[str, Any]) -> list[Table]:
    """For people."""
    recalls = ("R@1", "R@5", "R@10", "mAP@10")
    worst = sorted((row for row in found["per_label"] if row["clips"] > 1), key=lambda row: row["audio->text_r1"])
    pool = f"{found['labels']['labels']} labels, {found['labels']['clips']} clips"
    return [
        Table(
            f"{name}: the test split, both directions, % (95 % interval over recordings)",
            ("task", "direction", "queries", "pool", *recalls),
            _both_directions(found),
        ),
        Table(
            f"{name}: top-1 among the class names of a collection, %",
            ("collection", "clips", "class names", "top-1"),
            [(source, *found["names_pool"][source].values(), str(value)) for source, value in found["names"].items()],
        ),
        Table(
            f"{name}: each source ({pool} of all), %",
            (
                "source",
                "clips",
                "recordings",
                "labels",
                "top-1, own labels",
                "R@1, all labels",
                "R@10",
                "search mAP@10",
            ),
            [
                (source, each["clips"], each["recordings"], each["labels"], *map(str, list(each.values())[3:]))
                for source, each in found["sources"].items()
            ],
        ),
        Table(
            f"{name}: narrower embeddings ({pool}), %",
            ("width", "audio->text R@1", "audio->text R@10", "text->audio R@1", "text->audio mAP@10"),
            [
                (
                    str(width),
                    *(str(each["audio->text"][n]) for n in ("r1", "r10")),
                    *(str(each["text->audio"][n]) for n in ("r1", "map10")),
                )
                for width, each in found["widths"].items()
            ],
        ),
        Table(
            f"{name}: the {WORST_LABELS} labels that are told worst ({pool}; labels of two clips or more)",
            ("label", "clips", "R@1 %", "search AP@10 %", "taken for", "times"),
            [
                tuple(
                    row[column]
                    for column in ("label", "clips", "audio->text_r1", "text->audio_ap10", "taken_for", "times")
                )
                for row in worst[:WORST_LABELS]
            ],
        ),
    ]


def _both_directions(found: dict[str, Any]) -> list[tuple]:
    """Rows of the first table: each task both ways, with how many ask and how many may answer."""
    labels, captions = found["labels"], found["captions"]
    asking = [("labels", labels, labels["labels"], labels["clips"], labels["clips"])]
    if captions:
        asking.append(("captions", captions, captions["captions"], captions["pool"], captions["clips"]))
    rows = [
        (task, way, queries, pool, *map(str, ways[way].values()))
        for task, ways, texts, clips, asked in asking
        for way, queries, pool in (("text->audio", texts, clips), ("audio->text", asked, texts))
    ]
    if among := captions.get("among captioned"):
        told = ("captioned clips", "text->audio", captions["captions"], captions["clips"], *map(str, among.values()))
        rows.append(told)
    return rows


def draw_confusion(figure: "Figure", labels: Sequence[str], guesses: Sequence[str], title: str) -> None:
    """Which label each clip is taken for: rows are what it is, columns what is heard; shares of a row."""
    counts = Counter(labels)
    shown = sorted(label for label, count in counts.items() if count >= MIN_CLIPS_DRAWN) or sorted(counts)
    columns = [*shown, "another"]
    shares = np.zeros((len(shown), len(columns)))
    for label, guess in zip(labels, guesses, strict=True):
        if label in shown:
            shares[shown.index(label), columns.index(guess if guess in shown else "another")] += 1
    shares /= np.maximum(shares.sum(axis=1, keepdims=True), 1)
    side = 3 + 0.16 * len(columns)
    figure.set_size_inches(side + 1, side)
    axes = figure.add_subplot()
    image = axes.imshow(shares, cmap="Blues", vmin=0, vmax=1, aspect="auto")
    axes.set_xticks(range(len(columns)), columns, rotation=90, fontsize=7)
    axes.set_yticks(range(len(shown)), [f"{label} ({counts[label]})" for label in shown], fontsize=7)
    axes.set_xlabel("heard as")
    axes.set_ylabel("is (clips)")
    axes.set_title(title, loc="left", fontsize=11)
    axes.grid(alpha=0.15)
    figure.colorbar(image, ax=axes, shrink=0.5, label="share of the label's clips")
