"""Log-mel frames of every clip's windows, computed once and kept: what a student network hears.

mels = extract_mels(clips, 0, panns_mel(), path=Path("runs/features/mels/panns-0.npz"))
mels.window(row)                # (T, M) float16, in the order of the `Features` of the same copy
"""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from edge_runtime.mel import MelSpec, MelTables, log_mel
from training.augment import roughened
from training.features import load_samples, windows_of
from training.sounds import Clip

__all__ = ["Mels", "extract_mels"]


@dataclass(frozen=True)
class Mels:
    """Frames of every window, end to end: `frames (F, M)` float16, `starts (N + 1,)`."""

    frames: np.ndarray
    starts: np.ndarray

    def window(self, row: int) -> np.ndarray:
        return self.frames[self.starts[row] : self.starts[row + 1]]


def extract_mels(
    clips: Sequence[Clip], copy: int, front_end: tuple[MelSpec, MelTables], *, path: Path, workers: int = 2
) -> Mels:
    """The frames of one copy of all clips, roughened as its features were; kept in `path`."""
    from rich.progress import track

    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        with ThreadPoolExecutor(workers) as pool:
            jobs = pool.map(lambda item: _windows(item[1], item[0], copy, *front_end), enumerate(clips))
            windows = [window for each in track(jobs, f"frames of copy {copy}", total=len(clips)) for window in each]
        starts = np.cumsum([0, *(len(window) for window in windows)])
        part = path.with_suffix(".part.npz")
        np.savez(part, frames=np.concatenate(windows), starts=starts)
        part.rename(path)
    with np.load(path, allow_pickle=False) as file:
        return Mels(file["frames"], file["starts"])


def _windows(clip: Clip, row: int, copy: int, spec: MelSpec, tables: MelTables) -> list[np.ndarray]:
    samples = load_samples(clip.path, spec.rate_hz)
    if copy:
        samples = roughened(samples, np.random.default_rng([copy, row]))
    frames = log_mel(spec, tables, samples)
    return [window.astype(np.float16) for window, _ in windows_of(frames, tables.silence(spec))]
