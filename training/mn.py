"""EfficientAT's MobileNetV3 for audio tagging, with its published parameter names (arXiv:2211.04772).

    net = load_mn04(Path("../shared/weights/efficientat_mn04_as"))
    segments = net.segments(log_mel)        # (B, 128, T) -> (B, ceil(T / 32), 384)
    logits = net.classify(segments)         # -> (B, 527), the AudioSet classes

A windowed encoder: its squeeze-excitation averages over all of its input. That average is one method,
`SqueezeExcitation.average`, so that a streaming variant replaces nothing else.
"""

from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from training.published import Published, load_strict, read_checkpoint

__all__ = ["MN04", "MN10", "MobileNet", "MobileNetConfig", "load_mn04", "load_mn10"]

RELEASE = "EfficientAT's release v0.0.1 (github.com/fschmid56/EfficientAT/releases)"
MN04_FILE = Published(
    "mn04_as_mAP_432.pt", RELEASE, "sha256", "899a8c6217063f6941793102a2780b3dd788ab11fce468d9cf5f0577c453321c"
)
MN10_FILE = Published("mn10_as_mAP_471.pt", RELEASE)


@dataclass(frozen=True)
class Bottleneck:
    """One inverted residual block, its channels at width 1 (MobileNetV3, arXiv:1905.02244, table 1)."""

    kernel: int
    expanded: int
    out: int
    excite: bool
    hard_swish: bool
    stride: int


STEM_CHANNELS = 16
HIDDEN_CHANNELS = 1280
BOTTLENECKS = (
    Bottleneck(3, 16, 16, False, False, 1),
    Bottleneck(3, 64, 24, False, False, 2),
    Bottleneck(3, 72, 24, False, False, 1),
    Bottleneck(5, 72, 40, True, False, 2),
    Bottleneck(5, 120, 40, True, False, 1),
    Bottleneck(5, 120, 40, True, False, 1),
    Bottleneck(3, 240, 80, False, True, 2),
    Bottleneck(3, 200, 80, False, True, 1),
    Bottleneck(3, 184, 80, False, True, 1),
    Bottleneck(3, 184, 80, False, True, 1),
    Bottleneck(3, 480, 112, True, True, 1),
    Bottleneck(3, 672, 112, True, True, 1),
    Bottleneck(5, 672, 160, True, True, 2),
    Bottleneck(5, 960, 160, True, True, 1),
    Bottleneck(5, 960, 160, True, True, 1),
)


@dataclass(frozen=True)
class MobileNetConfig:
    """The network's size: `width` multiplies the channel counts, then rounded to multiples of 8."""

    width: float = 1.0
    classes: int = 527
    excitation_reduction: int = 4
    dropout: float = 0.2

    def __post_init__(self) -> None:
        if self.width <= 0 or self.classes < 1 or self.excitation_reduction < 1 or not 0 <= self.dropout < 1:
            raise ValueError(f"MobileNet settings out of range: {self}")

    @property
    def segment_dim(self) -> int:
        """D: the channels of the last feature map."""
        return 6 * self.channels(BOTTLENECKS[-1].out)

    def channels(self, at_width_1: int) -> int:
        return round_to_8(at_width_1 * self.width)


MN04 = MobileNetConfig(width=0.4)
MN10 = MobileNetConfig(width=1.0)


def round_to_8(channels: float) -> int:
    """The nearest multiple of 8, at least 8, never more than 10 % below: MobileNet's rule."""
    rounded = max(8, int(channels + 4) // 8 * 8)
    return rounded + 8 if rounded < 0.9 * channels else rounded


def conv_norm(
    channels_in: int,
    channels_out: int,
    *,
    kernel: int = 1,
    stride: int = 1,
    groups: int = 1,
    activation: type[nn.Module] | None = None,
) -> nn.Sequential:
    """Convolution, batch norm, activation: (B, C, F, T) -> (B, C', ceil(F / stride), ceil(T / stride))."""
    conv = nn.Conv2d(channels_in, channels_out, kernel, stride, kernel // 2, groups=groups, bias=False)
    layers = [conv, nn.BatchNorm2d(channels_out, eps=0.001, momentum=0.01)]
    return nn.Sequential(*layers, *([activation()] if activation else []))


class SqueezeExcitation(nn.Module):
    """Scale every channel by what the whole input holds (Hu et al. 2018, arXiv:1709.01507)."""

    def __init__(self, channels: int, reduction: int) -> None:
        super().__init__()
        squeezed = round_to_8(channels // reduction)
        self.fc1 = nn.Linear(channels, squeezed)
        self.fc2 = nn.Linear(squeezed, channels)

    def average(self, x: Tensor) -> Tensor:
        """(B, C, F, T) -> (B, C). The one place where this network looks at all of time."""
        return x.mean(dim=(2, 3))

    def forward(self, x: Tensor) -> Tensor:
        scale = torch.sigmoid(self.fc2(torch.relu(self.fc1(self.average(x)))))
        return x * scale[:, :, None, None]


class Excitation(nn.Module):
    """Holds the published names: that network can excite several axes at once, here channels alone."""

    def __init__(self, channels: int, reduction: int) -> None:
        super().__init__()
        self.conc_se_layers = nn.ModuleList([SqueezeExcitation(channels, reduction)])

    def forward(self, x: Tensor) -> Tensor:
        return self.conc_se_layers[0](x)


class InvertedResidual(nn.Module):
    """Expand, convolve each channel, excite, project; added to the input where the shapes allow."""

    def __init__(self, channels_in: int, block: Bottleneck, config: MobileNetConfig) -> None:
        super().__init__()
        expanded, channels_out = config.channels(block.expanded), config.channels(block.out)
        activation = nn.Hardswish if block.hard_swish else nn.ReLU
        layers = []
        if expanded != channels_in:
            layers.append(conv_norm(channels_in, expanded, activation=activation))
        layers.append(
            conv_norm(
                expanded,
                expanded,
                kernel=block.kernel,
                stride=block.stride,
                groups=expanded,
                activation=activation,
            )
        )
        if block.excite:
            layers.append(Excitation(expanded, config.excitation_reduction))
        layers.append(conv_norm(expanded, channels_out))
        self.block = nn.Sequential(*layers)
        self.residual = block.stride == 1 and channels_in == channels_out

    def forward(self, x: Tensor) -> Tensor:
        return self.block(x) + x if self.residual else self.block(x)


class MobileNet(nn.Module):
    """Log-mel (B, M, T) -> segments (B, S, D), S = ceil(T / 32) -> logits (B, classes)."""

    def __init__(self, config: MobileNetConfig) -> None:
        super().__init__()
        self.config = config
        channels = config.channels(STEM_CHANNELS)
        layers = [conv_norm(1, channels, kernel=3, stride=2, activation=nn.Hardswish)]
        for block in BOTTLENECKS:
            layers.append(InvertedResidual(channels, block, config))
            channels = config.channels(block.out)
        layers.append(conv_norm(channels, config.segment_dim, activation=nn.Hardswish))
        self.features = nn.Sequential(*layers)
        hidden = config.channels(HIDDEN_CHANNELS)
        self.classifier = nn.Sequential(
            nn.AdaptiveAvgPool2d(1),
            nn.Flatten(1),
            nn.Linear(config.segment_dim, hidden),
            nn.Hardswish(),
            nn.Dropout(config.dropout),
            nn.Linear(hidden, config.classes),
        )
        self.apply(initialise)

    def segments(self, log_mel: Tensor) -> Tensor:
        """log_mel (B, M, T), T > 0 -> (B, S, D): the last feature map averaged over frequency."""
        features = self.features(log_mel[:, None])  # (B, D, M / 32, S)
        return features.mean(dim=2).transpose(1, 2)  # (B, S, D)

    def classify(self, segments: Tensor) -> Tensor:
        """segments (B, S, D) -> logits (B, classes) of their mean."""
        return self.classifier(segments.transpose(1, 2)[..., None])

    def forward(self, log_mel: Tensor) -> Tensor:
        return self.classify(self.segments(log_mel))


def initialise(module: nn.Module) -> None:
    """Weights of one leaf module, as EfficientAT draws them."""
    if isinstance(module, nn.Conv2d):
        nn.init.kaiming_normal_(module.weight, mode="fan_out")
    elif isinstance(module, nn.Linear):
        nn.init.normal_(module.weight, std=0.01)
        nn.init.zeros_(module.bias)


def load_mn04(path: Path) -> MobileNet:
    """The published mn04 (AudioSet mAP .432, MIT) from the user's own copy, or its folder; in evaluation mode.

    EarmarkError: the file is absent, or not that one.
    """
    return _loaded(path, MN04, MN04_FILE)


def load_mn10(path: Path) -> MobileNet:
    """The published mn10 (AudioSet mAP .471), as `load_mn04`; no checksum is known, its parameters are checked."""
    return _loaded(path, MN10, MN10_FILE)


def _loaded(path: Path, config: MobileNetConfig, published: Published) -> MobileNet:
    net = MobileNet(config)
    load_strict(net, read_checkpoint(path, published), published.at(path))
    return net.eval()
