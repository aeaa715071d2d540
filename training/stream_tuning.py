"""Fine-tune mn04's streaming form until it hears what the windowed one hears.

    python -m training features                         # the teacher: windowed mn04
    python -m training stream                           # the student: runs/stream/streaming_mn04.pt, and its segments
    python -m training train --features runs/stream/features --out runs/stream/train

Student and teacher have the same weights to begin with, and both have a segment each 32 frames. A training sequence is
made of several clips, one after another, and what is wanted of each is what the teacher says of that clip alone and
undisturbed: the first clip teaches a cold start, the others that what was heard before does not matter, and the
roughened copies that bandwidth, level and noise do not.
"""

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from training.features import SEGMENT_FRAMES, Features
from training.mels import Mels
from training.mn import MobileNet
from training.sounds import Clip
from training.stream_mn import StreamingMobileNet, StreamingMobileNetConfig, save_streaming_mn

__all__ = ["FILE", "StreamTuningConfig", "fidelity", "tune_stream"]

FILE = "streaming_mn04.pt"


@dataclass(frozen=True)
class StreamTuningConfig:
    """Settings of one run. `sequence` and `clip_segments`: segments of a sequence, and at most of a clip in it."""

    epochs: int = 10
    batch: int = 12
    sequence: int = 24
    clip_segments: int = 16
    learning_rate: float = 1e-3
    weight_decay: float = 1e-4
    tag_weight: float = 1.0
    seed: int = 0

    def __post_init__(self) -> None:
        if not 0 < self.clip_segments <= self.sequence or self.epochs < 1 or self.batch < 1:
            raise ValueError(f"settings out of range: {self}")


def tune_stream(
    clips: Sequence[Clip],
    copies: Sequence[tuple[Features, Mels]],
    windowed: MobileNet,
    architecture: StreamingMobileNetConfig,
    config: StreamTuningConfig,
    out: Path,
    *,
    resume: bool = False,
) -> StreamingMobileNet:
    """Train; `out/streaming_mn04.pt` is the network, `out/last.pt` resumes. `copies[0]` is the clean one."""
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

    torch.manual_seed(config.seed)
    rng = np.random.default_rng(config.seed)
    net = StreamingMobileNet(architecture)
    net.load_windowed(windowed)
    clean = copies[0][0]
    mean, std = map(torch.from_numpy, clean.statistics(i for i, clip in enumerate(clips) if clip.split == "train"))
    steps = max(1, sum(clip.split == "train" for clip in clips) // (config.batch * 2))
    optimiser = torch.optim.AdamW(net.parameters(), lr=config.learning_rate, weight_decay=config.weight_decay)
    total = config.epochs * steps
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, config.learning_rate, total_steps=total, pct_start=0.1)
    out.mkdir(parents=True, exist_ok=True)
    last, first = out / "last.pt", 0
    parts = {"net": net, "optimiser": optimiser, "schedule": schedule}
    if resume and last.exists():
        state = torch.load(last, map_location="cpu", weights_only=True)
        if state["config"] != asdict(config):
            raise ValueError(f"{last} was trained with other settings: give them again, or another --out")
        for name, part in parts.items():
            part.load_state_dict(state[name])
        first, rng.bit_generator.state = state["epoch"] + 1, state["rng"]
        torch.set_rng_state(state["torch_rng"])
    columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("step {task.completed} of {task.total}"))
    with Progress(*columns, TimeRemainingColumn()) as progress:
        task = progress.add_task("fine-tuning", total=total, completed=first * steps)
        for epoch in range(first, config.epochs):
            _training(net)
            running = 0.0
            for step, (x, wanted, owner, tags) in enumerate(_batches(clips, copies, config, rng, steps)):
                found = net.segments(x)  # (B, S, D)
                loss = F.smooth_l1_loss(((found - mean) / std)[owner >= 0], ((wanted - mean) / std)[owner >= 0])
                loss = loss + config.tag_weight * _tag_loss(net, found, owner, tags)
                optimiser.zero_grad(set_to_none=True)
                loss.backward()
                torch.nn.utils.clip_grad_norm_(net.parameters(), 5.0)
                optimiser.step()
                schedule.step()
                running += loss.item()
                progress.update(task, advance=1, description=f"epoch {epoch + 1}, loss {running / (step + 1):.4f}")
            state = {name: part.state_dict() for name, part in parts.items()}
            state |= {"config": asdict(config), "epoch": epoch}
            state |= {"rng": rng.bit_generator.state, "torch_rng": torch.get_rng_state()}
            torch.save(state, last.with_suffix(".part"))
            last.with_suffix(".part").replace(last)
            save_streaming_mn(net, out / FILE)
            told = ", ".join(f"{name} {value:.3f}" for name, value in fidelity(net.eval(), clips, copies[0]).items())
            progress.console.print(f"epoch {epoch + 1}: loss {running / steps:.4f}; validation {told}")
    return net.eval()


@torch.inference_mode()
def fidelity(
    net: StreamingMobileNet, clips: Sequence[Clip], copy: tuple[Features, Mels], *, split: str = "val"
) -> dict[str, float]:
    """How near the student comes on whole windows of a split: `explained`, the share of the segments' variance, and
    `cosine`, that of a window's mean segment about the mean of all."""
    features, mels = copy
    rows = np.flatnonzero(np.isin(features.clip, [i for i, clip in enumerate(clips) if clip.split == split]))
    mean, std = features.statistics(i for i, clip in enumerate(clips) if clip.split == "train")
    off = total = 0.0
    cosines = []
    for row in rows:
        length = int(features.lengths[row])
        frames = torch.from_numpy(mels.window(row).astype(np.float32).T.copy())[None]
        found = (net.segments(frames)[0, :length].numpy() - mean) / std
        wanted = (features.segments[row, :length].astype(np.float32) - mean) / std
        off += float(((found - wanted) ** 2).sum())
        total += float((wanted**2).sum())
        a, b = found.mean(axis=0), wanted.mean(axis=0)
        cosines.append(float(a @ b / max(np.linalg.norm(a) * np.linalg.norm(b), 1e-9)))
    return {"explained": 1 - off / total, "cosine": float(np.mean(cosines))}


def _training(net: nn.Module) -> None:
    """Gradients and dropout, but the batch norms as published: what a device folds is then what was trained."""
    net.train()
    for module in net.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.eval()


def _tag_loss(net: StreamingMobileNet, found: Tensor, owner: Tensor, tags: Tensor) -> Tensor:
    """The teacher's AudioSet tags of each clip, of the mean of its own segments."""
    spread = F.one_hot(owner.clamp(min=0), tags.shape[1]).float() * (owner >= 0)[..., None]  # (B, S, K)
    counts = spread.sum(dim=1)  # (B, K)
    means = torch.einsum("bsk,bsd->bkd", spread, found) / counts.clamp(min=1)[..., None]
    present = counts > 0
    return F.binary_cross_entropy_with_logits(net.classify(means[present][:, None]), tags[present])


def _batches(
    clips: Sequence[Clip],
    copies: Sequence[tuple[Features, Mels]],
    config: StreamTuningConfig,
    rng: np.random.Generator,
    count: int,
) -> Iterator[tuple[Tensor, Tensor, Tensor, Tensor]]:
    """x (B, M, S * 32), segments (B, S, D), owner (B, S) the clip's number in its sequence or -1, tags (B, K, 527)."""
    by_recording: dict[str, list[int]] = {}
    for row, clip in enumerate(clips):
        if clip.split == "train":
            by_recording.setdefault(clip.recording, []).append(row)
    recordings = list(by_recording.values())
    rows_of = copies[0][0].rows_by_clip()
    most = -(-config.sequence // 2) + 1
    for _ in range(count):
        sequences = []
        for _ in range(config.batch):
            parts: list[tuple[np.ndarray, np.ndarray, np.ndarray]] = []
            left = config.sequence
            while left and len(parts) < most:
                clip = rng.choice(recordings[rng.integers(len(recordings))])
                parts.append(_part(copies, int(rng.choice(rows_of[clip])), min(left, config.clip_segments), rng))
                left -= len(parts[-1][1])
            sequences.append(_joined(parts, config.sequence, most))
        x, wanted, owner, tags = (np.stack(each) for each in zip(*sequences, strict=True))
        yield (
            torch.from_numpy(x.transpose(0, 2, 1).copy()),
            torch.from_numpy(wanted),
            torch.from_numpy(owner),
            torch.from_numpy(tags),
        )


def _part(
    copies: Sequence[tuple[Features, Mels]], row: int, longest: int, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """A stretch of one window, heard from a random copy and told from the clean one: frames, segments, tags."""
    clean, mels = copies[0][0], copies[rng.integers(len(copies))][1]
    length = min(int(clean.lengths[row]), longest)
    first = int(rng.integers(int(clean.lengths[row]) - length + 1))
    frames = mels.window(row)[first * SEGMENT_FRAMES : (first + length) * SEGMENT_FRAMES].astype(np.float32)
    frames = np.pad(frames, ((0, length * SEGMENT_FRAMES - len(frames)), (0, 0)), mode="edge")
    segments = clean.segments[row, first : first + length].astype(np.float32)
    return frames, segments, clean.tags[row].astype(np.float32)


def _joined(
    parts: Sequence[tuple[np.ndarray, np.ndarray, np.ndarray]], sequence: int, most: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """One sequence, filled up with its last frame where the clips are short; those segments belong to nobody."""
    frames = np.concatenate([part[0] for part in parts])
    segments = np.concatenate([part[1] for part in parts])
    owner = np.repeat(np.arange(len(parts)), [len(part[1]) for part in parts])
    tags = np.zeros((most, parts[0][2].shape[0]), np.float32)
    tags[: len(parts)] = [part[2] for part in parts]
    rest = sequence - len(segments)
    return (
        np.pad(frames, ((0, rest * SEGMENT_FRAMES), (0, 0)), mode="edge"),
        np.pad(segments, ((0, rest), (0, 0))),
        np.pad(owner, (0, rest), constant_values=-1),
        tags,
    )
