"""What a model remembers of the sounds that it was trained on: their embeddings and labels, no sound.

    memory = Memory.heard(clips, lambda clip: engine.embed_audio(clip.path))    # through a bundle's whole runtime
    memory.save(folder / "memory.npz")          # 8 bits a number, half a kilobyte a window

Fine-tuning leaves the audio side as it is, so these embeddings stay true: old sounds are replayed to the text side, and
the old benchmark is asked again, without the old recordings. The train split keeps one clip of a recording and label,
`PER_LABEL` of a label, and of each the first window; the validation split is kept whole, and the test split is not kept
at all.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from edge_runtime.recall import FILE
from training.evaluate import Report, evaluate
from training.sounds import Clip

__all__ = ["MEMORY", "Memory"]

MEMORY = FILE
STEPS = 31
"""Either side of zero, as edge_runtime/unit_rows.py has it: the file is a quarter smaller than with 127."""
PER_LABEL = 5
"""A bundle is to stay small, and a label is replayed as often whether many clips of it are kept or few."""


@dataclass(frozen=True)
class Memory:
    """`clips`, and `windows (N, E)` float32, unit length, of which row i belongs to `clips[owner[i]]`."""

    clips: list[Clip]
    windows: np.ndarray
    owner: np.ndarray

    @classmethod
    def of(cls, clips: Sequence[Clip], windows: Sequence[np.ndarray]) -> "Memory":
        """`windows[i] (W_i, E)` of clip i."""
        owner = np.repeat(np.arange(len(clips)), [len(each) for each in windows])
        return cls(list(clips), np.concatenate(list(windows)), owner)

    @classmethod
    def heard(cls, clips: Sequence[Clip], hear: Callable[[Clip], np.ndarray]) -> "Memory":
        """What is to be remembered of `clips`, those of all splits; `hear` gives the windows (W, E) of one."""
        train = {(clip.recording, clip.label): clip for clip in reversed(clips) if clip.split == "train"}
        chosen = [*_few_of_each_label(reversed(train.values())), *(clip for clip in clips if clip.split == "val")]
        windows = [hear(clip) for clip in chosen]
        return cls.of(chosen, [w[:1] if c.split == "train" else w for c, w in zip(chosen, windows, strict=True)])

    def of_split(self, split: str) -> "Memory":
        rows = [row for row, clip in enumerate(self.clips) if clip.split == split]
        return Memory.of([self.clips[row] for row in rows], [self.windows[self.owner == row] for row in rows])

    @property
    def by_clip(self) -> list[np.ndarray]:
        """The windows (W_i, E) of each clip."""
        counts = np.bincount(self.owner, minlength=len(self.clips))
        return np.split(self.windows, counts.cumsum()[:-1])

    def scores(self, texts: np.ndarray) -> np.ndarray:
        """Texts (L, E) -> (L, N): a clip's score is that of its best window."""
        return np.stack([(texts @ each.T).max(axis=1) for each in self.by_clip], axis=1)

    def report(self, embed_text: Callable[[Sequence[str]], np.ndarray]) -> Report:
        return evaluate(self.clips, self.by_clip, embed_text)

    def save(self, path: Path) -> None:
        """Labels, sources and splits are kept; recordings become numbers, captions and names of files are left out."""
        clips = self.clips
        recordings = sorted({clip.recording for clip in clips})
        scale = np.abs(self.windows).max(axis=1, keepdims=True) / STEPS
        np.savez_compressed(
            path,
            windows=np.rint(self.windows / scale).astype(np.int8),
            owner=self.owner.astype(np.int32),
            labels=np.array([clip.label for clip in clips]),
            sources=np.array([clip.source for clip in clips]),
            splits=np.array([clip.split for clip in clips]),
            recordings=np.array([recordings.index(clip.recording) for clip in clips], np.int32),
        )

    @classmethod
    def load(cls, path: Path) -> "Memory":
        with np.load(path, allow_pickle=False) as file:
            columns = (file[name].tolist() for name in ("labels", "sources", "splits", "recordings"))
            clips = [
                Clip(Path(str(row)), split, label, (), str(recording), source, "", 0.0)
                for row, (label, source, split, recording) in enumerate(zip(*columns, strict=True))
            ]
            windows = file["windows"].astype(np.float32)
            owner = file["owner"].astype(int)
        return cls(clips, windows / np.linalg.norm(windows, axis=1, keepdims=True), owner)


def _few_of_each_label(clips: Iterable[Clip]) -> list[Clip]:
    """The first `PER_LABEL` of each."""
    seen: Counter[str] = Counter()
    few = []
    for clip in clips:
        seen[clip.label] += 1
        if seen[clip.label] <= PER_LABEL:
            few.append(clip)
    return few
