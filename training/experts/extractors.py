"""Every expert that hears: samples in, rows of features out.

    hear = extractor("vggish", Path("vggish-10086976.pth"))
    rows = hear(samples)                # (n,) float32 at hear.rate_hz -> (T, 128) float32

A clip is heard whole, as the authors did. One too short for a row is padded with silence to one.
"""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from edge_runtime.errors import EarmarkError
from edge_runtime.mel import MelSpec, MelTables, log_mel
from training.experts import vggish, vggsound
from training.experts.lms import SEGMENT_FRAMES, Lms
from training.experts.mfcc import Mfcc
from training.mel_tables import efficientat_mel, lms_mel, panns_mel
from training.mn import MN04_FILE, MN10_FILE, MobileNet, load_mn04, load_mn10
from training.panns import (
    CNN6_FILE,
    CNN10_FILE,
    CNN14_FILE,
    Panns,
    StreamingPanns,
    load_cnn6,
    load_cnn10,
    load_cnn14,
)
from training.published import Published

__all__ = ["SOURCES", "Extractor", "Source", "extractor", "fingerprint"]

AT_ONCE = 32
"""Segments, or VGGish's examples, that a network hears in one pass: a recording of hours needs no more memory."""

Rows = Callable[[np.ndarray], np.ndarray]


@dataclass(frozen=True)
class Extractor:
    rate_hz: int
    rows: Rows

    @torch.inference_mode()
    def __call__(self, samples: np.ndarray) -> np.ndarray:
        return self.rows(samples)


@dataclass(frozen=True)
class Source:
    """Where an expert comes from: its published weights, none for a front end, and what hears with them."""

    build: Callable[[Path], Extractor]
    weights: Published | None = None


def extractor(name: str, weights: Path | None = None) -> Extractor:
    """EarmarkError: no such expert, or its weights are absent or others. `weights`: the file, or its folder."""
    source = _source(name)
    if source.weights is not None and weights is None:
        raise EarmarkError(f"{name} needs its weights: give --weights, the path of {source.weights.file}")
    return source.build(weights or Path())


def fingerprint(name: str, weights: Path | None = None) -> str:
    """What the features of an expert depend on beside the sounds: its name, and a digest of its weights."""
    published = _source(name).weights
    if published is None or weights is None:
        return name
    with published.at(weights).open("rb") as file:
        return f"{name} {hashlib.file_digest(file, 'sha256').hexdigest()[:16]}"


def _source(name: str) -> Source:
    if name not in SOURCES:
        raise EarmarkError(f"{name!r} is no expert that hears: there are {', '.join(SOURCES)}")
    return SOURCES[name]


def _static(net: Lms | Mfcc) -> Extractor:
    spec, tables = lms_mel()
    return Extractor(spec.rate_hz, lambda samples: net.segments(_frames(spec, tables, samples))[0].numpy())


def _mobile(net: MobileNet) -> Extractor:
    spec, tables = efficientat_mel()
    return Extractor(spec.rate_hz, lambda samples: net.segments(_frames(spec, tables, samples))[0].numpy())


def _panns(net: Panns) -> Extractor:
    """As a stream, which equals the whole clip (training/panns.py)."""
    spec, tables = panns_mel()
    stream = StreamingPanns(net, hop_segments=AT_ONCE)

    def rows(samples: np.ndarray) -> np.ndarray:
        stream.reset()
        frames = _frames(spec, tables, samples, at_least=net.config.hop_frames)
        parts = (stream.push(frames), stream.flush())
        return torch.cat(parts, dim=1)[0].numpy()

    return Extractor(spec.rate_hz, rows)


def _vggish(weights: Path) -> Extractor:
    net = vggish.load_vggish(weights)

    def rows(samples: np.ndarray) -> np.ndarray:
        heard = torch.from_numpy(vggish.examples(samples)).split(AT_ONCE)
        return torch.cat([net(part) for part in heard]).numpy()

    return Extractor(vggish.RATE_HZ, rows)


def _vggsound(weights: Path) -> Extractor:
    net = vggsound.load_vggsound(weights)
    return Extractor(
        vggsound.RATE_HZ, lambda samples: net.segments(torch.from_numpy(vggsound.spectrogram(samples))[None])[0].numpy()
    )


def _frames(spec: MelSpec, tables: MelTables, samples: np.ndarray, *, at_least: int = SEGMENT_FRAMES) -> torch.Tensor:
    """Log-mel (1, M, T) of a clip; silence follows what is too short for a segment."""
    frames = log_mel(spec, tables, samples)
    if len(frames) < at_least:
        silence = np.tile(tables.silence(spec), (at_least - len(frames), 1))
        frames = np.concatenate((frames, silence))
    return torch.from_numpy(frames.T.copy())[None]


SOURCES = {
    "lms": Source(lambda _: _static(Lms())),
    "mfcc": Source(lambda _: _static(Mfcc())),
    "vggish": Source(_vggish, vggish.FILE),
    "vggsound": Source(_vggsound, vggsound.FILE),
    "cnn14": Source(lambda weights: _panns(load_cnn14(weights)), CNN14_FILE),
    "cnn10": Source(lambda weights: _panns(load_cnn10(weights)), CNN10_FILE),
    "cnn6": Source(lambda weights: _panns(load_cnn6(weights)), CNN6_FILE),
    "mn04": Source(lambda weights: _mobile(load_mn04(weights)), MN04_FILE),
    "mn10": Source(lambda weights: _mobile(load_mn10(weights)), MN10_FILE),
}
