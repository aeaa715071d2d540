"""Layers -> one streaming ONNX graph, time last, in fp32, int8 or a mixture.

    states = stream_graph(layers, path)                       # fp32
    states = stream_graph(layers, path, steps={"conv4_1": …})   # the named layers in int8

Each convolution's input is Concat(carried columns, new columns, right edge); the last columns of that are carried on.
In an int8 layer the join is in uint8, between QuantizeLinear and DequantizeLinear: what is carried are the very
numbers that the layer multiplies, so a stream equals the whole clip bit for bit, and onnxruntime fuses what lies
between two joins to QLinearConv and QLinearAveragePool. All zero points of activations are 0 (ReLU), so the edges of
a recording are zeros in both types.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from onnx import TensorProto

from edge_runtime.manifest import StateSpec
from export.graph_writer import TO_THE_END, GraphWriter
from export.network import Layer, Steps

__all__ = ["stream_graph"]


def stream_graph(layers: Sequence[Layer], path: Path, *, steps: Mapping[str, Steps] | None = None) -> list[StateSpec]:
    """Write the graph; return its states in the order of its inputs.

    Inputs log_mel (1, M, T), right (1, 1, 1, 0 or p) float32 and each state (1, C, F, p or 2p); outputs segments
    (S, D) and each state's `_next` (1, C, F, 2p). training/panns.py says which lengths make which mode.
    """
    steps = steps or {}
    if layers[0].name in steps:
        raise ValueError(f"{layers[0].name} hears decibels below 0 and stays fp32: its input has no ReLU before it")
    graph = GraphWriter()
    states = [
        StateSpec(layer.name, layer.channels, layer.bands, "uint8" if layer.name in steps else "float32")
        for layer in layers
    ]
    pad = layers[0].pad
    graph.takes("log_mel", "float32", [1, layers[0].bands, "frames"])
    graph.takes("right", "float32", [1, 1, 1, "right"])
    graph.gives("segments", "float32", ["count", len(layers[-1].bias)])
    edges = {"float32": "right"}
    if steps:
        edges["uint8"] = graph.node("Cast", "right", to=TensorProto.UINT8)
    axis, start, end = (graph.constant([n], np.int64) for n in (3, -2 * pad, TO_THE_END))
    x = graph.node("Unsqueeze", "log_mel", graph.constant([1], np.int64))  # (1, 1, M, T)
    for layer, state in zip(layers, states, strict=True):
        step = steps.get(layer.name)
        if step:
            x = graph.quantised(x, step.input_step)
        graph.takes(layer.name, state.dtype, [1, layer.channels, layer.bands, "left"])
        shape = graph.constant([1, layer.channels, layer.bands, 1], np.int64)
        right = graph.node("Expand", edges[state.dtype], shape)
        x = graph.node("Concat", layer.name, x, right, axis=3)
        graph.gives(f"{layer.name}_next", state.dtype, [1, layer.channels, layer.bands, 2 * pad])
        graph.node("Slice", x, start, end, axis, out=f"{layer.name}_next")
        if step:
            weight, bias = graph.int8_weight(step.weight, step.weight_steps, step.bias, step.input_step)
            x = graph.dequantised(x, step.input_step)
        else:
            weight, bias = graph.constant(layer.weight), graph.constant(layer.bias)
        sides = [pad, 0, pad, 0]  # frequency only: time is padded from outside
        x = graph.node("Conv", x, weight, bias, pads=sides, kernel_shape=list(layer.weight.shape[2:]))
        x = graph.node("Relu", x)
        if step:
            x = graph.dequantised(graph.quantised(x, step.output_step), step.output_step)
        if layer.pool > 1:
            x = graph.node("AveragePool", x, kernel_shape=[layer.pool] * 2, strides=[layer.pool] * 2)
    x = graph.node("ReduceMean", x, graph.constant([2], np.int64), keepdims=0)  # (1, D, S)
    x = graph.node("Squeeze", x, graph.constant([0], np.int64))  # (D, S)
    if layers[-1].gain is not None:
        x = graph.node("Mul", x, graph.constant(layers[-1].gain[:, None]))
    graph.node("Transpose", x, out="segments", perm=[1, 0])
    graph.save(path)
    return states
