"""Ranger: RAdam (Liu et al. 2019, arXiv:1908.03265) inside Lookahead (Zhang et al. 2019, arXiv:1907.08610).

    optimiser = Ranger(model.parameters(), lr=0.01, weight_decay=1e-3)

RAdam is torch's: it rectifies where the length of the approximated moving average is above 5, as both papers' code
does, and its weight decay is decoupled. Every k-th step the weights go back to `alpha` of the way from where they were
k steps ago; these slow weights are part of the state, so that a resumed run goes on where it stood.
"""

from collections.abc import Callable, Iterable

import torch
from torch import nn

__all__ = ["Ranger"]


class Ranger(torch.optim.RAdam):
    """The defaults are the papers'."""

    def __init__(
        self,
        parameters: Iterable[nn.Parameter],
        *,
        lr: float = 0.01,
        weight_decay: float = 1e-3,
        betas: tuple[float, float] = (0.95, 0.999),
        eps: float = 1e-5,
        k: int = 6,
        alpha: float = 0.5,
    ) -> None:
        if k < 1 or not 0 < alpha <= 1:
            raise ValueError(f"Lookahead takes k of 1 or more and alpha in (0, 1], not {k} and {alpha}")
        super().__init__(
            parameters, lr=lr, betas=betas, eps=eps, weight_decay=weight_decay, decoupled_weight_decay=True
        )
        for group in self.param_groups:
            group.setdefault("k", k)
            group.setdefault("alpha", alpha)

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> float | None:  # type: ignore[override]
        weights = [(group, p) for group in self.param_groups for p in group["params"] if p.grad is not None]
        begun = {p: p.clone() for _, p in weights if not self.state[p]}
        loss = super().step(closure)
        for group, p in weights:
            state = self.state[p]
            if p in begun:
                state["slow"] = begun[p]
            if int(state["step"]) % group["k"] == 0:
                state["slow"].lerp_(p, group["alpha"])
                p.copy_(state["slow"])
        return loss
