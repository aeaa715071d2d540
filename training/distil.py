"""A slim CNN14 taught by mn04: the paper's architecture without the published checkpoint.

    python -m training distil --out runs/slim                   # the encoder
    python -m training features --student runs/slim             # -> runs/slim/features
    python -m training train --features runs/slim/features --out runs/slim/train

The student hears what is made of the clips (training/distil_batches.py) through its own front end (64 mels, PANNs) and
learns, segment by segment and on the mean of a crop, a linear map onto the teacher's standardised segments; from the
middle of the network, linear maps onto the teacher's own feature maps (Romero et al. 2015, arXiv:1412.6550); the
teacher's AudioSet tags; and the clips' labels. Both networks have one segment per 32 frames, so the targets line up.
Ten minutes on an H100 are about a day on two CPU cores.
"""

import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from training.distil_batches import Batch, Crops, Lessons, batches, labels_of, map_shapes
from training.features import SEGMENT_FRAMES, WINDOW_SEGMENTS, windows_of
from training.own_checkpoint import read_own
from training.panns import Panns, PannsConfig
from training.published import load_strict
from training.sounds import Clip
from training.waveforms import Waveforms

__all__ = ["DistilConfig", "Exam", "distil", "exams_of", "load_student"]

FILE = "student.pt"
MAP_BLOCKS = (2, 3, 4)
"""The student's blocks that end where the teacher's MAP_LAYERS do: at a column each 8, 16 and 32 frames."""
STANDARD_BATCHES = 8
"""Batches from which the statistics of what is heard and of what is wanted are taken."""


@dataclass(frozen=True)
class DistilConfig(Crops):
    """Settings of one run, its crops' among them.

    `channels` of CNN14's six blocks: the early ones cost time, the late ones hold weights. The run ends after `epochs`
    of `steps`, or after `limit_s` seconds of training (0: as long as it takes), whatever comes first. The learning rate
    rises for `warm_steps`, stays, and falls to 0 over the last `cooling` of the run. `device` is cpu, cuda, or auto."""

    channels: str = "16,32,96,192,384,512"
    epochs: int = 60
    steps: int = 100
    limit_s: float = 0.0
    learning_rate: float = 3e-3
    weight_decay: float = 0.02
    warm_steps: int = 200
    cooling: float = 0.4
    mean_weight: float = 1.0
    map_weight: float = 0.5
    tag_weight: float = 10.0
    label_weight: float = 0.3
    seed: int = 0
    device: str = "auto"

    def __post_init__(self) -> None:
        if self.crop_frames % SEGMENT_FRAMES or not 0 < self.crop_frames <= WINDOW_SEGMENTS * SEGMENT_FRAMES:
            raise ValueError(
                f"crop_frames is {self.crop_frames}, expected a multiple of {SEGMENT_FRAMES} within a window"
            )
        if self.fastest < 1 or self.limit_s < 0 or min(self.epochs, self.steps, self.batch) < 1:
            raise ValueError(f"settings out of range: {self}")

    def network(self) -> PannsConfig:
        try:
            channels = tuple(int(each) for each in self.channels.split(","))
        except ValueError:
            raise ValueError(f"channels is {self.channels!r}, expected whole numbers with commas between") from None
        found = PannsConfig(channels, pool_last=False)
        if found.hop_frames != SEGMENT_FRAMES:
            raise ValueError(f"channels names {len(channels)} blocks, expected CNN14's six: {self.channels}")
        return found

    def done(self, step: int, seconds: float) -> float:
        """The share of the run that lies behind, 1 or more at its end."""
        return max(step / (self.epochs * self.steps), seconds / self.limit_s if self.limit_s else 0.0)

    def rate_at(self, step: int, done: float) -> float:
        """The learning rate's share of its highest."""
        return max(0.0, min(1.0, (step + 1) / self.warm_steps, (1 - done) / max(self.cooling, 1e-9)))

    def same_lessons(self, other: dict[str, Any]) -> bool:
        """Whether a run with these settings can go on with those: until the rate falls, nothing depends on the end."""
        ends = {"epochs": 0, "limit_s": 0.0, "cooling": 0.0, "device": ""}
        return {**asdict(self), **ends} == {**other, **ends}


class Likeness(nn.Module):
    """A linear map of a student's feature map onto a teacher's, channels and then bands, and how far it is off."""

    def __init__(self, student: tuple[int, int], teacher: tuple[int, int]) -> None:
        """Both as (channels, bands)."""
        super().__init__()
        self.channels = nn.Conv2d(student[0], teacher[0], 1)
        self.bands = nn.Parameter(torch.zeros(teacher[1], student[1]))
        with torch.no_grad():  # each of the teacher's bands begins as the student's at the same height
            self.bands[torch.arange(teacher[1]), torch.arange(teacher[1]) * student[1] // teacher[1]] = 1
        self.standardised = nn.BatchNorm2d(teacher[0], affine=False)

    def forward(self, found: Tensor, wanted: Tensor) -> Tensor:
        """found (B, C, F, T), wanted (B, C', F', T) -> the loss."""
        mapped = torch.einsum("bcft,gf->bcgt", self.channels(found), self.bands)
        return F.smooth_l1_loss(mapped, self.standardised(wanted))


class Student(nn.Module):
    """The slim network, and what only training needs: the maps onto the teacher's segments and feature maps, and onto
    the labels; and the statistics `mean`, `std` (D,) of the teacher's segments."""

    mean: Tensor
    std: Tensor

    def __init__(self, config: PannsConfig, lessons: Lessons) -> None:
        super().__init__()
        self.net = Panns(config)
        wanted = lessons.teacher.config.segment_dim
        self.adapter = nn.Linear(config.segment_dim, wanted)
        self.labels = nn.Linear(config.segment_dim, len(labels_of(lessons.clips)))
        shapes = [(config.channels[block], config.bands >> (block + 1)) for block in MAP_BLOCKS]
        self.likenesses = nn.ModuleList(map(Likeness, shapes, map_shapes(lessons)))
        self.register_buffer("mean", torch.zeros(wanted))
        self.register_buffer("std", torch.ones(wanted))

    def standardise(self, heard: Sequence[Batch]) -> None:
        """Take the statistics of a few batches; the input batch norm starts from them: it settles slowly otherwise."""
        segments = torch.cat([batch.segments.flatten(0, 1) for batch in heard])  # (B * S, D)
        self.mean.copy_(segments.mean(dim=0))
        self.std.copy_(segments.std(dim=0) + 1e-3)
        frames = torch.cat([batch.x.transpose(1, 2).flatten(0, 1) for batch in heard])  # (B * T, M)
        self.net.bn0.running_mean.copy_(frames.mean(dim=0))
        self.net.bn0.running_var.copy_(frames.var(dim=0))

    def segments(self, frames: Tensor) -> tuple[Tensor, list[Tensor]]:
        """frames (B, M, T) -> segments (B, S, D), and each block's maps; in bfloat16 where that is exact enough."""
        with torch.autocast(frames.device.type, dtype=torch.bfloat16):
            maps = self.net.maps(frames)
        return maps[-1].float().mean(dim=2).transpose(1, 2), maps  # (B, S, D)

    def losses(self, batch: Batch) -> dict[str, Tensor]:
        found, maps = self.segments(batch.x)
        wanted, mapped = (batch.segments - self.mean) / self.std, self.adapter(found)
        pairs = zip(self.likenesses, [maps[block].float() for block in MAP_BLOCKS], batch.maps, strict=True)
        return {
            "segments": F.smooth_l1_loss(mapped, wanted),
            "means": F.smooth_l1_loss(mapped.mean(dim=1), wanted.mean(dim=1)),
            "maps": torch.stack([likeness(ours, theirs) for likeness, ours, theirs in pairs]).sum(),
            "tags": F.binary_cross_entropy_with_logits(self.net.classify(found), batch.tags),
            "labels": F.cross_entropy(self.labels(found.mean(dim=1)), batch.labels),
        }


@dataclass(frozen=True)
class Exam:
    """A window of a clip that is not learnt from: frames (M, T), the teacher's segments (S, D), the label's number."""

    frames: Tensor
    wanted: Tensor
    label: int


def distil(lessons: Lessons, exams: Sequence[Exam], config: DistilConfig, out: Path, *, resume: bool = False) -> Panns:
    """Train the student on the device where the lessons lie. After every epoch `out/student.pt` is what was learnt and
    `out/last.pt` what goes on from there, also for more epochs or for fewer."""
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

    device = lessons.sounds.samples.device
    torch.manual_seed(config.seed)
    generator = torch.Generator(device)
    generator.manual_seed(config.seed)
    student = Student(config.network(), lessons).to(device)
    optimiser = _optimiser(student, config)
    last, step, before_s = out / "last.pt", 0, 0.0
    out.mkdir(parents=True, exist_ok=True)
    if resume and last.exists():
        kept = ("student", "optimiser", "config", "step", "seconds", "random")
        state = read_own(last, kept, by="training distil")
        if not config.same_lessons(state["config"]):
            raise ValueError(f"{last} was trained with other settings: give them again, or another --out")
        student.load_state_dict(state["student"])
        optimiser.load_state_dict(state["optimiser"])
        step, before_s = state["step"], state["seconds"]
        _set_random_state(generator, state["random"])
    else:
        student.standardise(list(batches(lessons, config, generator, count=STANDARD_BATCHES)))
    weights = {"segments": 1.0, "means": config.mean_weight, "maps": config.map_weight}
    weights |= {"tags": config.tag_weight, "labels": config.label_weight}
    columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("step {task.fields[step]}"))
    began_s = time.monotonic() - before_s
    with Progress(*columns, TimeRemainingColumn()) as progress:
        task = progress.add_task("distilling", total=1.0, step=step)
        done = config.done(step, before_s)
        while done < 1:  # as the last step found it: what ends between two steps would not be saved as ended
            student.train()
            running = {name: torch.zeros((), device=device) for name in weights}
            first = step
            for batch in batches(lessons, config, generator, count=config.steps):
                for group in optimiser.param_groups:
                    group["lr"] = config.learning_rate * config.rate_at(step, done)
                losses = student.losses(batch)
                loss = torch.stack([weights[name] * value for name, value in losses.items()]).sum()
                optimiser.zero_grad(set_to_none=True)
                loss.backward()
                torch.nn.utils.clip_grad_norm_(student.parameters(), 5.0)
                optimiser.step()
                running = {name: running[name] + value.detach() for name, value in losses.items()}
                step += 1
                progress.update(task, completed=done, step=step)
                if (done := config.done(step, time.monotonic() - began_s)) >= 1:
                    break
            told = {name: value.item() / (step - first) for name, value in running.items()} | passed(student, exams)
            seconds = time.monotonic() - began_s
            print(f"step {step}, {seconds:.0f} s:", ", ".join(f"{k} {v:.3f}" for k, v in told.items()), flush=True)
            _save({"network": asdict(config.network()), "net": student.net.state_dict()}, out / FILE)
            state = {"student": student.state_dict(), "optimiser": optimiser.state_dict(), "config": asdict(config)}
            _save(state | {"step": step, "seconds": seconds, "random": _random_state(generator)}, last)
    return student.net.eval()


def exams_of(clips: Sequence[Clip], sounds: Waveforms, lessons: Lessons, *, limit: int = 200) -> list[Exam]:
    """The first window of `limit` of the clips (all of them lie in `sounds`), spread evenly."""
    names = labels_of(lessons.clips)
    found = []
    for row in range(0, len(clips), -(-len(clips) // limit)):
        windows = []
        for ear in (lessons.student_ear, lessons.teacher_ear):
            with torch.no_grad():
                frames = ear(sounds.whole(row)[None])[0].T.cpu().numpy()  # (T, M)
            silence = torch.zeros(1, ear.spec.fft_samples, device=sounds.samples.device)
            windows.append(windows_of(frames, ear(silence)[0, :, 0].cpu().numpy())[0])
        heard, told = (torch.from_numpy(each).T.contiguous().to(sounds.samples.device) for each, _ in windows)
        with torch.no_grad():
            wanted = lessons.teacher.segments(told[None])[0, : windows[0][1]]  # (S, D)
        label = clips[row].label
        found.append(Exam(heard, wanted, names.index(label) if label in names else -1))
    return found


@torch.inference_mode()
def passed(student: Student, exams: Sequence[Exam]) -> dict[str, float]:
    """`explained`: the share of the variance of the teacher's segments, about the mean of all that is learnt from;
    `label`: how often the linear classifier is right where it can be."""
    student.eval()
    off = total = right = asked = 0.0
    for exam in exams:
        found = student.segments(exam.frames[None])[0][0]  # (S, D)
        wanted = ((exam.wanted - student.mean) / student.std)[: len(found)]
        off += float((student.adapter(found)[: len(wanted)] - wanted).square().sum())
        total += float(wanted.square().sum())
        if exam.label >= 0:
            asked += 1
            right += int(student.labels(found[: len(wanted)].mean(dim=0)).argmax()) == exam.label
    return {"explained": 1 - off / max(total, 1e-9), "label": right / max(asked, 1)}


def load_student(folder: Path) -> Panns:
    """The distilled network of a folder that `distil` wrote, in evaluation mode."""
    path = folder / FILE
    if not path.is_file():
        raise FileNotFoundError(f"{folder} has no {FILE}: run `python -m training distil` first")
    state = read_own(path, ("network", "net"), by="training distil")
    net = Panns(PannsConfig(**state["network"]))
    load_strict(net, state["net"], path)
    return net.eval()


def _optimiser(student: Student, config: DistilConfig) -> torch.optim.Optimizer:
    """AdamW; norms and biases do not decay."""
    decaying = [each for each in student.parameters() if each.ndim > 1]
    others = [each for each in student.parameters() if each.ndim <= 1]
    groups = [{"params": decaying, "weight_decay": config.weight_decay}, {"params": others, "weight_decay": 0.0}]
    return torch.optim.AdamW(groups, lr=config.learning_rate, betas=(0.9, 0.98))


def _random_state(generator: torch.Generator) -> dict[str, Tensor]:
    """Of what draws lessons, and of PyTorch's own, which drops out."""
    found = {"lessons": generator.get_state(), "cpu": torch.get_rng_state()}
    return found | ({"cuda": torch.cuda.get_rng_state()} if generator.device.type == "cuda" else {})


def _set_random_state(generator: torch.Generator, state: dict[str, Tensor]) -> None:
    generator.set_state(state["lessons"])
    torch.set_rng_state(state["cpu"])
    if generator.device.type == "cuda" and "cuda" in state:
        torch.cuda.set_rng_state(state["cuda"])


def _save(state: dict[str, Any], path: Path) -> None:
    torch.save(state, path.with_suffix(".part"))
    path.with_suffix(".part").replace(path)
