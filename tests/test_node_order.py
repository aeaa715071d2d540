"""A cached graph has its heaviest weights first, and is the same graph."""

import itertools
from pathlib import Path

import numpy as np
import pytest

onnx = pytest.importorskip("onnx", reason="needs the export extra")

from onnx import TensorProto, helper, numpy_helper  # noqa: E402

from edge_runtime import graph_cache  # noqa: E402
from edge_runtime.graph import OnnxGraph  # noqa: E402
from edge_runtime.graph_cache import optimise  # noqa: E402
from edge_runtime.node_order import heaviest_first  # noqa: E402

WIDTHS = (8, 16, 400, 30)
"""Of a chain of matrices: the second and the third are the heavy ones, 25.6 and 48 KB."""
IO = {"inputs": {"x": (1, 8)}, "outputs": {"y": (1, 30)}}


@pytest.fixture
def source(tmp_path: Path) -> Path:
    rng = np.random.default_rng(0)
    shapes = list(itertools.pairwise(WIDTHS))
    names = ["x", *(f"h{i}" for i in range(1, len(shapes))), "y"]
    nodes, weights = [], []
    for i, shape in enumerate(shapes):
        weights.append(numpy_helper.from_array(rng.normal(size=shape).astype(np.float32), f"w{i}"))
        nodes.append(helper.make_node("MatMul", [names[i], f"w{i}"], [names[i + 1] + "_"]))
        nodes.append(helper.make_node("Tanh", [names[i + 1] + "_"], [names[i + 1]]))
    x, y = (helper.make_tensor_value_info(n, TensorProto.FLOAT, [1, s]) for n, s in (("x", 8), ("y", 30)))
    graph = helper.make_graph(nodes, "chain", [x], [y], weights)
    path = tmp_path / "chain.onnx"
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10), path)
    return path


def answer(path: Path, **options: bool) -> np.ndarray:
    return OnnxGraph(path, **IO, **options)(x=np.linspace(-1, 1, 8, dtype=np.float32)[None])


def optimised(source: Path, target: Path) -> Path:
    target.mkdir()
    optimise(source, target)
    return target / "graph.onnx"


def weight_names(path: Path) -> list[str]:
    """The weights in the order in which onnxruntime packs them."""
    graph = onnx.load(path, load_external_data=False).graph
    weights = {each.name for each in graph.initializer}
    return [name for node in graph.node for name in node.input if name in weights]


def test_the_heaviest_weight_comes_first_and_the_answer_is_the_same(source, tmp_path):
    path = optimised(source, tmp_path / "made")
    assert weight_names(path) == ["w2", "w1", "w0"]
    assert np.array_equal(answer(source), answer(path, optimised=True))


def test_nothing_but_the_order_of_the_nodes_changes(source, tmp_path, monkeypatch):
    monkeypatch.setattr(graph_cache, "heaviest_first", lambda model: model)
    written = optimised(source, tmp_path / "made").read_bytes()
    before, after = (onnx.ModelProto.FromString(each) for each in (written, heaviest_first(written)))
    assert [node.op_type for node in before.graph.node] != [node.op_type for node in after.graph.node]
    for model in (before, after):
        nodes = sorted(model.graph.node, key=lambda node: node.output[0])
        del model.graph.node[:]
        model.graph.node.extend(nodes)
    assert before == after
    assert heaviest_first(heaviest_first(written)) == heaviest_first(written)


def test_weights_inside_the_file_do_not_count(source):
    nodes = [
        [node.output[0] for node in onnx.ModelProto.FromString(each).graph.node]
        for each in (source.read_bytes(), heaviest_first(source.read_bytes()))
    ]
    assert nodes[0] == nodes[1]


def test_an_order_that_onnxruntime_refuses_is_not_kept(source, tmp_path, monkeypatch):
    monkeypatch.setattr(graph_cache, "heaviest_first", lambda model: model[: len(model) // 2])
    path = optimised(source, tmp_path / "made")
    assert weight_names(path) == ["w0", "w1", "w2"]
    assert np.array_equal(answer(source), answer(path, optimised=True))


@pytest.mark.parametrize(
    ("data", "told"), [(b"\x0b", "no ONNX model"), (b"\x0a\x05ab", "cut off"), (b"\xff" * 12, "ends nowhere")]
)
def test_bytes_that_are_no_model_are_refused(data, told):
    with pytest.raises(ValueError, match=told):
        heaviest_first(data)
