"""int8 that is trained: a chain of layers fine-tuned with its rounding in the loop, until it answers as fp32 does.

    layers, steps = int8_steps(layers, clips, int8=…)           # calibration alone: where it starts
    layers, steps = fine_tuned(layers, steps, teacher=exact, clips=more, config=Tuning(steps=400))

Every rounding of the exported graph is in the forward pass: int8 weights with a scale each output channel, uint8
activations with one scale each, both learned beside weights and biases (LSQ: Esser et al. 2020, arXiv:1902.08153);
rounding passes gradients as if it were not there. What is taught are the segments of the unquantised network, on clips
with no labels, so that the profiles of a bundle go on answering alike.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from export.network import LEVELS, Layer, Steps

__all__ = ["WEIGHT_LEVELS", "FakeNetwork", "Tuning", "fine_tuned", "rounded", "taught"]

WEIGHT_LEVELS = 127


@dataclass(frozen=True)
class Tuning:
    """Settings of one run. Learning rates are for Adam: that of weights and biases is relative to a layer's own size,
    and that of the scales is of their logarithm."""

    steps: int = 1200
    batch: int = 4
    crop_frames: int = 384
    learning_rate: float = 3e-4
    step_learning_rate: float = 3e-3
    seed: int = 0


class FakeConv(nn.Module):
    """One layer, rounded as its `Steps` say where it has some; parameters are in units of their own initial size."""

    def __init__(self, layer: Layer, steps: Steps | None) -> None:
        super().__init__()
        self.layer = layer
        bias = steps.bias if steps else layer.bias
        self.sizes = (float(layer.weight.std()) or 1.0, float(np.abs(bias).mean()) or 1.0)
        self.weight = nn.Parameter(torch.from_numpy(layer.weight / self.sizes[0]))
        self.bias = nn.Parameter(torch.from_numpy(bias / self.sizes[1]))
        self.log_steps = nn.ParameterDict()
        if steps:
            found = {"weight": steps.weight_steps[:, None, None, None], "input": steps.input_step}
            for name, value in (found | {"output": steps.output_step}).items():
                self.log_steps[name] = nn.Parameter(torch.tensor(np.log(value), dtype=torch.float32))

    def forward(self, x: Tensor) -> Tensor:
        weight, bias = self.weight * self.sizes[0], self.bias * self.sizes[1]
        if self.log_steps:
            x = rounded(x, self.log_steps["input"].exp(), 0, LEVELS)
            weight = rounded(weight, self.log_steps["weight"].exp(), -WEIGHT_LEVELS, WEIGHT_LEVELS)
        x = F.conv2d(x, weight, bias, padding=self.layer.pad).relu()
        if self.log_steps:
            x = rounded(x, self.log_steps["output"].exp(), 0, LEVELS)
        return F.avg_pool2d(x, self.layer.pool) if self.layer.pool > 1 else x

    @torch.no_grad()
    def learned(self) -> tuple[Layer, Steps | None]:
        weight, bias = (self.weight * self.sizes[0]).numpy(), (self.bias * self.sizes[1]).numpy()
        layer = replace(self.layer, weight=weight, bias=bias)
        if not self.log_steps:
            return layer, None
        step = {name: value.exp().numpy() for name, value in self.log_steps.items()}
        levels = np.clip(np.rint(weight / step["weight"]), -WEIGHT_LEVELS, WEIGHT_LEVELS).astype(np.int8)
        return layer, Steps(levels, step["weight"].ravel(), bias, float(step["input"]), float(step["output"]))


class FakeNetwork(nn.Module):
    """log_mel (B, M, T) after the input batch norm -> segments (B, S, D)."""

    def __init__(self, layers: Sequence[Layer], steps: Mapping[str, Steps]) -> None:
        super().__init__()
        self.convs = nn.Sequential(*(FakeConv(layer, steps.get(layer.name)) for layer in layers))
        gain = layers[-1].gain
        self.register_buffer("gain", torch.ones(1) if gain is None else torch.from_numpy(gain))

    def forward(self, log_mel: Tensor) -> Tensor:
        return self.convs(log_mel[:, None]).mean(dim=2).transpose(1, 2) * self.gain  # (B, S, D)

    def learned(self) -> tuple[list[Layer], dict[str, Steps]]:
        """What `stream_graph` writes."""
        pairs = [conv.learned() for conv in self.convs]
        return [layer for layer, _ in pairs], {layer.name: steps for layer, steps in pairs if steps}


def fine_tuned(
    layers: Sequence[Layer],
    steps: Mapping[str, Steps],
    *,
    teacher: Sequence[Layer],
    clips: Sequence[np.ndarray],
    config: Tuning,
) -> tuple[list[Layer], dict[str, Steps]]:
    """`layers` and `steps` after fine-tuning against `teacher`, unquantised, on crops of clips (1, M, T)."""
    net = FakeNetwork(layers, steps)
    taught(net, FakeNetwork(teacher, {}), clips, config)
    return net.learned()


def taught(net: nn.Module, exact: Callable[[Tensor], Tensor], clips: Sequence[np.ndarray], config: Tuning) -> None:
    """Fine-tune `net` in place until its segments are those of `exact`, on crops of clips (1, M, T). Its parameters of
    rounding have names with `log_step`; all that have gradients are trained."""
    torch.manual_seed(config.seed)
    rng = np.random.default_rng(config.seed)
    named = [(name, value) for name, value in net.named_parameters() if value.requires_grad]
    scales = [value for name, value in named if "log_step" in name]
    others = [value for name, value in named if "log_step" not in name]
    rates = [config.learning_rate, config.step_learning_rate]
    optimiser = torch.optim.Adam([{"params": others, "lr": rates[0]}, {"params": scales, "lr": rates[1]}])
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, config.steps)
    for _ in range(config.steps):
        x = torch.from_numpy(np.stack([_crop(clips, config.crop_frames, rng) for _ in range(config.batch)]))
        with torch.no_grad():
            wanted = exact(x)
        loss = _difference(net(x), wanted)
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        optimiser.step()
        schedule.step()


def _difference(found: Tensor, wanted: Tensor) -> Tensor:
    """Of segments (B, S, D): the error's share of the variance, and by how much directions differ, in which a quiet
    segment counts as much as a loud one."""
    error = F.mse_loss(found, wanted) / wanted.var().clamp(min=1e-12)
    return error + (1 - F.cosine_similarity(found, wanted, dim=2)).mean()


def rounded(x: Tensor, step: Tensor, low: int, high: int) -> Tensor:
    """x on a grid of `step`; gradients pass the rounding, reach `step`, and stop where x is clipped."""
    scaled = (x / step).clamp(low, high)
    return (scaled + (scaled.round() - scaled).detach()) * step


def _crop(clips: Sequence[np.ndarray], frames: int, rng: np.random.Generator) -> np.ndarray:
    """(M, frames) of one of the clips (1, M, T): from its beginning again where it is too short."""
    clip = clips[rng.integers(len(clips))][0]
    start = int(rng.integers(max(1, clip.shape[1] - frames + 1)))
    return clip[:, (start + np.arange(frames)) % clip.shape[1]]
