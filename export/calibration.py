"""Static int8 for a chain of layers: what real sounds say about the range of every activation.

    layers, steps = int8_steps(layers, clips, int8={"conv1_2", …})

1. Equalise channels (exact), with the strength that serves these clips best.
2. Clip each activation's range where the squared error over the clips is least: a few loud outliers otherwise take the
   steps that everything else needs. Weights likewise, an output channel at a time.
3. Take back the mean shift that rounding brings, in the bias (Nagel et al. 2019, arXiv:1906.04721, section 4.2).
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from export.network import LEVELS, Layer, Steps, equalised, run

__all__ = ["Ranges", "choose_alpha", "int8_steps", "measure", "snr_db", "steps_of"]

BINS = 2048
CLIPS_TRIED = 64
"""Candidate clippings, from a quarter of the largest value to all of it."""
CHOICE_CLIPS = 8
WEIGHT_CLIPS = np.linspace(0.7, 1.0, 13)
WEIGHT_LEVELS = 127
ALPHAS = (None, 0.25, 0.5, 0.75)
"""None: as it is. Which one serves depends on how unlike the channels of a trained network are."""


@dataclass
class Ranges:
    """One activation over all clips: its histogram above 0 up to the largest value, and the mean of each channel."""

    peak: np.ndarray
    counts: np.ndarray
    total: np.ndarray
    columns: int

    @property
    def mean(self) -> np.ndarray:
        return self.total / max(1, self.columns)

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


def measure(layers: Sequence[Layer], clips: Sequence[np.ndarray]) -> dict[tuple[str, str], Ranges]:
    """The ranges of every (layer, "input" | "output") over clips of log_mel (1, M, T); peaks first, then histograms."""
    found: dict[tuple[str, str], Ranges] = {}

    def peaks(name: str, where: str, x: np.ndarray) -> None:
        peak = x.max(axis=(0, 2, 3))
        if (name, where) not in found:
            found[name, where] = Ranges(np.zeros(len(peak)), np.zeros(BINS), np.zeros(len(peak)), 0)
        ranges = found[name, where]
        ranges.peak = np.maximum(ranges.peak, peak)
        ranges.total += x.sum(axis=(0, 2, 3), dtype=np.float64)
        ranges.columns += x.shape[2] * x.shape[3]

    def histograms(name: str, where: str, x: np.ndarray) -> None:
        ranges = found[name, where]
        top = float(ranges.peak.max())
        if top > 0:
            bins = np.minimum((x[x > 0] * (BINS / top)).astype(np.int32), BINS - 1)  # np.histogram is five times slower
            ranges.counts += np.bincount(bins, minlength=BINS)

    for watch in (peaks, histograms):
        for clip in clips:
            run(layers, clip, watch=watch)
    return found


def int8_steps(
    layers: Sequence[Layer], clips: Sequence[np.ndarray], *, int8: Collection[str]
) -> tuple[list[Layer], dict[str, Steps]]:
    """Equalised layers, and the steps of those named in `int8`."""
    alpha = choose_alpha(layers, clips[:CHOICE_CLIPS], int8=int8)
    return _quantised(layers, clips, int8=int8, alpha=alpha)


def choose_alpha(layers: Sequence[Layer], clips: Sequence[np.ndarray], *, int8: Collection[str]) -> float | None:
    """The strength of equalisation with the least error of the segments over the clips."""
    exact = np.concatenate([run(layers, clip) for clip in clips])

    def quality(alpha: float | None) -> float:
        scaled, steps = _quantised(layers, clips, int8=int8, alpha=alpha)
        return snr_db(exact, np.concatenate([run(scaled, clip, steps=steps) for clip in clips]))

    return max(ALPHAS, key=quality)


def steps_of(layer: Layer, entering: Ranges, leaving: Ranges) -> Steps:
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


def _quantised(
    layers: Sequence[Layer], clips: Sequence[np.ndarray], *, int8: Collection[str], alpha: float | None
) -> tuple[list[Layer], dict[str, Steps]]:
    ranges = measure(layers, clips)
    if alpha is not None:
        layers = equalised(layers, {layer.name: ranges[layer.name, "input"].peak for layer in layers}, alpha=alpha)
        ranges = measure(layers, clips)
    return list(layers), all_steps(layers, ranges, int8=int8)


def all_steps(
    layers: Iterable[Layer], ranges: Mapping[tuple[str, str], Ranges], *, int8: Collection[str]
) -> dict[str, Steps]:
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
