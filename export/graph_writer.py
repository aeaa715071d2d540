"""An ONNX graph written node by node: for graphs whose order of sums must be known exactly, and be the same each time.

graph = GraphWriter()
graph.takes("log_mel", "float32", [1, 64, "frames"])
x = graph.node("Relu", "log_mel")
graph.node("Identity", x, out="segments")
graph.gives("segments", "float32", [1, 64, "frames"])
graph.save(path)
"""

from pathlib import Path

import numpy as np
import onnx
from onnx import helper, numpy_helper

__all__ = ["TO_THE_END", "GraphWriter"]

OPSET = 20
IR_VERSION = 10
TO_THE_END = 2**31
"""The end of a slice that goes on to the last column."""


class GraphWriter:
    """Collects nodes; names are numbers in order, so the same network gives the same bytes."""

    def __init__(self) -> None:
        self._nodes: list[onnx.NodeProto] = []
        self._constants: list[onnx.TensorProto] = []
        self._inputs: list[onnx.ValueInfoProto] = []
        self._outputs: list[onnx.ValueInfoProto] = []

    def takes(self, name: str, dtype: str, shape: list) -> None:
        self._inputs.append(_value(name, dtype, shape))

    def gives(self, name: str, dtype: str, shape: list) -> None:
        self._outputs.append(_value(name, dtype, shape))

    def constant(self, value: object, dtype: type = np.float32) -> str:
        name = f"c{len(self._constants)}"
        self._constants.append(
            numpy_helper.from_array(np.ascontiguousarray(value, dtype).reshape(np.shape(value)), name)
        )
        return name

    def node(self, op: str, *inputs: str, out: str | None = None, **attributes: object) -> str:
        out = out or f"n{len(self._nodes)}"
        self._nodes.append(helper.make_node(op, inputs, [out], name=f"{op}_{out}", **attributes))
        return out

    def nodes(self, op: str, count: int, *inputs: str, **attributes: object) -> list[str]:
        """A node of several outputs."""
        outs = [f"n{len(self._nodes)}_{i}" for i in range(count)]
        self._nodes.append(helper.make_node(op, inputs, outs, name=f"{op}_{outs[0]}", **attributes))
        return outs

    def quantised(self, x: str, step: float, *, zero: int = 0) -> str:
        return self.node("QuantizeLinear", x, self.constant(step), self.constant(zero, np.uint8))

    def dequantised(self, x: str, step: float, *, zero: int = 0) -> str:
        return self.node("DequantizeLinear", x, self.constant(step), self.constant(zero, np.uint8))

    def int8_weight(self, weight: np.ndarray, steps: np.ndarray, bias: np.ndarray, input_step: float) -> list[str]:
        """int8 weight and int32 bias of what multiplies bytes, dequantised an output channel at a time. `weight` int8
        (O, ...), `steps (O,)`, `bias (O,)` float32."""
        bias_steps = (steps * np.float32(input_step)).astype(np.float32)
        sums = np.rint(bias.astype(np.float64) / bias_steps).astype(np.int32)
        zeros = np.zeros(len(bias))
        return [
            self.node(
                "DequantizeLinear",
                self.constant(value, dtype),
                self.constant(each),
                self.constant(zeros, dtype),
                axis=0,
            )
            for value, each, dtype in ((weight, steps, np.int8), (sums, bias_steps, np.int32))
        ]

    def save(self, path: Path) -> None:
        graph = helper.make_graph(self._nodes, "audio_encoder", self._inputs, self._outputs, self._constants)
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=IR_VERSION)
        onnx.checker.check_model(model)
        onnx.save(model, path)


def _value(name: str, dtype: str, shape: list) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(name, helper.np_dtype_to_tensor_dtype(np.dtype(dtype)), shape)
