"""What a student network is taught from: sounds made of clips, and what the teacher says of them.

    for batch in batches(lessons, crops, generator, count=100): …

Up to three clips sound at once, each faster or slower than it was; the teacher hears just that, the student hears it
through rooms, recorders and noise. Nothing is heard twice: with few recordings a network soon knows them by heart, but
not all that can be made of them. Everything is made where the clips lie, on the CPU or on the GPU.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from training.features import SEGMENT_FRAMES
from training.frontend import LogMel
from training.mels import FrontEnd
from training.mn import MobileNet
from training.roughening import Roughness, power_of, roughened, uniform, wiped
from training.sounds import Clip
from training.waveforms import Waveforms

__all__ = ["MAP_LAYERS", "Batch", "Crops", "Lessons", "asked", "batches", "labels_of", "map_shapes"]

MAP_LAYERS = (6, 12, 15)
"""The last layers of mn04 that have a column each 8, 16 and 32 frames."""
VOICES = 3
"""Clips at once, at most."""


@dataclass(frozen=True)
class Crops(Roughness):
    """`mixture_share` of the crops have a second clip, up to `mixture_snr_db` louder or less loud than the first, and
    as many of those a third; `speed_share` of the clips are up to `fastest` times as fast, or as slow."""

    batch: int = 24
    crop_frames: int = 256
    mixture_share: float = 0.5
    mixture_snr_db: float = 12.0
    speed_share: float = 0.5
    fastest: float = 1.5


@dataclass(frozen=True)
class Lessons:
    """The training clips, their sounds, and both networks' ears; the teacher is the windowed network in evaluation
    mode. All of it lies on one device."""

    clips: Sequence[Clip]
    sounds: Waveforms
    teacher: MobileNet
    teacher_ear: LogMel
    student_ear: LogMel

    @classmethod
    def on(
        cls,
        device: torch.device,
        clips: Sequence[Clip],
        sounds: Waveforms,
        teacher: MobileNet,
        front_ends: tuple[FrontEnd, FrontEnd],
    ) -> "Lessons":
        """`front_ends`: the teacher's, the student's."""
        theirs, ours = (LogMel(*each).to(device) for each in front_ends)
        return cls(clips, sounds, teacher.to(device, memory_format=torch.channels_last), theirs, ours)


@dataclass(frozen=True)
class Batch:
    """`x (B, M, T)`, the teacher's `segments (B, S, D)`, its `tags (B, 527)` as probabilities and its feature maps
    `maps` (B, C, F, T / 8, 16 and 32), and `labels (B, L)` whose rows add up to 1."""

    x: Tensor
    segments: Tensor
    tags: Tensor
    maps: tuple[Tensor, ...]
    labels: Tensor


def labels_of(clips: Sequence[Clip]) -> list[str]:
    """Their labels, in the order of `Batch.labels`."""
    return sorted({clip.label for clip in clips})


def map_shapes(lessons: Lessons) -> list[tuple[int, int]]:
    """(C, F) of `Batch.maps`."""
    frames = torch.zeros(1, lessons.teacher_ear.spec.bands, SEGMENT_FRAMES, device=lessons.sounds.samples.device)
    return [(found.shape[1], found.shape[2]) for found in asked(lessons.teacher, frames)[2]]


def batches(lessons: Lessons, crops: Crops, generator: torch.Generator, *, count: int) -> Iterator[Batch]:
    """`count` batches, each recording as likely as the next; `generator` is of the device where the sounds lie."""
    samples = crops.crop_frames * lessons.student_ear.spec.hop_samples
    draw = _Draw.of(lessons.clips, generator)
    for _ in range(count):
        sound, labels = _mixtures(lessons.sounds, draw, crops, samples)
        segments, tags, maps = asked(lessons.teacher, lessons.teacher_ear(sound)[:, :, : crops.crop_frames])
        heard = lessons.student_ear(roughened(sound, crops, generator))[:, :, : crops.crop_frames]
        yield Batch(wiped(heard, crops, generator), segments, tags, maps, labels)


@torch.no_grad()
def asked(net: MobileNet, frames: Tensor) -> tuple[Tensor, Tensor, tuple[Tensor, ...]]:
    """Segments, tags and maps, in bfloat16's precision (two to three digits), at half the time."""
    maps: list[Tensor] = []
    with torch.autocast(frames.device.type, dtype=torch.bfloat16):
        x = frames[:, None].contiguous(memory_format=torch.channels_last)
        for place, layer in enumerate(net.features):
            x = layer(x)
            if place in MAP_LAYERS:
                maps.append(x.float())
        segments = x.mean(dim=2).transpose(1, 2)  # (B, S, D)
        return segments.float(), net.classify(segments).float().sigmoid(), tuple(maps)


@dataclass(frozen=True)
class _Draw:
    """Clips by chance: `table (R, K)` has each recording's clips, `counts (R,)` how many; `labels (C,)` each clip's."""

    table: Tensor
    counts: Tensor
    labels: Tensor
    generator: torch.Generator

    @classmethod
    def of(cls, clips: Sequence[Clip], generator: torch.Generator) -> "_Draw":
        by_recording: dict[str, list[int]] = {}
        for row, clip in enumerate(clips):
            by_recording.setdefault(clip.recording, []).append(row)
        rows = [torch.tensor(each) for each in by_recording.values()]
        number = {name: i for i, name in enumerate(labels_of(clips))}
        labels = torch.tensor([number[clip.label] for clip in clips])
        table = torch.nn.utils.rnn.pad_sequence(rows, batch_first=True)
        counts = torch.tensor([len(each) for each in rows])
        return cls(*(each.to(generator.device) for each in (table, counts, labels)), generator)

    def clips(self, count: int) -> Tensor:
        recording = (self.shares(count) * len(self.counts)).long()
        return self.table[recording, (self.shares(count) * self.counts[recording]).long()]

    def shares(self, count: int) -> Tensor:
        """(count,) in [0, 1)."""
        return torch.rand(count, device=self.generator.device, generator=self.generator)


def _mixtures(sounds: Waveforms, draw: _Draw, crops: Crops, samples: int) -> tuple[Tensor, Tensor]:
    """(B, samples), and the labels of what sounds there by the share of its amplitude (B, L)."""
    device = draw.generator.device
    more = draw.shares(crops.batch * (VOICES - 1)).view(VOICES - 1, -1) < crops.mixture_share
    present = torch.cat((torch.ones(1, crops.batch, dtype=torch.bool, device=device), more.cumprod(dim=0).bool()))
    voice, crop = present.nonzero(as_tuple=True)  # (P,) each, P sounds in all
    clips = draw.clips(len(crop))
    faster = 2 * draw.shares(len(crop)) - 1
    changed = draw.shares(len(crop)) < crops.speed_share
    speeds = torch.exp(math.log(crops.fastest) * faster * changed).double()
    found = sounds.crops(clips, draw.shares(len(crop)), speeds, samples=samples)  # (P, samples)
    snr_db = uniform(len(crop), -crops.mixture_snr_db, crops.mixture_snr_db, draw.generator)[:, 0]
    share = torch.where(voice == 0, 1.0, 10 ** (-snr_db / 20))
    # relative to the first of the crop, which stands in row `crop` as it is
    power = power_of(found)[:, 0]
    gain = share * (power[crop] / power).sqrt()
    mixed = torch.zeros(crops.batch, samples, device=device).index_add_(0, crop, found * gain[:, None])
    weights = share / torch.zeros(crops.batch, device=device).index_add_(0, crop, share)[crop]
    labels = torch.zeros(crops.batch, int(draw.labels.max()) + 1, device=device)
    return mixed, labels.index_put_((crop, draw.labels[clips]), weights, accumulate=True)
