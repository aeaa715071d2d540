"""Whether this processor multiplies bytes exactly: x86 without VNNI adds two products in 16 bits, which overflow.

onnxruntime's kernels for unsigned by signed bytes then clip a sum, and an int8 graph says something else than its
rounding in the loop: no fault of the graph, which such a processor should not run (`earmark tune` leaves it out).
"""

from functools import cache

import numpy as np
import onnxruntime
from onnx import TensorProto, helper, numpy_helper

__all__ = ["adds_in_16_bits"]

DEPTH = 64


@cache
def adds_in_16_bits() -> bool:
    """The largest bytes there are, multiplied as the graphs do it: is their sum too small?"""
    weights = numpy_helper.from_array(np.full((DEPTH, DEPTH), 127, np.int8), "weights")
    graph = helper.make_graph(
        [helper.make_node("MatMulInteger", ["x", "weights"], ["y"])],
        "bytes",
        [helper.make_tensor_value_info("x", TensorProto.UINT8, (1, DEPTH))],
        [helper.make_tensor_value_info("y", TensorProto.INT32, (1, DEPTH))],
        [weights],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)])
    model.ir_version = 9
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    (found,) = session.run(None, {"x": np.full((1, DEPTH), 255, np.uint8)})
    return bool((found < 255 * 127 * DEPTH).any())
