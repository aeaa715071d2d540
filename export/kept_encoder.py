"""The encoder of a bundle as it is, byte for byte, for a new head: what is asked of one that no export makes anew.

    python -m export runs/head my-bundle --encoder export/bundles/earmark-cnn14-slim-wide --profiles small

The head was trained on what this graph gives (training/graph_encoder.py), so the graph is its own yardstick. How far
int8 is from the network before it was rounded is what the bundle's first export measured.
"""

import json
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from edge_runtime.bundle import Bundle
from edge_runtime.errors import BundleError
from edge_runtime.manifest import Graph, Profile, StateSpec
from export.profiles import Recipe, Sensitivity

__all__ = ["SENSITIVITY", "KeptEncoder"]

SENSITIVITY = "sensitivity.json"


@dataclass(frozen=True)
class KeptConfig:
    """As a network's: numbers of a segment, frames of one, frames until the first."""

    segment_dim: int
    hop_frames: int
    prime_frames: int


class KeptEncoder:
    """Network and `StreamEncoder` in one; it is written in the profile that its bundle was opened with, and in those
    that share its graph."""

    training = False

    def __init__(self, bundle: Bundle) -> None:
        """BundleError: its encoder does not stream."""
        about = bundle.manifest.encoder
        if about.stream is None:
            raise BundleError(f"{bundle.folder} has a {about.kind} encoder, expected one that streams: give another")
        self._bundle = bundle
        self.notices = bundle.manifest.notices
        self.config = KeptConfig(about.width, about.segment_frames, about.stream.prime_frames)
        self.spec, self.tables, self.pad = bundle.manifest.mel, bundle.tables, about.stream.pad

    def segments(self, clip: np.ndarray) -> np.ndarray:
        """A whole clip (1, M, T) -> (S, D), by the profile that the head was trained on."""
        return self._bundle.whole_clip(clip[0].T)

    def write(
        self, recipe: Recipe, clips: Sequence[np.ndarray], path: Path, *, tuning: Sequence[np.ndarray] = ()
    ) -> list[StateSpec]:
        """The bundle's own file; nothing is calibrated. BundleError: in this precision the head never heard it."""
        profile = self._profile(recipe)
        shutil.copyfile(self._bundle.folder / profile.encoder.file, path)
        return profile.states

    def precision(self, recipe: Recipe) -> str:
        return self._graph(recipe).precision

    def why(self, recipe: Recipe) -> str:
        return self._graph(recipe).why

    def sensitivity(self, clips: Sequence[np.ndarray]) -> list[Sensitivity]:
        """What its first export found."""
        path = self._bundle.folder / SENSITIVITY
        return [Sensitivity(**row) for row in json.loads(path.read_text(encoding="utf-8"))] if path.is_file() else []

    def found_before(self, recipe: Recipe) -> dict[str, float]:
        """Of the segments, against the network before it was rounded."""
        figures = self._profile(recipe).figures
        return {name: figures[name] for name in ("snr_db", "segment_cosine") if name in figures}

    def _profile(self, recipe: Recipe) -> Profile:
        manifest = self._bundle.manifest
        heard, found = manifest.profile(self._bundle.profile), manifest.profile(recipe.name)
        if manifest.files[found.encoder.file] != manifest.files[heard.encoder.file]:
            raise BundleError(
                f"the head was trained on the profile {self._bundle.profile} of {manifest.name}, and {recipe.name} was "
                f"asked for: export with --profiles {self._bundle.profile}"
            )
        return found

    def _graph(self, recipe: Recipe) -> Graph:
        return self._profile(recipe).encoder
