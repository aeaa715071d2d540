"""What an expert is to a retrieval model: a name, a width, a longest sequence; and a batch of several of them.

batch = ExpertBatch.of([vggish, vggsound], rows)     # rows[b][name]: (T, D) float32, or None where it is missing
batch.features["vggish"], batch.masks["vggish"], batch.available
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

__all__ = ["Expert", "ExpertBatch"]


@dataclass(frozen=True)
class Expert:
    """`frames` is the longest sequence that a model takes (the papers' zero-padding: longer ones are cut); an expert of
    one frame is a fixed vector, and is not pooled. `clusters` and `ghosts` of its NetVLAD."""

    name: str
    width: int
    frames: int
    clusters: int = 16
    ghosts: int = 0

    def __post_init__(self) -> None:
        if min(self.width, self.frames, self.clusters) < 1 or self.ghosts < 0:
            raise ValueError(f"sizes must be positive: {self}")

    @property
    def fixed(self) -> bool:
        return self.frames == 1


@dataclass(frozen=True)
class ExpertBatch:
    """By name: `features (B, T, D)` padded with 0 to `frames`, `masks (B, T)` bool; `available (B, N)` bool, experts in
    the order of the names."""

    features: dict[str, Tensor]
    masks: dict[str, Tensor]
    available: Tensor

    @classmethod
    def of(cls, experts: Sequence[Expert], rows: Sequence[Mapping[str, np.ndarray | None]]) -> "ExpertBatch":
        """Missing experts are 0 and not available, and so are those whose first number is NaN: the authors' mark.
        Raises ValueError where a feature has another width."""
        features, masks = {}, {}
        available = torch.zeros(len(rows), len(experts), dtype=torch.bool)
        for column, expert in enumerate(experts):
            x = torch.zeros(len(rows), expert.frames, expert.width)
            mask = torch.zeros(len(rows), expert.frames, dtype=torch.bool)
            for row, found in enumerate(rows):
                given = found.get(expert.name)
                if given is None or not len(given) or np.isnan(given.flat[0]):
                    continue
                if given.ndim != 2 or given.shape[1] != expert.width:
                    raise ValueError(f"{expert.name}: features of shape {given.shape}, expected (T, {expert.width})")
                part = torch.from_numpy(np.ascontiguousarray(given[: expert.frames], dtype=np.float32))
                x[row, : len(part)] = part
                mask[row, : len(part)] = True
                available[row, column] = True
            features[expert.name], masks[expert.name] = x, mask
        return cls(features, masks, available)

    def to(self, device: torch.device) -> "ExpertBatch":
        move = {name: each.to(device) for name, each in self.features.items()}
        return ExpertBatch(
            move, {name: each.to(device) for name, each in self.masks.items()}, self.available.to(device)
        )
