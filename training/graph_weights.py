"""What a bundle's graph stores, back in PyTorch's layers.

graph, stored = graph_weights(path)     # stored["c12"]: np.ndarray
as_bias(norm, bias)                     # a batch norm that an export has folded away: x + bias
"""

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import nn

from edge_runtime.errors import EarmarkError

if TYPE_CHECKING:
    import onnx

__all__ = ["as_bias", "graph_weights"]


def graph_weights(path: Path) -> tuple["onnx.GraphProto", dict[str, np.ndarray]]:
    """The graph, and its initialisers by name. EarmarkError: onnx is not installed."""
    try:
        import onnx
        from onnx import numpy_helper
    except ImportError as error:
        raise EarmarkError("a bundle's graphs are read with onnx: run `make setup`, or pip install onnx") from error
    graph = onnx.load(path).graph
    return graph, {tensor.name: numpy_helper.to_array(tensor) for tensor in graph.initializer}


@torch.no_grad()
def as_bias(norm: nn.BatchNorm1d | nn.BatchNorm2d, bias: np.ndarray) -> None:
    """Folded again, its scale is within 1e-8 of 1: too near for an fp32 weight to change."""
    norm.running_mean.zero_()  # type: ignore[operator, union-attr]
    norm.running_var.fill_(1 - norm.eps)  # type: ignore[operator, union-attr]
    norm.weight.fill_(1.0)
    norm.bias.copy_(torch.from_numpy(np.array(bias)))
