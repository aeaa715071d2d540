"""Names of many sounds, a bundle's own: how much a window is like sounds at large, whatever somebody listens for.

    bank.reference(windows)                 # (W, E) -> (W,): what a score has to exceed
    bank.popularity(windows, sharpness=25)  # (W, E) -> (W,): what a search takes off its scores

Some windows are near to every text (hubs): a busy one, a loud one, one of a sound that the model never learnt. A cosine
is told beside those of a few hundred other texts, which come with the bundle and are the same for every home.

- `reference` is the mean of the `NEAREST` highest cosines: score normalisation by a cohort, as speaker verification has
  it (Auckenthaler et al. 2000, "Score Normalization for Text-Independent Speaker Verification Systems", t-norm).
- `popularity` is the normaliser of the inverted softmax over a bank of queries (Smith et al. 2017, arXiv:1702.03859;
  Bogolin et al. 2022, "Cross Modal Retrieval with Querybank Normalisation", arXiv:2112.12777): ordering windows by
  cosine - popularity is ordering them by exp(b cosine) / sum over the bank of exp(b cosine).
"""

from dataclasses import dataclass

import numpy as np

from edge_runtime.unit_rows import UnitRows

__all__ = ["NEAREST", "LabelBank"]

NEAREST = 100
"""Labels that make the reference. On validation scenes 50 to 200 of 315 are equal within 1 point of hits; 20 lose 1."""


@dataclass(frozen=True)
class LabelBank:
    """`texts (B,)`, and their embeddings as `rows (B, E)`."""

    texts: tuple[str, ...]
    rows: UnitRows

    def reference(self, windows: np.ndarray) -> np.ndarray:
        """windows (W, E), unit length -> (W,) float32."""
        cosines = self.rows.cosines(windows)  # (W, B)
        first = max(0, len(self.texts) - NEAREST)
        return np.partition(cosines, first, axis=1)[:, first:].mean(axis=1)

    def popularity(self, windows: np.ndarray, *, sharpness: float) -> np.ndarray:
        """windows (W, E), unit length -> (W,) float32: log mean exp of `sharpness` times the cosines, over it."""
        scaled = sharpness * self.rows.cosines(windows)  # (W, B)
        peaks = scaled.max(axis=1)
        return (peaks + np.log(np.exp(scaled - peaks[:, None]).mean(axis=1))) / sharpness
