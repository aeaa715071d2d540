"""Pickles of strangers, read without running anything: arrays, dicts, lists, texts and numbers, and nothing else.

    features = read_pickle(Path("densenet161-avg.pickle"))      # {clip id: (2208,) array}

A pickle is a program: it may name any function of any module and have it called. Here each name is looked up in a short
list, and one that is not on it ends the reading before anything has been called.
"""

import collections
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from edge_runtime.errors import EarmarkError

__all__ = ["read_pickle"]


_DAMAGED = (
    *(pickle.UnpicklingError, EOFError, ValueError, TypeError, LookupError, AttributeError),
    *(MemoryError, OverflowError, RecursionError),
)
"""What a damaged pickle, or one made to take all memory, raises, depending on where."""


def read_pickle(path: Path) -> Any:
    """What a file holds. EarmarkError: it is absent, damaged, or wants more than data."""
    try:
        with path.open("rb") as file:
            return _Reader(file, path).load()
    except OSError as error:
        raise EarmarkError(f"{path} cannot be read ({error.strerror}): check the name and its permissions") from error
    except _DAMAGED as error:
        raise EarmarkError(f"{path} is no whole pickle of arrays ({error}): copy it again") from error


class _Reader(pickle.Unpickler):
    """Python 2's texts are read as latin-1, as numpy's arrays of that time need."""

    def __init__(self, file: Any, path: Path) -> None:
        super().__init__(file, encoding="latin1")
        self._path = path

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in _KNOWN:
            raise EarmarkError(
                f"{self._path} wants {module}.{name}: it holds more than arrays, dicts, lists, texts and numbers, "
                "and could run code; nothing of it was run: get the file from somewhere else"
            )
        return _KNOWN[module, name]


def _text_to_bytes(text: str, encoding: str) -> bytes:
    """`_codecs.encode`, with which old protocols write bytes, for that alone."""
    if not isinstance(text, str) or encoding != "latin1":
        raise pickle.UnpicklingError(f"bytes written as {encoding!r}")
    return text.encode("latin1")


def _known() -> dict[tuple[str, str], Callable[..., Any]]:
    """What an array in a pickle refers to, under numpy 1's module names and numpy 2's."""
    from numpy._core import multiarray, numeric

    found: dict[tuple[str, str], Callable[..., Any]] = {
        ("_codecs", "encode"): _text_to_bytes,
        ("collections", "OrderedDict"): collections.OrderedDict,
        ("numpy", "ndarray"): np.ndarray,
        ("numpy", "dtype"): np.dtype,
    }
    for core in ("numpy.core", "numpy._core"):
        found[f"{core}.multiarray", "_reconstruct"] = multiarray._reconstruct
        found[f"{core}.multiarray", "scalar"] = multiarray.scalar
        found[f"{core}.numeric", "_frombuffer"] = numeric._frombuffer
    return found


_KNOWN = _known()
