"""Several processes that train one model: who they are, and sums over all of them that gradients go back through.

    world = World.joined()                  # as torchrun started this process; alone without it
    all_sum(x)                              # the sum of everybody's x
    world.gathered(rows, own, count)        # the whole batch, of everybody's share

Every process computes the loss of the whole batch, and DistributedDataParallel averages gradients. `all_sum` passes to
each process the gradients of all, so that the average is the gradient of one process that has the whole batch.
"""

import os
from dataclasses import dataclass
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor

__all__ = ["World", "all_sum", "alone"]


class _AllSum(torch.autograd.Function):
    @staticmethod
    def forward(context: Any, x: Tensor) -> Tensor:
        total = x.clone()
        dist.all_reduce(total)
        return total

    @staticmethod
    def backward(context: Any, *gradients: Tensor) -> Tensor:
        total = gradients[0].clone()
        dist.all_reduce(total)
        return total


def alone() -> bool:
    """Whether this process trains by itself."""
    return not dist.is_initialized()


def all_sum(x: Tensor) -> Tensor:
    """The sum of x over all processes; x itself where there is one."""
    return x if alone() else _AllSum.apply(x)


@dataclass(frozen=True)
class World:
    """This process's `rank` among `size`; `local` is its place on its own machine, and its GPU."""

    rank: int = 0
    size: int = 1
    local: int = 0

    @classmethod
    def joined(cls, *, gpus: bool) -> "World":
        """Meet the processes that torchrun has started; alone where it has not. Over NCCL with GPUs, else gloo."""
        size = int(os.environ.get("WORLD_SIZE", "1"))
        if size == 1:
            return cls()
        if not dist.is_initialized():
            dist.init_process_group("nccl" if gpus else "gloo")
        return cls(dist.get_rank(), size, int(os.environ.get("LOCAL_RANK", "0")))

    def share(self, count: int) -> slice:
        """Which of `count` rows are this process's: as even as can be."""
        return slice(count * self.rank // self.size, count * (self.rank + 1) // self.size)

    def gathered(self, own: Tensor, rows: slice, count: int) -> Tensor:
        """Everybody's rows as one (count, …); `own` are this process's, of the place `rows`."""
        if self.size == 1:
            return own
        before = own.new_zeros(rows.start, *own.shape[1:])
        after = own.new_zeros(count - rows.stop, *own.shape[1:])
        return all_sum(torch.cat((before, own, after)))
