"""golden.npz: a generated signal and some token ids, and what each stage of a bundle must answer to them.

golden = Golden.load(folder / "golden.npz", profile="small")
bundle.answers(golden.signal, golden.token_ids)     # another Golden, to compare with: Bundle.self_test
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

__all__ = ["Golden"]


@dataclass(frozen=True)
class Golden:
    """A generated signal and what each stage answers: `signal (n,)`, `log_mel (T, M)`, `embedding (E,)`, all float32;
    `token_ids (L,)` int64 and `text_embedding (E,)` float32. A file holds an embedding for each profile."""

    signal: np.ndarray
    log_mel: np.ndarray
    embedding: np.ndarray
    token_ids: np.ndarray
    text_embedding: np.ndarray

    def save(self, path: Path, *, profiles: Mapping[str, np.ndarray] | None = None) -> None:
        """Write it; `profiles`: the embedding (E,) of each profile by name."""
        arrays: dict[str, Any] = dict(vars(self))
        arrays |= {f"embedding.{name}": embedding for name, embedding in (profiles or {}).items()}
        np.savez_compressed(path, **arrays)

    @classmethod
    def load(cls, path: Path, *, profile: str | None = None) -> "Golden":
        """What `profile` answers (default: the bundle's one precision)."""
        keys = {name: name for name in cls.__dataclass_fields__}
        if profile is not None:
            keys["embedding"] = f"embedding.{profile}"
        with np.load(path, allow_pickle=False) as file:
            return cls(**{name: file[key] for name, key in keys.items()})
