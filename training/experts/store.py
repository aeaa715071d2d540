"""Where an expert's features lie: one mapping from clip ids to (T, D) float32, whoever wrote the file.

    store = FeatureStore.found(Path("data/AudioCaps"), "vggish")
    store["Y2KR5Sl-j_0_30000"]          # (T, 128) float32
    store.get("another")                # None: absent, or NaN, the authors' mark of what is missing
    print(store.told(ids))              # how many of these clips it lacks, and which

What `found` looks for in a collection's folder, in this order (`places` lists it):

    features/NAME.h5                                        our own, written by `python -m training features`
    AudioExpert/NAME/{train,val,test}/NAME.h5               the first paper's layout
    structured-symlinks/aggregated_…/….hickle, ….pickle     the second paper's; its visual experts and speech are
                                                            averages over a clip: fixed vectors, T = 1
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from edge_runtime.errors import EarmarkError
from training.experts.expert import Expert
from training.experts.hdf5 import Hdf5Features
from training.experts.pickles import read_pickle

__all__ = ["LAYOUTS", "FeatureStore", "Layout", "expert_of", "places"]

HDF5 = frozenset({".h5", ".hdf5", ".hickle", ".hkl"})
PICKLES = frozenset({".pickle", ".pkl"})
SPLITS = ("train", "val", "test")


@dataclass(frozen=True)
class Layout:
    """An expert as the authors extracted it: its width, its name in the first paper's folders, and its files under
    the second paper's `structured-symlinks`, the first that is there counts."""

    width: int
    first: str = ""
    second: tuple[str, ...] = ()


LAYOUTS = {
    "lms": Layout(128, "lms"),
    "mfcc": Layout(40),
    "vggish": Layout(128, "vggish", ("aggregated_audio/vggish-raw.hickle", "aggregated_audio/vggish-audio-raw.pickle")),
    "vggsound": Layout(512, "vggsound", ("aggregated_vggsound/vggsound-raw.hickle",)),
    "cnn14": Layout(2048, "panns_cnn14", ("aggregated_pann/pann-raw.hickle",)),
    "cnn10": Layout(512, "panns_cnn10"),
    "cnn6": Layout(512),
    "mn04": Layout(384),
    "mn10": Layout(960),
    "inst": Layout(2048, "", ("aggregated_imagenet_25fps_256px_stride1_offset0/resnext101_32x48d-avg.pickle",)),
    "scene": Layout(2208, "", ("aggregated_scene_25fps_256px_stride1_offset0/densenet161-avg.pickle",)),
    "r2p1d": Layout(512, "", ("aggregated_r2p1d_30fps_256px_stride32_offset0_inner_stride1/r2p1d-ig65m-avg.pickle",)),
    "speech": Layout(300, "", ("aggregated_speech/w2v_mean.pkl",)),
}


def expert_of(told: str, *, clusters: int) -> Expert:
    """The expert of "vggish=29": sequences of 29 rows at most; "scene" is a fixed vector. ValueError: no such."""
    name, _, frames = told.strip().partition("=")
    if name not in LAYOUTS or not (frames or "1").isdecimal():
        raise ValueError(f"{told!r} is no expert: give NAME=ROWS, as vggish=29, of {', '.join(LAYOUTS)}")
    return Expert(name, LAYOUTS[name].width, int(frames or 1), clusters)


class FeatureStore(Mapping[str, np.ndarray]):
    """One expert's features. A clip that a file marks as missing, by NaN, is not in it, though its id is listed."""

    def __init__(self, name: str, width: int, parts: Sequence[tuple[Path, Mapping[str, np.ndarray]]]) -> None:
        self.name = name
        self.width = width
        self._parts = tuple(parts)
        self._part_of = {clip: part for part, (_, features) in enumerate(self._parts) for clip in features}

    @classmethod
    def open(cls, path: Path, name: str, *, width: int | None = None) -> "FeatureStore":
        """A file, or a folder of splits as the first paper has them. EarmarkError: it cannot be read as features.

        `width`: what is expected; None for an expert of `LAYOUTS`, whose width is known.
        """
        files = [path] if path.is_file() else [file for split in SPLITS for file in sorted((path / split).glob("*.h5"))]
        if not files:
            raise EarmarkError(f"{path} holds no features of {name}: expected a file, or train/, val/ and test/ of .h5")
        if width is None:
            if name not in LAYOUTS:
                raise EarmarkError(f"{name} is no expert whose width is known ({', '.join(LAYOUTS)}): give its width")
            width = LAYOUTS[name].width
        return cls(name, width, [(file, _read(file)) for file in files])

    @classmethod
    def found(cls, home: Path, name: str, *, width: int | None = None) -> "FeatureStore":
        """Of a collection's folder. EarmarkError says every place where they were looked for."""
        for place in places(home, name):
            if place.exists():
                return cls.open(place, name, width=width)
        wanted = " or ".join(map(str, places(home, name)))
        raise EarmarkError(f"features of {name} are missing: expected at {wanted}")

    def __getitem__(self, clip: str) -> np.ndarray:
        path, features = self._parts[self._part_of[clip]]
        array = features[clip]
        if not array.size or (array.dtype.kind == "f" and np.isnan(array.flat[0])):
            raise KeyError(clip)
        return self._checked(array, path, clip)

    def __iter__(self) -> Iterator[str]:
        return iter(self._part_of)

    def __len__(self) -> int:
        return len(self._part_of)

    def missing(self, clips: Iterable[str]) -> list[str]:
        """Those without features, in their order."""
        return [clip for clip in clips if clip not in self]

    def told(self, clips: Sequence[str], *, listed: int = 10) -> str:
        """How many of these clips have features, and the names of those that have none."""
        lacking = self.missing(clips)
        line = f"{self.name}: {len(clips) - len(lacking)} of {len(clips)} clips have features"
        if not lacking:
            return line
        more = f" and {len(lacking) - listed} more" if len(lacking) > listed else ""
        return f"{line}; missing: {', '.join(lacking[:listed])}{more}"

    def _checked(self, array: np.ndarray, path: Path, clip: str) -> np.ndarray:
        """(T, D) float32 of what a file holds; a vector is one row."""
        where = f"{path}: the features of {clip!r}"
        if array.dtype.kind not in "fiu":
            raise EarmarkError(f"{where} are {array.dtype}, expected numbers")
        rows = np.atleast_2d(array).astype(np.float32)
        if rows.ndim != 2 or rows.shape[1] != self.width:
            raise EarmarkError(f"{where} have the shape {array.shape}, expected (T, {self.width}) of {self.name}")
        if not np.isfinite(rows).all():
            raise EarmarkError(f"{where} hold NaN or infinity beside numbers: extract them again")
        return rows


def places(home: Path, name: str) -> list[Path]:
    """Where features of an expert may lie in a collection's folder, in the order of looking."""
    layout = LAYOUTS.get(name, Layout(1))
    found = [home / "features" / f"{name}.h5"]
    if layout.first:
        found.append(home / "AudioExpert" / layout.first)
    return found + [home / "structured-symlinks" / file for file in layout.second]


def _read(path: Path) -> Mapping[str, np.ndarray]:
    if path.suffix in HDF5:
        return Hdf5Features(path)
    if path.suffix not in PICKLES:
        raise EarmarkError(f"{path} is no file of features: expected {', '.join(sorted(HDF5 | PICKLES))}")
    found = read_pickle(path)
    if not isinstance(found, Mapping) or not all(isinstance(clip, str) for clip in found):
        raise EarmarkError(f"{path} holds a {type(found).__name__}, expected a dict from clip ids to arrays")
    return {clip: np.asarray(value) for clip, value in found.items()}
