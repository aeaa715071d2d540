"""Losses on similarities: the papers' margin ranking loss, InfoNCE with several positives, and distillation.

Every function takes cosines `(A, T)` of A audio and T text embeddings and returns a scalar.
"""

import torch
from torch import Tensor

__all__ = [
    "caption_bank",
    "cross_modal_info_nce",
    "max_margin",
    "one_way_info_nce",
    "shortened",
    "similarity_distillation",
    "soft_tags",
    "text_pairs",
]


def max_margin(
    cosines: Tensor,
    positive: Tensor,
    *,
    margin: float = 0.2,
    by_batch: bool = False,
    still: Tensor | None = None,
) -> Tensor:
    """Bi-directional max-margin ranking loss (eq. 9 and 10; Karpathy et al. 2014), mean over its hinge terms, as the
    papers' code has it; with `by_batch` their sum over B, as eq. 9 says.

    cosines (B, B): pairs on the diagonal. positive (B, B) bool: pairs that also belong together are no negatives.
    still (N, B): cosines of sounds that fit no text; their hinges, each text's alone, are a mean of their own.
    """
    pairs = cosines.diagonal()
    by_text = (margin + cosines - pairs[None, :]).clamp(min=0)
    by_audio = (margin + cosines - pairs[:, None]).clamp(min=0)
    negative = ~positive
    count = len(cosines) if by_batch else 2 * negative.sum().clamp(min=1)
    loss = ((by_text + by_audio) * negative).sum() / count
    return loss if still is None else loss + (margin + still - pairs[None, :]).clamp(min=0).mean()


def cross_modal_info_nce(
    cosines: Tensor, positive: Tensor, temperature: Tensor, *, still: Tensor | None = None
) -> Tensor:
    """Symmetric InfoNCE with several positives: the target is uniform over each row's (column's) positives.

    cosines (A, T); positive (A, T) bool, at least one a row and a column. still (N, T): cosines of sounds that fit no
    text: each text has them as negatives, they themselves ask nothing.
    """
    logits = cosines / temperature
    by_text, right = logits.T, positive.T  # (T, A)
    if still is not None:
        by_text = torch.cat((by_text, still.T / temperature), dim=1)  # (T, A + N)
        right = torch.cat((right, torch.zeros_like(still.T, dtype=torch.bool)), dim=1)
    return (one_way_info_nce(logits, positive) + one_way_info_nce(by_text, right)) / 2


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


def caption_bank(cosines: Tensor, likeness: Tensor, temperature: Tensor, *, sharpness: float = 0.05) -> Tensor:
    """Make clips as near to captions that none of them has as a sentence encoder finds what is known of the clips.

    cosines (A, M) of A clips and M captions; likeness (A, M): cosines of their sentence embeddings. KL of the softmax
    over the captions and of that over the clips, the teacher's at temperature `sharpness`.
    """
    ours, theirs = cosines / temperature, likeness / sharpness
    return sum(
        torch.nn.functional.kl_div(
            ours.log_softmax(dim=dim), theirs.log_softmax(dim=dim), log_target=True, reduction="sum"
        )
        / cosines.shape[1 - dim]
        for dim in (0, 1)
    ) / torch.tensor(2.0)


def shortened(embeddings: Tensor, width: int) -> Tensor:
    """The first `width` numbers of (N, E), at unit length again: what a device keeps of a nested embedding (Kusupati et
    al. 2022, arXiv:2205.13147), and what its loss is taken of as well."""
    return torch.nn.functional.normalize(embeddings[:, :width], dim=1)


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


def text_pairs(cosines: Tensor, alike: Tensor, *, temperature: float = 0.07) -> Tensor:
    """Symmetric InfoNCE between two texts of each of P sounds: cosines (P, P), pairs on the diagonal.

    alike (P, P) bool, off the diagonal: sounds that are neither right nor wrong for each other.
    """
    logits = cosines.masked_fill(alike, -1.0) / temperature
    right = torch.arange(len(logits), device=logits.device)
    cross_entropy = torch.nn.functional.cross_entropy
    return (cross_entropy(logits, right) + cross_entropy(logits.T, right)) / 2
