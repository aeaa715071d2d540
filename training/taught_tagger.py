"""A tagger for an encoder that has none: it learns what the published mn04 says of the same windows.

    tagger = taught_tagger([copy.of_clips(train) for copy in copies])   # Linear, Hardswish, Linear
    probabilities = tagger(segments.mean(dim=1)).sigmoid()              # (B, S, D) -> (B, 527)

A graph out of a bundle (training/graph_encoder.py) gives segments and nothing else, and `training/fallback.py` needs to
know which AudioSet classes they bring to mind. The form is that of mn04's own classifier. Of sounds that no training
clip has, it knows what their likeness to training's sounds says, and no more.
"""

from collections.abc import Sequence

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from training.features import Features
from training.sampler import padded

__all__ = ["taught_tagger"]

HIDDEN = 512
EPOCHS, BATCH, RATE = 40, 256, 2e-3
DECAY, DROPOUT = 0.02, 0.3


def taught_tagger(copies: Sequence[Features], *, seed: int = 0) -> nn.Sequential:
    """Of windows of the training clips alone, with the teacher's tags: some seconds on a CPU. In evaluation mode."""
    if not sum(len(copy.lengths) for copy in copies):
        raise ValueError("there is no window to learn tags from: give features of training clips")
    means = torch.cat([_means(copy) for copy in copies])  # (N, D)
    tags = torch.from_numpy(np.concatenate([copy.tags for copy in copies]).astype(np.float32))  # (N, C)
    mean, std = means.mean(dim=0), means.std(dim=0, unbiased=False) + 1e-3
    generator = torch.Generator().manual_seed(seed)
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        hidden, classify = nn.Linear(means.shape[1], HIDDEN), nn.Linear(HIDDEN, tags.shape[1])
        net = nn.Sequential(hidden, nn.Hardswish(), nn.Dropout(DROPOUT), classify)
        optimiser = torch.optim.AdamW(net.parameters(), lr=RATE, weight_decay=DECAY)
        steps = EPOCHS * -(-len(means) // BATCH)
        schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, RATE, total_steps=steps)
        for _ in range(EPOCHS):
            for rows in torch.randperm(len(means), generator=generator).split(BATCH):
                loss = F.binary_cross_entropy_with_logits(net((means[rows] - mean) / std), tags[rows])
                optimiser.zero_grad(set_to_none=True)
                loss.backward()
                optimiser.step()
                schedule.step()
    with torch.no_grad():  # what is heard is not standardised: the first layer does it
        hidden.bias -= hidden.weight @ (mean / std)
        hidden.weight /= std
    return nn.Sequential(hidden, nn.Hardswish(), classify).eval()


def _means(copy: Features) -> Tensor:
    """The mean segment of each window, (N, D)."""
    x, mask = padded(copy.segments, copy.lengths)
    return (x * mask[..., None]).sum(dim=1) / mask.sum(dim=1, keepdim=True)
