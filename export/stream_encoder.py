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
from export.network import layers_of
from export.profiles import Recipe, Sensitivity, encoder_profile, sensitivity
from export.stream_mobile_graph import RIGHT_COLUMNS, stream_mobile_graph
from training.mel_tables import efficientat_mel, panns_mel
from training.panns import Panns
from training.stream_mn import StreamingMobileNet

__all__ = ["MobileEncoder", "PannsEncoder", "StreamEncoder", "StreamNet", "stream_encoder"]

StreamNet = Panns | StreamingMobileNet


class StreamEncoder(Protocol):
    """`spec` and `tables`: the front end whose frames the graph takes. `pad`: columns of `right` at an end."""

    spec: MelSpec
    tables: MelTables
    pad: int

    def segments(self, clip: np.ndarray) -> np.ndarray:
        """A whole clip (1, M, T) -> (S, D), by PyTorch in float64: what fp32 is held against. On CPUs without AVX-512
        its own fast fp32 convolutions are further from the sums than onnxruntime's."""
        ...

    def write(self, recipe: Recipe, clips: Sequence[np.ndarray], path: Path) -> list[StateSpec]:
        """The graph in this precision, calibrated on clips (1, M, T). ValueError: it cannot have it."""
        ...

    def precision(self, recipe: Recipe) -> str: ...

    def sensitivity(self, clips: Sequence[np.ndarray]) -> list[Sensitivity]:
        """Each layer alone in int8; empty where no profile has int8."""
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

    def write(self, recipe: Recipe, clips: Sequence[np.ndarray], path: Path) -> list[StateSpec]:
        return encoder_profile(recipe, self._layers, clips, path)

    def precision(self, recipe: Recipe) -> str:
        if not recipe.int8(self._layers):
            return "fp32"
        return "int8" if recipe.int8_share == 1 else "fp32 and int8"

    def sensitivity(self, clips: Sequence[np.ndarray]) -> list[Sensitivity]:
        return sensitivity(self._layers, clips)


class MobileEncoder:
    """mn04: fp32 alone. Its static int8 was worse and slower (export/precision.py measures it for the windowed one)."""

    def __init__(self, net: StreamingMobileNet) -> None:
        self._net, self._exact = net, copy.deepcopy(net).double()
        self.spec, self.tables = efficientat_mel()
        self.pad = RIGHT_COLUMNS

    @torch.no_grad()
    def segments(self, clip: np.ndarray) -> np.ndarray:
        return self._exact.segments(torch.from_numpy(clip).double())[0].float().numpy()

    def write(self, recipe: Recipe, clips: Sequence[np.ndarray], path: Path) -> list[StateSpec]:
        if recipe.int8_share:
            raise ValueError(f"mn04 has no int8 form, which profile {recipe.name} asks for: choose light or exact")
        return stream_mobile_graph(self._net, path)

    def precision(self, recipe: Recipe) -> str:
        return "fp32"

    def sensitivity(self, clips: Sequence[np.ndarray]) -> list[Sensitivity]:
        return []


def stream_encoder(net: StreamNet) -> StreamEncoder:
    return PannsEncoder(net) if isinstance(net, Panns) else MobileEncoder(net)
