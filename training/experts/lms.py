"""The log-mel spectrogram as an expert: what the first paper compares pretrained features with.

    rows = Lms().segments(log_mel)          # (B, 128, T) decibels -> (B, ceil(T / 32), 128)

The authors' code reads rows of 128 bands made with librosa and says neither their hop nor their rate. Here a row is
the mean of a segment's 32 frames (0.32 s), so that LMS and CNN14 come to a pooling as sequences of one length. The
front end is `training.mel_tables.lms_mel`.
"""

import torch
from torch import Tensor, nn

__all__ = ["BANDS", "SEGMENT_FRAMES", "Lms", "no_classes", "segment_means"]

BANDS = 128
SEGMENT_FRAMES = 32
CLASSES = 527


def segment_means(frames: Tensor, segment_frames: int = SEGMENT_FRAMES) -> Tensor:
    """Frames (B, D, T) -> (B, ceil(T / segment_frames), D): the mean of each segment, the last one of what is there."""
    whole = frames.shape[2] // segment_frames
    head, tail = frames.split((whole * segment_frames, frames.shape[2] - whole * segment_frames), dim=2)
    parts = [head.unflatten(2, (whole, segment_frames)).mean(dim=3)]
    if tail.shape[2]:
        parts.append(tail.mean(dim=2, keepdim=True))
    return torch.cat(parts, dim=2).transpose(1, 2)  # (B, S, D)


def no_classes(segments: Tensor) -> Tensor:
    """segments (B, S, D) -> logits (B, 527) of probabilities that are 0: a front end knows no class."""
    return segments.new_full((segments.shape[0], CLASSES), -torch.inf)


class Lms(nn.Module):
    """A front end in the place of a network: it has no weights, and no tagger."""

    def segments(self, log_mel: Tensor) -> Tensor:
        """log_mel (B, 128, T) in decibels -> (B, S, 128)."""
        return segment_means(log_mel)

    def classify(self, segments: Tensor) -> Tensor:
        return no_classes(segments)
