"""Narrow embeddings of a trained model, without training: its joint space turned so that the first numbers say most.

    python -m training narrow runs/stream/train --width 128 --out runs/stream/narrow
    python -m export runs/stream/narrow my-bundle --encoder runs/stream

The columns of the turn are the principal directions of the training windows' embeddings. All of them kept, every cosine
is what it was, and an embedding may be cut short anywhere, as a nested one (training/objective.py) may; of the first
128 a bundle's index and archive take a quarter. What each width costs, as trained and turned:

    python -m training widths runs/seed-0 runs/seed-1 runs/seed-2       # -> benchmarks/results/widths.md
"""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch

from training.compare import cell, commit
from training.evaluate import evaluate
from training.features import Features
from training.retrieval import DualEncoder
from training.sounds import Clip
from training.train import Checkpoint

__all__ = ["narrowed", "principal_directions", "width_table"]

COLUMNS = {
    "labels_a2t_r1": "labels A→T R@1",
    "labels_a2t_r10": "R@10",
    "labels_t2a_r1": "labels T→A R@1",
    "labels_t2a_map10": "mAP@10",
    "captions_t2a_r10": "captions T→A R@10",
}
NARROWEST = 32


def narrowed(checkpoint: Checkpoint, heard: Features, width: int) -> Checkpoint:
    """The same model, whose embeddings have `width` numbers; `heard`: features of what it was trained on."""
    old = checkpoint.model
    if old.config.kept_width:
        raise ValueError(
            f"this checkpoint was narrowed to {old.config.kept_width} numbers already: give the one before"
        )
    if old.config.known:
        raise ValueError(
            "this checkpoint falls back on its tagger by the first numbers of a space that would be turned: "
            "narrow the one before, then `python -m training fallback`"
        )
    if not 0 < width <= old.config.joint_width:
        raise ValueError(f"an embedding has {old.config.joint_width} numbers, {width} of them cannot be kept")
    turn = torch.from_numpy(principal_directions(checkpoint.embed_windows(heard))[:, :width].copy())
    model = DualEncoder(replace(old.config, kept_width=width), old.words)
    weights = old.state_dict() | {"audio_tower.turn": turn, "text_tower.turn": turn}
    if old.concepts is not None:
        weights["concepts.table"] = torch.nn.functional.normalize(old.concepts.table @ turn, dim=1)
    model.load_state_dict(weights)
    return replace(checkpoint, model=model.eval(), validation={})


def principal_directions(embeddings: np.ndarray) -> np.ndarray:
    """Of (N, E), as orthonormal columns (E, E) float32: the one along which they reach the farthest from 0 first."""
    _, directions = np.linalg.eigh(embeddings.T.astype(np.float64) @ embeddings)
    return directions[:, ::-1].astype(np.float32)


def width_table(checkpoints: Sequence[tuple[str, Checkpoint]], clips: Sequence[Clip], clean: Features) -> str:
    """Markdown: the validation split by the first numbers of each embedding, as trained and turned; mean and standard
    deviation over the checkpoints (name, checkpoint), one of each seed."""
    val, train = ([row for row, clip in enumerate(clips) if clip.split == split] for split in ("val", "train"))
    heard, part = clean.of_clips(train), clean.of_clips(val)
    found: dict[tuple[int, str], list[dict[str, float]]] = {}
    for _, checkpoint in checkpoints:
        whole = checkpoint.model.config.joint_width
        for way, each in (("as trained", checkpoint), ("turned", narrowed(checkpoint, heard, whole))):
            embedded = each.embed_windows(part)
            for width in _halved(whole):

                def cut(rows: np.ndarray, width: int = width) -> np.ndarray:
                    return rows[:, :width] / np.linalg.norm(rows[:, :width], axis=1, keepdims=True)

                def texts(asked: Sequence[str], each: Checkpoint = each, width: int = width) -> np.ndarray:
                    return cut(each.embed_text(asked), width)

                windows = [cut(embedded[part.clip == row]) for row in val]
                figures = evaluate([clips[row] for row in val], windows, texts).figures()
                found.setdefault((width, way), []).append(figures)
    lines = [
        "# What is left of an embedding that is cut short",
        "",
        f"`python -m training widths {' '.join(name for name, _ in checkpoints)}` at commit {commit()}",
        "",
        f"Shared sounds, validation split: {len(val)} clips. Percent, mean ± standard deviation of {len(checkpoints)} "
        f"checkpoints: {', '.join(_told(checkpoint) for _, checkpoint in checkpoints)}.",
        "",
        f"| numbers | embeddings | {' | '.join(COLUMNS.values())} |",
        f"|---|---|{'---|' * len(COLUMNS)}",
    ]
    for (width, way), each in sorted(found.items()):
        cells = [cell([figures.get(key, float("nan")) for figures in each]) for key in COLUMNS]
        lines.append(f"| {width} | {way} | {' | '.join(cells)} |")
    return "\n".join([*lines, ""])


def _told(checkpoint: Checkpoint) -> str:
    return f"seed {checkpoint.config['seed']} of {checkpoint.config['epochs']} epochs"


def _halved(width: int) -> list[int]:
    """The width, half of it, and so on down to `NARROWEST`, or only itself."""
    return [width] if width < 2 * NARROWEST else [width, *_halved(width // 2)]
