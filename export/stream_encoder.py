"""What a streaming export asks of an encoder, whichever network it is.

encoder = stream_encoder(net)                   # Panns or StreamingMobileNet, in evaluation mode
states = encoder.write(RECIPES["small"], calibrating, path)
exact = encoder.segments(clip)                  # PyTorch eager, (1, M, T) -> (S, D)
"""

import copy
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

import numpy as np
import torch

from edge_runtime.manifest import StateSpec
from edge_runtime.mel import MelSpec, MelTables
from export.fake_quantise import Tuning, taught
from export.kept_encoder import KeptEncoder
from export.mobile_int8 import FakeMobile, int8_layers, mobile_sensitivity
from export.network import layers_of
from export.profiles import Recipe, Sensitivity, encoder_profile, sensitivity
from export.stream_mobile_graph import RIGHT_COLUMNS, stream_mobile_graph
from training.mel_tables import efficientat_mel, panns_mel
from training.panns import Panns
from training.stream_mn import StreamingMobileNet

__all__ = ["MobileEncoder", "PannsEncoder", "StreamEncoder", "StreamNet", "stream_encoder"]

StreamNet = Panns | StreamingMobileNet | KeptEncoder
SENSITIVITY_CLIPS = 4


class StreamEncoder(Protocol):
    """`spec` and `tables`: the front end whose frames the graph takes. `pad`: columns of `right` at an end."""

    spec: MelSpec
    tables: MelTables
    pad: int

    def segments(self, clip: np.ndarray) -> np.ndarray:
        """A whole clip (1, M, T) -> (S, D), by PyTorch in float64: what fp32 is held against. On CPUs without AVX-512
        its own fast fp32 convolutions are further from the sums than onnxruntime's."""
        ...

    def write(
        self, recipe: Recipe, clips: Sequence[np.ndarray], path: Path, *, tuning: Sequence[np.ndarray] = ()
    ) -> list[StateSpec]:
        """The graph in this precision, calibrated on clips (1, M, T), its int8 fine-tuned on those of `tuning` if there
        are any. ValueError: it cannot have it."""
        ...

    def precision(self, recipe: Recipe) -> str: ...

    def why(self, recipe: Recipe) -> str:
        """What is in which precision, for the manifest, once it is written."""
        ...

    def sensitivity(self, clips: Sequence[np.ndarray]) -> list[Sensitivity]:
        """Each layer alone in int8; empty where no profile has int8."""
        ...

    def found_before(self, recipe: Recipe) -> dict[str, float]:
        """Figures of the profile that take the place of those that are measured now: of a network that is not at
        hand."""
        ...


class PannsEncoder:
    """CNN14 and kin, in fp32, int8 or both."""

    def __init__(self, net: Panns) -> None:
        self._net = copy.deepcopy(net).double()
        self._layers = layers_of(net)
        self.spec, tables = panns_mel()
        self.tables = net.fold_input_norm(tables)
        self.pad = net.config.pad

    @torch.no_grad()
    def segments(self, clip: np.ndarray) -> np.ndarray:
        net = self._net
        x = torch.from_numpy(clip).double()
        return net.encode(x, net.start_state(), net.right_edge())[0][0].float().numpy()

    def write(
        self, recipe: Recipe, clips: Sequence[np.ndarray], path: Path, *, tuning: Sequence[np.ndarray] = ()
    ) -> list[StateSpec]:
        if recipe.packed:
            raise ValueError("the PANNs family has no profile packed, int8 makes it faster too: choose small or tiny")
        return encoder_profile(recipe, self._layers, clips, path, tuning=tuning)

    def precision(self, recipe: Recipe) -> str:
        if not recipe.int8(self._layers):
            return "fp32"
        return "int8" if recipe.int8_share == 1 else "fp32 and int8"

    def why(self, recipe: Recipe) -> str:
        return recipe.encoder

    def sensitivity(self, clips: Sequence[np.ndarray]) -> list[Sensitivity]:
        return sensitivity(self._layers, clips)

    def found_before(self, recipe: Recipe) -> dict[str, float]:
        return {}


class MobileEncoder:
    """mn04 in fp32, with its weights kept in int8, or multiplying bytes as well (export/mobile_int8.py)."""

    def __init__(self, net: StreamingMobileNet) -> None:
        self._net, self._exact = net, copy.deepcopy(net).double()
        self.spec, self.tables = efficientat_mel()
        self.pad = RIGHT_COLUMNS
        self._rows: list[Sensitivity] = []

    @torch.no_grad()
    def segments(self, clip: np.ndarray) -> np.ndarray:
        return self._exact.segments(torch.from_numpy(clip).double())[0].float().numpy()

    def write(
        self, recipe: Recipe, clips: Sequence[np.ndarray], path: Path, *, tuning: Sequence[np.ndarray] = ()
    ) -> list[StateSpec]:
        if recipe.fp32:
            return stream_mobile_graph(self._net, path)
        self._rows = self._rows or mobile_sensitivity(self._net, clips[:SENSITIVITY_CLIPS])
        fake = FakeMobile(self._net, **int8_layers(self._net, recipe, self._rows))
        fake.calibrate(clips)
        if tuning:
            taught(fake, self._net.segments, tuning, Tuning())
        return stream_mobile_graph(fake.net, path, rounding=fake.rounding())

    def precision(self, recipe: Recipe) -> str:
        return "fp32" if recipe.fp32 else "fp32 and int8" if recipe.int8_share else "int8 weights"

    def why(self, recipe: Recipe) -> str:
        if recipe.fp32:
            return recipe.encoder
        layers = int8_layers(self._net, recipe, self._rows)
        kept = len(self._rows) - len(layers["weights"])
        many = len(layers["multiplying"])
        sums = f"{many} pointwise convolutions multiply bytes" if many else "sums in fp32"
        return f"weights in int8 but for the {kept} layers that feel it most, {sums}"

    def sensitivity(self, clips: Sequence[np.ndarray]) -> list[Sensitivity]:
        return self._rows

    def found_before(self, recipe: Recipe) -> dict[str, float]:
        return {}


def stream_encoder(net: StreamNet) -> StreamEncoder:
    if isinstance(net, KeptEncoder):
        return net
    return PannsEncoder(net) if isinstance(net, Panns) else MobileEncoder(net)
