"""Clips in memory, whole, on the device that learns from them: stretches of them are cut there, faster or slower.

    sounds = Waveforms.read(clips, device)
    heard = sounds.crops(which, starts, speeds, samples=81_920)     # (B, N)

An hour at 32 kHz takes 460 MB.
"""

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from training.sounds import Clip, load_samples

__all__ = ["Waveforms"]


@dataclass(frozen=True)
class Waveforms:
    """`samples (n,)` float32 at `rate_hz`, the clips end to end; clip i is `lengths[i]` samples from `firsts[i]` on."""

    samples: Tensor
    firsts: Tensor
    lengths: Tensor
    rate_hz: int

    @classmethod
    def read(cls, clips: Sequence[Clip], rate_hz: int, device: torch.device) -> "Waveforms":
        """Decode them all. ValueError: there are none, or one is empty."""
        from rich.progress import track

        with ThreadPoolExecutor(os.cpu_count()) as pool:
            jobs = pool.map(lambda clip: load_samples(clip.path, rate_hz), clips)
            found = list(track(jobs, "reading clips", total=len(clips)))
        return cls.of(found, rate_hz, device, names=[str(clip.path) for clip in clips])

    @classmethod
    def of(
        cls, sounds: Sequence[np.ndarray], rate_hz: int, device: torch.device, *, names: Sequence[str] = ()
    ) -> "Waveforms":
        """Of sounds (n,) float32 at `rate_hz`."""
        lengths = torch.tensor([len(each) for each in sounds], dtype=torch.long)
        if not len(lengths) or not lengths.min():
            which = names[int(lengths.argmin())] if len(lengths) and names else "one" if len(lengths) else "all"
            raise ValueError(f"there is no sound in {which}: expected clips of a sample or more; leave it out")
        samples = torch.from_numpy(np.concatenate(sounds))
        return cls(samples.to(device), (lengths.cumsum(0) - lengths).to(device), lengths.to(device), rate_hz)

    def whole(self, clip: int) -> Tensor:
        """One clip, (n,)."""
        first = int(self.firsts[clip])
        return self.samples[first : first + int(self.lengths[clip])]

    def crops(self, clips: Tensor, starts: Tensor, speeds: Tensor, *, samples: int) -> Tensor:
        """A stretch of each of `clips` (B,), `speeds` (B,) times as fast, so that pitch goes along -> (B, samples).

        `starts` (B,) in [0, 1) choose among the places where a stretch fits; a clip that is too short begins again.
        Between samples lies a cubic (Catmull and Rom 1974), which at speed 1 from a whole sample changes nothing."""
        lengths = self.lengths[clips].double()
        first = ((lengths - samples * speeds).clamp(min=0) * starts).floor()
        # a place in a long clip takes more digits than float32 has
        at = first[:, None] + torch.arange(samples, device=clips.device, dtype=torch.double) * speeds[:, None]
        whole = at.floor()
        x = (at - whole).float()
        weights = (
            ((2 - x) * x - 1) * x / 2,
            ((3 * x - 5) * x * x + 2) / 2,
            ((4 - 3 * x) * x + 1) * x / 2,
            (x - 1) * x * x / 2,
        )
        # a clip has fewer samples than int32 has numbers, and a GPU divides those in a third of the time
        place, length, before = whole.int(), self.lengths[clips].int()[:, None], self.firsts[clips][:, None]
        found = torch.zeros_like(x)
        for tap, weight in zip((-1, 0, 1, 2), weights, strict=True):
            found += weight * self.samples[(place + tap) % length + before]
        return found
