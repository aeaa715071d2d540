"""Features in HDF5: our own files, the first paper's (key = clip id), and the second's, written by hickle 4 or 5.

    with Hdf5Features(Path("vggish-raw.hickle")) as features:
        features["Y2KR5Sl-j_0_30000"]       # as it is stored: (T, D), (D,), or a number that is NaN

hickle writes a dict's keys, quoted, as names under `data`. Its files also hold pickled types, which hickle itself would
run; they are not read here.
"""

import ast
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np

from edge_runtime.errors import EarmarkError

__all__ = ["Hdf5Features"]


class Hdf5Features(Mapping[str, np.ndarray]):
    """An open file as a mapping from clip ids to arrays, read one by one.

    EarmarkError: it is absent, cut short, or holds what is no array.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._file = _opened(path)
        self._names = dict(self._found())

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def __getstate__(self) -> dict[str, Any]:
        """For a worker process: it opens the file itself."""
        return {"path": self.path}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__init__(state["path"])  # type: ignore[misc]

    def __getitem__(self, clip: str) -> np.ndarray:
        name = self._names[clip]
        try:
            return np.asarray(self._file[name][()])
        except OSError as error:
            raise EarmarkError(f"{self.path} is damaged at {clip!r} ({error}): copy it again") from error

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)

    @property
    def attributes(self) -> dict[str, Any]:
        return dict(self._file.attrs)

    def close(self) -> None:
        self._file.close()

    def _found(self) -> Iterator[tuple[str, str]]:
        """Clip ids and the names of their data sets."""
        import h5py

        names: list[str] = []
        try:
            if "HICKLE_VERSION" in self._file.attrs:
                yield from self._of_hickle()
                return
            # appending, and returning nothing: a visitor that returns something ends the visit
            self._file.visititems(lambda name, each: names.append(name) if isinstance(each, h5py.Dataset) else None)
        except (OSError, RuntimeError) as error:
            raise EarmarkError(f"{self.path} is damaged ({error}): copy it again") from error
        yield from ((name, name) for name in names)

    def _of_hickle(self) -> Iterator[tuple[str, str]]:
        import h5py

        data = self._file.get("data")
        if not isinstance(data, h5py.Group):
            raise EarmarkError(f"{self.path} holds no dict of clips: give the hickle file of an expert's features")
        for quoted, each in data.items():
            try:
                clip = ast.literal_eval(quoted)
            except (ValueError, SyntaxError):
                clip = None
            # hickle 4 has a group of one data set for each item, hickle 5 the data set alone
            within = f"data/{quoted}/data" if isinstance(each, h5py.Group) else f"data/{quoted}"
            if not isinstance(clip, str) or not isinstance(self._file.get(within), h5py.Dataset):
                raise EarmarkError(f"{self.path}: its item {quoted} is no array of a clip with a text for an id")
            yield clip, within


def _opened(path: Path) -> Any:
    try:
        import h5py
    except ImportError as error:
        raise EarmarkError(f"{path} needs h5py: pip install earmark[train]") from error
    if not path.is_file():
        raise EarmarkError(f"{path} is missing: put the features there, or give another folder")
    try:
        return h5py.File(path, "r")
    except OSError as error:
        raise EarmarkError(f"{path} is no whole HDF5 file ({error}): copy it again") from error
