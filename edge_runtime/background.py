"""From which score a phrase counts as heard: what it scores on sounds that are nobody's event decides.

    background = Background.load(path, width=512)
    thresholds = background.thresholds(phrase_embeddings, deviations=3.1, floor=0.3)     # (P,)

A raw cosine means little by itself: a vague phrase lies near to everything, a precise one near to nothing. A bundle
therefore brings the embeddings of background: noise of many colours and levels, hum and silence, made by the export,
and recorded ambience. Every phrase, one that was added a second ago included, is held against them: no sound is needed
to calibrate it. The middle and the spread are a median and a median deviation: the few ambiences in which the phrase
may truly be heard do not move them. None of the generated noise passes a threshold, and of other noise little.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from edge_runtime.errors import BundleError

__all__ = ["FILE", "Background"]

FILE = "background.npz"
LEVELS = 127
MARGIN = 0.05
"""Above what generated noise reaches: white noise passes that by less, and most of other colours
(tests/test_background.py)."""
DEVIATION_OF_MEDIAN = 1.4826
"""The standard deviation of normal numbers over their median deviation."""
MIN_DEVIATION = 1e-3


@dataclass(frozen=True)
class Background:
    """`embeddings (N, E)` float32, unit length; `generated (N,)` bool: noise that the export made, no recording;
    `held (N,)` bool: rows that no threshold is made from, kept to tell how often they would alert."""

    embeddings: np.ndarray
    generated: np.ndarray
    held: np.ndarray

    def save(self, path: Path) -> None:
        """In 8 bits a number, a scale a row."""
        scales = np.abs(self.embeddings).max(axis=1) / LEVELS
        codes = np.rint(self.embeddings / scales[:, None]).astype(np.int8)
        np.savez_compressed(path, codes=codes, generated=self.generated, held=self.held)

    @classmethod
    def load(cls, path: Path, *, width: int) -> "Background":
        """Raises BundleError where it is not what `save` writes, or of another width."""
        try:
            with np.load(path, allow_pickle=False) as file:
                codes, generated, held = file["codes"], file["generated"], file["held"]
        except Exception as error:  # whatever zipfile and NumPy raise on a damaged file
            raise BundleError(f"{path.name} cannot be read ({error}): copy or export the bundle again") from error
        rows = len(codes) if codes.ndim else 0
        flags = all(each.dtype == bool and each.shape == (rows,) for each in (generated, held))
        if codes.dtype != np.int8 or codes.shape != (rows, width) or not flags or not (generated & ~held).any():
            raise BundleError(
                f"{path.name} holds {codes.dtype} {codes.shape}, expected int8 (N, {width}) with its kinds: "
                "export the bundle again"
            )
        embeddings = codes.astype(np.float32)
        norms = np.linalg.norm(embeddings, axis=1, keepdims=True)
        if not norms.all():
            raise BundleError(f"{path.name} holds an embedding of zeros: export the bundle again")
        return cls(embeddings / norms, generated, held)

    def thresholds(self, phrases: np.ndarray, *, deviations: float, floor: float) -> np.ndarray:
        """phrases (P, E), unit length -> the cosine (P,) from which each counts as heard, `floor` at least."""
        if not len(phrases):
            return np.zeros(0, np.float32)
        middle, spread = self.statistics(phrases)
        noise = phrases @ self.embeddings[self.generated & ~self.held].T  # (P, N)
        found = np.maximum(middle + deviations * spread, noise.max(axis=1) + MARGIN)
        return np.maximum(found, floor).astype(np.float32)

    def statistics(self, phrases: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """phrases (P, E) -> the middle and the spread of each one's scores on the background, both (P,)."""
        scores = phrases @ self.embeddings[~self.held].T  # (P, N)
        middle = np.median(scores, axis=1)
        spread = DEVIATION_OF_MEDIAN * np.median(np.abs(scores - middle[:, None]), axis=1)
        return middle, np.maximum(spread, MIN_DEVIATION)

    def alerts(self, phrases: np.ndarray, thresholds: np.ndarray) -> tuple[int, int]:
        """In how many of the held windows some phrase would count as heard, and how many there are."""
        scores = phrases @ self.embeddings[self.held].T  # (P, N)
        return int((scores >= thresholds[:, None]).any(axis=0).sum()), scores.shape[1]
