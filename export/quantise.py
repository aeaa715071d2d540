"""Static int8 quantisation of ONNX graphs, calibrated on real data.

    quantise(fp32_path, int8_path, samples, ops=("MatMul", "Gemm"))

    quantise_blocks(fp32_path, int4_path)           # weights alone, 4 bits, a scale each 32

QDQ form: uint8 activations whose ranges are those of `samples`, int8 weights with a scale each output channel. Only
products with a weight of at least `min_weights` numbers are quantised: the small ones cost quality and save nothing.
"""

import logging
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np
import onnx
from onnxruntime.quantization import CalibrationDataReader, CalibrationMethod, QuantFormat, QuantType, quantize_static
from onnxruntime.quantization.shape_inference import quant_pre_process

__all__ = ["quantise", "quantise_blocks"]


class Samples(CalibrationDataReader):
    """onnxruntime asks for one feed after another, and None at the end."""

    def __init__(self, feeds: Iterable[dict[str, np.ndarray]]) -> None:
        self._feeds: Iterator[dict[str, np.ndarray]] = iter(feeds)

    def get_next(self) -> dict[str, np.ndarray] | None:
        return next(self._feeds, None)


def quantise(
    source: Path, target: Path, samples: Iterable[dict[str, np.ndarray]], *, ops: Sequence[str], min_weights: int = 0
) -> None:
    """Write an int8 form of `source` to `target`."""
    with tempfile.TemporaryDirectory() as folder:
        prepared = Path(folder) / "prepared.onnx"
        quant_pre_process(source, prepared, skip_symbolic_shape=True)
        nodes = [node.name for node in heavy_nodes(onnx.load(prepared), ops, min_weights)]
        if not nodes:
            raise ValueError(f"{source.name} has no {' or '.join(ops)} with a weight of {min_weights} numbers or more")
        quantize_static(
            prepared,
            target,
            Samples(samples),
            quant_format=QuantFormat.QDQ,
            op_types_to_quantize=list(ops),
            nodes_to_quantize=nodes,
            per_channel=True,
            reduce_range=True,
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
            calibrate_method=CalibrationMethod.MinMax,
        )


def quantise_blocks(source: Path, target: Path, *, min_weights: int = 0, block: int = 32) -> None:
    """Write `source` with the weights of its heavy MatMuls in 4 bits (MatMulNBits): an eighth of the bytes, fp32 sums.

    About 20 dB on a wide head, where int8 has 37: for boards where memory is what is short.
    """
    level = logging.getLogger().level
    from onnxruntime.quantization.matmul_nbits_quantizer import MatMulNBitsQuantizer

    logging.getLogger().setLevel(level)  # its import turns everybody's progress messages on
    model = onnx.load(source)
    for i, node in enumerate(model.graph.node):
        node.name = node.name or f"node{i}"
    heavy = {node.name for node in heavy_nodes(model, ("MatMul",), min_weights)}
    light = [node.name for node in model.graph.node if node.op_type == "MatMul" and node.name not in heavy]
    quantiser = MatMulNBitsQuantizer(model, bits=4, block_size=block, is_symmetric=False, nodes_to_exclude=light)
    quantiser.process()
    onnx.save(quantiser.model.model, target)


def heavy_nodes(model: onnx.ModelProto, ops: Sequence[str], min_weights: int) -> list[onnx.NodeProto]:
    """Nodes of those kinds that multiply with a stored weight of at least so many numbers."""
    sizes = {tensor.name: int(np.prod(tensor.dims)) for tensor in model.graph.initializer}
    return [
        node
        for node in model.graph.node
        if node.op_type in ops and max((sizes.get(name, 0) for name in node.input), default=0) >= max(1, min_weights)
    ]
