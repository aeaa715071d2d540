"""Fine-tune mn04's streaming form until it hears what the windowed one hears.

    python -m training features                         # the teacher: windowed mn04
    python -m training stream                           # the student: runs/stream/streaming_mn04.pt, and its segments
    python -m training train --features runs/stream/features --out runs/stream/train

Student and teacher have the same weights to begin with, and both have a segment each 32 frames. A training sequence is
made of several clips, one after another, and what is wanted of each is what the teacher says of that clip alone and
undisturbed: the first clip teaches a cold start, the others that what was heard before does not matter, and the
roughened copies that bandwidth, level and noise do not. Some parts are two clips at once: the teacher is asked then and
there what it makes of both, which the few recordings alone would not show.
"""

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from training.features import MIN_FRAMES, SEGMENT_FRAMES, Features, padded_to
from training.mels import FrontEnd, Mels, mixed
from training.mn import MobileNet
from training.own_checkpoint import read_own
from training.sounds import Clip
from training.stream_mn import StreamingMobileNet, StreamingMobileNetConfig, save_streaming_mn

__all__ = ["FILE", "StreamTuningConfig", "fidelity", "tune_stream"]

FILE = "streaming_mn04.pt"

Copy = tuple[Features, Mels]
"""What the teacher said of every window, and the frames that the student hears of it."""
Part = tuple[np.ndarray, np.ndarray, np.ndarray]
"""Of a sequence: frames (S * 32, M), the segments wanted (S, D), the teacher's tags (527,)."""


@dataclass(frozen=True)
class Teacher:
    """The windowed network, in evaluation mode, and what makes its frames."""

    net: MobileNet
    front_end: FrontEnd


@dataclass(frozen=True)
class StreamTuningConfig:
    """Settings of one run. `sequence` and `clip_segments`: segments of a sequence, and at most of a clip in it.
    `mixture_share` of the parts are two clips, one up to `mixture_snr_db` louder than the other."""

    epochs: int = 10
    batch: int = 12
    sequence: int = 24
    clip_segments: int = 16
    learning_rate: float = 1e-3
    weight_decay: float = 1e-4
    tag_weight: float = 1.0
    mixture_share: float = 0.3
    mixture_snr_db: float = 12.0
    seed: int = 0

    def __post_init__(self) -> None:
        if not 0 < self.clip_segments <= self.sequence or self.epochs < 1 or self.batch < 1:
            raise ValueError(f"settings out of range: {self}")
        if not 0 <= self.mixture_share <= 1 or self.mixture_snr_db < 0:
            raise ValueError(f"mixtures out of range: {self}")


def tune_stream(
    clips: Sequence[Clip],
    copies: Sequence[Copy],
    windowed: MobileNet,
    architecture: StreamingMobileNetConfig,
    front_end: FrontEnd,
    config: StreamTuningConfig,
    out: Path,
    *,
    resume: bool = False,
) -> StreamingMobileNet:
    """Train; `out/streaming_mn04.pt` is the network, `out/last.pt` resumes. `copies[0]` is the clean one;
    `front_end` made the frames of all."""
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
        kept = (*parts, "config", "epoch", "rng", "torch_rng")
        state = read_own(last, kept, by="training stream")
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
            batches = _batches(clips, copies, Teacher(windowed, front_end), config, rng, steps)
            for step, (x, wanted, owner, tags) in enumerate(batches):
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
def fidelity(net: StreamingMobileNet, clips: Sequence[Clip], copy: Copy, *, split: str = "val") -> dict[str, float]:
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
    copies: Sequence[Copy],
    teacher: Teacher,
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

    def some_window() -> int:
        return int(rng.choice(rows_of[rng.choice(recordings[rng.integers(len(recordings))])]))

    for _ in range(count):
        sequences = []
        for _ in range(config.batch):
            parts: list[Part] = []
            left = config.sequence
            while left and len(parts) < most:
                if rng.random() < config.mixture_share:
                    snr_db = rng.uniform(-config.mixture_snr_db, config.mixture_snr_db)
                    part = _two_at_once(copies, teacher, (some_window(), some_window()), snr_db, rng)
                else:
                    part = _alone(copies, some_window(), rng)
                parts.append(_stretch(part, min(left, config.clip_segments), rng))
                left -= len(parts[-1][1])
            sequences.append(_joined(parts, config.sequence, most))
        x, wanted, owner, tags = (np.stack(each) for each in zip(*sequences, strict=True))
        yield (
            torch.from_numpy(x.transpose(0, 2, 1).copy()),
            torch.from_numpy(wanted),
            torch.from_numpy(owner),
            torch.from_numpy(tags),
        )


def _alone(copies: Sequence[Copy], row: int, rng: np.random.Generator) -> Part:
    """One window, heard from a random copy and told from the clean one."""
    clean, length = copies[0][0], int(copies[0][0].lengths[row])
    frames = copies[rng.integers(len(copies))][1].window(row).astype(np.float32)
    return frames, clean.segments[row, :length].astype(np.float32), clean.tags[row].astype(np.float32)


@torch.no_grad()
def _two_at_once(
    copies: Sequence[Copy], teacher: Teacher, rows: tuple[int, int], snr_db: float, rng: np.random.Generator
) -> Part:
    """Two windows at once, as long as the first, heard from a random copy; told by the teacher from the clean ones."""
    clean, heard = (
        mixed(*(mels.window(row) for row in rows), teacher.front_end, snr_db=snr_db)
        for mels in (copies[0][1], copies[rng.integers(len(copies))][1])
    )
    spec, tables = teacher.front_end
    told = padded_to(MIN_FRAMES, clean, tables.silence(spec))  # as a device of its own would pad them
    x = torch.from_numpy(told.T.copy())[None]
    segments = teacher.net.segments(x)[:, : int(copies[0][0].lengths[rows[0]])]
    return heard, segments[0].numpy(), teacher.net.classify(segments)[0].sigmoid().numpy()


def _stretch(part: Part, longest: int, rng: np.random.Generator) -> Part:
    """A random stretch of a part, `longest` segments at most."""
    frames, segments, tags = part
    length = min(len(segments), longest)
    first = int(rng.integers(len(segments) - length + 1))
    frames = frames[first * SEGMENT_FRAMES : (first + length) * SEGMENT_FRAMES]
    frames = np.pad(frames, ((0, length * SEGMENT_FRAMES - len(frames)), (0, 0)), mode="edge")
    return frames, segments[first : first + length], tags


def _joined(parts: Sequence[Part], sequence: int, most: int) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
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
