"""What a tagger would report of the sounds of a sentence: by the told sounds that a sentence encoder finds it like.

    told = told_captions(sentences, sounds, tags)       # embeddings (N, H) and (M, H), tags (M, C) -> (N, C)

Told sounds (training/told_sounds.py) are a few words each. A caption that says several at once ("rain is falling as
people talk") lies between them, and kernel ridge regression reads all of them out of it. What a network hears of a
clip is the same kind of list, so the two can be compared without a text that says both (`KnownOfClips` of
training/caption_teacher.py).
"""

import numpy as np

__all__ = ["told_captions"]

WIDTH = 0.2
"""Of the kernel exp((cosine - 1) / width): so wide that a sentence is several told sounds at once."""
RIDGE = 0.2
BLOCK = 1000
"""Sentences at a time: beside some twelve thousand told sounds 50 MB."""


def told_captions(sentences: np.ndarray, sounds: np.ndarray, tags: np.ndarray) -> np.ndarray:
    """Embeddings `sentences (N, H)`; `sounds (M, H)` of which `tags (M, C)` are told -> (N, C) float32."""
    kernel = _likeness(sounds, sounds)
    kernel[np.diag_indices(len(sounds))] += RIDGE
    each = np.linalg.solve(kernel, tags.astype(np.float32))
    blocks = [_likeness(sentences[start : start + BLOCK], sounds) @ each for start in range(0, len(sentences), BLOCK)]
    return np.concatenate(blocks) if blocks else np.zeros((0, tags.shape[1]), np.float32)


def _likeness(some: np.ndarray, others: np.ndarray) -> np.ndarray:
    return np.exp((some.astype(np.float32) @ others.astype(np.float32).T - 1) / np.float32(WIDTH))
