"""Collaborative experts (Liu et al. 2019, arXiv:1907.13487), as paper 2 has them: paper 2's stronger model.

Experts are reduced to one width and gate each other. With x_i the reduced experts, h the shared network of pairs and
a_j in {0, 1} whether a clip has expert j:

    m_i = sum_j a_j h([x_i, x_j]) / sum_j a_j           over all j, i itself included
    y_i = x_i * sigmoid(BN(m_i) + BN(W_i x_i + b_i)), L2

In the authors' loop y_i takes x_i's place before i + 1 is worked out, so that later experts meet the earlier ones
already gated: `overwrite`. One expert alone has nobody to pair with: reduced, then a context gate. 21.86 M parameters
with VGGish and VGGSound; 7.39 M with VGGish alone, 12.12 M with VGGSound.
"""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from training.experts.expert import Expert, ExpertBatch
from training.papers.joint import ExpertPools, TextExperts
from training.papers.norm import of_rows
from training.retrieval import ContextGate

__all__ = ["CollaborativeExperts", "PairGate", "PairNetwork"]


class PairNetwork(nn.Module):
    """h: x_i (B, E) beside every x_j (B, N, E) -> (B, N, E). Linear, then twice batch norm, Mish, Linear."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.width = width
        self.join = nn.Linear(2 * width, width)
        self.norms = nn.ModuleList(nn.BatchNorm1d(width) for _ in range(2))
        self.linears = nn.ModuleList(nn.Linear(width, width) for _ in range(2))

    def forward(self, own: Tensor, others: Tensor, rows: Sequence[Tensor | None]) -> Tensor:
        """`rows[j] (B,)`: the clips that have both; each pair has statistics of its own, as in the authors' loop."""
        mine, theirs = self.join.weight.split(self.width, dim=1)
        x = F.linear(own, mine, self.join.bias)[:, None] + F.linear(others, theirs)  # (B, N, E)
        for norm, linear in zip(self.norms, self.linears, strict=True):
            normed = torch.stack([of_rows(norm, rows[j], x[:, j]) for j in range(x.shape[1])], dim=1)  # (B, N, E)
            x = linear(F.mish(normed))
        return x


class PairGate(nn.Module):
    """x (B, E) and its mask m (B, E) -> x * sigmoid(BN(m) + BN(W x + b))."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.linear = nn.Linear(width, width)
        self.mask_norm = nn.BatchNorm1d(width)
        self.norm = nn.BatchNorm1d(width)

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        return x * torch.sigmoid(self.mask_norm(mask) + self.norm(self.linear(x)))


class CollaborativeExperts(nn.Module):
    """`words (V + 1, W)`: the word vectors, row 0 is padding; `width` of the reduced experts."""

    def __init__(
        self,
        experts: Sequence[Expert],
        text: Expert,
        words: Tensor,
        *,
        width: int = 768,
        padded: bool = False,
        overwrite: bool = False,
    ) -> None:
        """`padded` and `overwrite`: see PaperConfig."""
        super().__init__()
        self.widths = [width] * len(experts)
        self.overwrite = overwrite
        self.pools = ExpertPools(experts, padded=padded)
        self.reduce = nn.ModuleList(nn.Linear(each, width) for each in self.pools.widths)
        alone = len(experts) == 1
        self.pairs = None if alone else PairNetwork(width)
        self.gates = nn.ModuleList(ContextGate(width) if alone else PairGate(width) for _ in experts)
        self.text_side = TextExperts(words, text, self.widths, padded=padded)

    def audio(self, batch: ExpertBatch) -> tuple[Tensor, Tensor]:
        """(B, N * E): unit blocks, 0 where missing; and what is there, (B, N) bool."""
        pooled, rows = self.pools(batch)
        reduced = [F.normalize(reduce(x), dim=1) for reduce, x in zip(self.reduce, pooled, strict=True)]
        gated = self.collaborate(reduced, batch.available, rows)
        masked = [F.normalize(y, dim=1) * batch.available[:, n, None] for n, y in enumerate(gated)]
        return torch.cat(masked, dim=1), batch.available

    def collaborate(self, experts: Sequence[Tensor], available: Tensor, rows: Sequence[Tensor | None]) -> list[Tensor]:
        """Experts (B, E) gated by each other; available (B, N) bool; `rows`: as ExpertPools gives them."""
        if self.pairs is None:
            return [of_rows(self.gates[0], rows[0], experts[0])]
        current = torch.stack(list(experts), dim=1)  # (B, N, E)
        share = available / available.sum(dim=1, keepdim=True).clamp(min=1)  # (B, N)
        gated: list[Tensor] = []
        for i, gate in enumerate(self.gates):
            own = current[:, i]
            both = [None if row is None or rows[i] is None else row & rows[i] for row in rows]
            mask = (self.pairs(own, current, both) * share[..., None]).sum(dim=1)  # (B, E)
            gated.append(of_rows(gate, rows[i], own, mask))
            if self.overwrite:
                replaced = F.normalize(gated[i], dim=1)[:, None]
                current = torch.cat((current[:, :i], replaced, current[:, i + 1 :]), dim=1)  # (B, N, E)
        return gated

    def text(self, token_ids: Tensor) -> tuple[Tensor, Tensor]:
        return self.text_side(token_ids)

    def forward(self, batch: ExpertBatch, token_ids: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """audio, available, text, weights."""
        return *self.audio(batch), *self.text(token_ids)
