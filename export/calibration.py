"""Static int8 for a chain of layers: what real sounds say about the range of every activation.

    layers, steps = int8_steps(layers, clips, int8={"conv1_2", …})

1. Equalise channels (exact), with the strength that serves these clips best, and even out the last layer's.
2. Clip each activation's range where the squared error over the clips is least: a few loud outliers otherwise take the
   steps that everything else needs. Weights likewise, an output channel at a time.
3. Take back the mean shift that rounding brings, in the bias (Nagel et al. 2019, arXiv:1906.04721, section 4.2).
"""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from export.network import LEVELS, Layer, Steps, equalised, evened, run

__all__ = ["Range", "Ranges", "all_steps", "count", "int8_steps", "measure", "snr_db", "steps_of", "with_alpha"]

BINS = 2048
CLIPS_TRIED = 64
"""Candidate clippings, from a quarter of the largest value to all of it."""
CHOICE_CLIPS = 3
"""Equalisation is chosen by so many; each costs as many forward passes as there are strengths."""
UNSCALED = np.ones(1)
WEIGHT_CLIPS = (0.8, 0.85, 0.9, 0.95, 1.0)
WEIGHT_LEVELS = 127
ALPHAS = (None, 0.25, 0.5, 0.75)
"""Strengths of equalisation that are tried; None: as it is."""


@dataclass
class Range:
    """One activation over all clips: the largest value and the mean of each channel, and, once counted, the histogram
    of what is above 0."""

    peak: np.ndarray
    mean: np.ndarray
    counts: np.ndarray

    def scaled(self, scale: np.ndarray) -> "Range":
        """The same with its channels divided by `scale (C,)`, to be counted anew."""
        return Range(self.peak / scale, self.mean / scale, np.zeros(BINS))

    def step(self) -> float:
        """The uint8 step whose rounding and clipping have the least squared error."""
        top = float(self.peak.max())
        if top <= 0:
            return 1.0 / LEVELS
        values = (np.arange(BINS) + 0.5) * (top / BINS)
        errors = []
        candidates = np.linspace(0.25, 1.0, CLIPS_TRIED) * top / LEVELS
        for step in candidates:
            rounded = np.minimum(np.rint(values / step), LEVELS) * step
            errors.append(float((self.counts * (values - rounded) ** 2).sum()))
        return float(candidates[int(np.argmin(errors))])


Ranges = dict[tuple[str, str], Range]
"""By layer and "input" or "output"."""


def measure(layers: Sequence[Layer], clips: Sequence[np.ndarray]) -> Ranges:
    """Peaks and means over clips of log_mel (1, M, T). `count` adds the histograms."""
    found: Ranges = {}
    columns: dict[tuple[str, str], int] = {}

    def watch(name: str, where: str, x: np.ndarray) -> None:
        key, peak, total = (name, where), x.max(axis=(0, 2, 3)), x.sum(axis=(0, 2, 3), dtype=np.float64)
        before, seen = found.get(key, Range(peak, np.zeros(len(peak)), np.zeros(BINS))), columns.get(key, 0)
        columns[key] = seen + x.shape[2] * x.shape[3]
        mean = (before.mean * seen + total) / columns[key]
        found[key] = Range(np.maximum(before.peak, peak), mean, before.counts)

    for clip in clips:
        run(layers, clip, watch=watch)
    return found


def count(layers: Sequence[Layer], clips: Sequence[np.ndarray], ranges: Ranges) -> None:
    """Fill the histograms of `ranges`."""

    def watch(name: str, where: str, x: np.ndarray) -> None:
        known = ranges[name, where]
        if (top := float(known.peak.max())) > 0:
            bins = np.minimum((x[x > 0] * (BINS / top)).astype(np.int32), BINS - 1)  # np.histogram is five times slower
            known.counts += np.bincount(bins, minlength=BINS)

    for clip in clips:
        run(layers, clip, watch=watch)


def int8_steps(
    layers: Sequence[Layer], clips: Sequence[np.ndarray], *, int8: Collection[str]
) -> tuple[list[Layer], dict[str, Steps]]:
    """Equalised layers, and the steps of those named in `int8`."""
    ranges = measure(layers, clips)
    few = clips[:CHOICE_CLIPS]
    exact = np.concatenate([run(layers, clip) for clip in few])

    def quality(alpha: float | None) -> float:
        """Of the few clips' segments, in dB: which alpha serves depends on how unlike a network's channels are."""
        scaled, steps = with_alpha(layers, few, ranges, int8=int8, alpha=alpha)
        return snr_db(exact, np.concatenate([run(scaled, clip, steps=steps) for clip in few]))

    return with_alpha(layers, clips, ranges, int8=int8, alpha=max(ALPHAS, key=quality))


def with_alpha(
    layers: Sequence[Layer], clips: Sequence[np.ndarray], ranges: Ranges, *, int8: Collection[str], alpha: float | None
) -> tuple[list[Layer], dict[str, Steps]]:
    """`layers` scaled, and their steps; `ranges` are those of the layers as they are."""
    scales: dict[str, np.ndarray] = {}
    if alpha is not None:
        peaks = {layer.name: ranges[layer.name, "input"].peak for layer in layers}
        layers, scales = equalised(layers, peaks, alpha=alpha)
    after = {before.name: scales.get(layer.name, UNSCALED) for before, layer in pairwise(layers)}
    scaled = {("input", name): scale for name, scale in scales.items()}
    scaled |= {("output", name): scale for name, scale in after.items()}
    last = layers[-1]
    if last.name in int8 and last.gain is None:
        layers = evened(layers, ranges[last.name, "output"].peak)
        scaled["output", last.name] = layers[-1].gain
    ranges = {key: each.scaled(scaled.get(key[::-1], UNSCALED)) for key, each in ranges.items()}
    count(layers, clips, ranges)
    return list(layers), all_steps(layers, ranges, int8=int8)


def steps_of(layer: Layer, entering: Range, leaving: Range) -> Steps:
    """One layer in int8."""
    input_step, output_step = entering.step(), leaving.step()
    weight, weight_steps = _rounded_weight(layer.weight)
    steps = Steps(weight, weight_steps, layer.bias, input_step, output_step)
    shift = (layer.weight - steps.rounded_weight()).sum(axis=(2, 3)) @ entering.mean  # (O,)
    return Steps(weight, weight_steps, (layer.bias + shift).astype(np.float32), input_step, output_step)


def snr_db(exact: np.ndarray, found: np.ndarray) -> float:
    """Signal to noise of segments (N, D), about the mean of each of the D numbers: a constant says nothing."""
    signal = ((exact - exact.mean(axis=0)) ** 2).mean()
    return float(10 * np.log10(signal / max(float(((exact - found) ** 2).mean()), 1e-20)))


def all_steps(layers: Iterable[Layer], ranges: Ranges, *, int8: Collection[str]) -> dict[str, Steps]:
    return {
        layer.name: steps_of(layer, ranges[layer.name, "input"], ranges[layer.name, "output"])
        for layer in layers
        if layer.name in int8
    }


def _rounded_weight(weight: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(O, C, F, T) -> int8 of the same shape and the scale of each output channel, clipped where that errs least."""
    flat = weight.reshape(len(weight), -1)
    top = np.maximum(np.abs(flat).max(axis=1), 1e-12)
    best, best_error = top / WEIGHT_LEVELS, np.full(len(flat), np.inf)
    for clip in WEIGHT_CLIPS:
        step = clip * top / WEIGHT_LEVELS
        rounded = np.clip(np.rint(flat / step[:, None]), -WEIGHT_LEVELS, WEIGHT_LEVELS) * step[:, None]
        error = ((flat - rounded) ** 2).sum(axis=1)
        best = np.where(error < best_error, step, best)
        best_error = np.minimum(error, best_error)
    best = best.astype(np.float32)
    rounded = np.clip(np.rint(flat / best[:, None]), -WEIGHT_LEVELS, WEIGHT_LEVELS)
    return rounded.astype(np.int8).reshape(weight.shape), best
