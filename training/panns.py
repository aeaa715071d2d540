"""The PANNs family (CNN14, CNN10, CNN6, slimmer ones): one network that runs whole clips and streams.

    net = load_cnn14(Path("Cnn14_mAP=0.431.pth"))
    segments = net.segments(log_mel)                    # (B, 64, T) -> (B, T // 32, 2048)
    stream = StreamingPanns(net)
    parts = [stream.push(block) for block in blocks] + [stream.flush()]    # together the same segments

Kong et al. 2020, arXiv:1912.10211; parameter names are those of the published checkpoints.

How it streams. Time is the last axis. Each convolution's time axis is padded from outside: on the left with
`state`, on the right with `right`. With p = kernel // 2, the lengths alone choose the mode:

    mode     left context          right   what the chunk is
    offline  p zero columns        p       a whole clip
    prime    p zero columns        0       its beginning: prime_frames, or hop_frames more any number of times
    steady   2p carried columns    0       a multiple of hop_frames
    flush    2p carried columns    p       the rest, of any length, zero included

Without right padding, each convolution of the prime gives p columns fewer than it takes; prime_frames is the
least length for which every pool gets whole pairs and one segment comes out. From then on every pool has seen
an even number of the columns that it would see offline, and a steady chunk keeps it so. The flush gives every
convolution its last p columns, and a pool drops an odd last column just where it would offline: in all there
are T // hop_frames segments.
"""

import dataclasses
import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from edge_runtime.errors import EarmarkError
from edge_runtime.mel import MelTables
from training.mel_tables import panns_mel, with_batch_norm
from training.published import Published, load_strict, read_checkpoint

__all__ = [
    "CNN6",
    "CNN10",
    "CNN14",
    "Panns",
    "PannsConfig",
    "StreamingPanns",
    "load_checkpoint",
    "load_cnn6",
    "load_cnn10",
    "load_cnn14",
    "load_net",
    "save_net",
    "slim_cnn14",
]

ZENODO = "zenodo.org/records/3987831"
CNN14_FILE = Published("Cnn14_mAP=0.431.pth", ZENODO, "md5", "541141fa2ee191a88f24a3219fff024e")
CNN10_FILE = Published("Cnn10_mAP=0.380.pth", ZENODO, "md5", "bfb1f1f9968938fa8ef4012b8471f5f6")
CNN6_FILE = Published("Cnn6_mAP=0.343.pth", ZENODO, "md5", "e25e26b84585b14c7754c91e48efc9be")

State = tuple[Tensor, ...]
"""The left context of each convolution, in order: (B, C, F, p) zeros or (B, C, F, 2p) carried."""


@dataclass(frozen=True)
class PannsConfig:
    """The whole network: channels of each block, convolutions in a block, whether the last one pools."""

    channels: tuple[int, ...]
    convs_per_block: int = 2
    kernel: int = 3
    pool_last: bool = True
    bands: int = 64
    classes: int = 527
    dropout: float = 0.2

    def __post_init__(self) -> None:
        if not self.channels or min(self.channels) < 1 or self.kernel % 2 == 0 or self.convs_per_block < 1:
            raise ValueError(f"PANNs needs blocks with channels and convolutions of an odd kernel, got {self}")
        if self.bands % self.hop_frames:
            raise ValueError(f"{self.bands} bands cannot be halved {int(math.log2(self.hop_frames))} times")

    @property
    def pad(self) -> int:
        """p: columns that a convolution needs on either side."""
        return self.kernel // 2

    @property
    def pools(self) -> tuple[int, ...]:
        """How much each block shrinks frequency and time."""
        return tuple(2 if i + 1 < len(self.channels) or self.pool_last else 1 for i in range(len(self.channels)))

    @property
    def segment_dim(self) -> int:
        return self.channels[-1]

    @property
    def hop_frames(self) -> int:
        """Frames in a segment: 32 for CNN14, 16 for CNN10 and CNN6."""
        return math.prod(self.pools)

    @property
    def prime_frames(self) -> int:
        """Frames that the first segment needs: 158 for CNN14, 46 for CNN10 and CNN6."""
        columns = 1
        for pool in reversed(self.pools):
            columns = columns * pool + self.convs_per_block * self.pad
        return columns

    @property
    def state_shapes(self) -> tuple[tuple[int, int], ...]:
        """(C, F) of every convolution's input, in order."""
        shapes, channels, bands = [], 1, self.bands
        for out, pool in zip(self.channels, self.pools, strict=True):
            shapes += [(channels, bands)] + [(out, bands)] * (self.convs_per_block - 1)
            channels, bands = out, bands // pool
        return tuple(shapes)


CNN14 = PannsConfig((64, 128, 256, 512, 1024, 2048), pool_last=False)
CNN10 = PannsConfig((64, 128, 256, 512))
CNN6 = PannsConfig((64, 128, 256, 512), convs_per_block=1, kernel=5)


def slim_cnn14(width: float) -> PannsConfig:
    """CNN14 with `width` times its channels, rounded to multiples of 8."""
    return PannsConfig(tuple(max(8, round(c * width / 8) * 8) for c in CNN14.channels), pool_last=False)


class StreamConv(nn.Module):
    """A convolution with its time padding from outside; weight (out, in, time, frequency), as published."""

    def __init__(self, channels_in: int, channels_out: int, kernel: int) -> None:
        super().__init__()
        self.pad = kernel // 2
        self.weight = nn.Parameter(torch.empty(channels_out, channels_in, kernel, kernel))
        nn.init.xavier_uniform_(self.weight)

    def forward(self, x: Tensor, left: Tensor, right: Tensor) -> tuple[Tensor, Tensor]:
        """x (B, C, F, T), left (B, C, F, p or 2p), right (1, 1, 1, 0 or p) -> (B, C', F, T'), carried."""
        carried = torch.cat((left, x[..., -2 * self.pad :]), dim=3)[..., -2 * self.pad :]
        padded = torch.cat((left, x, right.expand(*x.shape[:3], -1)), dim=3)
        return F.conv2d(padded, self.weight.transpose(2, 3), padding=(self.pad, 0)), carried

    def whole(self, x: Tensor) -> Tensor:
        """`forward` of a whole clip."""
        return F.conv2d(x, self.weight.transpose(2, 3), padding=self.pad)


class ConvBlock(nn.Module):
    """One or two times convolution, batch norm, ReLU; then average pooling."""

    def __init__(self, channels_in: int, channels_out: int, pool: int, config: PannsConfig) -> None:
        super().__init__()
        self.pool = pool
        self.convs = config.convs_per_block
        for i in range(1, self.convs + 1):
            self.add_module(f"conv{i}", StreamConv(channels_in, channels_out, config.kernel))
            self.add_module(f"bn{i}", nn.BatchNorm2d(channels_out))
            channels_in = channels_out

    def forward(self, x: Tensor, left: State, right: Tensor) -> tuple[Tensor, State]:
        carried = []
        for i in range(self.convs):
            x, after = getattr(self, f"conv{i + 1}")(x, left[i], right)
            x = torch.relu(getattr(self, f"bn{i + 1}")(x))
            carried.append(after)
        return F.avg_pool2d(x, self.pool) if self.pool > 1 else x, tuple(carried)

    def whole(self, x: Tensor) -> Tensor:
        for i in range(1, self.convs + 1):
            x = getattr(self, f"conv{i}").whole(x)
            # a lone channel leaves the order open, and batch norm takes three times as long in the other one
            x = torch.relu_(getattr(self, f"bn{i}")(x.contiguous(memory_format=torch.channels_last)))
        return F.avg_pool2d(x, self.pool) if self.pool > 1 else x


class Panns(nn.Module):
    """Log-mel (B, M, T) in decibels -> segments (B, S, D) with S = T // hop_frames -> logits (B, classes)."""

    def __init__(self, config: PannsConfig) -> None:
        super().__init__()
        self.config = config
        self.bn0 = nn.BatchNorm2d(config.bands)
        channels = 1
        for i, (out, pool) in enumerate(zip(config.channels, config.pools, strict=True), start=1):
            self.add_module(f"conv_block{i}", ConvBlock(channels, out, pool, config))
            channels = out
        self.fc1 = nn.Linear(channels, channels)
        self.fc_audioset = nn.Linear(channels, config.classes)
        for layer in (self.fc1, self.fc_audioset):
            nn.init.xavier_uniform_(layer.weight)
            nn.init.zeros_(layer.bias)

    def segments(self, log_mel: Tensor) -> Tensor:
        """A whole clip: log_mel (B, M, T) before the input batch norm -> (B, T // hop_frames, D)."""
        batch, _, frames = log_mel.shape
        if frames < self.config.hop_frames:
            return log_mel.new_zeros(batch, 0, self.config.segment_dim)
        return self.step(log_mel, self.start_state(batch), self.right_edge())[0]

    def maps(self, log_mel: Tensor) -> list[Tensor]:
        """What each block gives, (B, C, F, T'), the last of which `segments` averages over frequency. For training: the
        convolutions pad by themselves, nothing is dropped out, and channels come last in memory, which in bfloat16
        takes a quarter less time."""
        x = self.bn0(log_mel[..., None])[..., 0][:, None].contiguous(memory_format=torch.channels_last)
        found = []
        for i in range(1, len(self.config.channels) + 1):
            x = getattr(self, f"conv_block{i}").whole(x)
            found.append(x)
        return found

    def classify(self, segments: Tensor) -> Tensor:
        """segments (B, S, D), S > 0 -> logits (B, classes) of their maximum plus their mean."""
        pooled = segments.amax(dim=1) + segments.mean(dim=1)
        pooled = F.dropout(pooled, 0.5, self.training)
        return self.fc_audioset(F.dropout(torch.relu(self.fc1(pooled)), 0.5, self.training))

    def forward(self, log_mel: Tensor) -> Tensor:
        return self.classify(self.segments(log_mel))

    def start_state(self, batch: int = 1) -> State:
        """The zeros before a clip's first frame: one (B, C, F, p) for each convolution."""
        return tuple(self._zeros(batch, *shape, self.config.pad) for shape in self.config.state_shapes)

    def right_edge(self, *, end: bool = True) -> Tensor:
        """The zeros after a clip's last frame, (1, 1, 1, p); (1, 1, 1, 0) where the clip goes on."""
        return self._zeros(1, 1, 1, self.config.pad if end else 0)

    def step(self, log_mel: Tensor, state: State, right: Tensor) -> tuple[Tensor, State]:
        """One chunk (B, M, T) before the input batch norm -> its segments (B, S, D) and the state after it.

        The modes and the lengths that each allows stand at the top of this file; other lengths drop columns.
        """
        return self.encode(self.bn0(log_mel[..., None])[..., 0], state, right)

    def encode(self, x: Tensor, state: State, right: Tensor) -> tuple[Tensor, State]:
        """`step` after the input batch norm, which a bundle has in its mel tables: see `fold_input_norm`."""
        x = x[:, None]  # (B, 1, M, T)
        carried: State = ()
        for i in range(len(self.config.channels)):
            left = state[len(carried) : len(carried) + self.config.convs_per_block]
            x, after = getattr(self, f"conv_block{i + 1}")(x, left, right)
            x = F.dropout(x, self.config.dropout, self.training)
            carried += after
        return x.mean(dim=2).transpose(1, 2), carried  # (B, S, D)

    def fold_input_norm(self, tables: MelTables) -> MelTables:
        """Mel tables whose frames are ready for `encode`."""
        norm = self.bn0
        arrays = (norm.weight, norm.bias, norm.running_mean, norm.running_var)
        weight, bias, mean, var = (array.detach().cpu().numpy() for array in arrays)
        return with_batch_norm(tables, weight=weight, bias=bias, mean=mean, var=var, eps=norm.eps)

    def _zeros(self, *shape: int) -> Tensor:
        return self.bn0.weight.new_zeros(shape)


class StreamingPanns:
    """Drives a network over a stream of frames. State: left contexts, and frames that fill no chunk yet.

    Chunks have fixed lengths counted from the first frame: the result does not depend on how frames arrive.
    """

    def __init__(self, net: Panns, *, hop_segments: int = 1, batch: int = 1) -> None:
        if net.training:
            raise ValueError("a stream needs the network in evaluation mode: call net.eval()")
        if hop_segments < 1:
            raise ValueError(f"hop_segments is {hop_segments}, expected 1 or more")
        self._net = net
        self._hop_frames = hop_segments * net.config.hop_frames
        self._batch = batch
        self.reset()

    def reset(self) -> None:
        """Forget everything: the next push starts a new recording."""
        self._state = self._net.start_state(self._batch)
        self._frames = self._net.bn0.weight.new_zeros(self._batch, self._net.config.bands, 0)
        self._primed = False

    @torch.no_grad()
    def push(self, log_mel: Tensor) -> Tensor:
        """Take frames (B, M, n), any n; return the segments that they complete, (B, m, D)."""
        self._frames = torch.cat((self._frames, log_mel), dim=2)
        found = [self._net.bn0.weight.new_zeros(self._batch, 0, self._net.config.segment_dim)]
        while self._frames.shape[2] >= self._take():
            chunk, rest = self._frames.split((self._take(), self._frames.shape[2] - self._take()), dim=2)
            # contiguous: kernels round otherwise for other strides, and those depend on how frames arrive
            segments, self._state = self._net.step(chunk.contiguous(), self._state, self._net.right_edge(end=False))
            self._frames, self._primed = rest.contiguous(), True
            found.append(segments)
        return torch.cat(found, dim=1)

    @torch.no_grad()
    def tail(self) -> Tensor:
        """The segments (B, m, D) that `flush` would return now. The stream goes on as if nobody had asked."""
        if not self._primed:
            return self._net.segments(self._frames)
        return self._net.step(self._frames, self._state, self._net.right_edge())[0]

    def flush(self) -> Tensor:
        """Return the last segments (B, m, D) of the recording and reset."""
        segments = self.tail()
        self.reset()
        return segments

    def _take(self) -> int:
        return self._hop_frames if self._primed else self._net.config.prime_frames


def load_cnn14(path: Path) -> Panns:
    """The published CNN14 (AudioSet mAP .431, CC BY 4.0) from the user's own copy, or its folder; in evaluation mode.

    EarmarkError: the file is absent or another. `load_checkpoint` takes one that was saved again.
    """
    return load_checkpoint(path, CNN14, CNN14_FILE)


def load_cnn10(path: Path) -> Panns:
    """The published CNN10 (AudioSet mAP .380), as `load_cnn14`."""
    return load_checkpoint(path, CNN10, CNN10_FILE)


def load_cnn6(path: Path) -> Panns:
    """The published CNN6 (AudioSet mAP .343), as `load_cnn14`."""
    return load_checkpoint(path, CNN6, CNN6_FILE)


def load_checkpoint(path: Path, config: PannsConfig, published: Published | None = None) -> Panns:
    """A checkpoint of the PANNs authors' layout, in evaluation mode.

    It carries its own front end: that is compared with ours, then set aside. EarmarkError: they differ, or the network
    is another one, or the file is not the `published` one.
    """
    checkpoint = read_checkpoint(path, published)
    state = dict(checkpoint.get("model", {}))
    for name, expected in _front_end().items():
        if name not in state:
            raise EarmarkError(f"{path} holds no {name}: it is not a checkpoint of the PANNs authors' layout")
        found = state.pop(name).numpy()
        if found.shape != expected.shape or np.abs(found - expected).max() > 1e-6 * np.abs(expected).max():
            raise EarmarkError(f"{path}: its {name} is not that of 32 kHz and 64 bands, the front end here")
    net = Panns(config)
    load_strict(net, state, path)
    return net.eval()


def save_net(net: Panns, path: Path) -> None:
    """A network that was trained here, with its sizes."""
    torch.save({"panns": dataclasses.asdict(net.config), "state": net.state_dict()}, path)


def load_net(path: Path) -> Panns:
    """What `save_net` wrote, in evaluation mode. EarmarkError: the file is absent or another."""
    if not path.is_file():
        raise EarmarkError(f"{path} is missing: give a network that `save_net` wrote, or a PANNs checkpoint")
    saved = read_checkpoint(path, again="save it again")
    if not isinstance(saved, dict) or saved.keys() != {"panns", "state"}:
        raise EarmarkError(f"{path} holds no network with its sizes: a PANNs checkpoint needs its --network named")
    config = saved["panns"]
    net = Panns(PannsConfig(**{**config, "channels": tuple(config["channels"])}))
    load_strict(net, saved["state"], path)
    return net.eval()


def _front_end() -> dict[str, np.ndarray]:
    """Our mel tables as PANNs checkpoints hold them: Fourier matrix times window, and filterbank."""
    spec, tables = panns_mel()
    turns = np.outer(np.arange(spec.bins), np.arange(spec.fft_samples)) % spec.fft_samples / spec.fft_samples
    fourier = np.exp(-2j * np.pi * turns) * tables.window  # (bins, fft)
    return {
        "spectrogram_extractor.stft.conv_real.weight": fourier.real[:, None],
        "spectrogram_extractor.stft.conv_imag.weight": fourier.imag[:, None],
        "logmel_extractor.melW": tables.filterbank,
    }
