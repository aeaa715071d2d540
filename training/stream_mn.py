"""mn04 that streams: the pretrained MobileNet with nothing left that looks at all of time.

    net = StreamingMobileNet(STREAMING_MN04)
    net.load_windowed(load_mn04(weights_dir))           # the published weights, to be fine-tuned (streaming_distil.py)
    segments = net.segments(log_mel)                    # (B, 128, T) -> (B, ceil(T / 32), 384)
    segments, state = net.step(chunk, net.start_state(), end=False)

Two things differ from training/mn.py. The squeeze-excitation's average over all of time becomes the mean of the last
`memory_columns` columns, this one included. Convolutions look ahead only as far as `look_ahead` says: full padding on
the right would add up to 3 s, most of it in the last three blocks, where a column is 0.16 to 0.32 s.

It streams as the PANNs family does (training/panns.py): the lengths of the left contexts and `end` choose the mode.
Each block carries the newest columns of its input, as many as its next output needs, and expands them again: they are
a fifth of what the expansion makes of them. (At a recording's edges the zeros therefore stand before the expansion,
where the windowed network has them after it; fine-tuning sees to that.) A strided block carries as many columns as the
parity of the prime leaves it, the same for ever after, since chunks are multiples of 32 frames.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from edge_runtime.errors import EarmarkError
from training.mn import BOTTLENECKS, MN04, Excitation, InvertedResidual, MobileNet, MobileNetConfig
from training.published import load_strict, read_checkpoint

__all__ = [
    "COUNTERS",
    "STREAMING_MN04",
    "ConvPlan",
    "StreamingMobileNet",
    "StreamingMobileNetConfig",
    "depthwise_at",
    "excitation_of",
    "load_streaming_mn",
    "save_streaming_mn",
]

SEGMENT_FRAMES = 32
COUNTERS = 16
"""Channels of ones beside what an excitation remembers: each counts the columns that there are. One would do; so many
keep the channels whole vectors, and onnxruntime then averages a vector at a time."""
STEM_KERNEL, STEM_STRIDE = 3, 2


@dataclass(frozen=True)
class ConvPlan:
    """One convolution over time: its kernel, stride, columns of look-ahead, and what it carries in a stream.

    `left`: zero columns before a recording; `carry`: columns kept between chunks; `level`: frames a column it hears."""

    kernel: int
    stride: int
    right: int
    level: int
    carry: int = 0

    @property
    def left(self) -> int:
        return self.kernel - 1 - self.right

    def outputs(self, columns: int, *, end: bool) -> int:
        """How many columns come of so many since the recording's beginning."""
        if end:
            return -(-columns // self.stride)
        return max(0, (columns - 1 - self.right) // self.stride + 1)


@dataclass(frozen=True)
class StreamingMobileNetConfig:
    """`look_ahead`: columns on the right of each block's convolution over time, in order; `memory_frames`: how far back
    the excitation averages."""

    net: MobileNetConfig = MN04
    bands: int = 128
    look_ahead: tuple[int, ...] = (1, 1, 1, 2, 2, 2, 1, 1, 1, 1, 1, 1, 1, 0, 0)
    memory_frames: int = 256

    def __post_init__(self) -> None:
        if len(self.look_ahead) != len(BOTTLENECKS):
            raise ValueError(f"{len(self.look_ahead)} look-aheads for {len(BOTTLENECKS)} blocks")
        for right, block in zip(self.look_ahead, BOTTLENECKS, strict=True):
            if not 0 <= right <= block.kernel // 2:
                raise ValueError(f"a kernel of {block.kernel} columns cannot look {right} ahead: 0 to half of it")
        if self.memory_frames < SEGMENT_FRAMES or self.memory_frames % SEGMENT_FRAMES:
            raise ValueError(f"memory_frames is {self.memory_frames}, expected a multiple of {SEGMENT_FRAMES}")

    @property
    def segment_dim(self) -> int:
        return self.net.segment_dim

    @property
    def hop_frames(self) -> int:
        return SEGMENT_FRAMES

    @property
    def prime_frames(self) -> int:
        """The fewest frames that give a segment, and leave each convolution enough for an end that follows at once."""
        return next(frames for frames in range(1, 4096) if _primes(self.bare_plans(), frames))

    def bare_plans(self) -> list[ConvPlan]:
        """Stem and blocks, without what they carry."""
        plans, level = [ConvPlan(STEM_KERNEL, STEM_STRIDE, 1, 1)], STEM_STRIDE
        for block, right in zip(BOTTLENECKS, self.look_ahead, strict=True):
            plans.append(ConvPlan(block.kernel, block.stride, right, level))
            level *= block.stride
        return plans

    def plans(self) -> list[ConvPlan]:
        """Stem and blocks, with what each carries after a prime and after every chunk."""
        found, columns = [], self.prime_frames
        for plan in self.bare_plans():
            after = plan.outputs(columns, end=False)
            carry = columns + plan.left - plan.stride * after
            found.append(ConvPlan(plan.kernel, plan.stride, plan.right, plan.level, carry))
            columns = after
        return found


def _primes(plans: list[ConvPlan], frames: int) -> bool:
    """Whether a prime of so many frames gives one segment, and a flush without a frame new columns everywhere."""
    open_columns = ended_columns = frames
    for plan in plans:
        open_columns, ended_columns = plan.outputs(open_columns, end=False), plan.outputs(ended_columns, end=True)
        if open_columns < 1 or ended_columns <= open_columns:
            return False
    return True


STREAMING_MN04 = StreamingMobileNetConfig()

State = tuple[Tensor, ...]
"""For the stem and each block in order: the newest columns of its input, then the memory of its excitation, if any."""


class StreamingMobileNet(nn.Module):
    """Log-mel (B, M, T) -> segments (B, S, D), S = ceil(T / 32) -> logits (B, classes), whole or chunk by chunk."""

    def __init__(self, config: StreamingMobileNetConfig) -> None:
        super().__init__()
        self.config = config
        self.net = MobileNet(config.net)
        self.plans = config.plans()

    def load_windowed(self, windowed: MobileNet) -> None:
        """Take the weights of the windowed network, which has the same."""
        self.net.load_state_dict(windowed.state_dict(), strict=True)

    def segments(self, log_mel: Tensor) -> Tensor:
        """A whole clip: log_mel (B, M, T), T > 0 -> (B, ceil(T / 32), D)."""
        return self.step(log_mel, self.start_state(len(log_mel)), end=True)[0]

    def classify(self, segments: Tensor) -> Tensor:
        """segments (B, S, D) -> logits (B, classes) of their mean."""
        return self.net.classify(segments)

    def forward(self, log_mel: Tensor) -> Tensor:
        return self.classify(self.segments(log_mel))

    def start_state(self, batch: int = 1) -> State:
        """The zeros before a clip's first frame."""
        return tuple(self._zeros(batch, *shape) for shape in self.start_shapes())

    def start_shapes(self) -> list[tuple[int, int, int]]:
        """(C, F, columns) of every state before a recording's first frame."""
        return [(channels, bands, edge) for _, channels, bands, edge, _ in self.state_specs()]

    def state_specs(self) -> Iterator[tuple[str, int, int, int, int]]:
        """Name, channels, bands, columns at the beginning and columns carried of every state, in order."""
        bands = self.config.bands
        yield "stem", 1, bands, self.plans[0].left, self.plans[0].carry
        bands //= STEM_STRIDE
        for i, (block, plan) in enumerate(zip(self.blocks(), self.plans[1:], strict=True)):
            yield f"block{i}", block.block[0][0].in_channels, bands, plan.left, plan.carry
            bands = -(-bands // plan.stride)
            if excitation_of(block) is not None:
                memory = self._memory_columns(plan)
                yield f"block{i}_memory", block.block[-1][0].in_channels + COUNTERS, 1, memory - 1, memory - 1

    def blocks(self) -> list[InvertedResidual]:
        return list(self.net.features)[1:-1]

    def step(self, log_mel: Tensor, state: State, *, end: bool) -> tuple[Tensor, State]:
        """One chunk (B, M, T) -> its segments (B, S, D) and the state after it. `end`: nothing comes after it."""
        kept, carried = list(state), []
        stem, plan = self.net.features[0], self.plans[0]
        x = stem[2](stem[1](_over_time(stem[0], _joined(log_mel[:, None], kept, carried, plan, end=end))))
        for block, plan in zip(self.blocks(), self.plans[1:], strict=True):
            x = self._block(block, plan, x, kept, carried, end=end)
        features = self.net.features[-1](x)  # (B, D, M / 32, S)
        return features.mean(dim=2).transpose(1, 2), tuple(carried)  # (B, S, D)

    def _block(
        self,
        block: InvertedResidual,
        plan: ConvPlan,
        x: Tensor,
        kept: list[Tensor],
        carried: list[Tensor],
        *,
        end: bool,
    ) -> Tensor:
        x = entered = _joined(x, kept, carried, plan, end=end)
        at = depthwise_at(block)
        for layer in block.block[:at]:
            x = layer(x)
        conv, norm, activation = block.block[at]
        x = activation(norm(_over_time(conv, x)))
        excitation = excitation_of(block)
        if excitation is not None:
            means = x.mean(dim=2, keepdim=True)  # (B, C, 1, T)
            joined = torch.cat((kept.pop(0), F.pad(means, (0, 0, 0, 0, 0, COUNTERS), value=1.0)), dim=3)
            memory = self._memory_columns(plan)
            carried.append(joined[..., joined.shape[3] - memory + 1 :])
            averages = F.avg_pool2d(joined, (1, memory), stride=1)
            x = x * _scale(excitation, averages[:, :-COUNTERS] / averages[:, -1:])
        x = block.block[-1](x)
        return x + entered[..., plan.left : plan.left + x.shape[3]] if block.residual else x

    def _memory_columns(self, plan: ConvPlan) -> int:
        return self.config.memory_frames // (plan.level * plan.stride)

    def _zeros(self, *shape: int) -> Tensor:
        return self.net.features[0][0].weight.new_zeros(shape)


def depthwise_at(block: InvertedResidual) -> int:
    """Where in a block its convolution over time stands: first, or after the expansion."""
    first = block.block[0][0]
    return 0 if first.groups > 1 else 1


def excitation_of(block: InvertedResidual) -> Excitation | None:
    return next((layer for layer in block.block if isinstance(layer, Excitation)), None)


def _scale(excitation: Excitation, means: Tensor) -> Tensor:
    """means (B, C, 1, T) -> what each channel is multiplied by at each column, of the same shape."""
    squeeze = excitation.conc_se_layers[0]
    return torch.sigmoid(_pointwise(squeeze.fc2, torch.relu(_pointwise(squeeze.fc1, means))))


def _pointwise(linear: nn.Linear, x: Tensor) -> Tensor:
    return F.conv2d(x, linear.weight[:, :, None, None], linear.bias)


def _joined(x: Tensor, kept: list[Tensor], carried: list[Tensor], plan: ConvPlan, *, end: bool) -> Tensor:
    """The next of the kept contexts, x, the zeros after a recording's end. What goes on is appended to `carried`."""
    joined = torch.cat((kept.pop(0), x), dim=3)
    carried.append(joined[..., max(0, joined.shape[3] - plan.carry) :])
    return F.pad(joined, (0, plan.right if end else 0))


def _over_time(conv: nn.Conv2d, x: Tensor) -> Tensor:
    """A convolution whose time axis is padded already."""
    return F.conv2d(x, conv.weight, None, conv.stride, (conv.kernel_size[0] // 2, 0), 1, conv.groups)


def save_streaming_mn(net: StreamingMobileNet, path: Path) -> None:
    """A network that was fine-tuned here, with its settings."""
    config = net.config
    settings = {"look_ahead": config.look_ahead, "memory_frames": config.memory_frames}
    torch.save({"streaming_mn04": settings, "state": net.state_dict()}, path)


def load_streaming_mn(path: Path) -> StreamingMobileNet:
    """What `save_streaming_mn` wrote, in evaluation mode. EarmarkError: the file is absent or another."""
    if not path.is_file():
        raise EarmarkError(f"{path} is missing: `python -m training stream` makes one")
    saved = read_checkpoint(path, again="`python -m training stream` makes one")
    if not isinstance(saved, dict) or saved.keys() != {"streaming_mn04", "state"}:
        raise EarmarkError(f"{path} holds no streaming mn04: give a file that `python -m training stream` wrote")
    settings = saved["streaming_mn04"]
    net = StreamingMobileNet(StreamingMobileNetConfig(**{**settings, "look_ahead": tuple(settings["look_ahead"])}))
    load_strict(net, saved["state"], path)
    return net.eval()
