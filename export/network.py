"""A PANNs network as the export sees it: a chain of convolutions with everything else folded in.

    layers = layers_of(net)                       # batch norms merged into weights and biases: exact
    layers, scales = equalised(layers, peaks, alpha=.5)     # channels evened out: exact through ReLU
    segments = run(layers, log_mel)               # the float oracle of the ONNX graphs, and, with `steps`, of int8

`run` can emulate int8: the layers that have `Steps` round their input, weights and output as the graph will.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from training.panns import Panns

__all__ = ["Layer", "Steps", "equalised", "evened", "layers_of", "run"]

LEVELS = 255
"""Steps of a uint8 activation; its zero point is 0, because a ReLU (and a pool after it) gives nothing below."""


@dataclass(frozen=True)
class Layer:
    """Convolution `weight (O, C, F, T)` with `bias (O,)`, float32; ReLU; average pooling by `pool` if above 1. The last
    one's mean over frequency is multiplied by `gain (O,)` where it has one."""

    name: str
    weight: np.ndarray
    bias: np.ndarray
    bands: int
    pool: int
    gain: np.ndarray | None = None

    @property
    def channels(self) -> int:
        return self.weight.shape[1]

    @property
    def pad(self) -> int:
        return self.weight.shape[3] // 2


@dataclass(frozen=True)
class Steps:
    """A layer in int8: `weight (O, C, F, T)` int8 with a scale `weight_steps (O,)` each output channel, the scales of
    the uint8 input and of the uint8 output before the pool, and the bias with what rounding shifts taken back."""

    weight: np.ndarray
    weight_steps: np.ndarray
    bias: np.ndarray
    input_step: float
    output_step: float

    def rounded_weight(self) -> np.ndarray:
        return self.weight.astype(np.float32) * self.weight_steps[:, None, None, None]


@torch.no_grad()
def layers_of(net: Panns) -> list[Layer]:
    """The network after its input batch norm, which a bundle has in its mel tables."""
    config, layers = net.config, []
    shapes = iter(config.state_shapes)
    for block, pool in enumerate(config.pools, start=1):
        for conv in range(1, config.convs_per_block + 1):
            part = getattr(net, f"conv_block{block}")
            norm = getattr(part, f"bn{conv}")
            scale = norm.weight.double() / (norm.running_var.double() + norm.eps).sqrt()
            weight = getattr(part, f"conv{conv}").weight.double().transpose(2, 3) * scale[:, None, None, None]
            bias = norm.bias.double() - norm.running_mean.double() * scale
            layers.append(
                Layer(
                    f"conv{block}_{conv}",
                    np.ascontiguousarray(weight.float().numpy()),
                    bias.float().numpy(),
                    next(shapes)[1],
                    pool if conv == config.convs_per_block else 1,
                )
            )
    return layers


def equalised(
    layers: Sequence[Layer], peaks: Mapping[str, np.ndarray], *, alpha: float
) -> tuple[list[Layer], dict[str, np.ndarray]]:
    """Scale each channel between two layers so that neither its activations nor its weights stand out.

    Dividing a layer's output channel by s > 0 and multiplying the next layer's weights for it by s changes nothing
    (ReLU and pools are homogeneous); with s = peak^alpha / weight^(1 - alpha), alpha moves the burden of unlike
    channels from the activations (0) to the weights (1). Nagel et al. 2019 (arXiv:1906.04721) has alpha = 1/2.
    `peaks[name] (C,)`: the largest activation of each channel that enters the layer of that name. Also returns the
    s (C,) of every layer but the first, by name.
    """
    found, scales = list(layers), {}
    for i in range(1, len(found)):
        before, after = found[i - 1], found[i]
        peak, weight = peaks[after.name], np.abs(after.weight).max(axis=(0, 2, 3))
        alive = (peak > 0) & (weight > 0)
        scale = np.ones(len(peak))
        scale[alive] = peak[alive] ** alpha / weight[alive] ** (1 - alpha)
        scale[alive] /= np.exp(np.log(scale[alive]).mean()) if alive.any() else 1
        scale = np.clip(scale, 1e-2, 1e2).astype(np.float32)
        found[i - 1] = replace(before, weight=before.weight / scale[:, None, None, None], bias=before.bias / scale)
        found[i] = replace(after, weight=after.weight * scale[None, :, None, None])
        scales[after.name] = scale
    return found, scales


def evened(layers: Sequence[Layer], peak: np.ndarray) -> list[Layer]:
    """Divide each channel of the last layer by its `peak (O,)` and multiply it back after the mean: exact, and every
    segment number then uses all 255 steps of the last rounding, which no later layer averages out."""
    last = layers[-1]
    scale = np.where(peak > 0, peak / peak.max(), 1).clip(1e-3).astype(np.float32)
    weight, bias = last.weight / scale[:, None, None, None], last.bias / scale
    return [*layers[:-1], replace(last, weight=weight, bias=bias, gain=scale)]


Watch = Callable[[str, str, np.ndarray], None]


@torch.no_grad()
def run(
    layers: Sequence[Layer],
    log_mel: np.ndarray,
    *,
    steps: Mapping[str, Steps] | None = None,
    watch: Watch | None = None,
) -> np.ndarray:
    """A whole clip, log_mel (1, M, T) after the input batch norm -> segments (S, D).

    `watch(name, "input" | "output", array)` sees what enters each convolution and what leaves its ReLU.
    """
    steps = steps or {}
    x = torch.from_numpy(log_mel)[:, None]  # (1, 1, M, T)
    for layer in layers:
        step = steps.get(layer.name)
        if watch:
            watch(layer.name, "input", x.numpy())
        if step:
            x = _rounded(x, step.input_step)
        weight, bias = (step.rounded_weight(), step.bias) if step else (layer.weight, layer.bias)
        x = F.conv2d(x, torch.from_numpy(weight), torch.from_numpy(bias), padding=layer.pad).relu()
        if watch:
            watch(layer.name, "output", x.numpy())
        if step:
            x = _rounded(x, step.output_step)
        x = F.avg_pool2d(x, layer.pool) if layer.pool > 1 else x
    segments = x.mean(dim=2)[0].T.numpy()  # (S, D)
    return segments if layers[-1].gain is None else segments * layers[-1].gain


def _rounded(x: Tensor, step: float) -> Tensor:
    return (x / step).round().clamp(0, LEVELS) * step
