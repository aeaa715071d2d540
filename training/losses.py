"""Losses on similarities: the papers' margin ranking loss, InfoNCE with several positives, and distillation.

Every function takes cosines `(A, T)` of A audio and T text embeddings and returns a scalar.
"""

import torch
from torch import Tensor

__all__ = ["cross_modal_info_nce", "max_margin", "one_way_info_nce", "similarity_distillation", "soft_tags"]


def max_margin(cosines: Tensor, positive: Tensor, *, margin: float = 0.2) -> Tensor:
    """Bi-directional max-margin ranking loss (eq. 9 and 10; Karpathy et al. 2014), mean over its hinge terms.

    cosines (B, B): pairs on the diagonal. positive (B, B) bool: pairs that also belong together are no negatives.
    """
    pairs = cosines.diagonal()
    by_text = (margin + cosines - pairs[None, :]).clamp(min=0)
    by_audio = (margin + cosines - pairs[:, None]).clamp(min=0)
    negative = ~positive
    count = negative.sum().clamp(min=1)
    return ((by_text + by_audio) * negative).sum() / (2 * count)


def cross_modal_info_nce(cosines: Tensor, positive: Tensor, temperature: Tensor) -> Tensor:
    """Symmetric InfoNCE with several positives: the target is uniform over each row's (column's) positives.

    cosines (A, T); positive (A, T) bool, at least one a row and a column.
    """
    logits = cosines / temperature
    return (one_way_info_nce(logits, positive) + one_way_info_nce(logits.T, positive.T)) / 2


def one_way_info_nce(logits: Tensor, positive: Tensor) -> Tensor:
    """Each row's cross-entropy to a uniform target over its positives, one at least: logits and positive (A, T)."""
    target = positive.float()
    return -(logits.log_softmax(dim=1) * target / target.sum(dim=1, keepdim=True)).sum(dim=1).mean()


def soft_tags(cosines: Tensor, probabilities: Tensor, temperature: Tensor) -> Tensor:
    """Cross-entropy to a tagging teacher: cosines (A, C) with C class names, probabilities (A, C) in [0, 1].

    Each clip's target is its own tags, normalised; the clip counts by how sure its teacher is of anything.
    """
    total = probabilities.sum(dim=1, keepdim=True)
    target = probabilities / total.clamp(min=1e-6)
    weight = probabilities.max(dim=1).values
    each = -((cosines / temperature).log_softmax(dim=1) * target).sum(dim=1)
    return (each * weight).sum() / weight.sum().clamp(min=1e-6)


def similarity_distillation(student: Tensor, teacher: Tensor, *, temperature: float = 0.05) -> Tensor:
    """Make texts as near to each other as a sentence encoder finds them: KL between rows of similarities.

    student (B, E) and teacher (B, H): unit vectors of the same B texts.
    """
    others = ~torch.eye(len(student), dtype=torch.bool, device=student.device)
    ours = (student @ student.T / temperature)[others].view(len(student), -1)  # (B, B - 1)
    theirs = (teacher @ teacher.T / temperature)[others].view(len(student), -1)  # (B, B - 1)
    return torch.nn.functional.kl_div(
        ours.log_softmax(dim=1), theirs.log_softmax(dim=1), log_target=True, reduction="batchmean"
    )
