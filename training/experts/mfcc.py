"""Mel-frequency cepstral coefficients as an expert: the other static feature that the first paper names.

    rows = Mfcc().segments(log_mel)         # (B, 128, T) decibels -> (B, ceil(T / 32), 40)

librosa's definition: the orthonormal DCT-II over the bands of a log-mel frame in decibels, its first coefficients, here
40. A row is the mean of a segment's 32 frames, as of `Lms`, with the same front end.
"""

import math

import torch
from torch import Tensor, nn

from training.experts.lms import BANDS, no_classes, segment_means

__all__ = ["COEFFICIENTS", "Mfcc", "cosines"]

COEFFICIENTS = 40


def cosines(coefficients: int, bands: int) -> Tensor:
    """The first rows of the orthonormal DCT-II: (coefficients, bands) float32."""
    band = torch.arange(bands, dtype=torch.float64) + 0.5
    rows = torch.cos(math.pi / bands * torch.arange(coefficients, dtype=torch.float64)[:, None] * band)
    rows[0] /= math.sqrt(2)
    return (rows * math.sqrt(2 / bands)).float()


class Mfcc(nn.Module):
    """A front end in the place of a network, as `Lms`."""

    def __init__(self, coefficients: int = COEFFICIENTS) -> None:
        super().__init__()
        self.register_buffer("cosines", cosines(coefficients, BANDS))

    def segments(self, log_mel: Tensor) -> Tensor:
        """log_mel (B, 128, T) in decibels -> (B, S, 40)."""
        return segment_means(self.cosines @ log_mel)

    def classify(self, segments: Tensor) -> Tensor:
        return no_classes(segments)
