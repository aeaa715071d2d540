"""Log-mel frames of every clip's windows, computed once and kept: what a student that streams hears.

mels = extract_mels(clips, 0, efficientat_mel(), path=Path("runs/features/mels/streaming-0.npz"))
mels.window(row)                # (T, M) float16, in the order of the `Features` of the same copy
both = mixed(mels.window(0), mels.window(1), efficientat_mel(), snr_db=6)
"""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from edge_runtime.mel import MelSpec, MelTables, log_mel
from training.augment import roughened
from training.features import SEGMENT_FRAMES, load_samples, windows_of
from training.sounds import Clip

__all__ = ["FrontEnd", "Mels", "extract_mels", "mixed"]

FrontEnd = tuple[MelSpec, MelTables]
MIN_POWER = 1e-12
"""Digital silence has no power to be set in proportion."""


@dataclass(frozen=True)
class Mels:
    """Frames of every window, end to end: `frames (F, M)` float16, `starts (N + 1,)`."""

    frames: np.ndarray
    starts: np.ndarray

    def window(self, row: int) -> np.ndarray:
        return self.frames[self.starts[row] : self.starts[row + 1]]


def extract_mels(clips: Sequence[Clip], copy: int, front_end: FrontEnd, *, path: Path, workers: int = 2) -> Mels:
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


def mixed(first: np.ndarray, second: np.ndarray, front_end: FrontEnd, *, snr_db: float) -> np.ndarray:
    """Log-mel frames (T, M) float32 of two sounds at once: `first (T, M)`, and `second (T', M)`, repeated or cut to its
    length, whose mean power lies `snr_db` below that of the first.

    Powers of a band add up, but for a cross term whose mean is 0."""
    spec, tables = front_end
    one, other = (_power(frames, front_end) for frames in (first, second))
    other = other[np.arange(len(one)) % len(other)]
    gain = np.float32(10 ** (-snr_db / 10) * one.mean() / max(float(other.mean()), MIN_POWER))
    return np.log(np.maximum(one + gain * other + spec.log_bias, spec.log_floor)) * tables.gain + tables.offset


def _power(frames: np.ndarray, front_end: FrontEnd) -> np.ndarray:
    """What stands under the logarithm, without the bias: (T, M) float32."""
    spec, tables = front_end
    return np.maximum(np.exp((frames.astype(np.float32) - tables.offset) / tables.gain) - spec.log_bias, 0)


def _windows(clip: Clip, row: int, copy: int, spec: MelSpec, tables: MelTables) -> list[np.ndarray]:
    samples = load_samples(clip.path, spec.rate_hz)
    if copy:
        samples = roughened(samples, np.random.default_rng([copy, row]))
    frames = log_mel(spec, tables, samples)
    windows = windows_of(frames, tables.silence(spec), min_frames=SEGMENT_FRAMES)
    return [window.astype(np.float16) for window, _ in windows]
