"""From which score a phrase counts as heard: what it scores on sounds that are nobody's event decides.

    background = Background.load(path, width=512)
    limits = background.thresholds(phrase_embeddings, match)        # (P,)
    heard = cosine >= background.reference(window[None])[0] + limit

A raw cosine means little by itself: a vague phrase lies near to everything, a precise one near to nothing, and some
windows are near to every text. A bundle therefore brings a bank of labels (label_bank.py), against which each window is
held, and the embeddings of background: noise of many colours and levels, hum and silence, made by the export. Every
phrase, one that was added a second ago included, is held against those: no sound is needed to calibrate it. What it
scores above the reference has to exceed what it does on any of that noise, and the margin that was chosen on scenes.
No threshold depends on what else a home listens for.

Windows that are `held` back, noise of other seeds and recorded ambience, make no threshold: they tell how often a
vocabulary would be heard falsely (false_alerts.py).

A bundle without a bank (an older one) has no reference: the threshold is then a cosine, so many deviations above the
middle of the phrase's scores on its background. The middle and the spread are a median and a median deviation: the few
ambiences in which the phrase may truly be heard do not move them.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from edge_runtime.errors import BundleError
from edge_runtime.label_bank import LabelBank
from edge_runtime.manifest import MatchSpec
from edge_runtime.unit_rows import UnitRows

__all__ = ["FILE", "Background"]

FILE = "background.npz"
MARGIN = 0.05
"""Above what generated noise reaches: other noise, of any colour, passes that by less (tests/test_background.py)."""
DEVIATION_OF_MEDIAN = 1.4826
"""The standard deviation of normal numbers over their median deviation."""
MIN_DEVIATION = 1e-3
NO_LABEL = -1


@dataclass(frozen=True)
class Background:
    """`rows (N, E)`; `generated (N,)` bool: noise that the export made, no recording; `held (N,)` bool: rows that no
    threshold is made from. `label_of (N,)` int16: which of the bank's texts names a recording, NO_LABEL of noise and
    where there is no bank."""

    rows: UnitRows
    generated: np.ndarray
    held: np.ndarray
    label_of: np.ndarray
    bank: LabelBank | None = None

    def save(self, path: Path) -> None:
        """The same bytes each time."""
        arrays: dict[str, Any] = {"codes": self.rows.codes, "generated": self.generated, "held": self.held}
        if self.bank:
            texts = np.array(self.bank.texts)
            arrays |= {"label_of": self.label_of, "bank_codes": self.bank.rows.codes, "bank_texts": texts}
        np.savez_compressed(path, **arrays)

    @classmethod
    def load(cls, path: Path, *, width: int) -> "Background":
        """Raises BundleError where it is not what `save` writes, or of another width."""
        try:
            with np.load(path, allow_pickle=False) as file:
                arrays = dict(file)
            codes, generated, held = arrays["codes"], arrays["generated"], arrays["held"]
        except Exception as error:  # whatever zipfile and NumPy raise on a damaged file
            raise BundleError(f"{path.name} cannot be read ({error}): copy or export the bundle again") from error
        flags = all(each.dtype == bool and each.shape == codes.shape[:1] for each in (generated, held))
        if not _are_codes(codes, width) or not flags or not (generated & ~held).any():
            raise BundleError(
                f"{path.name} holds {codes.dtype} {codes.shape}, expected int8 (N, {width}) with its kinds: "
                "export the bundle again"
            )
        bank = _bank_of(path, arrays, width)
        label_of = arrays["label_of"] if bank else np.full(len(codes), NO_LABEL, np.int16)
        return cls(UnitRows.from_codes(codes), generated, held, label_of, bank)

    def reference(self, windows: np.ndarray) -> np.ndarray:
        """windows (W, E), unit length -> what thresholds are above of (W,): zeros where there is no bank."""
        return self.bank.reference(windows) if self.bank else np.zeros(len(windows), np.float32)

    def popularity(self, sharpness: float) -> Callable[[np.ndarray], np.ndarray] | None:
        """How much nearer to every text windows (W, E) are than the held ones are in the mean, (W,): scores less that
        are still as large as cosines. None where there is no bank."""
        bank = self.bank
        if bank is None:
            return None
        ordinary = bank.popularity(self.rows[self.held].vectors(), sharpness=sharpness).mean()
        return lambda windows: bank.popularity(windows, sharpness=sharpness) - ordinary

    def thresholds(self, phrases: np.ndarray, match: MatchSpec) -> np.ndarray:
        """phrases (P, E), unit length -> how far above the reference each has to score (P,) float32."""
        if not len(phrases):
            return np.zeros(0, np.float32)
        limits = self.noise_floors(phrases)
        if self.bank:
            return np.maximum(limits, match.margin).astype(np.float32)
        middle, spread = self.statistics(phrases)
        limits = np.maximum(limits, middle + match.deviations * spread)
        return np.maximum(limits, match.heard).astype(np.float32)

    def noise_floors(self, phrases: np.ndarray) -> np.ndarray:
        """phrases (P, E) -> `MARGIN` above what generated noise reaches, less the reference (P,)."""
        noise, reference = self._noise
        scores = noise.cosines(phrases) - reference  # (P, N)
        return scores.max(axis=1) + MARGIN

    @cached_property
    def _noise(self) -> tuple[UnitRows, np.ndarray]:
        """The rows of generated noise that thresholds are made from, and the reference of each (N,)."""
        noise = self.rows[self.generated & ~self.held]
        return noise, np.concatenate([self.reference(few.vectors()) for few in noise.chunks()])

    def statistics(self, phrases: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """phrases (P, E) -> the middle and the spread of each one's scores on the background, both (P,)."""
        scores = self.rows[~self.held].cosines(phrases)  # (P, N)
        middle = np.median(scores, axis=1)
        spread = DEVIATION_OF_MEDIAN * np.median(np.abs(scores - middle[:, None]), axis=1)
        return middle, np.maximum(spread, MIN_DEVIATION)


def _are_codes(codes: np.ndarray, width: int) -> bool:
    return codes.dtype == np.int8 and codes.ndim == 2 and codes.shape[1] == width and len(codes) > 0


def _bank_of(path: Path, arrays: dict[str, np.ndarray], width: int) -> LabelBank | None:
    """None where there is no trace of one. Raises BundleError where a bank is not whole."""
    names = {"label_of", "bank_codes", "bank_texts"}
    if not names & arrays.keys():
        return None
    if missing := sorted(names - arrays.keys()):
        raise BundleError(f"the label bank of {path.name} lacks {', '.join(missing)}: export the bundle again")
    codes, texts, label_of = arrays["bank_codes"], arrays["bank_texts"], arrays["label_of"]
    if not _are_codes(codes, width) or texts.dtype.kind != "U" or texts.shape != codes.shape[:1]:
        raise BundleError(
            f"the label bank of {path.name} holds {codes.dtype} {codes.shape} for texts {texts.dtype} {texts.shape}, "
            f"expected int8 (B, {width}) for B texts: export the bundle again"
        )
    rows = arrays["codes"].shape[:1]
    known = label_of.dtype == np.int16 and label_of.shape == rows
    if not known or label_of.min() < NO_LABEL or label_of.max() >= len(texts):
        raise BundleError(
            f"the label bank of {path.name} names {label_of.dtype} {label_of.shape} recordings, expected int16 {rows} "
            f"below {len(texts)}: export the bundle again"
        )
    return LabelBank(tuple(texts.tolist()), UnitRows.from_codes(codes))
