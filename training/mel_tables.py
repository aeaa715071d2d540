"""The front ends of the two encoder families, as the arrays that `edge_runtime.mel` runs.

    spec, tables = panns_mel()          # CNN14 and its kin: decibels, before the input batch norm
    spec, tables = efficientat_mel()    # mn04: pre-emphasis, Kaldi mels, fixed normalisation
    spec, tables = lms_mel()            # log-mel spectrogram and MFCC: librosa's bands and decibels

Every number of a front end is written here once. Arithmetic is float64, the tables are float32.
"""

import dataclasses
import math

import numpy as np

from edge_runtime.mel import MelSpec, MelTables

__all__ = ["efficientat_mel", "lms_mel", "panns_mel", "with_batch_norm"]

SLANEY_LINEAR_MELS_PER_HZ = 3 / 200
SLANEY_BREAK_HZ = 1000.0
SLANEY_LOG_STEP = math.log(6.4) / 27
KALDI_SCALE = 1127.0
KALDI_BREAK_HZ = 700.0


def panns_mel() -> tuple[MelSpec, MelTables]:
    """PANNs at 32 kHz (Kong et al. 2020, arXiv:1912.10211).

    64 Slaney bands from 50 to 14 000 Hz; 10 log10(max(mel, 1e-10)).
    """
    spec = MelSpec(
        rate_hz=32000,
        fft_samples=1024,
        hop_samples=320,
        bands=64,
        preemphasis=0.0,
        log_floor=1e-10,
        log_bias=0.0,
    )
    tables = MelTables(
        window=_hann(spec.fft_samples, periodic=True).astype(np.float32),
        filterbank=_slaney_filterbank(spec, low_hz=50.0, high_hz=14000.0).astype(np.float32),
        gain=np.full(spec.bands, 10 / math.log(10), np.float32),
        offset=np.zeros(spec.bands, np.float32),
    )
    return spec, tables.check(spec)


def efficientat_mel() -> tuple[MelSpec, MelTables]:
    """EfficientAT at inference (Schmid et al. 2023, arXiv:2211.04772).

    128 Kaldi bands from 0 to 15 000 Hz of the pre-emphasised signal; (ln(mel + 1e-5) + 4.5) / 5.
    """
    spec = MelSpec(
        rate_hz=32000,
        fft_samples=1024,
        hop_samples=320,
        bands=128,
        preemphasis=0.97,
        log_floor=0.0,
        log_bias=1e-5,
    )
    window = np.zeros(spec.fft_samples)
    window[112:912] = _hann(800, periodic=False)  # centred, as torch.stft places a window shorter than the FFT
    tables = MelTables(
        window=window.astype(np.float32),
        filterbank=_kaldi_filterbank(spec, low_hz=0.0, high_hz=15000.0).astype(np.float32),
        gain=np.full(spec.bands, 1 / 5, np.float32),
        offset=np.full(spec.bands, 4.5 / 5, np.float32),
    )
    return spec, tables.check(spec)


def lms_mel() -> tuple[MelSpec, MelTables]:
    """librosa's log-mel spectrogram at 32 kHz: its window of 2048 samples, its 128 Slaney bands from 0 Hz to half the
    rate, and decibels without a floor below the loudest; the hop is that of the encoders here."""
    spec = MelSpec(
        rate_hz=32000,
        fft_samples=2048,
        hop_samples=320,
        bands=128,
        preemphasis=0.0,
        log_floor=1e-10,
        log_bias=0.0,
    )
    tables = MelTables(
        window=_hann(spec.fft_samples, periodic=True).astype(np.float32),
        filterbank=_slaney_filterbank(spec, low_hz=0.0, high_hz=spec.rate_hz / 2).astype(np.float32),
        gain=np.full(spec.bands, 10 / math.log(10), np.float32),
        offset=np.zeros(spec.bands, np.float32),
    )
    return spec, tables.check(spec)


def with_batch_norm(
    tables: MelTables,
    *,
    weight: np.ndarray,
    bias: np.ndarray,
    mean: np.ndarray,
    var: np.ndarray,
    eps: float,
) -> MelTables:
    """Fold a batch norm over bands into gain and offset; weight, bias, mean and var are each (M,)."""
    scale = weight.astype(np.float64) / np.sqrt(var.astype(np.float64) + eps)
    gain = tables.gain.astype(np.float64) * scale
    offset = (tables.offset.astype(np.float64) - mean) * scale + bias
    return dataclasses.replace(tables, gain=gain.astype(np.float32), offset=offset.astype(np.float32))


def _hann(samples: int, *, periodic: bool) -> np.ndarray:
    period = samples if periodic else samples - 1
    return 0.5 - 0.5 * np.cos(2 * math.pi * np.arange(samples) / period)


def _slaney_filterbank(spec: MelSpec, *, low_hz: float, high_hz: float) -> np.ndarray:
    """Triangles in Hz between points even in mel, each of unit area, as librosa has them -> (bins, M)."""
    edges_mel = np.linspace(_hz_to_slaney(low_hz), _hz_to_slaney(high_hz), spec.bands + 2)
    edges_hz = np.array([_slaney_to_hz(mel) for mel in edges_mel])
    bins_hz = np.arange(spec.bins) * (spec.rate_hz / spec.fft_samples)
    triangles = _triangles(bins_hz, edges_hz)
    return triangles * (2 / (edges_hz[2:] - edges_hz[:-2]))


def _kaldi_filterbank(spec: MelSpec, *, low_hz: float, high_hz: float) -> np.ndarray:
    """Triangles in mel, of unit height, as Kaldi has them; the Nyquist bin takes no part -> (bins, M)."""
    low_mel, high_mel = (KALDI_SCALE * math.log1p(hz / KALDI_BREAK_HZ) for hz in (low_hz, high_hz))
    edges_mel = np.linspace(low_mel, high_mel, spec.bands + 2)
    bins_hz = np.arange(spec.bins) * (spec.rate_hz / spec.fft_samples)
    triangles = _triangles(KALDI_SCALE * np.log1p(bins_hz / KALDI_BREAK_HZ), edges_mel)
    triangles[-1] = 0
    return triangles


def _triangles(points: np.ndarray, edges: np.ndarray) -> np.ndarray:
    """Triangle i rises over edges i to i+1 and falls over i+1 to i+2: points (P,), edges (M+2,) -> (P, M)."""
    left, centre, right = edges[:-2], edges[1:-1], edges[2:]
    rising = (points[:, None] - left) / (centre - left)
    falling = (right - points[:, None]) / (right - centre)
    return np.maximum(0, np.minimum(rising, falling))


def _hz_to_slaney(hz: float) -> float:
    if hz < SLANEY_BREAK_HZ:
        return hz * SLANEY_LINEAR_MELS_PER_HZ
    return SLANEY_BREAK_HZ * SLANEY_LINEAR_MELS_PER_HZ + math.log(hz / SLANEY_BREAK_HZ) / SLANEY_LOG_STEP


def _slaney_to_hz(mel: float) -> float:
    break_mel = SLANEY_BREAK_HZ * SLANEY_LINEAR_MELS_PER_HZ
    if mel < break_mel:
        return mel / SLANEY_LINEAR_MELS_PER_HZ
    return SLANEY_BREAK_HZ * math.exp((mel - break_mel) * SLANEY_LOG_STEP)
