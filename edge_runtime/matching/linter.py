"""Phrases that will not do what somebody expects: two that are one to the model, some that noise drowns, some misread.

for finding in lint(bundle, phrases, limits=limits_of(home, bundle.fingerprint, "garden")):
    print(finding.kind, finding.phrases, finding.told)
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np

from edge_runtime.background import NO_LABEL
from edge_runtime.bundle import Bundle
from edge_runtime.matching.site import SiteLimit
from edge_runtime.phrases import Phrases

__all__ = ["Finding", "lint"]

ALIKE = 0.9
"""Cosine of two texts from which on one is heard where the other is. Other words for one sound lie above, as "a dog
barking" and "dogs bark" do; "a sheep bleating" and "a goat bleating", which people tell apart, lie below."""


@dataclass(frozen=True)
class Finding:
    """`kind`: `alike` (two phrases), `drowned` or `misread` (one); `told`: what is wrong, and what to do."""

    kind: Literal["alike", "drowned", "misread"]
    phrases: tuple[str, ...]
    told: str


def lint(bundle: Bundle, phrases: Phrases, *, limits: Mapping[str, SiteLimit] | None = None) -> Iterator[Finding]:
    """`limits`: those of a site, instead of the bundle's thresholds where there are some."""
    texts, embeddings = list(phrases), phrases.embeddings()
    yield from _misread(bundle, texts)
    yield from _drowned(bundle, texts, phrases.thresholds(), limits or {})
    yield from _alike(texts, embeddings)


def _misread(bundle: Bundle, texts: list[str]) -> Iterator[Finding]:
    for text in texts:
        for guess in bundle.tokenizer.guesses(text):
            yield Finding("misread", (text,), f"{guess}: use another word")


def _drowned(
    bundle: Bundle, texts: list[str], thresholds: np.ndarray, limits: Mapping[str, SiteLimit]
) -> Iterator[Finding]:
    usual = reach(bundle)
    if usual is None:
        return
    for text, threshold in zip(texts, thresholds.tolist(), strict=True):
        site = limits.get(text)
        limit = site.above if site else threshold
        if limit > usual:
            where = "this site's sounds" if site and site.above > threshold else "plain noise"
            yield Finding(
                "drowned",
                (text,),
                f"{where} come so near to it that it counts as heard from {limit:.2f} above the reference, which half "
                f"of all recordings of what a text names do not reach ({usual:.2f}): say what it sounds like",
            )


def reach(bundle: Bundle) -> float | None:
    """How far above the reference recordings come with the text that names them, in the median; None where the bundle
    brings no recordings with names."""
    background = bundle.background
    if background is None or background.bank is None or not (named := background.label_of != NO_LABEL).any():
        return None
    windows = background.rows[named].vectors()
    names = background.bank.rows.vectors()[background.label_of[named]]
    return float(np.median(np.einsum("we,we->w", windows, names) - bundle.reference(windows)))


def _alike(texts: list[str], embeddings: np.ndarray) -> Iterator[Finding]:
    """The nearest pairs first; each phrase against those before it, so that a large vocabulary takes little memory."""
    pairs = []
    for row in range(1, len(texts)):
        cosines = embeddings[:row] @ embeddings[row]
        pairs += [(float(cosines[other]), other, row) for other in np.flatnonzero(cosines >= ALIKE).tolist()]
    for cosine, first, second in sorted(pairs, key=lambda pair: -pair[0]):
        told = f"the model cannot tell them apart (cosine {cosine:.2f}): keep one, or make a group of them"
        yield Finding("alike", (texts[first], texts[second]), told)
