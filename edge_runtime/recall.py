"""What a text brings to mind: sounds that a model was trained on, whose embeddings its bundle keeps.

    recall = Recall.load(folder / FILE, width=512)
    queries = recall.towards(texts, share=0.3)          # (T, E) -> (T, E)

Texts and sounds are two crowds in one space, with a gap between them (Liang et al. 2022, arXiv:2203.02053), and a text
in words that training never put so lies further off than one in usual words. A search therefore asks with the text
and, `share` as long, with the mean of the remembered sounds, each by exp(SHARPNESS cosine): a query is moved towards
what it would find among known sounds (Rocchio 1971, "Relevance feedback in information retrieval"), and so to where
unknown ones of the kind lie.
"""

import zipfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from edge_runtime.errors import BundleError
from edge_runtime.unit_rows import UnitRows

__all__ = ["FILE", "SHARPNESS", "Recall"]

FILE = "memory.npz"
"""As training writes it (training/memory.py), with more in it than is read here."""
SHARPNESS = 30.0


@dataclass(frozen=True)
class Recall:
    """`sounds (N, E)`, one at least."""

    sounds: UnitRows

    @classmethod
    def load(cls, path: Path, *, width: int) -> "Recall | None":
        """The training split of a bundle's memory: what it was judged by is not remembered. None: nothing of it is
        kept. BundleError: damaged."""
        again = f"{path.name} is damaged: export the bundle again"
        try:
            with np.load(path, allow_pickle=False) as file:
                windows, owner, splits = (file[name] for name in ("windows", "owner", "splits"))
        except (OSError, KeyError, ValueError, EOFError, zipfile.BadZipFile) as error:
            raise BundleError(f"{again} ({error})") from None
        if windows.dtype != np.int8 or windows.ndim != 2 or windows.shape[1] != width:
            raise BundleError(f"{again} (windows {windows.dtype} {windows.shape}, expected int8 (N, {width}))")
        whole = owner.ndim == splits.ndim == 1 and owner.dtype.kind == "i" and len(owner) == len(windows)
        if not whole or (len(owner) and not 0 <= owner.min() <= owner.max() < len(splits)):
            raise BundleError(f"{again} (windows of {len(splits)} clips that are not there)")
        learnt = windows[splits[owner] == "train"]
        return cls(UnitRows.from_codes(learnt)) if len(learnt) else None

    def towards(self, texts: np.ndarray, *, share: float) -> np.ndarray:
        """texts (T, E), unit length, each by itself -> (T, E), unit length."""
        moved = np.empty_like(texts)
        for row, (text, cosines) in enumerate(zip(texts, self.sounds.cosines(texts), strict=True)):
            weights = np.exp(SHARPNESS * (cosines - cosines.max())) * self.sounds.scales
            heard = weights @ self.sounds.codes.astype(np.float32)
            both = text + share / np.linalg.norm(heard) * heard
            moved[row] = both / np.linalg.norm(both)
        return moved
