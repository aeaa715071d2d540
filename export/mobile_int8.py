"""mn04 in int8: which of its convolutions multiply bytes, which only keep their weights in them, and both trained.

    rows = mobile_sensitivity(net, clips)               # log_mel (1, M, T) each: what each layer alone costs
    fake = FakeMobile(net, **int8_layers(net, RECIPES["small"], rows))
    fake.calibrate(clips)
    taught(fake, net.segments, more, Tuning())          # export/fake_quantise.py
    stream_mobile_graph(fake.net, path, rounding=fake.rounding())

A weight has a step each output channel (of an excitation's layers too). An activation has one step and a lowest value,
not always 0: mn04 has layers without ReLU. All are learned (LSQ+: Bhalgat et al. 2020, arXiv:2004.09576).

Rounding hurts most where mn04 has hardly any weights: its first blocks, of 8 to 24 channels. `int8_layers` therefore
leaves those layers in fp32 whose noise is dearest for their weights, up to `FP32_SHARE` of all weights. Convolutions
over time and excitations never multiply bytes: there is little to multiply, and much to convert.
"""

import copy
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import TypedDict

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from export.calibration import snr_db
from export.fake_quantise import WEIGHT_LEVELS, rounded
from export.network import LEVELS
from export.profiles import Recipe, Sensitivity
from training.stream_mn import StreamingMobileNet

__all__ = ["ByteRange", "FakeMobile", "Int8Layers", "Rounding", "int8_layers", "mobile_sensitivity"]

CLIPPINGS = np.linspace(0.3, 1.0, 36)
"""Shares of the largest weight, or of an activation's range, among which the first step is chosen."""
SAMPLED = 20_000
"""Numbers of an activation that each clip shows."""
FP32_SHARE = 0.02
"""Of all weights: 14 of mn04's 61 layers, which make four fifths of the noise."""


@dataclass(frozen=True)
class ByteRange:
    """A uint8 activation: level n stands for (n - zero) * step."""

    step: float
    zero: int


@dataclass(frozen=True)
class Rounding:
    """One convolution or linear layer: `weight` int8 and `steps (O,)`, before any batch norm is folded in; the ranges
    of what enters and leaves it, both None where only its weight is kept in int8."""

    weight: np.ndarray
    steps: np.ndarray
    entering: ByteRange | None = None
    leaving: ByteRange | None = None


class Int8Layers(TypedDict):
    """Names of layers: whose weights are int8, and which of these convolutions multiply bytes."""

    weights: list[str]
    multiplying: list[str]


class Int8Weight(nn.Module):
    """The parametrisation of a weight (O, ...): kept in units of its own size, given back on its grid."""

    def __init__(self, weight: Tensor) -> None:
        super().__init__()
        self.size = float(weight.detach().std()) or 1.0
        self.log_steps = nn.Parameter(_weight_steps(weight).log())

    def forward(self, kept: Tensor) -> Tensor:
        return rounded(kept * self.size, self._steps(kept), -WEIGHT_LEVELS, WEIGHT_LEVELS)

    def right_inverse(self, weight: Tensor) -> Tensor:
        return weight / self.size

    @torch.no_grad()
    def levels(self, kept: Tensor) -> tuple[np.ndarray, np.ndarray]:
        """int8 (O, ...) and the steps (O,)."""
        steps = self._steps(kept)
        levels = (kept * self.size / steps).clamp(-WEIGHT_LEVELS, WEIGHT_LEVELS).round()
        return levels.numpy().astype(np.int8), steps.flatten().numpy().copy()

    def _steps(self, kept: Tensor) -> Tensor:
        return self.log_steps.exp().reshape(-1, *[1] * (kept.dim() - 1))


class Bytes(nn.Module):
    """An activation in uint8. It passes through as it is until `fit` has seen `seen`."""

    def __init__(self, *, positive: bool) -> None:
        super().__init__()
        self.positive = positive
        self.log_step = nn.Parameter(torch.zeros(()))
        self.low = nn.Parameter(torch.zeros(()), requires_grad=not positive)
        self.seen: list[Tensor] | None = None

    def watch(self) -> None:
        self.seen = []

    @torch.no_grad()
    def fit(self) -> None:
        """The range with the least squared error over what was seen: its top is clipped first, then its bottom."""
        assert self.seen is not None
        values = torch.cat(self.seen)
        self.seen = None
        ends = [0.0 if self.positive else min(0.0, values.min().item()), max(1e-6, values.max().item())]
        for end in (1, 0):
            tried = [[*ends[:end], float(share) * ends[end], *ends[end + 1 :]] for share in CLIPPINGS]
            errors = [(values - self._on_grid(values, *_step_and_low(*each))).square().mean() for each in tried]
            ends = tried[int(torch.stack(errors).argmin())]
        step, low = _step_and_low(*ends)
        self.log_step.copy_(step.log())
        self.low.copy_(low)

    def forward(self, x: Tensor) -> Tensor:
        if self.seen is not None:
            flat = x.detach().flatten()
            self.seen.append(flat[:: max(1, len(flat) // SAMPLED)])
            return x
        return self._on_grid(x, self.log_step.exp(), self.low)

    def range(self) -> ByteRange:
        step = self.log_step.exp().item()
        return ByteRange(step, 0 if self.positive else int(np.clip(round(-self.low.item() / step), 0, LEVELS)))

    @staticmethod
    def _on_grid(x: Tensor, step: Tensor, low: Tensor) -> Tensor:
        zero = (-low / step).clamp(0, LEVELS)
        zero = zero + (zero.round() - zero).detach()
        return rounded(x + zero * step, step, 0, LEVELS) - zero * step


class FakeMobile(nn.Module):
    """log_mel (B, M, T) -> segments (B, S, D), rounded as the graph will be. `net`: the copy that is rounded."""

    def __init__(self, net: StreamingMobileNet, *, weights: Collection[str], multiplying: Collection[str]) -> None:
        super().__init__()
        self.net = copy.deepcopy(net)
        self._layers = layers_of(self.net)
        for name in weights:
            layer = self._layers[name]
            parametrize.register_parametrization(layer, "weight", Int8Weight(layer.weight))
        self.entering, self.leaving = nn.ModuleDict(), nn.ModuleDict()
        parts = dict(self.net.named_modules())
        for name in multiplying:
            holder = parts[name.rpartition(".")[0]]
            relu = len(holder) > 2 and isinstance(holder[2], nn.ReLU)
            key = _key(name)
            self.entering[key], self.leaving[key] = Bytes(positive=False), Bytes(positive=relu)
            holder[0].register_forward_pre_hook(_entering(self.entering[key]))
            holder[2 if relu else 1].register_forward_hook(_leaving(self.leaving[key]))

    def forward(self, log_mel: Tensor) -> Tensor:
        return self.net.segments(log_mel)

    @torch.no_grad()
    def calibrate(self, clips: Sequence[np.ndarray]) -> None:
        ranges = [*self.entering.values(), *self.leaving.values()]
        for each in ranges:
            each.watch()
        for clip in clips if ranges else ():
            self(torch.from_numpy(clip))
        for each in ranges:
            each.fit()

    def rounding(self) -> dict[nn.Module, Rounding]:
        """By the layers of `net`."""
        found = {}
        for name, layer in self._layers.items():
            if not parametrize.is_parametrized(layer):
                continue
            kept = layer.parametrizations.weight
            ranges = [part[_key(name)].range() for part in (self.entering, self.leaving) if _key(name) in part]
            found[layer] = Rounding(*kept[0].levels(kept.original), *ranges)
        return found


def layers_of(net: StreamingMobileNet) -> dict[str, nn.Module]:
    """What has weights on the way to the segments, in order: convolutions, and the excitations' linear layers."""
    return {
        name: layer
        for name, layer in net.named_modules()
        if isinstance(layer, nn.Conv2d | nn.Linear) and not name.startswith("net.classifier")
    }


def int8_layers(net: StreamingMobileNet, recipe: Recipe, rows: Sequence[Sensitivity]) -> Int8Layers:
    """Which layers this recipe rounds. `rows`: what `mobile_sensitivity` found."""
    left = FP32_SHARE * sum(row.weights for row in rows)
    kept = set()
    for row in sorted(rows, key=lambda row: row.snr_db + 10 * np.log10(row.weights)):  # noise a weight, most first
        if row.weights <= left:
            left -= row.weights
            kept.add(row.layer)
    mixing = [name for name in pointwise(net) if name not in kept]
    count = round(recipe.int8_share * len(mixing))
    return {
        "weights": [row.layer for row in rows if row.layer not in kept],
        "multiplying": mixing[len(mixing) - count :],
    }


def mobile_sensitivity(net: StreamingMobileNet, clips: Sequence[np.ndarray]) -> list[Sensitivity]:
    """Each layer alone in int8: its weight and, of a pointwise convolution, its activations. `clips` calibrate and are
    heard."""

    @torch.no_grad()
    def heard(net: nn.Module) -> np.ndarray:
        return np.concatenate([net(torch.from_numpy(clip))[0].numpy() for clip in clips])

    exact = heard(FakeMobile(net, weights=[], multiplying=[]))
    mixing, rows = pointwise(net), []
    for name, layer in layers_of(net).items():
        fake = FakeMobile(net, weights=[name], multiplying=[name] if name in mixing else [])
        fake.calibrate(clips)
        rows.append(Sensitivity(name, layer.weight.numel(), round(snr_db(exact, heard(fake)), 2)))
    return rows


def pointwise(net: StreamingMobileNet) -> list[str]:
    """The convolutions that mix channels and look at one place: nearly all of the work."""
    layers = layers_of(net).items()
    return [name for name, layer in layers if isinstance(layer, nn.Conv2d) and layer.kernel_size == (1, 1)]


def _step_and_low(low: float, high: float) -> tuple[Tensor, Tensor]:
    return torch.tensor((high - low) / LEVELS), torch.tensor(low)


def _weight_steps(weight: Tensor) -> Tensor:
    """(O, ...) -> the step (O,) of each output channel that errs least."""
    flat = weight.detach().flatten(1)
    top = flat.abs().amax(dim=1, keepdim=True).clamp(min=1e-12)
    steps = torch.stack([top * (share / WEIGHT_LEVELS) for share in CLIPPINGS.tolist()])  # (clippings, O, 1)
    errors = (rounded(flat, steps, -WEIGHT_LEVELS, WEIGHT_LEVELS) - flat).square().sum(dim=2)
    return steps[errors.argmin(dim=0), torch.arange(len(flat)), 0]


def _entering(each: nn.Module):
    return lambda _, arguments: (each(arguments[0]),)


def _leaving(each: nn.Module):
    return lambda _, __, found: each(found)


def _key(name: str) -> str:
    """A ModuleDict takes no dots."""
    return name.replace(".", "/")
