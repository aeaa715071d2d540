"""mn04 in int8: the graph says what the trained rounding says, streams bit for bit, and is as small as it should be."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

torch = pytest.importorskip("torch", reason="needs the train extra")
onnx = pytest.importorskip("onnx", reason="needs the export extra")

import onnxruntime  # noqa: E402
from test_stream_mn import CONFIG, SMALL, fitted, frames_of  # noqa: E402

from benchmarks.eight_bit import adds_in_16_bits  # noqa: E402
from edge_runtime.bundle import Bundle  # noqa: E402
from edge_runtime.graph import OnnxGraph  # noqa: E402
from edge_runtime.manifest import EncoderSpec, Graph, StreamSpec  # noqa: E402
from edge_runtime.streaming import StreamingEncoder, streaming_graph_io, whole_clip  # noqa: E402
from export.calibration import snr_db  # noqa: E402
from export.fake_quantise import Tuning, taught  # noqa: E402
from export.mobile_int8 import FP32_SHARE, Bytes, FakeMobile, int8_layers, layers_of, mobile_sensitivity  # noqa: E402
from export.profiles import RECIPES  # noqa: E402
from export.stream_encoder import MobileEncoder  # noqa: E402
from export.stream_mobile_graph import RIGHT_COLUMNS, stream_mobile_graph  # noqa: E402
from export.streaming_bundle import StreamingParts, export_streaming  # noqa: E402
from training.stream_mn import StreamingMobileNetConfig  # noqa: E402

pytestmark = pytest.mark.usefixtures("one_torch_thread")

HOPS = [1, 2, 4]
INT8 = ("packed", "small")


def clips_of(*seeds: int) -> list[np.ndarray]:
    return [frames_of(320, seed).T.copy()[None] for seed in seeds]


@pytest.fixture(scope="module")
def net():
    return fitted()


@pytest.fixture(scope="module")
def rows(net):
    return mobile_sensitivity(net, clips_of(1, 2))


@pytest.fixture(scope="module", params=INT8)
def fake(request, net, rows) -> FakeMobile:
    made = FakeMobile(net, **int8_layers(net, RECIPES[request.param], rows))
    made.calibrate(clips_of(1, 2, 3))
    return made


@pytest.fixture(scope="module")
def opened(fake, tmp_path_factory):
    path = tmp_path_factory.mktemp("int8") / "encoder.onnx"
    states = stream_mobile_graph(fake.net, path, rounding=fake.rounding())
    stream = StreamSpec(CONFIG.prime_frames, RIGHT_COLUMNS, HOPS)
    frames = CONFIG.hop_frames
    spec = EncoderSpec(Graph(path.name, "int8", ""), "streaming", CONFIG.segment_dim, frames, frames, stream)
    return OnnxGraph(path, **streaming_graph_io(spec, states, bands=CONFIG.bands)), spec, states


@torch.no_grad()
def heard(net, clip: np.ndarray) -> np.ndarray:
    return net(torch.from_numpy(clip))[0].numpy()


def test_the_graph_says_what_the_rounding_in_the_loop_says(fake, net, opened):
    graph, spec, states = opened
    clip = clips_of(7)[0]
    exact, wanted = heard(FakeMobile(net, weights=[], multiplying=[]), clip), heard(fake, clip)
    found = whole_clip(graph, spec, states, clip[0].T)
    if not fake.entering:  # fp32 sums of the same rounded weights, in another order
        np.testing.assert_allclose(found, wanted, atol=2e-5)
    elif adds_in_16_bits():
        pytest.skip("this processor adds two products of bytes in 16 bits, which overflow: the graph is not for it")
    else:  # what falls to the other side of a rounding spreads, to less than what rounding costs
        assert snr_db(wanted, found) > snr_db(exact, wanted) + 2


@settings(max_examples=20, deadline=None)
@given(
    frames=st.integers(32, 600),
    hop=st.sampled_from(HOPS),
    cuts=st.lists(st.integers(0, 600), max_size=6),
    seed=st.integers(0, 9),
)
def test_an_int8_stream_equals_the_whole_clip_bit_for_bit_for_any_blocks(opened, frames, hop, cuts, seed):
    graph, spec, states = opened
    x = frames_of(frames, seed)
    silence = np.zeros(CONFIG.bands, np.float32)
    stream = StreamingEncoder(graph, spec, states, silence=silence, keep_segments=99, hop=hop)
    for block in np.split(x, sorted(cut for cut in cuts if cut < frames)):
        stream.push(block)
    stream.flush()
    assert np.array_equal(stream.segments(0, stream.available), whole_clip(graph, spec, states, x))


def test_weights_that_are_only_kept_in_int8_are_fp32_once_they_are_loaded(net, rows, tmp_path):
    fake = FakeMobile(net, **int8_layers(net, RECIPES["packed"], rows))
    stream_mobile_graph(fake.net, tmp_path / "packed.onnx", rounding=fake.rounding())
    stream_mobile_graph(net, tmp_path / "fp32.onnx")
    kinds = {}
    for name in ("packed", "fp32"):
        options = onnxruntime.SessionOptions()
        options.log_severity_level = 3
        options.optimized_model_filepath = str(tmp_path / f"{name}.optimised.onnx")
        onnxruntime.InferenceSession(tmp_path / f"{name}.onnx", options, providers=["CPUExecutionProvider"])
        kinds[name] = sorted(node.op_type for node in onnx.load(tmp_path / f"{name}.optimised.onnx").graph.node)
    assert kinds["packed"] == kinds["fp32"]


def test_the_layers_that_cost_most_for_their_weights_stay_fp32(net, rows):
    layers = int8_layers(net, RECIPES["small"], rows)
    kept = [row for row in rows if row.layer not in layers["weights"]]
    total = sum(row.weights for row in rows)
    assert 0 < sum(row.weights for row in kept) <= FP32_SHARE * total

    def noise(some) -> float:
        return sum(10 ** (-row.snr_db / 10) for row in some)

    assert noise(kept) / noise(rows) > 5 * FP32_SHARE
    modules = layers_of(net)
    assert layers["multiplying"] and all(modules[name].kernel_size == (1, 1) for name in layers["multiplying"])
    assert not int8_layers(net, RECIPES["packed"], rows)["multiplying"]
    half = int8_layers(net, RECIPES["balanced"], rows)["multiplying"]
    assert half == layers["multiplying"][-len(half) :] and len(half) < len(layers["multiplying"])


def test_training_with_the_rounding_in_the_loop_brings_it_nearer_to_fp32(net, rows):
    exact = FakeMobile(net, weights=[], multiplying=[])
    fake = FakeMobile(net, **int8_layers(net, RECIPES["small"], rows))
    fake.calibrate(clips_of(1, 2, 3))
    unheard = clips_of(8, 9)
    wanted, before = (np.concatenate([heard(each, clip) for clip in unheard]) for each in (exact, fake))
    taught(fake, net.segments, clips_of(*range(10, 18)), Tuning(steps=60, crop_frames=224))
    after = np.concatenate([heard(fake, clip) for clip in unheard])
    assert snr_db(wanted, after) > snr_db(wanted, before)


def test_a_byte_range_holds_zero_exactly_and_clips_a_rare_loud_value():
    each = Bytes(positive=False)
    torch.manual_seed(0)
    each.seen = [torch.cat((torch.tensor([9.0]), torch.randn(1_000_000).clamp(-2, 2) - 0.5))]
    each.fit()
    found = each.range()
    assert 0 < found.zero < 255 and found.step < 0.8 * (9 + 2.5) / 255
    with torch.no_grad():
        assert each(torch.zeros(3)).tolist() == [0, 0, 0]


def test_every_profile_of_a_mobile_bundle_keeps_its_promise_and_says_what_it_is(tmp_path: Path):
    from streaming_case import random_checkpoint, sounds

    net = fitted(StreamingMobileNetConfig(replace(SMALL, width=0.2)))
    parts = StreamingParts(
        net,
        random_checkpoint(net.config.segment_dim),
        name="random-mobile",
        version="0",
        licence="none",
        notices=[],
        phrases=["a dog barks", "rain", "a loud engine"],
        sounds=sounds(8),
        profiles=("packed", "light", "exact"),
        report=lambda line: None,
    )
    manifest = export_streaming(tmp_path, parts)
    assert manifest.encoder.graph.precision == "int8 weights"
    assert "layers that feel it most" in manifest.encoder.graph.why
    assert (tmp_path / "sensitivity.json").is_file()
    sizes = [(tmp_path / manifest.profiles[name].encoder.file).stat().st_size for name in ("packed", "light")]
    assert sizes[0] < 0.5 * sizes[1]
    assert Bundle.open(tmp_path).profile == "packed"


def test_without_an_int8_profile_no_layer_is_measured(net, tmp_path):
    encoder = MobileEncoder(net)
    encoder.write(RECIPES["light"], clips_of(1), tmp_path / "encoder.onnx")
    assert encoder.sensitivity(clips_of(1)) == []
