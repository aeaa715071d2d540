"""Segments of every clip, computed once and kept: the frozen encoder's output, clean and roughened.

    python -m training features --out runs/features --copies 4

Each clip is cut as the runtime cuts a recording for the windowed network (windows of 32 segments, half overlapping,
short clips padded with silence), through the runtime's own front end, so that what is trained on is what a device
computes. A streaming network's segments do not depend on where a window lies: its device may pool fewer of them.
Extraction is resumable: a copy that is there is not computed again.
"""

import csv
import hashlib
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from edge_runtime.heap import hand_back
from edge_runtime.mel import MelSpec, MelTables, log_mel
from training.augment import brief as brief_stretch
from training.augment import masked, reverberant, roughened
from training.beds import Beds
from training.graph_encoder import GraphEncoder
from training.panns import Panns
from training.sounds import Clip, load_samples
from training.stream_mn import StreamingMobileNet

__all__ = [
    "MIN_FRAMES",
    "WINDOW_SEGMENTS",
    "Features",
    "class_names",
    "extract",
    "hear_again",
    "load",
    "load_samples",
    "padded_to",
    "rows_of",
    "save",
    "stacked",
    "windows_of",
]

WINDOW_SEGMENTS = 32
SEGMENT_FRAMES = 32
HOP_SEGMENTS = 16
MIN_FRAMES = 192
"""1.92 s: shorter clips are padded with silence to this, and only their own segments are kept. Of a network that
streams a segment is enough: what comes after a recording's end is not silence there."""


class Encoder(Protocol):
    """A network with segments and tags: mn04, or one of the PANNs family."""

    def segments(self, log_mel: Tensor) -> Tensor: ...

    def classify(self, segments: Tensor) -> Tensor: ...

    def state_dict(self) -> dict[str, Tensor]: ...


@dataclass(frozen=True)
class Features:
    """`segments (N, 32, D)` float16 padded with 0, `lengths (N,)`, `clip (N,)` the clip's row, `tags (N, 527)` the
    teacher's probabilities as float16. One row a window."""

    segments: np.ndarray
    lengths: np.ndarray
    clip: np.ndarray
    tags: np.ndarray

    def of_clips(self, rows: Iterable[int]) -> "Features":
        keep = np.isin(self.clip, list(rows))
        return Features(self.segments[keep], self.lengths[keep], self.clip[keep], self.tags[keep])

    def rows_by_clip(self) -> dict[int, np.ndarray]:
        """The windows of each clip."""
        return {int(clip): np.flatnonzero(self.clip == clip) for clip in np.unique(self.clip)}

    def cut(self, segments: int) -> tuple["Features", np.ndarray]:
        """The same in windows of so many segments at most, the last of each clip as long as it can be, and which row
        each of them comes from; a part's tags are its window's. Of a streaming network alone: its segments do not
        depend on where a window lies."""
        rows, starts = [], []
        for row, length in enumerate(self.lengths):
            ends = [*range(segments, int(length), segments), int(length)]
            rows += [row] * len(ends)
            starts += [max(0, end - segments) for end in ends]
        of = np.array(rows)
        places = np.array(starts)[:, None] + np.arange(segments)
        lengths = np.minimum(self.lengths[of], segments)
        parts = self.segments[of[:, None], places]  # (N', segments, D); beyond a shorter window lies its padding
        return Features(parts, lengths, self.clip[of], self.tags[of]), of

    def statistics(self, rows: Iterable[int]) -> tuple[np.ndarray, np.ndarray]:
        """Mean and standard deviation (D,) float32 of the segments of those clips; the latter is never 0."""
        part = self.of_clips(rows)
        own = np.arange(part.segments.shape[1]) < part.lengths[:, None]
        segments = part.segments[own].astype(np.float32)
        return segments.mean(axis=0), segments.std(axis=0) + np.float32(1e-3)


def windows_of(
    frames: np.ndarray, silence: np.ndarray, *, min_frames: int = MIN_FRAMES
) -> list[tuple[np.ndarray, int]]:
    """Frames (T, M) of a clip -> its windows as the listener cuts them: (frames padded to `min_frames`, segments)."""
    segments = -(-len(frames) // SEGMENT_FRAMES)
    ends = list(range(WINDOW_SEGMENTS, segments + 1, HOP_SEGMENTS))
    if not ends or ends[-1] < segments:
        ends.append(segments)
    windows = []
    for end in ends:
        first = max(0, end - WINDOW_SEGMENTS)
        part = frames[first * SEGMENT_FRAMES : end * SEGMENT_FRAMES]
        windows.append((padded_to(min_frames, part, silence), end - first))
    return windows


def padded_to(min_frames: int, frames: np.ndarray, silence: np.ndarray) -> np.ndarray:
    """Frames (T, M), and of `silence (M,)` as many as they lack."""
    missing = min_frames - len(frames)
    return np.concatenate((frames, np.tile(silence, (missing, 1)))) if missing > 0 else frames


def extract(
    clips: Sequence[Clip],
    net: Encoder | GraphEncoder,
    spec: MelSpec,
    tables: MelTables,
    *,
    out: Path,
    copies: int,
    reverb: float = 0.0,
    masks: float = 0.0,
    beds: float = 0.0,
    brief: float = 0.0,
    workers: int = 2,
) -> list[Path]:
    """Write one file a copy: copy 0 is the clips as they are, the others are roughened, each in its own way:
    `reverb` of their clips stand in a room, `beds` in a background, of `brief` only a short stretch is left, `masks` of
    their windows lack frames and bands."""
    from rich.progress import Progress

    out.mkdir(parents=True, exist_ok=True)
    weights = hashlib.sha256(b"".join(t.numpy().tobytes() for t in net.state_dict().values())).hexdigest()[:12]
    kind = f"-{reverb:g}-{masks:g}" if reverb or masks else ""
    kind += f"-beds-{beds:g}" if beds else ""
    kind += f"-brief-{brief:g}" if brief else ""
    paths = [out / f"{weights}-{copy}{kind if copy else ''}.npz" for copy in range(copies + 1)]
    rough = Rough(reverb, masks, beds, brief, Beds.of(clips) if beds else Beds([]))
    with Progress() as progress, ThreadPoolExecutor(workers) as pool:
        for copy, path in enumerate(paths):
            if path.exists():
                continue
            task = progress.add_task(f"copy {copy} of {copies}", total=len(clips))
            rows = []
            jobs = (pool.submit(_features_of, clip, i, copy, rough, net, spec, tables) for i, clip in enumerate(clips))
            for done, job in enumerate(list(jobs)):
                rows += job.result()
                if done % 16 == 0:  # what is kept lies between the maps of a network that are not: 16 GB in all
                    hand_back()
                progress.advance(task)
            part = path.with_suffix(".part.npz")
            save(part, stacked(rows))
            part.rename(path)
    return paths


@torch.inference_mode()
def hear_again(net: Encoder, taught: Features, windows: Sequence[np.ndarray]) -> Features:
    """What another network makes of the frames `windows[row] (T, M)` of the rows of `taught`, whose tags it keeps."""
    rows = [
        (net.segments(torch.from_numpy(frames.astype(np.float32).T.copy())[None])[0, :length].numpy(), tags, clip)
        for frames, length, tags, clip in zip(windows, taught.lengths, taught.tags, taught.clip, strict=True)
    ]
    return stacked(rows)


def class_names(weights_dir: Path) -> list[str]:
    """The 527 AudioSet class names in the order of the teacher's logits."""
    with (weights_dir / "audioset_class_labels.csv").open(encoding="utf-8", newline="") as file:
        return [row["display_name"] for row in csv.DictReader(file)]


def load(paths: Sequence[Path]) -> list[Features]:
    return [Features(**np.load(path, allow_pickle=False)) for path in paths]


@torch.inference_mode()
def rows_of(
    samples: np.ndarray,
    row: int,
    net: Encoder | GraphEncoder,
    spec: MelSpec,
    tables: MelTables,
    edit: Callable[[np.ndarray], np.ndarray] = lambda frames: frames,
) -> list[tuple[np.ndarray, np.ndarray, int]]:
    """The windows of a recording (n,): each one's segments (S, D), tags (C,), and `row`; `edit` changes the frames
    (T, M) that the network hears."""
    told = []
    if isinstance(net, GraphEncoder):
        told = [tags for _, tags, _ in rows_of(samples, row, net.teacher, *net.teacher_ear)]
    rows = []
    windows = windows_of(log_mel(spec, tables, samples), tables.silence(spec), min_frames=_least_frames(net))
    for place, (frames, count) in enumerate(windows):
        segments = net.segments(torch.from_numpy(edit(frames).T.copy())[None])[:, :count]  # (1, S, D)
        if isinstance(net, GraphEncoder):  # two front ends may differ by a frame, and so by a last window
            tags = told[min(place, len(told) - 1)]
        else:
            tags = net.classify(segments)[0].sigmoid().numpy()
        rows.append((segments[0].numpy(), tags, row))
    return rows


def _least_frames(net: Encoder | GraphEncoder) -> int:
    if isinstance(net, GraphEncoder):
        return net.min_frames
    return net.config.hop_frames if isinstance(net, Panns | StreamingMobileNet) else MIN_FRAMES


@dataclass(frozen=True)
class Rough:
    """Shares of a roughened copy's clips that stand in a room or in one of the `backgrounds` or are cut short, and of
    its windows that lack frames and bands."""

    reverb: float
    masks: float
    beds: float
    brief: float
    backgrounds: Beds


def _features_of(
    clip: Clip, row: int, copy: int, rough: Rough, net: Encoder | GraphEncoder, spec: MelSpec, tables: MelTables
) -> list[tuple[np.ndarray, np.ndarray, int]]:
    samples = load_samples(clip.path, spec.rate_hz)
    if not copy:
        return rows_of(samples, row, net, spec, tables)
    rng = np.random.default_rng([copy, row, 1])  # what `roughened` draws stays as it is
    if rough.brief and rng.random() < rough.brief:
        samples = brief_stretch(samples, rng)
    if rng.random() < rough.reverb:
        samples = reverberant(samples, rng)
    if rough.beds and rng.random() < rough.beds:
        samples = rough.backgrounds.lay(samples, rng)
    samples = roughened(samples, np.random.default_rng([copy, row]))
    return rows_of(
        samples, row, net, spec, tables, lambda frames: masked(frames, rng) if rng.random() < rough.masks else frames
    )


def save(path: Path, found: Features) -> None:
    np.savez(path, **vars(found))


def stacked(rows: list[tuple[np.ndarray, np.ndarray, int]]) -> Features:
    """Of `rows_of`'s rows, one window each."""
    width = rows[0][0].shape[1]
    segments = np.zeros((len(rows), WINDOW_SEGMENTS, width), np.float16)
    for into, (found, _, _) in zip(segments, rows, strict=True):
        into[: len(found)] = found
    return Features(
        segments,
        lengths=np.array([len(found) for found, _, _ in rows], np.int64),
        clip=np.array([row for _, _, row in rows], np.int64),
        tags=np.stack([tags for _, tags, _ in rows]).astype(np.float16),
    )
