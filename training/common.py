"""What all texts have in common, taken off both towers: it tells none of them apart.

    model = without_common(model, ids, share=0.5)       # ids (N, L): the training labels; a copy

Texts lie in a cone of the joint space (Mu and Viswanath 2018, "All-but-the-Top", arXiv:1702.01417; Liang et al. 2022,
arXiv:2203.02053), and training sets the sounds beside it, so a cosine also says how text-like a sound is, and how
usual a text. Between labels that training knows this weighs little; a text in other words, or a sound of another kind,
loses by it. The direction is the mean of the training labels' embeddings. Nothing is trained.
"""

import copy

import torch
import torch.nn.functional as F
from torch import Tensor

from training.retrieval import DualEncoder

__all__ = ["without_common"]


@torch.no_grad()
def without_common(model: DualEncoder, ids: Tensor, *, share: float) -> DualEncoder:
    """The same model in evaluation mode, both of whose towers lose `share` of their part along the mean embedding of
    the texts `ids (N, L)`. It was made with `less_common`; what it dropped before, it drops no more."""
    found = copy.deepcopy(model).eval()
    towers = (found.audio_tower, found.text_tower)
    for tower in towers:
        tower.common.zero_()
    direction = F.normalize(found.text(ids).mean(dim=0), dim=0)
    for tower in towers:
        tower.common.copy_(share**0.5 * direction)
    return found
