"""The shared sounds: 4,421 labelled recordings (../shared/data/sounds), read where they stand.

clips = read_clips(Path("../shared/data/sounds"))
samples = load_samples(clips[0].path, 32_000)
"""

import csv
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from edge_runtime.audio_file import AudioFile
from edge_runtime.resample import Resampler
from edge_runtime.tokenizer import words_of

__all__ = ["SPLITS", "Clip", "load_samples", "read_clips", "unheard_captions"]

SPLITS = ("train", "val", "test")
COLUMNS = ("file", "split", "label", "captions", "recording", "source", "seconds", "licence", "rms_dbfs")


@dataclass(frozen=True)
class Clip:
    """One recording: where it is, what it is called, and the captions that people wrote for its parent recording;
    `title`: its uploader's, often a file name."""

    path: Path
    split: str
    label: str
    captions: tuple[str, ...]
    recording: str
    source: str
    licence: str
    rms_dbfs: float
    title: str = ""


def read_clips(root: Path) -> list[Clip]:
    """All clips of clips.csv. Raises FileNotFoundError or ValueError that names what is missing."""
    table = root / "clips.csv"
    if not table.is_file():
        raise FileNotFoundError(f"the shared sounds are not at {root} (no clips.csv): give their folder with --sounds")
    with table.open(encoding="utf-8", newline="") as file:
        rows = csv.DictReader(file)
        absent = [name for name in COLUMNS if name not in (rows.fieldnames or ())]
        if absent:
            raise ValueError(f"{table} lacks the columns {absent}")
        clips = [
            Clip(
                path=root / row["file"],
                split=row["split"],
                label=row["label"],
                captions=tuple(text.strip() for text in row["captions"].split(" | ") if text.strip()),
                recording=row["recording"] or row["file"],
                source=row["source"],
                licence=row["licence"],
                rms_dbfs=float(row["rms_dbfs"]),
                title=row.get("title") or "",
            )
            for row in rows
        ]
    wrong = sorted({clip.split for clip in clips} - set(SPLITS))
    if wrong:
        raise ValueError(f"{table} has the splits {wrong}, expected {SPLITS}")
    missing = [clip.path for clip in clips if not clip.path.is_file()]
    if missing:
        raise FileNotFoundError(f"{len(missing)} clips of {table} are missing, the first is {missing[0]}")
    return clips


def unheard_captions(clips: Iterable[Clip]) -> set[tuple[str, ...]]:
    """What people said of the clips that training may not hear, as words: a corpus has some of it too."""
    return {tuple(words_of(caption)) for clip in clips if clip.split != "train" for caption in clip.captions}


def load_samples(path: Path, rate_hz: int) -> np.ndarray:
    """A whole recording at `rate_hz`, float32 mono (n,)."""
    with AudioFile.open(path) as file:
        resampler = Resampler(file.rate_hz, rate_hz)
        return np.concatenate([*map(resampler.push, file.blocks()), resampler.flush()])
