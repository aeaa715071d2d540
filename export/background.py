"""The background that a bundle brings: noise made here, and the ambience among the recordings, as embeddings.

    background = background_of(engine, clips)
    spec, figures = calibrated(engine, background, clips, heard)

Generated noise depends on a seed alone. Recorded ambience is that of the training split; what is held back to tell the
rate of false alerts comes from other seeds and from the other splits.
"""

from collections.abc import Iterator, Sequence

import numpy as np

from edge_runtime.background import Background
from edge_runtime.engine import Engine
from edge_runtime.manifest import MatchSpec
from training.evaluate import same_sound
from training.phrasings import tidy_label
from training.sounds import Clip

__all__ = ["AMBIENCE", "background_of", "calibrated", "equal_error", "noises"]

AMBIENCE = ("speechcommands_noise", "blanket", "librosa_data", "skmaad")
"""Sources of long ambiences without an event of their own."""
LEVELS_DBFS = (-74, -66, -58, -50, -42, -34, -26, -18)
TILTS = (0.0, 0.4, 0.8, 1.2, 1.6, 2.0)
"""Noise power falls with frequency to this: white, pink at 1, brown at 2."""
HUMS_HZ = (50, 60, 100, 120)
SHORT_S = (1.0, 1.5, 2.0, 3.0, 4.5, 6.0, 8.0)
"""Noise is also as short as this: what is short sounds otherwise to the network, and scores otherwise."""
MAX_WINDOWS = 4
"""Of one recording: an hour of one forest is no more background than a minute."""


def noises(rate_hz: int, seconds: float, *, seed: int) -> Iterator[np.ndarray]:
    """Silence, coloured noise, hum and gusts, float32 (n,) each."""
    rng = np.random.default_rng(seed)
    count = round(rate_hz * seconds)
    t = np.arange(count) / rate_hz
    yield np.zeros(count, np.float32)
    for level in LEVELS_DBFS:
        for tilt in TILTS:
            yield at_level(coloured(count, tilt, rng), level)
        for hum_hz in HUMS_HZ:
            tones = [np.sin(2 * np.pi * k * hum_hz * t + rng.uniform(0, 6)) / k**1.5 for k in range(1, 8)]
            yield at_level(np.sum(tones, axis=0) + 0.05 * coloured(count, 1.0, rng), level)
        knots = np.linspace(0, count, 12)
        gusts = np.interp(np.arange(count), knots, rng.uniform(0.1, 1, len(knots)))
        yield at_level(gusts * coloured(count, 2.0, rng), level)


def coloured(count: int, tilt: float, rng: np.random.Generator) -> np.ndarray:
    """Noise whose power falls as frequency to the minus `tilt`."""
    spectrum = np.fft.rfft(rng.standard_normal(count))
    return np.fft.irfft(spectrum / np.arange(1, len(spectrum) + 1) ** (tilt / 2), n=count)


def at_level(sound: np.ndarray, level_dbfs: float) -> np.ndarray:
    """`level_dbfs` is of the root mean square; peaks are clipped as a converter would."""
    gain = 10 ** (level_dbfs / 20) / max(float(np.sqrt(np.mean(sound**2))), 1e-12)
    return np.clip(sound * gain, -1, 1).astype(np.float32)


def background_of(engine: Engine, clips: Sequence[Clip]) -> Background:
    """Everything through the whole runtime; windows as the archive keeps them."""
    manifest = engine.bundle.manifest
    rate_hz = manifest.mel.rate_hz
    rows: list[tuple[np.ndarray, bool, bool]] = []
    segment = round(manifest.segment_s * rate_hz)
    for count in range(1, manifest.window.segments + 1):  # of silence there is one for each length, so all are known
        silence = np.zeros(count * segment, np.float32)
        rows += [(each.window.embedding, True, False) for each in engine.listen([silence], rate_hz=rate_hz, k=1)]
    lengths = [(seconds, False) for seconds in (*SHORT_S, manifest.window_s)] + [(manifest.window_s, True)]
    for seed, (seconds, held) in enumerate(lengths):
        for sound in noises(rate_hz, seconds, seed=seed):
            rows += [(each.window.embedding, True, held) for each in engine.listen([sound], rate_hz=rate_hz, k=1)]
    for clip in clips:
        if clip.source in AMBIENCE:
            rows += [(each, False, clip.split != "train") for each in engine.embed_audio(clip.path)[:MAX_WINDOWS]]
    embeddings, generated, held_rows = zip(*rows, strict=True)
    return Background(np.stack(embeddings), np.array(generated), np.array(held_rows))


def calibrated(
    engine: Engine, background: Background, clips: Sequence[Clip], heard: Sequence[np.ndarray]
) -> tuple[MatchSpec, dict[str, float]]:
    """From where on a phrase counts as heard, and the figures that say so, all on `clips` (the validation split), whose
    windows are `heard[i] (W, E)`.

    Deviations from the background decide where that parts right labels from wrong ones better than raw cosines do."""
    labels = sorted({clip.label for clip in clips})
    names = engine.bundle.embed_text([tidy_label(label) for label in labels])
    scores = np.stack([(names @ each.T).max(axis=1) for each in heard], axis=1)  # (L, N)
    relevant = same_sound(labels)[:, [labels.index(clip.label) for clip in clips]]
    middle, spread = background.statistics(names)
    floor, raw_error = equal_error(scores, relevant)
    deviations, error = equal_error((scores - middle[:, None]) / spread[:, None], relevant)
    spec = MatchSpec(0.0, round(deviations, 3)) if error < raw_error else MatchSpec(round(floor, 4))
    phrases = engine.phrases.embeddings()
    limits = background.thresholds(phrases, deviations=spec.deviations, floor=spec.heard)
    alerts, windows = background.alerts(phrases, limits)
    figures = {"equal_error_raw": 100 * raw_error, "equal_error_calibrated": 100 * error}
    figures |= {"background_alerts": 100 * alerts / windows}
    return spec, {name: round(value, 2) for name, value in figures.items()}


def equal_error(scores: np.ndarray, relevant: np.ndarray) -> tuple[float, float]:
    """The score at which as many right labels stay below as best wrong ones stay above, and that share.

    scores (L, N): labels against clips; relevant (L, N) bool.
    """
    right = np.where(relevant, scores, -np.inf).max(axis=0)
    wrong = np.where(relevant, -np.inf, scores).max(axis=0)
    candidates = np.sort(np.concatenate((right, wrong)))
    missed = np.searchsorted(np.sort(right), candidates) / len(right)
    false = 1 - np.searchsorted(np.sort(wrong), candidates) / len(wrong)
    best = np.abs(missed - false).argmin()
    return float(candidates[best]), float((missed[best] + false[best]) / 2)
