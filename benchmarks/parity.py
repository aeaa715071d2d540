"""`python -m benchmarks parity`: the stream against the whole clip, int8 against fp32, and fp32 against PyTorch.

Clips of many lengths (too short to prime, a whole number of segments, odd ones) go through the runtime's stream in
blocks of random sizes, and through the same graph at once: equal means bit for bit, all segments, both edges. PyTorch
hears the same clips: `stream_vs_eager_max_abs` is over the same log-mel frames; `..._from_samples` lets each side use
its own front end.
"""

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from benchmarks.eager import Eager, open_eager
from benchmarks.model import Model
from benchmarks.plots import COLOURS, logarithmic
from benchmarks.report import Report, Table, say
from edge_runtime.errors import BundleError
from edge_runtime.graph import OpenGraph

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["parity", "signal_to_noise_db", "streamed"]

CLIPS_S = (0.33, 0.5, 1.57, 1.6, 2.24, 9.37, 10.0, 12.345)
LONGEST_BLOCK_S = 1.5
GOAL_MAX_ABS = 2e-5
"""Against PyTorch, for segments of unit scale: float32 sums in another order."""


def parity(model: Model, sound: np.ndarray, *, seed: int = 0) -> Report:
    if not model.streams:
        raise BundleError(f"{model.manifest.name} does not stream: there is nothing to compare, give another --bundle")
    clips = list(_clips(sound, model.rate_hz, seed))
    eager, note = open_eager(model.folder, threads=1)
    reference = model.of_precision("fp32")
    exact: list[np.ndarray] | None = None
    rows, figures, curves = [], {}, {}
    for name in sorted(_encoders(model), key=lambda name: name != reference):  # fp32 first: the others stand against it
        say(f"parity of {name} …")
        graph = model.encoder_graph(name)
        rng = np.random.default_rng(seed)
        stream = [streamed(model, graph, name, clip, rng) for clip in clips]
        whole = [model.offline(graph, name, model.frames(clip)) for clip in clips]
        equal = all(np.array_equal(a, b) for a, b in zip(stream, whole, strict=True))
        reset = np.array_equal(stream[-1], _after_another(model, graph, name, clips))
        found: dict[str, Any] = {"stream_equals_offline": equal, "reset_equals_new": reset}
        if name == reference:
            exact = stream
        elif exact is not None:
            cosines, snr = _cosines(exact, stream), signal_to_noise_db(exact, stream)
            found |= {"cosine_mean": float(cosines.mean()), "cosine_min": float(cosines.min()), "snr_db": snr}
            curves[name] = cosines
        figures[name] = found
        rows.append((name, model.profiles[name].encoder.precision, _word(equal), _word(reset), *_against(found)))
    figures = {
        "stream_equals_offline_fp32": _of_precision(model, figures, "fp32"),
        "stream_equals_offline_int8": _of_precision(model, figures, "int8"),
        "segments": int(sum(len(each) for each in exact or [])),
        "profiles": figures,
        **_against_eager(model, eager, clips, exact),
    }
    columns = ("profile", "encoder", "stream = whole", "reset = new", "mean cosine with fp32", "lowest", "SNR dB")
    tables = [
        Table(f"{model.manifest.name}: {len(clips)} clips, blocks of any size", columns, rows),
        Table(
            "fp32 stream against PyTorch eager, largest difference of a segment's number",
            ("over the same frames", "from samples, each with its own front end", "largest number", "goal"),
            [
                (
                    figures["stream_vs_eager_max_abs"],
                    figures["stream_vs_eager_max_abs_from_samples"],
                    figures["eager_largest"],
                    GOAL_MAX_ABS,
                )
            ],
        ),
    ]
    return Report("parity", figures, tables, [note], {"parity": lambda figure: _draw(model, curves, figure)})


def streamed(
    model: Model, graph: OpenGraph, profile: str, clip: np.ndarray, rng: np.random.Generator | None
) -> np.ndarray:
    """All segments (S, D) of samples (n,), pushed in blocks of random sizes, or at once without `rng`."""
    mel, encoder = model.front_end(), model.stream(graph, profile)
    parts, at, first = [], 0, 0
    while at < len(clip):
        size = int(rng.integers(1, round(LONGEST_BLOCK_S * model.rate_hz))) if rng else len(clip)
        encoder.push(mel.push(clip[at : at + size]))
        at += size
        if at >= len(clip):
            encoder.push(mel.flush())
            encoder.flush()
        if encoder.available > first:
            parts.append(encoder.segments(first, encoder.available))
            first = encoder.available
    return np.concatenate(parts) if parts else np.zeros((0, model.manifest.encoder.width), np.float32)


def signal_to_noise_db(exact: Sequence[np.ndarray], found: Sequence[np.ndarray]) -> float:
    """Of segments (S, D) each, about the mean of each of the D numbers: a constant says nothing."""
    clean, noisy = np.concatenate(exact).astype(np.float64), np.concatenate(found).astype(np.float64)
    signal = ((clean - clean.mean(axis=0)) ** 2).mean()
    return float(10 * np.log10(signal / max(float(((clean - noisy) ** 2).mean()), 1e-30)))


def _clips(sound: np.ndarray, rate_hz: int, seed: int) -> Iterator[np.ndarray]:
    rng = np.random.default_rng(seed)
    for seconds in CLIPS_S:
        samples = round(seconds * rate_hz)
        start = int(rng.integers(0, len(sound) - samples))
        yield sound[start : start + samples]


def _encoders(model: Model) -> list[str]:
    """Profiles by their encoder's file, each file once."""
    return list({each.encoder.file: name for name, each in reversed(model.profiles.items())}.values())


def _after_another(model: Model, graph: OpenGraph, profile: str, clips: Sequence[np.ndarray]) -> np.ndarray:
    """The last clip through an encoder that has heard another one and was reset."""
    encoder = model.stream(graph, profile)
    encoder.push(model.frames(clips[0]))
    encoder.flush()
    encoder.reset()
    found, first = [], 0
    for part in np.array_split(model.frames(clips[-1]), 3):
        encoder.push(part)
        if encoder.available > first:
            found.append(encoder.segments(first, encoder.available))
            first = encoder.available
    encoder.flush()
    if encoder.available > first:
        found.append(encoder.segments(first, encoder.available))
    return np.concatenate(found)


def _cosines(exact: Sequence[np.ndarray], found: Sequence[np.ndarray]) -> np.ndarray:
    a, b = np.concatenate(exact), np.concatenate(found)
    return (a * b).sum(axis=1) / np.maximum(np.linalg.norm(a, axis=1) * np.linalg.norm(b, axis=1), 1e-30)


def _of_precision(model: Model, figures: dict[str, Any], precision: str) -> bool | None:
    name = model.of_precision(precision)
    return figures[name]["stream_equals_offline"] if name in figures else None


def _against_eager(
    model: Model, eager: Eager | None, clips: Sequence[np.ndarray], exact: Sequence[np.ndarray] | None
) -> dict[str, float | None]:
    """`exact`: the fp32 stream's segments of each clip. The bundle's frames have the input norm folded in, the
    eager network its own: the same frames are those before it."""
    names = ("stream_vs_eager_max_abs", "stream_vs_eager_max_abs_from_samples", "eager_largest")
    if eager is None or exact is None:
        return dict.fromkeys(names)
    same, own, largest = [0.0], [0.0], [0.0]
    from edge_runtime.mel import log_mel
    from training.mel_tables import panns_mel

    for clip, found in zip(clips, exact, strict=True):
        whole = len(model.frames(clip)) >= model.manifest.encoder.segment_frames
        if not whole:
            continue
        ours, theirs = eager.segments(log_mel(*panns_mel(), clip)), eager.segments(eager.frames(clip))
        same.append(float(np.abs(found - ours).max()))
        own.append(float(np.abs(found - theirs).max()))
        largest.append(float(np.abs(theirs).max()))
    return dict(zip(names, (max(same), max(own), max(largest)), strict=True))


def _word(equal: bool) -> str:
    return "bit for bit" if equal else "NO"


def _against(found: dict[str, Any]) -> tuple[float | None, ...]:
    return tuple(found.get(name) for name in ("cosine_mean", "cosine_min", "snr_db"))


def _draw(model: Model, curves: dict[str, np.ndarray], figure: "Figure") -> None:
    axes = figure.add_subplot()
    for (name, cosines), colour in zip(curves.items(), COLOURS, strict=False):
        share = (np.arange(len(cosines)) + 1) / len(cosines)
        axes.step(np.maximum(1 - np.sort(cosines)[::-1], 1e-8), share, where="post", color=colour, label=name)
    logarithmic(axes.xaxis)
    axes.set_xlabel("1 - cosine of a segment with its fp32 form")
    axes.set_ylabel("share of segments at or below")
    axes.set_title(f"What quantisation changes: {model.manifest.name}", loc="left", fontsize=11)
    axes.grid(alpha=0.3)
    if curves:
        axes.legend()
