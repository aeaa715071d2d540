"""The live vocabulary: captions, their embeddings, and the HNSW index that a window is matched against.

    phrases = Phrases.of(bundle, ["a dog barks", "rain"])
    phrases.match(embedding, k=5)           # (Match(phrase="a dog barks", score=0.61, …), …)
    phrases.add("an axe chopping wood")     # live at the next window

The texts are the truth. The index is a cache beside them, and is rebuilt when it is absent, damaged or of another
model.
"""

import hashlib
import json
import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from edge_runtime.bundle import Bundle
from edge_runtime.errors import BundleError, PhraseError
from edge_runtime.vector_index import StaleIndexError, VectorIndex

__all__ = ["Match", "Phrases", "default_phrases", "read_phrase_file", "tidy"]

log = logging.getLogger(__name__)

MAX_PHRASE_FILE_BYTES = 64 << 20


@dataclass(frozen=True)
class Match:
    """A phrase, its cosine with a window, in [-1, 1], and the cosine from which it counts as heard in that window."""

    phrase: str
    score: float
    threshold: float

    @property
    def heard(self) -> bool:
        return self.score >= self.threshold


class Phrases:
    """Texts and their index, in the same order."""

    def __init__(self, bundle: Bundle, texts: list[str], index: VectorIndex) -> None:
        self._bundle = bundle
        self._texts = texts
        self._index = index
        self._thresholds: dict[int, float] = {}
        self._vectors: np.ndarray | None = None

    @classmethod
    def of(cls, bundle: Bundle, texts: Sequence[str], *, cache: Path | None = None, keep: bool = False) -> "Phrases":
        """Embed and index `texts`. An index in `cache` that fits is loaded instead; one that was built is put there
        with `keep`."""
        unique = list(dict.fromkeys(map(tidy, texts)))
        about = {"fingerprint": bundle.fingerprint, "content": digest_of(unique)}
        spec, width = bundle.manifest.index, bundle.manifest.head.width
        if cache is not None and cache.exists():
            try:
                return cls(bundle, unique, VectorIndex.load(cache, spec, width=width, **about))
            except BundleError as error:
                level = logging.INFO if isinstance(error, StaleIndexError) else logging.WARNING
                log.log(level, "the phrase index is made again from the phrases: %s", error)
        phrases = cls(bundle, unique, VectorIndex.build(bundle.embed_text(unique), spec))
        if cache is not None and keep:
            phrases.save(cache)
        return phrases

    def save(self, cache: Path) -> None:
        """Keep the index for the next start. Where it cannot be written, that start takes longer, nothing else."""
        try:
            cache.parent.mkdir(parents=True, exist_ok=True)
            self._index.save(cache, fingerprint=self._bundle.fingerprint, content=digest_of(self._texts))
        except (OSError, RuntimeError) as error:
            log.info("phrase index not kept: %s", error)

    def __len__(self) -> int:
        return len(self._texts)

    def __iter__(self) -> Iterator[str]:
        return iter(self._texts)

    def __contains__(self, text: str) -> bool:
        return tidy(text) in self._texts

    def match(self, embedding: np.ndarray, *, k: int) -> tuple[Match, ...]:
        """The k phrases nearest to a window's embedding (E,), best first."""
        labels, cosines = self._index.search(embedding, k=k)
        self._calibrate(labels)
        reference = float(self._bundle.reference(embedding[None])[0])
        return tuple(
            Match(self._texts[i], float(score), reference + self._thresholds[i])
            for i, score in zip(labels.tolist(), cosines, strict=True)
        )

    def heard(self, embedding: np.ndarray, *, limits: Mapping[str, float] | None = None) -> tuple[Match, ...]:
        """Every phrase that a window's embedding (E,) has at or above its threshold, best first; exact. `limits`: how
        far above the window's reference some phrases have to be, instead of what the bundle says of them."""
        cosines = self._embedded() @ embedding  # (P,)
        reference = float(self._bundle.reference(embedding[None])[0])
        near = np.flatnonzero(cosines >= reference + self._bundle.least_threshold)
        self._calibrate(near)
        asked = {i: self._thresholds[i] for i in near.tolist()}
        if limits:
            asked |= {i: limits[text] for i, text in enumerate(self._texts) if text in limits}
        matches = (Match(self._texts[i], float(cosines[i]), reference + limit) for i, limit in asked.items())
        return tuple(sorted((match for match in matches if match.heard), key=lambda match: -match.score))

    def best_heard(self, windows: np.ndarray) -> np.ndarray:
        """The cosine of the best phrase that each of `windows (W, E)` has at or above its threshold, (W,); -inf where
        it has none."""
        every = np.arange(len(self))
        self._calibrate(every)
        cosines = windows @ self._embedded().T  # (W, P)
        limits = self._bundle.reference(windows)[:, None] + [self._thresholds[i] for i in every.tolist()]
        return np.where(cosines >= limits, cosines, -np.inf).max(axis=1, initial=-np.inf)

    def thresholds(self) -> np.ndarray:
        """How far above a window's reference (Bundle.reference) each phrase counts as heard, (P,), in their order."""
        return self._bundle.thresholds(self._index.vectors())

    def embeddings(self) -> np.ndarray:
        """(P, E) float32, unit length, in the order of the phrases."""
        return self._index.vectors()

    def _embedded(self) -> np.ndarray:
        """`embeddings`, read once."""
        if self._vectors is None:
            self._vectors = self._index.vectors()
        return self._vectors

    def _calibrate(self, labels: np.ndarray) -> None:
        """Find the thresholds of these phrases: of a large vocabulary few are ever near to anything."""
        new = [i for i in labels.tolist() if i not in self._thresholds]
        if new:
            found = self._bundle.thresholds(self._index.vectors(new))
            self._thresholds |= dict(zip(new, found.tolist(), strict=True))

    def add(self, text: str) -> None:
        """Embed one more phrase; the next match sees it. A phrase that is there already changes nothing."""
        text = tidy(text)
        if text not in self._texts:
            self._index.add(self._bundle.embed_text([text]))
            self._vectors = None
            self._texts.append(text)

    def remove(self, *texts: str) -> None:
        """Forget phrases. Raises PhraseError where one is not in the vocabulary."""
        gone = set(map(tidy, texts))
        for text in gone.difference(self._texts):
            raise PhraseError(f"the vocabulary has no phrase {text!r}: see `earmark phrases list`")
        rows = [row for row, text in enumerate(self._texts) if text in gone]
        self._thresholds, self._vectors = {}, None
        self._index = VectorIndex.build(np.delete(self._index.vectors(), rows, axis=0), self._bundle.manifest.index)
        self._texts = [text for text in self._texts if text not in gone]


def tidy(text: str) -> str:
    """One line, single spaces, no control characters. Raises PhraseError on an empty phrase."""
    text = " ".join("".join(c if c.isprintable() else " " for c in text).split())
    if not text:
        raise PhraseError("the phrase is empty: describe a sound in words, as in 'a dog barks'")
    return text


def digest_of(texts: Sequence[str]) -> str:
    """Names a list of phrases; order matters, since the index answers with positions."""
    return hashlib.sha256("\n".join(texts).encode()).hexdigest()[:16]


def default_phrases(bundle: Bundle) -> list[str]:
    """The phrases that the bundle brings (phrases.jsonl: one {"phrase": …} a line)."""
    path = bundle.folder / "phrases.jsonl"
    try:
        return [str(json.loads(line)["phrase"]) for line in path.read_text(encoding="utf-8").splitlines()]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise BundleError(f"{path} cannot be read ({error}): copy or export the bundle again") from error


def read_phrase_file(path: Path) -> list[str]:
    """Phrases of a text file, one a line; empty lines and lines that begin with # are passed over."""
    if not path.is_file():
        raise PhraseError(f"there is no phrase file {path}: give a text file with one phrase a line")
    if path.stat().st_size > MAX_PHRASE_FILE_BYTES:
        raise PhraseError(f"{path} has {path.stat().st_size} bytes, at most {MAX_PHRASE_FILE_BYTES} are read")
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except UnicodeDecodeError as error:
        raise PhraseError(
            f"{path} is not UTF-8 text ({error.reason} at byte {error.start}): save it as UTF-8"
        ) from error
    phrases = [line.strip() for line in lines if line.strip() and not line.lstrip().startswith("#")]
    if not phrases:
        raise PhraseError(f"{path} holds no phrase: write one phrase a line")
    return phrases
