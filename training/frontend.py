"""The log-mel front end in PyTorch, batched and differentiable, from the tables that the device runs.

    frames = LogMel(*efficientat_mel())(samples)    # (B, N) -> (B, M, T)

It computes what `edge_runtime.mel.log_mel` computes (up to float32 rounding), time last.
"""

import numpy as np
import torch
from torch import Tensor, nn

from edge_runtime.mel import MelSpec, MelTables

__all__ = ["LogMel"]


class LogMel(nn.Module):
    """samples (B, N) float32 -> log-mel (B, M, T) float32 with T = spec.frames(N).

    The tables are buffers that move with the module but stay out of its state dict: they belong to the spec.
    """

    def __init__(self, spec: MelSpec, tables: MelTables) -> None:
        super().__init__()
        self.spec = spec
        tables.check(spec)
        for name in ("window", "filterbank", "gain", "offset"):
            self.register_buffer(name, torch.tensor(getattr(tables, name)), persistent=False)

    def forward(self, samples: Tensor) -> Tensor:
        if samples.ndim != 2 or samples.dtype != torch.float32:
            raise ValueError(f"expected float32 samples (B, N), got {samples.dtype} {tuple(samples.shape)}")
        if self.spec.frames(samples.shape[1]) == 0:
            return samples.new_zeros(samples.shape[0], self.spec.bands, 0)
        if self.spec.preemphasis:
            samples = samples[:, 1:] - self.spec.preemphasis * samples[:, :-1]
        with torch.autocast(samples.device.type, enabled=False):  # a power spectrum overflows in half precision
            spectrum = torch.stft(
                self._reflected(samples),
                self.spec.fft_samples,
                self.spec.hop_samples,
                window=self.window,
                center=False,
                return_complex=True,
            )  # (B, bins, T)
            power = spectrum.real**2 + spectrum.imag**2
            mel = self.filterbank.T @ power  # (B, M, T)
            log = torch.log(mel.clamp(min=self.spec.log_floor) + self.spec.log_bias)
            return log * self.gain[:, None] + self.offset[:, None]

    def _reflected(self, samples: Tensor) -> Tensor:
        """Half an FFT reflected on either side, as often as a short clip takes (F.pad refuses those)."""
        index = np.pad(np.arange(samples.shape[1]), self.spec.fft_samples // 2, mode="reflect")
        return samples[:, torch.from_numpy(index).to(samples.device)]
