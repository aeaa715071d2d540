"""What training may hear beside the clips: mixtures of two of them, and sounds in which nothing happens.

    python -m training extras --student runs/stream --out runs/stream/features
    python -m training train --joint 0.2 --still 32 --features runs/stream/features

Every training clip once more, with another sound over it whose level is known (`mixtures.npz`), and silence, hum and
noise of every colour, level and length (`still.npz`): both through the encoder that the other features are of.
"""

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from edge_runtime.mel import MelSpec, MelTables
from training.augment import coloured
from training.evaluate import same_sound
from training.features import Encoder, Features, rows_of, stacked
from training.sounds import Clip, load_samples

__all__ = ["Extras", "Mixtures", "extract_mixtures", "extract_still", "laid_over", "partners", "still_sounds"]

MIXTURES, STILL = "mixtures.npz", "still.npz"
MAX_BELOW_DB = 20.0
QUIETEST = 1e-5
STILL_LEVELS_DBFS = (-70, -58, -46, -34, -22)
STILL_TILTS = (-1.0, 0.0, 0.5, 1.0, 1.5, 2.0)
"""Noise power falls with frequency to this: blue, white, pink at 1, brown at 2."""
STILL_HUMS_HZ = (50, 60, 100, 120)
STILL_S = (1.0, 3.0, 10.0)


@dataclass(frozen=True)
class Mixtures:
    """`features` as of any copy, of the training clips; over the clip of each row lies the clip `partner (N,)`, whose
    power is `below_db (N,)` below its own."""

    features: Features
    partner: np.ndarray
    below_db: np.ndarray


@dataclass(frozen=True)
class Extras:
    """What of it is there."""

    mixtures: Mixtures | None = None
    still: Features | None = None

    def cut(self, segments: int) -> "Extras":
        """In windows of so many segments at most."""
        mixtures, still = self.mixtures, self.still
        if mixtures:
            features, of = mixtures.features.cut(segments)
            mixtures = Mixtures(features, mixtures.partner[of], mixtures.below_db[of])
        return Extras(mixtures, still.cut(segments)[0] if still else None)

    @classmethod
    def load(cls, folder: Path) -> "Extras":
        """What `python -m training extras` left in a folder of features, if anything."""
        mixtures, still = None, None
        if (folder / MIXTURES).exists():
            stored = dict(np.load(folder / MIXTURES, allow_pickle=False))
            partner, below_db = stored.pop("partner"), stored.pop("below_db")
            mixtures = Mixtures(Features(**stored), partner, below_db)
        if (folder / STILL).exists():
            still = Features(**np.load(folder / STILL, allow_pickle=False))
        return cls(mixtures, still)


def extract_mixtures(
    clips: Sequence[Clip], net: Encoder, spec: MelSpec, tables: MelTables, *, out: Path, seed: int = 0, workers: int = 2
) -> Path:
    """Write `mixtures.npz`, one mixture of each training clip; one that is there stays."""
    from rich.progress import track

    path = out / MIXTURES
    if path.exists():
        return path
    train = [row for row, clip in enumerate(clips) if clip.split == "train"]
    other = partners(clips, train, seed=seed)
    levels = np.random.default_rng([seed, 1]).uniform(0, MAX_BELOW_DB, len(train))

    def heard(number: int) -> list[tuple[np.ndarray, np.ndarray, int]]:
        first, second = (load_samples(clips[row].path, spec.rate_hz) for row in (train[number], other[number]))
        return rows_of(laid_over(first, second, levels[number]), train[number], net, spec, tables)

    with ThreadPoolExecutor(workers) as pool:
        found = list(track(pool.map(heard, range(len(train))), "mixtures", total=len(train)))
    counts = [len(rows) for rows in found]
    features = stacked([row for rows in found for row in rows])
    out.mkdir(parents=True, exist_ok=True)
    part = path.with_suffix(".part.npz")
    np.savez(part, partner=np.repeat(other, counts), below_db=np.repeat(levels, counts), **vars(features))
    part.rename(path)
    return path


def extract_still(net: Encoder, spec: MelSpec, tables: MelTables, *, out: Path, seed: int = 0) -> Path:
    """Write `still.npz`; one that is there stays. Its rows are of no clip: -1."""
    path = out / STILL
    if not path.exists():
        out.mkdir(parents=True, exist_ok=True)
        rows = [row for sound in still_sounds(spec.rate_hz, seed=seed) for row in rows_of(sound, -1, net, spec, tables)]
        part = path.with_suffix(".part.npz")
        np.savez(part, **vars(stacked(rows)))
        part.rename(path)
    return path


def partners(clips: Sequence[Clip], rows: Sequence[int], *, seed: int) -> np.ndarray:
    """For each of `rows` another of them (its row in `clips`), of another sound and another recording."""
    rng = np.random.default_rng([seed, 0])
    labels = sorted({clip.label for clip in clips})
    same, label_of = same_sound(labels), np.array([labels.index(clip.label) for clip in clips])
    recordings = np.array([clip.recording for clip in clips])
    pool, chosen = np.asarray(rows), []
    for row in rows:
        fit = pool[~same[label_of[row], label_of[pool]] & (recordings[pool] != recordings[row])]
        if not len(fit):
            raise ValueError("all training clips are of one sound, a mixture needs two: give more clips")
        chosen.append(rng.choice(fit))
    return np.array(chosen)


def laid_over(first: np.ndarray, second: np.ndarray, below_db: float) -> np.ndarray:
    """`first (n,)` with `second`, repeated or cut to its length, whose power lies `below_db` below its own; both are
    turned down together where they would clip."""
    second = np.resize(second, len(first))
    gain = _rms(first) / max(_rms(second), QUIETEST) * 10 ** (-below_db / 20)
    both = first + np.float32(gain) * second
    return (both / max(1.0, float(np.abs(both).max(initial=0)))).astype(np.float32)


def still_sounds(rate_hz: int, *, seed: int) -> Iterator[np.ndarray]:
    """Silence, coloured noise and hum, float32 (n,) each."""
    rng = np.random.default_rng(seed)
    for seconds in STILL_S:
        count = round(seconds * rate_hz)
        t = np.arange(count) / rate_hz
        yield np.zeros(count, np.float32)
        for level in STILL_LEVELS_DBFS:
            for tilt in STILL_TILTS:
                yield _at_level(coloured(count, tilt=tilt, rng=rng), level)
            for hum_hz in STILL_HUMS_HZ:
                tones = [np.sin(2 * np.pi * k * hum_hz * t + rng.uniform(0, 6)) / k**1.5 for k in range(1, 8)]
                yield _at_level(np.sum(tones, axis=0) + 0.05 * coloured(count, tilt=1.0, rng=rng), level)


def _at_level(sound: np.ndarray, level_dbfs: float) -> np.ndarray:
    """`level_dbfs` is of the root mean square; peaks are clipped as a converter would."""
    return np.clip(sound * (10 ** (level_dbfs / 20) / max(_rms(sound), 1e-12)), -1, 1).astype(np.float32)


def _rms(samples: np.ndarray) -> float:
    return float(np.sqrt(np.mean(samples.astype(np.float64) ** 2)))
