"""A slim CNN14 taught by mn04: the paper's architecture without the published checkpoint.

    python -m training distil --width 0.25 --out runs/slim      # the encoder
    python -m training features --student runs/slim --out runs/slim/features
    python -m training train --features runs/slim/features --out runs/slim/train

The student hears the clips through its own front end (64 mels, PANNs) and learns, segment by segment, a linear map onto
the teacher's standardised segments, and, clip by clip, the teacher's AudioSet tags. Both networks have one segment per
32 frames, so the targets line up.
"""

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from training.features import SEGMENT_FRAMES, WINDOW_SEGMENTS, Features
from training.mels import Mels
from training.panns import Panns, PannsConfig, slim_cnn14
from training.sounds import Clip

__all__ = ["DistilConfig", "distil", "load_student"]


@dataclass(frozen=True)
class DistilConfig:
    """Settings of one run. A crop is what one step hears of a window."""

    width: float = 0.25
    epochs: int = 12
    batch: int = 24
    crop_frames: int = 384
    learning_rate: float = 2e-3
    weight_decay: float = 1e-4
    tag_weight: float = 2.0
    gain_db: float = 10.0
    masked_bands: int = 8
    masked_frames: int = 40
    seed: int = 0

    def __post_init__(self) -> None:
        if self.crop_frames % SEGMENT_FRAMES or not 0 < self.crop_frames <= WINDOW_SEGMENTS * SEGMENT_FRAMES:
            raise ValueError(
                f"crop_frames is {self.crop_frames}, expected a multiple of {SEGMENT_FRAMES} within a window"
            )


class Student(nn.Module):
    """The slim network, and the linear map onto the teacher's segments that only training needs."""

    def __init__(self, config: PannsConfig, teacher_width: int) -> None:
        super().__init__()
        self.net = Panns(config)
        self.adapter = nn.Linear(config.segment_dim, teacher_width)


def distil(
    clips: Sequence[Clip],
    copies: Sequence[tuple[Features, Mels]],
    config: DistilConfig,
    out: Path,
    *,
    resume: bool = False,
) -> Panns:
    """Train the student; `out/student.pt` is written after every epoch and can be resumed."""
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

    torch.manual_seed(config.seed)
    rng = np.random.default_rng(config.seed)
    clean = copies[0][0]
    student = Student(slim_cnn14(config.width), clean.segments.shape[2])
    _standardise_input(student.net, copies[0][1])
    mean, std = map(torch.from_numpy, clean.statistics(i for i, clip in enumerate(clips) if clip.split == "train"))
    batches = max(1, len({clip.recording for clip in clips if clip.split == "train"}) // config.batch)
    optimiser = torch.optim.AdamW(student.parameters(), lr=config.learning_rate, weight_decay=config.weight_decay)
    total = config.epochs * batches
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, config.learning_rate, total_steps=total, pct_start=0.1)
    path, first = out / "student.pt", 0
    out.mkdir(parents=True, exist_ok=True)
    if resume and path.exists():
        state = torch.load(path, map_location="cpu", weights_only=True)
        if state["config"] != asdict(config):
            raise ValueError(f"{path} was trained with other settings: give them again, or another --out")
        for part, name in ((student, "student"), (optimiser, "optimiser"), (schedule, "schedule")):
            part.load_state_dict(state[name])
        first, rng.bit_generator.state = state["epoch"] + 1, state["rng"]
    columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("step {task.completed} of {task.total}"))
    with Progress(*columns, TimeRemainingColumn()) as progress:
        task = progress.add_task("distilling", total=total, completed=first * batches)
        for epoch in range(first, config.epochs):
            student.train()
            running = 0.0
            for step, (x, segments, own, tags) in enumerate(_batches(clips, copies, config, rng, batches)):
                found = student.net.segments(x)  # (B, S, D)
                wanted = (segments - mean) / std
                by_segment = F.smooth_l1_loss(student.adapter(found)[own], wanted[own])
                by_tag = F.binary_cross_entropy_with_logits(student.net.classify(found), tags)
                loss = by_segment + config.tag_weight * by_tag
                optimiser.zero_grad(set_to_none=True)
                loss.backward()
                torch.nn.utils.clip_grad_norm_(student.parameters(), 5.0)
                optimiser.step()
                schedule.step()
                running += loss.item()
                progress.update(task, advance=1, description=f"loss {running / (step + 1):.3f}")
            state = {"student": student.state_dict(), "optimiser": optimiser.state_dict()}
            state |= {"schedule": schedule.state_dict(), "config": asdict(config), "epoch": epoch}
            part = path.with_suffix(".part")
            torch.save(state | {"rng": rng.bit_generator.state, "loss": running / batches}, part)
            part.replace(path)
            print(f"epoch {epoch + 1} of {config.epochs}: loss {running / batches:.4f}", flush=True)
    return student.net.eval()


def load_student(folder: Path) -> Panns:
    """The distilled network of a folder that `distil` wrote, in evaluation mode."""
    path = folder / "student.pt"
    if not path.is_file():
        raise FileNotFoundError(f"{folder} has no student.pt: run `python -m training distil` first")
    state = torch.load(path, map_location="cpu", weights_only=True)
    net = Panns(slim_cnn14(state["config"]["width"]))
    prefix = "net."
    net.load_state_dict({k.removeprefix(prefix): v for k, v in state["student"].items() if k.startswith(prefix)})
    return net.eval()


def _batches(
    clips: Sequence[Clip],
    copies: Sequence[tuple[Features, Mels]],
    config: DistilConfig,
    rng: np.random.Generator,
    count: int,
) -> Iterator[tuple[Tensor, Tensor, Tensor, Tensor]]:
    """x (B, 64, crop), teacher segments (B, S, D), own (B, S) bool where they are not padding, tags (B, 527)."""
    recordings: dict[str, list[int]] = {}
    for row, clip in enumerate(clips):
        if clip.split == "train":
            recordings.setdefault(clip.recording, []).append(row)
    rows_of = copies[0][0].rows_by_clip()
    segments_in_crop = config.crop_frames // SEGMENT_FRAMES
    for chosen in np.array_split(rng.permutation(list(recordings)), count):
        x, wanted, own, tags = [], [], [], []
        for recording in chosen:
            window = rng.choice(rows_of[rng.choice(recordings[recording])])
            features, mels = copies[rng.integers(len(copies))]
            frames, length = mels.window(window).astype(np.float32), int(features.lengths[window])
            first = int(rng.integers(max(1, length - segments_in_crop + 1)))
            part = frames[first * SEGMENT_FRAMES :][: config.crop_frames]
            targets = features.segments[window, first : first + segments_in_crop].astype(np.float32)
            x.append(_masked(np.pad(part, ((0, config.crop_frames - len(part)), (0, 0)), mode="edge"), config, rng))
            wanted.append(np.pad(targets, ((0, segments_in_crop - len(targets)), (0, 0))))
            own.append(np.arange(segments_in_crop) < min(length - first, len(part) // SEGMENT_FRAMES))
            tags.append(features.tags[window].astype(np.float32))
        yield (
            torch.from_numpy(np.stack(x).transpose(0, 2, 1).copy()),
            *(torch.from_numpy(np.stack(each)) for each in (wanted, own, tags)),
        )


def _masked(frames: np.ndarray, config: DistilConfig, rng: np.random.Generator) -> np.ndarray:
    """A random level, and SpecAugment (Park et al. 2019): a band and a stretch of time at the crop's mean."""
    frames = frames + np.float32(rng.uniform(-config.gain_db, config.gain_db))
    mean = frames.mean()
    bands, length = rng.integers(config.masked_bands + 1), rng.integers(config.masked_frames + 1)
    band, start = rng.integers(frames.shape[1] - bands + 1), rng.integers(len(frames) - length + 1)
    frames[:, band : band + bands] = mean
    frames[start : start + length] = mean
    return frames


def _standardise_input(net: Panns, mels: Mels) -> None:
    """Start the input batch norm from the data's own statistics: it settles slowly otherwise."""
    sample = mels.frames[:: max(1, len(mels.frames) // 100_000)].astype(np.float32)
    net.bn0.running_mean.copy_(torch.from_numpy(sample.mean(axis=0)))
    net.bn0.running_var.copy_(torch.from_numpy(sample.var(axis=0)))
