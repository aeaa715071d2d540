"""What each option of training is worth on the validation split: the default beside one change at a time.

    python -m training recipes --seeds 3        # -> benchmarks/results/recipes.md
    python -m training recipes --folds 4 --only "default,told captions of no clip" --out parts.md

An option becomes a default where this table says so; the test split has no part in it. People's captions are few in the
validation split; with `--folds` every recording of training and validation is asked once (training/folds.py). Clips are
heard in windows of 5.12 s, as a bundle's streaming runtime hears them, whatever the windows of training. What is
finished is read again from its `report.json`, and an interrupted run goes on where it was.
"""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from torch import nn

from training.caption_teacher import CaptionTeacher
from training.compare import cell, commit
from training.evaluate import evaluate, same_sound
from training.extras import Extras
from training.features import Features
from training.folds import ASKED, folded
from training.label_names import tidy_label
from training.metrics import ranks
from training.paired_texts import PairedTexts
from training.sampler import in_turn_segments
from training.sounds import Clip
from training.train import Checkpoint, train
from training.train_config import TrainConfig
from training.words import WordVectors

__all__ = ["RECIPES", "Ground", "figures", "recipes"]

RECIPES: dict[str, dict[str, Any]] = {
    "default": {},
    "audio: mean": {"audio_pooling": "mean"},
    "audio: max": {"audio_pooling": "max"},
    "audio: LSTM": {"audio_pooling": "lstm"},
    "audio: NetVLAD": {"audio_pooling": "netvlad"},
    "text: mean": {"text_pooling": "mean"},
    "nested widths": {"narrow_weight": 1.0},
    "two sounds": {"joint": 0.2},
    "still sounds": {"still": 32},
    "windows of 5.12 s": {"window": 16},
    "cropped windows": {"crop": 0.5},
    "uploaders' titles": {"titles": 0.3},
    "captions of no clip": {"bank_weight": 0.3},
    "told captions of no clip": {"bank_weight": 1.0, "bank_told": True},
    "captions fit their own recording": {"own_captions": True},
    "texts of one sound": {"pairs_weight": 1.0},
    "tags weigh more": {"tag_weight": 1.0},
    "texts' teacher weighs more": {"caption_weight": 3.0},
    "what texts share dropped": {"common_share": 0.5},
}
COLUMNS = {
    "esc50_top1": "ESC-50 top-1",
    "kitchen20_top1": "kitchen20 top-1",
    "urbansound8k_top1": "UrbanSound8K top-1",
    "labels_a2t_r1": "labels A→T R@1",
    "labels_t2a_map10": "labels T→A mAP@10",
    "captions_t2a_r10": "captions T→A R@10",
    "captions_t2a_map10": "captions T→A mAP@10",
    "narrow_a2t_r1": "labels A→T R@1 by 64 numbers",
    "both_in_turn": "both of two sounds in the first five",
}
NARROW = 64
HEARD_SEGMENTS = 16
TOP = 5


@dataclass(frozen=True)
class Ground:
    """What all recipes are trained on; `copies[0]` are the clean features. `out` keeps the runs."""

    clips: Sequence[Clip]
    copies: Sequence[Features]
    vectors: WordVectors
    class_names: Sequence[str]
    tagger: nn.Sequential | None
    teacher: CaptionTeacher | None
    extras: Extras
    pairs: PairedTexts | None
    out: Path


def recipes(
    ground: Ground,
    names: Sequence[str],
    *,
    base: TrainConfig,
    seeds: int,
    folds: int = 0,
    say: Callable[[str], None] = print,
) -> str:
    """Train what is missing, seed by seed, and return the table as Markdown. With `folds` there are as many seeds, and
    seed i is asked part i of the recordings, which it has not heard."""
    if unknown := [name for name in names if name not in RECIPES]:
        raise ValueError(f"recipes {unknown} are not known; there are {', '.join(RECIPES)}")
    rows: dict[str, list[dict[str, float]]] = {name: [] for name in names}
    for seed in range(folds or seeds):
        heard = replace(ground, clips=folded(ground.clips, seed, of=folds)) if folds else ground
        for name in names:
            config = TrainConfig(**{**vars(base), **RECIPES[name], "seed": seed})
            folder = "".join(letter if letter.isalnum() else "-" for letter in name)
            run = f"{folder}-{seed}-of-{folds}" if folds else f"{folder}-{seed}"
            rows[name].append(_run(heard, config, ground.out / run))
            say(f"{name}, seed {seed}: {json.dumps(rows[name][-1])}")
    return markdown(rows, ground, base, folds=folds)


def markdown(rows: dict[str, list[dict[str, float]]], ground: Ground, base: TrainConfig, *, folds: int = 0) -> str:
    asked = [clip for clip in ground.clips if clip.split == "val" or (folds and clip.split == "train")]
    seeds = max(len(found) for found in rows.values())
    recordings = len({clip.recording for clip in asked})
    captions = len({(text, clip.recording) for clip in asked for text in clip.captions})
    several = f"{folds} parts" if folds else f"{seeds} seed{'s' * (seeds > 1)}"
    chosen = ({"folds": folds} if folds else {"seeds": seeds}) | {"epochs": base.epochs}
    chosen |= {name: value for name, value in vars(base).items() if value != getattr(TrainConfig(), name)}
    flags = " ".join(f"--{name.replace('_', '-')} {value}" for name, value in chosen.items())
    lines = [
        "# What each option of training is worth",
        "",
        f"`python -m training recipes {flags}` at commit {commit()}",
        "",
        f"Shared sounds, {f'training and validation in {folds} parts' if folds else 'validation split'}: {len(asked)} "
        f"clips of {recordings} recordings, {captions} captions. Windows of 5.12 s. Percent, mean ± standard deviation "
        f"over {several}; {len(ground.copies)} copies of each clip. Each row changes one thing of the first"
        f"{'; in brackets what that makes of the same part' if folds else ''}.",
        "",
        f"| recipe | sets | {' | '.join(COLUMNS.values())} |",
        f"|---|---|{'---|' * len(COLUMNS)}",
    ]
    first = next(iter(rows.values()))
    for name, found in rows.items():
        sets = ", ".join(f"{key} {value}" for key, value in RECIPES[name].items())
        cells = [cell([each[key] for each in found]) for key in COLUMNS]
        if folds and found is not first:  # parts are unlike each other; the same part is not
            pairs = list(zip(found, first, strict=True))
            gains = [cell([each[key] - own[key] for each, own in pairs]) for key in COLUMNS]
            cells = [f"{value} ({gain})" for value, gain in zip(cells, gains, strict=True)]
        lines.append(f"| {name} | {sets} | {' | '.join(cells)} |")
    return "\n".join([*lines, ""])


def figures(checkpoint: Checkpoint, clips: Sequence[Clip], clean: Features) -> dict[str, float]:
    """Those of `COLUMNS`, on the part that is asked where there is one, else on the validation split."""
    split = ASKED if any(clip.split == ASKED for clip in clips) else "val"
    rows = [row for row, clip in enumerate(clips) if clip.split == split]
    kept, val = clean.of_clips(rows), [clips[row] for row in rows]
    part, _ = kept.cut(HEARD_SEGMENTS)
    embedded = checkpoint.embed_windows(part)
    windows = [embedded[part.clip == row] for row in rows]
    whole = evaluate(val, windows, checkpoint.embed_text).figures()
    narrow = evaluate(val, [_narrow(each) for each in windows], lambda texts: _narrow(checkpoint.embed_text(texts)))
    found = {key: whole.get(key, float("nan")) for key in COLUMNS}
    return found | {
        "narrow_a2t_r1": round(narrow.labels["audio->text"].r1, 2),
        "both_in_turn": round(_both_in_turn(checkpoint, val, rows, part), 2),
    }


def _run(ground: Ground, config: TrainConfig, out: Path) -> dict[str, float]:
    """One recipe's figures from one seed, read where they are there."""
    report = out / "report.json"
    if report.exists():
        kept = json.loads(report.read_text())
        if kept["config"] == vars(config) and kept["copies"] == len(ground.copies):
            return kept["figures"]
    checkpoint = train(
        ground.clips,
        ground.copies,
        ground.vectors,
        config,
        out,
        class_names=ground.class_names,
        tagger=ground.tagger,
        teacher=ground.teacher,
        extras=ground.extras,
        pairs=ground.pairs,
        resume=(out / "last.pt").exists(),
    )
    found = figures(checkpoint, ground.clips, ground.copies[0])
    part = report.with_suffix(".part")
    part.write_text(json.dumps({"config": vars(config), "copies": len(ground.copies), "figures": found}) + "\n")
    part.replace(report)
    (out / "last.pt").unlink()  # three times a checkpoint's size, and of no use any more
    return found


def _both_in_turn(checkpoint: Checkpoint, clips: Sequence[Clip], rows: Sequence[int], part: Features) -> float:
    """Each clip and then one of another sound, in one window: how often are both labels among the first five."""
    rng = np.random.default_rng(0)
    labels = sorted({clip.label for clip in clips})
    same, label_of = same_sound(labels), np.array([labels.index(clip.label) for clip in clips])
    others = [rng.choice(np.flatnonzero(~same[label, label_of])) for label in label_of]
    first = np.array([np.flatnonzero(part.clip == row)[0] for row in rows])
    pairs = [
        in_turn_segments([(part.segments[first[i]], int(part.lengths[first[i]])) for i in pair], rng)
        for pair in enumerate(others)
    ]
    segments, lengths = (np.array(each) for each in zip(*pairs, strict=True))
    heard = checkpoint.embed_windows(Features(segments, lengths, np.arange(len(pairs)), part.tags[first]))
    scores = heard @ checkpoint.embed_text([tidy_label(label) for label in labels]).T  # (N, L)
    places = [ranks(scores, same[label_of[which]]) for which in (np.arange(len(clips)), np.array(others))]
    return 100 * float((np.maximum(*places) <= TOP).mean())


def _narrow(embeddings: np.ndarray) -> np.ndarray:
    """The first numbers of (N, E), at unit length again."""
    short = embeddings[:, :NARROW]
    return short / np.maximum(np.linalg.norm(short, axis=1, keepdims=True), 1e-12)
