"""The gated embedding unit of MoEE (Miech et al. 2018, arXiv:1804.02516, eq. 3 to 5): FC, context gate, L2.

unit = GatedEmbedding(2048, 128)
unit(x)                                 # (B, 2048) -> (B, 128), unit length
"""

import torch.nn.functional as F
from torch import Tensor, nn

from training.retrieval import ContextGate

__all__ = ["GatedEmbedding"]


class GatedEmbedding(nn.Module):
    """x (B, D) -> (B, E), unit length: y = W x + b, then y * sigmoid(BN(V y + c))."""

    def __init__(self, width: int, out_width: int) -> None:
        super().__init__()
        self.project = nn.Linear(width, out_width)
        self.gate = ContextGate(out_width)

    def forward(self, x: Tensor) -> Tensor:
        return F.normalize(self.gate(self.project(x)), dim=1)
