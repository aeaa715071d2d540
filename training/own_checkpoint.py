"""A file that one of our own commands wrote with torch.save, read with care: it may be damaged, or another command's.

state = read_own(path, ("network", "net"), by="training distil")
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from edge_runtime.errors import EarmarkError
from training.published import read_checkpoint

__all__ = ["read_own"]


def read_own(path: Path, keys: Sequence[str], *, by: str) -> dict[str, Any]:
    """What it holds. EarmarkError names the file and what it lacks of `keys`; nothing in it is run."""
    state = read_checkpoint(path, again=f"`python -m {by}` makes one")
    if not isinstance(state, Mapping):
        raise EarmarkError(f"{path} holds a {type(state).__name__}: it is no file of `python -m {by}`")
    if missing := sorted(set(keys) - state.keys()):
        raise EarmarkError(f"{path} has no {', '.join(missing)}: it is no file of `python -m {by}`")
    return dict(state)
