"""What is laid open of a quantised graph before two machines run it: its int8 activations, and the size of their steps.

probe(folder / "audio_head.onnx", probes)           # a copy that gives the int8 activations too
probe_rest(folder / "audio_encoder.onnx", probes)   # the part of it that is int8 throughout, in the same way
int8_step(folder / "audio_encoder.onnx", "segments")        # (D,)
"""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from benchmarks.arm64.answers import rest_of

if TYPE_CHECKING:
    import onnx

__all__ = ["int8_step", "probe", "probe_rest"]


def probe(graph: Path, folder: Path) -> bool:
    """Write a copy of a graph into `folder` that gives its int8 activations too; False where it has none."""
    import onnx

    model = onnx.load(graph)
    if not _quantisers(model):
        return False
    _show(model)
    onnx.save(model, folder / graph.name)
    return True


def probe_rest(graph: Path, folder: Path) -> bool:
    """Write the part of a streaming encoder behind its first int8 activation, which is int8 throughout, in the same
    way: what x86 feeds it there it must answer to the last bit. False where the graph has none."""
    import onnx

    model = onnx.load(graph)
    quantisers = _quantisers(model)
    if not quantisers:
        return False
    first, parts = quantisers[0], model.graph
    parts.input.append(onnx.helper.make_tensor_value_info(first.output[0], _kind(model, first), None))
    parts.node.remove(first)
    _keep(parts.output, [node for node in parts.output if "log_mel" not in _sources(model, [node.name])])
    needed = _sources(model, [node.name for node in parts.output])
    _keep(parts.node, [node for node in parts.node if needed.issuperset(node.output)])
    _keep(parts.input, [node for node in parts.input if node.name in needed])
    _show(model)
    onnx.save(model, folder / rest_of(graph.name))
    return True


def int8_step(graph: Path, output: str) -> np.ndarray | None:
    """For each number (D,) of an output, or for all of them (1,), the largest scale among the quantised tensors from
    which it is computed without another in between, with the constants that it is multiplied by on the way; None where
    nothing on the way is quantised."""
    import onnx

    model = onnx.load(graph)
    constants, makers = _constants(model), _makers(model)
    steps: list[np.ndarray] = []
    seen: set[str] = set()
    queue = [(output, np.ones(1))]
    while queue:
        name, gain = queue.pop()
        if name in seen or name not in makers:
            continue
        seen.add(name)
        node = makers[name]
        if node.op_type == "QuantizeLinear" and node.input[0] not in constants:
            steps.append(gain * onnx.numpy_helper.to_array(constants[node.input[1]]).max())
            continue
        if node.op_type == "Mul":
            for factor in (constants[each] for each in node.input if each in constants):
                gain = gain * np.abs(onnx.numpy_helper.to_array(factor)).ravel()
        queue += [(each, gain) for each in node.input]
    return np.max(np.broadcast_arrays(*steps), axis=0) if steps else None


def _show(model: "onnx.ModelProto") -> None:
    """Make the int8 activations outputs of the graph."""
    import onnx

    for node in _quantisers(model):
        model.graph.output.append(onnx.helper.make_tensor_value_info(node.output[0], _kind(model, node), None))


def _quantisers(model: "onnx.ModelProto") -> list["onnx.NodeProto"]:
    """The nodes that give int8 activations, in the graph's order."""
    constants = _constants(model)
    return [node for node in model.graph.node if node.op_type == "QuantizeLinear" and node.input[0] not in constants]


def _kind(model: "onnx.ModelProto", quantiser: "onnx.NodeProto") -> int:
    """The type of what a QuantizeLinear gives: that of its zero point, by default uint8."""
    import onnx

    return _constants(model)[quantiser.input[2]].data_type if len(quantiser.input) > 2 else onnx.TensorProto.UINT8


def _sources(model: "onnx.ModelProto", outputs: list[str]) -> set[str]:
    """The names of all tensors from which these are computed, and their own."""
    makers, queue, seen = _makers(model), list(outputs), set()
    while queue:
        name = queue.pop()
        if name not in seen:
            seen.add(name)
            queue += makers[name].input if name in makers else []
    return seen


def _keep(field: Any, kept: list) -> None:
    """Leave only these in a list of the graph."""
    del field[:]
    field.extend(kept)


def _constants(model: "onnx.ModelProto") -> dict[str, "onnx.TensorProto"]:
    return {constant.name: constant for constant in model.graph.initializer}


def _makers(model: "onnx.ModelProto") -> dict[str, "onnx.NodeProto"]:
    return {name: node for node in model.graph.node for name in node.output}
