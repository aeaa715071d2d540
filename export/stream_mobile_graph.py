"""A streaming MobileNet -> one ONNX graph for whole clips and for every mode of a stream, in fp32 or partly in int8.

    states = stream_mobile_graph(net, path)             # net: training/stream_mn.py
    states = stream_mobile_graph(fake.net, path, rounding=fake.rounding())      # fake: export/mobile_int8.py

The same contract as export/stream_graph.py: inputs log_mel, right and the states, outputs segments and each state's
`_next`. Batch norms are folded into the convolutions before them. What a layer hears is Concat(carried columns, new
columns, right edge), so a stream multiplies and adds what the whole clip does, in the same order. States are fp32
always: a layer that multiplies bytes rounds what it is given, number by number, so it rounds the same in every mode.

A weight that is only kept in int8 is Cast and Mul of a constant, which onnxruntime and OpenVINO work out when they load
the graph: it then costs what an fp32 weight does.
"""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch
from onnx import TensorProto
from torch import nn

from edge_runtime.manifest import StateSpec
from export.graph_writer import TO_THE_END, GraphWriter
from export.mobile_int8 import ByteRange, Rounding
from training.mn import InvertedResidual
from training.stream_mn import COUNTERS, ConvPlan, StreamingMobileNet, depthwise_at, excitation_of

__all__ = ["RIGHT_COLUMNS", "stream_mobile_graph"]

RIGHT_COLUMNS = 1
"""Columns of `right` at a recording's end; a convolution that looks two ahead takes them twice."""


@torch.no_grad()
def stream_mobile_graph(
    net: StreamingMobileNet, path: Path, *, rounding: Mapping[nn.Module, Rounding] | None = None
) -> list[StateSpec]:
    """Write the graph; return its states in the order of its inputs. `rounding`: of the layers that have one."""
    return _MobileWriter(net, rounding or {}).write(path)


class _MobileWriter:
    """The graph under construction; `states` are taken in the network's own order."""

    def __init__(self, net: StreamingMobileNet, rounding: Mapping[nn.Module, Rounding]) -> None:
        self._net, self._rounding = net, rounding
        self._graph = GraphWriter()
        self._states = [
            StateSpec(name, channels, bands, "float32", [edge, carry])
            for name, channels, bands, edge, carry in net.state_specs()
        ]
        self._next = 0
        self._axis, self._end = (self._graph.constant([n], np.int64) for n in (3, TO_THE_END))

    def write(self, path: Path) -> list[StateSpec]:
        net, graph = self._net, self._graph
        graph.takes("log_mel", "float32", [1, net.config.bands, "frames"])
        graph.takes("right", "float32", [1, 1, 1, "right"])
        graph.gives("segments", "float32", ["count", net.config.segment_dim])
        layers = list(net.net.features)
        x = graph.node("Unsqueeze", "log_mel", graph.constant([1], np.int64))  # (1, 1, M, T)
        x = self._convolved(self._joined(x, net.plans[0]), layers[0])
        bands = net.config.bands // net.plans[0].stride
        for block, plan in zip(net.blocks(), net.plans[1:], strict=True):
            bands = -(-bands // plan.stride)
            x = self._block(x, block, plan, bands)
        x = self._convolved(x, layers[-1])
        x = self._over_bands(x, bands)
        x = graph.node("Squeeze", x, graph.constant([0, 2], np.int64))  # (D, S)
        graph.node("Transpose", x, out="segments", perm=[1, 0])
        graph.save(path)
        return self._states

    def _block(self, x: str, block: InvertedResidual, plan: ConvPlan, bands: int) -> str:
        graph = self._graph
        x = entered = self._joined(x, plan)
        for layer in block.block[: depthwise_at(block) + 1]:
            x = self._convolved(x, layer)
        excitation = excitation_of(block)
        if excitation is not None:
            squeeze = excitation.conc_se_layers[0]
            y = graph.node("Relu", self._pointwise(self._remembered(x, bands), squeeze.fc1))
            y = graph.node("Sigmoid", self._pointwise(y, squeeze.fc2))
            x = graph.node("Mul", x, self._spread(y, bands))
        x = self._convolved(x, block.block[-1])
        if not block.residual:
            return x
        start, end = (graph.constant([n], np.int64) for n in (plan.left, -plan.right or TO_THE_END))
        return graph.node("Add", x, graph.node("Slice", entered, start, end, self._axis))

    def _joined(self, x: str, plan: ConvPlan) -> str:
        """The carried columns, those of x, and the zeros after a recording's end; a state that follows an end is of no
        use, so it may hold some of them."""
        if not plan.right:
            return self._after_state(x)[0]
        shape = self._graph.constant(
            [1, self._states[self._next].channels, self._states[self._next].bands, 1], np.int64
        )
        edge = self._graph.node("Expand", "right", shape)
        return self._after_state(x, *[edge] * (plan.right // RIGHT_COLUMNS))[0]

    def _after_state(self, *x: str) -> tuple[str, StateSpec]:
        """The next state's columns and then those of x; the newest are carried on, as an output."""
        graph, state = self._graph, self._states[self._next]
        self._next += 1
        edge, carry = state.columns
        graph.takes(state.name, "float32", [1, state.channels, state.bands, carry if edge == carry else "left"])
        graph.gives(f"{state.name}_next", "float32", [1, state.channels, state.bands, carry])
        joined = graph.node("Concat", state.name, *x, axis=3)
        graph.node("Slice", joined, graph.constant([-carry], np.int64), self._end, self._axis, out=f"{state.name}_next")
        return joined, state

    def _remembered(self, x: str, bands: int) -> str:
        """(1, C, F, T) -> (1, C, 1, T): the mean over frequency and over the columns that the excitation remembers.

        Channels of ones count the columns that there are: at a recording's beginning the memory is not full."""
        graph = self._graph
        ends = graph.constant([0, 0, 0, 0, 0, COUNTERS, 0, 0], np.int64)
        means = graph.node("Pad", self._over_bands(x, bands), ends, graph.constant(1.0), mode="constant")
        joined, state = self._after_state(means)  # (1, C + COUNTERS, 1, T)
        averages = graph.node("AveragePool", joined, kernel_shape=[1, state.columns[1] + 1], strides=[1, 1])
        parts = graph.constant([state.channels - COUNTERS, 1, COUNTERS - 1], np.int64)
        averages, present, _ = graph.nodes("Split", 3, averages, parts, axis=1)
        return graph.node("Div", averages, present)

    def _spread(self, x: str, bands: int) -> str:
        """(1, C, 1, T) -> (1, C, F, T), the same in every band: a product of equal shapes is several times as fast as
        one that repeats a column or two for each band."""
        factors = self._graph.constant([1.0, 1.0, float(bands), 1.0])
        copied = {"mode": "nearest", "coordinate_transformation_mode": "asymmetric", "nearest_mode": "floor"}
        return self._graph.node("Resize", x, "", factors, **copied)

    def _over_bands(self, x: str, bands: int) -> str:
        """(1, C, F, T) -> (1, C, 1, T), the mean. A pool, where a reduction would leave the convolutions' layout."""
        return self._graph.node("AveragePool", x, kernel_shape=[bands, 1], strides=[1, 1])

    def _convolved(self, x: str, layer: nn.Sequential) -> str:
        """Convolution and batch norm as one, and the activation; time is padded from outside, frequency here."""
        graph, conv, norm = self._graph, layer[0], layer[1]
        scale = norm.weight.double() / (norm.running_var.double() + norm.eps).sqrt()
        bias = (norm.bias.double() - norm.running_mean.double() * scale).float().numpy()
        side, activation = conv.kernel_size[0] // 2, _activation_of(layer)
        attributes = {
            "kernel_shape": list(conv.kernel_size),
            "strides": list(conv.stride),
            "pads": [side, 0, side, 0],
            "group": conv.groups,
        }
        rounding = self._rounding.get(conv)
        if rounding is None or rounding.entering is None or rounding.leaving is None:
            x = graph.node("Conv", x, self._weight(conv, scale.numpy()), graph.constant(bias), **attributes)
            return graph.node(activation, x) if activation else x
        levels = rounding.weight * np.sign(scale.numpy()).astype(np.int8)[:, None, None, None]
        steps = (rounding.steps * np.abs(scale.numpy())).astype(np.float32)
        weight = graph.int8_weight(levels, steps, bias, rounding.entering.step)
        x = graph.node("Conv", self._in_bytes(x, rounding.entering), *weight, **attributes)
        if activation == "Relu":  # before the rounding: onnxruntime makes all of it one QLinearConv
            return self._in_bytes(graph.node(activation, x), rounding.leaving)
        x = self._in_bytes(x, rounding.leaving)
        return graph.node(activation, x) if activation else x

    def _in_bytes(self, x: str, found: ByteRange) -> str:
        graph = self._graph
        return graph.dequantised(graph.quantised(x, found.step, zero=found.zero), found.step, zero=found.zero)

    def _pointwise(self, x: str, linear: nn.Linear) -> str:
        weight = self._weight(linear, np.ones(len(linear.bias)))
        return self._graph.node("Conv", x, weight, self._graph.constant(linear.bias.numpy()), kernel_shape=[1, 1])

    def _weight(self, layer: nn.Conv2d | nn.Linear, scale: np.ndarray) -> str:
        """(O, C, F, T), multiplied by `scale (O,)`; kept in int8 where the layer has a rounding."""
        graph, rounding = self._graph, self._rounding.get(layer)
        scale = scale.reshape(-1, 1, 1, 1)
        if rounding is None:
            weight = layer.weight.double().numpy()
            return graph.constant(weight.reshape(*weight.shape[:2], *weight.shape[2:] or (1, 1)) * scale)
        levels = graph.constant(
            rounding.weight.reshape(*rounding.weight.shape[:2], *layer.weight.shape[2:] or (1, 1)), np.int8
        )
        return graph.node(
            "Mul",
            graph.node("Cast", levels, to=TensorProto.FLOAT),
            graph.constant(rounding.steps.reshape(-1, 1, 1, 1) * scale),
        )


def _activation_of(layer: nn.Sequential) -> str:
    """Its name in ONNX; none after a projection."""
    if len(layer) < 3:
        return ""
    if isinstance(layer[2], nn.ReLU):
        return "Relu"
    if isinstance(layer[2], nn.Hardswish):
        return "HardSwish"
    raise TypeError(f"this graph knows ReLU and hard swish, not {type(layer[2]).__name__}")
