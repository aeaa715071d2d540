"""Checkpoints that others publish, from the user's own copy: checked before unpickling, loaded whole or refused.

    state = read_checkpoint(path, PUBLISHED)            # what torch.save wrote
    load_strict(net, state, path)

A file whose checksum is known is compared with it first; where none is known, the names and shapes of all parameters
are the check. Nothing in a checkpoint is executed: `torch.load(weights_only=True)`, with numpy's arrays allowed.
"""

import hashlib
import pickle
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from edge_runtime.errors import EarmarkError

__all__ = ["Published", "load_strict", "read_checkpoint"]


@dataclass(frozen=True)
class Published:
    """One file: its name, where to get it, and its checksum by `algorithm` where one is known, or how that begins, as
    the names of torch.hub's files say."""

    file: str
    where: str
    algorithm: str = ""
    checksum: str = ""

    def at(self, path: Path) -> Path:
        """The file itself, or the one of this name in a folder. EarmarkError: it is absent."""
        found = path / self.file if path.is_dir() else path
        if not found.is_file():
            raise EarmarkError(f"{found} is missing: download {self.file} from {self.where} to there")
        return found

    def check(self, path: Path) -> None:
        """EarmarkError: the file is another one. Without a known checksum nothing is compared."""
        if not self.checksum:
            return
        with path.open("rb") as file:
            # as `hashlib.new`: these are compared with what a site lists, and guard against no attack
            found = hashlib.file_digest(file, lambda: hashlib.new(self.algorithm, usedforsecurity=False)).hexdigest()
        if not found.startswith(self.checksum):
            raise EarmarkError(
                f"{path} has {self.algorithm} {found}, expected {self.checksum}: download {self.file} from "
                f"{self.where} again"
            )


def read_checkpoint(path: Path, published: Published | None = None, *, again: str = "download it again") -> Any:
    """What a file holds, checked against `published` first. EarmarkError: it is absent, another, damaged, or holds more
    than arrays, numbers and texts; `again`: what then helps."""
    if published is not None:
        path = published.at(path)
        published.check(path)
    try:
        with torch.serialization.safe_globals(_numpy_globals()):
            return torch.load(path, map_location="cpu", weights_only=True)
    except (OSError, RuntimeError, EOFError, pickle.UnpicklingError, ValueError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise EarmarkError(f"{path} is no checkpoint that can be read ({reason}): {again}") from error


def load_strict(net: nn.Module, state: Any, path: Path, *, of: str = "") -> None:
    """Give `net` the parameters of `state`: the same names and shapes, no more and no less.

    EarmarkError names the file and the first parameter that is missing, unknown or of another shape.
    """
    what = of or type(net).__name__
    if not isinstance(state, Mapping):
        raise EarmarkError(f"{path} holds a {type(state).__name__} where the parameters of {what} were expected")
    expected = net.state_dict()
    # a counter that older versions of PyTorch did not save; evaluation does not read it
    optional = {name for name in expected if name.endswith("num_batches_tracked")}
    for name in (name for name in expected if name not in state and name not in optional):
        raise EarmarkError(f"{path} has no {name}: it is no checkpoint of {what}")
    for name in (name for name in state if name not in expected):
        raise EarmarkError(f"{path} has {name}, which {what} has not: it is a checkpoint of another network")
    for name, value in state.items():
        shape = tuple(value.shape) if isinstance(value, Tensor) else type(value).__name__
        if shape != tuple(expected[name].shape):
            raise EarmarkError(
                f"{path}: {name} is {shape}, expected {tuple(expected[name].shape)}: it is no checkpoint of {what}"
            )
    net.load_state_dict({**{name: expected[name] for name in optional}, **state}, strict=True)


def _numpy_globals() -> list:
    """What an array in a pickle refers to, under numpy 1's module names and numpy 2's."""
    from numpy._core import multiarray

    names = [(getattr(multiarray, name), f"numpy.core.multiarray.{name}") for name in ("_reconstruct", "scalar")]
    dtypes = [type(np.dtype(kind)) for kind in ("bool", "i4", "i8", "f4", "f8")]
    return [*names, multiarray._reconstruct, multiarray.scalar, np.ndarray, np.dtype, *dtypes]
