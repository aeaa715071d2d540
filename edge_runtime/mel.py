"""The log-mel front end, streaming: samples in, frames out, the same frames whatever the block sizes.

    mel = LogMel(spec, tables)
    frames = mel.push(samples)      # (n, M) float32, n may be 0
    frames = mel.flush()            # the tail, the reflected right edge included

`log_mel(spec, tables, samples)` is the one-shot call; it is push + flush on the same engine. Both agree bit for bit
because frames are always computed in blocks of `BLOCK_FRAMES` counted from the first frame: every matrix product has
one shape, so its rounding cannot depend on how the samples arrived.

Frames follow `torch.stft(center=True, pad_mode="reflect")`: frame t is centred on sample t * hop.
"""

from dataclasses import dataclass
from pathlib import Path
from zipfile import BadZipFile

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from edge_runtime.errors import BundleError

__all__ = ["BLOCK_FRAMES", "LogMel", "MelSpec", "MelTables", "log_mel"]

BLOCK_FRAMES = 32
"""Frames computed at a time: one segment of the encoders here (0.32 s)."""


@dataclass(frozen=True)
class MelSpec:
    """Every number of the front end.

    `preemphasis` c gives y[n] = x[n+1] - c x[n] (0: none). The frame is log(max(mel, floor) + bias) * gain + offset
    with gain and offset per band in `MelTables`: PANNs has floor 1e-10 and bias 0, EfficientAT floor 0 and bias 1e-5.
    """

    rate_hz: int
    fft_samples: int
    hop_samples: int
    bands: int
    preemphasis: float
    log_floor: float
    log_bias: float

    def __post_init__(self) -> None:
        # a hop of half an FFT or more would leave too few samples to reflect at the recording's end
        if not (0 < 2 * self.hop_samples < self.fft_samples and self.fft_samples % 2 == 0):
            raise BundleError(f"mel settings: hop {self.hop_samples} and FFT {self.fft_samples} do not fit together")
        if min(self.rate_hz, self.bands) <= 0 or not 0 <= self.preemphasis < 1:
            raise BundleError(f"mel settings: rate, bands or pre-emphasis out of range in {self}")
        if self.log_floor < 0 or self.log_bias < 0 or self.log_floor + self.log_bias <= 0:
            raise BundleError(f"mel settings: the logarithm of silence would be infinite in {self}")

    @property
    def hop_s(self) -> float:
        return self.hop_samples / self.rate_hz

    @property
    def bins(self) -> int:
        return self.fft_samples // 2 + 1

    def frames(self, samples: int) -> int:
        """Frames of a whole clip of so many samples; 0 where it is too short for one."""
        usable = samples - 1 if self.preemphasis else samples
        return 1 + usable // self.hop_samples if usable >= 2 else 0


@dataclass(frozen=True)
class MelTables:
    """The front end as data: `window (fft,)`, `filterbank (bins, M)`, `gain (M,)`, `offset (M,)`, all float32.

    gain and offset hold the logarithm's scale and, for the PANNs family, the input batch norm.
    """

    window: np.ndarray
    filterbank: np.ndarray
    gain: np.ndarray
    offset: np.ndarray

    def check(self, spec: MelSpec) -> "MelTables":
        expected = {
            "window": (spec.fft_samples,),
            "filterbank": (spec.bins, spec.bands),
            "gain": (spec.bands,),
            "offset": (spec.bands,),
        }
        for name, shape in expected.items():
            table = getattr(self, name)
            if table.shape != shape or table.dtype != np.float32 or not np.isfinite(table).all():
                raise BundleError(
                    f"mel table {name} is {table.dtype} {table.shape}, expected finite float32 {shape}: "
                    "export the bundle again"
                )
        return self

    def silence(self, spec: MelSpec) -> np.ndarray:
        """The frame of digital silence, (M,) float32."""
        return np.float32(np.log(spec.log_floor + spec.log_bias)) * self.gain + self.offset

    def save(self, path: Path) -> None:
        np.savez_compressed(path, window=self.window, filterbank=self.filterbank, gain=self.gain, offset=self.offset)

    @classmethod
    def load(cls, path: Path, spec: MelSpec) -> "MelTables":
        try:
            with np.load(path, allow_pickle=False) as file:
                tables = {name: file[name] for name in ("window", "filterbank", "gain", "offset") if name in file}
        except (OSError, ValueError, TypeError, EOFError, BadZipFile) as error:
            raise BundleError(f"{path.name} cannot be read ({error}): export the bundle again") from error
        if len(tables) != 4:
            raise BundleError(f"{path.name} holds {sorted(tables)}, expected window, filterbank, gain and offset")
        return cls(**tables).check(spec)


class LogMel:
    """Streaming log-mel of one source. State: the samples that later frames still need."""

    def __init__(self, spec: MelSpec, tables: MelTables) -> None:
        self.spec = spec
        self._tables = tables
        used = np.flatnonzero(tables.filterbank.any(axis=1))
        self._bins = slice(0, int(used[-1]) + 1 if len(used) else 1)
        self._filterbank = np.ascontiguousarray(tables.filterbank[self._bins])
        self._pad = spec.fft_samples // 2
        self._block_samples = (BLOCK_FRAMES - 1) * spec.hop_samples + spec.fft_samples
        self.reset()

    def reset(self) -> None:
        """Forget everything: the next push starts a new recording."""
        self._last_sample = np.zeros(0, np.float32)
        self._signal = np.zeros(0, np.float32)
        self._primed = False

    def push(self, samples: np.ndarray) -> np.ndarray:
        """Take float32 mono samples (n,) at the spec's rate; return the frames that they complete, (m, M) float32."""
        if samples.ndim != 1 or samples.dtype != np.float32:
            raise ValueError(f"expected float32 (n,), got {samples.dtype} {samples.shape}")
        self._signal = np.concatenate((self._signal, self._emphasise(samples)))
        if not self._primed:
            if len(self._signal) <= self._pad:
                return np.zeros((0, self.spec.bands), np.float32)
            self._signal = np.concatenate((self._signal[self._pad : 0 : -1], self._signal))
            self._primed = True
        step = BLOCK_FRAMES * self.spec.hop_samples
        blocks = max(0, (len(self._signal) - self._block_samples) // step + 1)
        frames = np.empty((blocks * BLOCK_FRAMES, self.spec.bands), np.float32)
        for i in range(blocks):
            part = self._signal[i * step : i * step + self._block_samples]
            frames[i * BLOCK_FRAMES : (i + 1) * BLOCK_FRAMES] = self._block(part)
        self._signal = self._signal[blocks * step :].copy()
        return frames

    def flush(self) -> np.ndarray:
        """Return the last frames (m, M) of the recording and reset."""
        signal = self._signal
        if len(signal) < 2:
            self.reset()
            return np.zeros((0, self.spec.bands), np.float32)
        if self._primed:
            signal = np.concatenate((signal, signal[-2 : -self._pad - 2 : -1]))
        else:  # shorter than half an FFT: reflect as often as it takes
            signal = np.pad(signal, self._pad, mode="reflect")
        count = (len(signal) - self.spec.fft_samples) // self.spec.hop_samples + 1
        frames = np.empty((count, self.spec.bands), np.float32)
        for start in range(0, count, BLOCK_FRAMES):
            part = np.zeros(self._block_samples, np.float32)
            rest = signal[start * self.spec.hop_samples :][: self._block_samples]
            part[: len(rest)] = rest
            frames[start : start + BLOCK_FRAMES] = self._block(part)[: count - start]
        self.reset()
        return frames

    def _emphasise(self, samples: np.ndarray) -> np.ndarray:
        if not self.spec.preemphasis or not len(samples):
            return samples
        joined = np.concatenate((self._last_sample, samples))
        self._last_sample = samples[-1:].copy()
        return joined[1:] - np.float32(self.spec.preemphasis) * joined[:-1]

    def _block(self, part: np.ndarray) -> np.ndarray:
        """`part (31 * hop + fft,)` -> `(32, M)`."""
        rows = sliding_window_view(part, self.spec.fft_samples)[:: self.spec.hop_samples]
        spectrum = np.fft.rfft(rows * self._tables.window)[:, self._bins]
        power = spectrum.real**2 + spectrum.imag**2
        # four frames a product: small enough that BLAS starts no threads, which cost more than they bring here
        mel = (power.reshape(-1, 4, power.shape[1]) @ self._filterbank).reshape(BLOCK_FRAMES, -1)
        log = np.log(np.maximum(mel, np.float32(self.spec.log_floor)) + np.float32(self.spec.log_bias))
        return log * self._tables.gain + self._tables.offset


def log_mel(spec: MelSpec, tables: MelTables, samples: np.ndarray) -> np.ndarray:
    """The frames of a whole clip: samples (n,) float32 -> (T, M) float32."""
    mel = LogMel(spec, tables)
    return np.concatenate((mel.push(samples), mel.flush()))
