"""Any streaming encoder, as a bundle's graph has it: what its device computes, rounding and all.

    python -m training features --student export/bundles/earmark-cnn14-slim-wide
    python -m training train --features runs/features/earmark-cnn14-slim-wide --out runs/head
    python -m export runs/head my-bundle --encoder export/bundles/earmark-cnn14-slim-wide --profiles small

An int8 graph cannot go back into PyTorch's layers (training/bundle_encoder.py does that of the fp32 mn04), but it can
be heard, and a head is trained on what is heard. It has no tagger, so the published mn04 says beside it which AudioSet
classes sound there.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from edge_runtime.bundle import Bundle
from edge_runtime.errors import BundleError
from edge_runtime.manifest import Manifest
from edge_runtime.mel import MelSpec, MelTables
from training.mel_tables import efficientat_mel
from training.mn import MobileNet

__all__ = ["GraphEncoder", "first_profile"]


def first_profile(folder: Path) -> Bundle:
    """The bundle as a device runs it that was not tuned. BundleError: damaged."""
    return Bundle.open(folder, profile=next(iter(Manifest.read(folder).profiles), None))


@dataclass(frozen=True)
class GraphEncoder:
    """The encoder of `bundle`, in the profile that it was opened with, and `teacher` with its front end, whose tags
    stand beside it."""

    bundle: Bundle
    teacher: MobileNet
    teacher_ear: tuple[MelSpec, MelTables]

    @classmethod
    def of(cls, folder: Path, teacher: MobileNet) -> "GraphEncoder":
        """In its first profile. BundleError: damaged, or it does not stream."""
        bundle = first_profile(folder)
        if bundle.manifest.encoder.stream is None:
            raise BundleError(
                f"{folder} ({bundle.manifest.name}) has a {bundle.manifest.encoder.kind} encoder: give the network "
                "that it was made from, or a bundle that streams"
            )
        return cls(bundle, teacher, efficientat_mel())

    @property
    def front_end(self) -> tuple[MelSpec, MelTables]:
        return self.bundle.manifest.mel, self.bundle.tables

    @property
    def min_frames(self) -> int:
        return self.bundle.manifest.encoder.min_frames

    def segments(self, log_mel: Tensor) -> Tensor:
        """(1, M, T) -> (1, S, D)."""
        return torch.from_numpy(self.bundle.whole_clip(log_mel[0].T.numpy()))[None]

    def state_dict(self) -> dict[str, Tensor]:
        """The graph's own bytes: what tells its features from another's."""
        path = self.bundle.folder / self.bundle.manifest.profile(self.bundle.profile).encoder.file
        return {"graph": torch.from_numpy(np.fromfile(path, np.uint8))}
