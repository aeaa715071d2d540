"""Batch norm over all processes' rows, and over those rows alone that count.

    model = with_synced_norms(model)        # every BatchNorm1d in it becomes a SyncedNorm, weights kept
    of_rows(layer, available, x)            # layer(x) in which missing experts' rows have no part

torch's SyncBatchNorm does the first on GPUs alone, and neither takes a batch of one row or none, which is what is left
where an expert is missing from all clips of a batch but one.
"""

from collections.abc import Callable

from torch import Tensor, nn

from training.papers.processes import all_sum, alone

__all__ = ["SyncedNorm", "of_rows", "with_synced_norms"]


class SyncedNorm(nn.BatchNorm1d):
    """x (N, C): in training, the mean and variance are those of all processes' rows together, however many each has."""

    def forward(self, x: Tensor) -> Tensor:
        if not self.training or (alone() and len(x) > 1):
            return super().forward(x)
        count = all_sum(x.new_tensor([len(x)]))
        rows = count.clamp(min=1)
        mean = all_sum(x.sum(dim=0)) / rows
        variance = all_sum(((x - mean) ** 2).sum(dim=0)) / rows
        if count.item() > 1:
            self._keep(mean.detach(), (variance * rows / (rows - 1)).detach())
        return (x - mean) / (variance + self.eps).sqrt() * self.weight + self.bias

    def _keep(self, mean: Tensor, variance: Tensor) -> None:
        self.num_batches_tracked.add_(1)
        self.running_mean.lerp_(mean, self.momentum)
        self.running_var.lerp_(variance, self.momentum)


def with_synced_norms(module: nn.Module) -> nn.Module:
    """The same module; its norms share what they hold with the ones they replace."""
    for name, child in module.named_children():
        if type(child) is nn.BatchNorm1d:
            synced = SyncedNorm(child.num_features, child.eps, child.momentum)
            synced.load_state_dict(child.state_dict())
            setattr(module, name, synced)
        else:
            with_synced_norms(child)
    return module


def of_rows(layer: Callable[..., Tensor], rows: Tensor | None, *inputs: Tensor) -> Tensor:
    """layer(*inputs) of the rows where `rows (B,)` bool is true, 0 in the others; None: of all."""
    if rows is None or bool(rows.all()):
        return layer(*inputs)
    found = layer(*(x[rows] for x in inputs))
    out = found.new_zeros(len(rows), *found.shape[1:])
    out[rows] = found
    return out
