"""Query-bank normalisation (Bogolin et al. 2022, arXiv:2112.12777): hubs give way, by what other queries found.

    bank = similarities of training captions and the pool       # (B, A)
    fairer = normalised(scores, bank)                           # (T, A): reported apart, never mixed with the raw

A hub is an item that is near to many queries. With the dynamic inverted softmax, each item's score is divided by how
much the bank's queries want it, for those queries only whose first choice is also the first choice of one in the bank.
"""

import numpy as np

__all__ = ["normalised"]


def normalised(scores: np.ndarray, bank: np.ndarray, *, beta: float = 20.0) -> np.ndarray:
    """scores (T, A) of the queries and bank (B, A) of other queries, against the same items -> (T, A) float64.

    `beta`: inverse temperature, the paper's value. Rows that are not normalised stay as they are: rows are only ever
    compared within themselves. Audio to text is the same call on the transposed tables.
    """
    if bank.ndim != 2 or not len(bank) or bank.shape[1] != scores.shape[1]:
        raise ValueError(f"a bank of shape {bank.shape} for scores of shape {scores.shape}: both need the same items")
    scores, bank = scores.astype(np.float64), bank.astype(np.float64)
    top = max(scores.max(), bank.max())
    wanted = np.exp(beta * (bank - top)).sum(axis=0)  # (A,)
    hubs = np.zeros(bank.shape[1], bool)
    hubs[bank.argmax(axis=1)] = True
    found = scores.copy()
    chosen = hubs[scores.argmax(axis=1)]
    found[chosen] = np.exp(beta * (scores[chosen] - top)) / wanted
    return found
