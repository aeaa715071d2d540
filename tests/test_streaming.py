"""The streaming encoder: against PyTorch, and against the same graph run over the whole clip, bit for bit."""

import dataclasses
from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

torch = pytest.importorskip("torch", reason="needs the train extra")
onnx = pytest.importorskip("onnx", reason="needs the export extra")

import onnxruntime  # noqa: E402
from streaming_case import NARROW, Case, frames_of, narrow_bundle, random_net, sounds  # noqa: E402

from edge_runtime.bundle import Bundle  # noqa: E402
from edge_runtime.errors import BundleError  # noqa: E402
from edge_runtime.graph import OnnxGraph  # noqa: E402
from edge_runtime.listener import Listener  # noqa: E402
from edge_runtime.manifest import StateSpec  # noqa: E402
from edge_runtime.mel import log_mel  # noqa: E402
from edge_runtime.streaming import StreamingEncoder, streaming_graph_io  # noqa: E402
from training.panns import CNN14  # noqa: E402

pytestmark = pytest.mark.usefixtures("one_torch_thread")

TOLERANCE = 2e-5
"""PyTorch and onnxruntime sum in other orders; segments here are of unit scale."""

CASES = [(network, profile) for network in NARROW for profile in ("exact", "balanced", "small")]


@pytest.fixture(scope="module")
def frames() -> np.ndarray:
    """7 s of frames, (700, 64): enough for every mode at every hop."""
    return frames_of(random_net(NARROW["cnn14"]), sounds(1, seconds=7, seed=8))[0]


@pytest.fixture(scope="module", params=CASES, ids=["-".join(case) for case in CASES])
def case(request, tmp_path_factory) -> Case:
    network, profile = request.param
    return Case.of(random_net(NARROW[network]), profile, tmp_path_factory.mktemp("graph") / "encoder.onnx")


@pytest.fixture(scope="module")
def exact(tmp_path_factory) -> Case:
    return Case.of(random_net(NARROW["cnn14"]), "exact", tmp_path_factory.mktemp("graph") / "encoder.onnx")


def streamed(encoder: StreamingEncoder, frames: np.ndarray, blocks: list[int]) -> np.ndarray:
    """Push blocks of these lengths over and over, then flush: all segments (S, D)."""
    start = 0
    while start < len(frames):
        for block in blocks:
            encoder.push(frames[start : start + block])
            start += block
    encoder.flush()
    return encoder.segments(0, encoder.available) if encoder.available else np.zeros((0, 0), np.float32)


@pytest.mark.parametrize("network", NARROW)
@pytest.mark.parametrize("hop", [1, 2, 4])
def test_stream_equals_pytorch(network, hop, frames, tmp_path):
    net = random_net(NARROW[network])
    case = Case.of(net, "exact", tmp_path / "encoder.onnx")
    for count in (net.config.hop_frames, net.config.prime_frames, 401):
        x = torch.from_numpy(frames[:count].T.copy())[None]
        with torch.no_grad():
            eager = net.encode(x, net.start_state(), net.right_edge())[0][0].numpy()
        found = streamed(case.encoder(hop=hop), frames[:count], [23])
        assert found.shape == eager.shape == (count // net.config.hop_frames, net.config.segment_dim)
        assert np.abs(found - eager).max() < TOLERANCE


@settings(max_examples=25, deadline=None)
@given(
    count=st.integers(32, 700),
    blocks=st.lists(st.integers(0, 200), min_size=1, max_size=4).filter(any),
    hop=st.sampled_from([1, 2, 4]),
)
def test_stream_equals_the_whole_clip_bit_for_bit(case, frames, count, blocks, hop):
    """Any clip of a segment or more, any blocks, the three hops, both edges; fp32, int8 and mixed."""
    found = streamed(case.encoder(hop=hop), frames[:count], blocks)
    assert np.array_equal(found, case.whole(frames[:count]))


def test_every_remainder_of_the_flush_is_exact(case, frames):
    config = case.net.config
    for count in range(config.prime_frames - 1, config.prime_frames + 2 * config.hop_frames + 1):
        assert np.array_equal(streamed(case.encoder(), frames[:count], [64]), case.whole(frames[:count]))


def test_reset_equals_new(case, frames):
    used = case.encoder()
    streamed(used, frames[:333], [50])
    used.reset()
    assert used.available == 0
    assert np.array_equal(streamed(used, frames[100:500], [31]), streamed(case.encoder(), frames[100:500], [31]))


def test_reset_in_the_middle_of_a_recording_leaves_nothing_behind(exact, frames):
    used = exact.encoder()
    used.push(frames[:222])
    used.reset()
    assert np.array_equal(streamed(used, frames[:200], [9]), exact.whole(frames[:200]))


def test_two_recordings_do_not_share_state(exact, frames):
    a, b = exact.encoder(), exact.encoder()
    for start in range(0, 320, 40):
        a.push(frames[start : start + 40])
        b.push(frames[300 - start : 340 - start])
    a.flush()
    assert np.array_equal(a.segments(0, 10), exact.whole(frames[:320]))


def test_provisional_is_the_clip_cut_here_and_changes_nothing(case, frames):
    encoder = case.encoder()
    for end in range(0, 420, 35):
        encoder.push(frames[max(0, end - 35) : end])
        hop = case.net.config.hop_frames
        if end >= hop:
            known = [encoder.segments(0, encoder.available)] if encoder.available else []
            now = np.concatenate([*known, encoder.provisional()])
            assert np.array_equal(now, case.whole(frames[:end]))
    encoder.flush()
    assert np.array_equal(encoder.segments(0, encoder.available), case.whole(frames[:385]))
    assert len(encoder.provisional()) == 0


def test_a_recording_shorter_than_a_segment_is_padded_with_silence_to_one(case, frames):
    short = frames[: case.net.config.hop_frames - 5]
    encoder = case.encoder()
    encoder.push(short)
    encoder.flush()
    padded = np.concatenate((short, np.full((5, 64), -3, np.float32)))
    assert np.array_equal(encoder.segments(0, 1), case.whole(padded))
    assert encoder.available == 1


def test_nothing_in_nothing_out(exact):
    encoder = exact.encoder()
    encoder.push(np.zeros((0, 64), np.float32))
    assert len(encoder.provisional()) == 0
    encoder.flush()
    assert encoder.available == 0


def test_a_segment_waits_for_its_look_ahead_and_no_longer(exact, frames):
    """Segment s is complete with frame 32 s + 157."""
    encoder = exact.encoder()
    for count in range(1, 400):
        encoder.push(frames[count - 1 : count])
        assert encoder.available == max(0, (count - 126) // 32)


def test_only_the_newest_segments_are_kept(exact, frames):
    encoder = exact.encoder(keep_segments=5)
    for start in range(0, 640, 32):
        encoder.push(frames[start : start + 32])
    last = encoder.available
    assert np.array_equal(encoder.segments(last - 5, last), exact.whole(frames)[last - 5 : last])
    with pytest.raises(ValueError, match="asked for"):
        encoder.segments(0, 2)


def test_frames_after_the_end_are_refused(exact, frames):
    encoder = exact.encoder()
    encoder.push(frames[:100])
    encoder.flush()
    with pytest.raises(ValueError, match="reset"):
        encoder.push(frames[:1])


@pytest.mark.parametrize("hop", [0, 3, 5, -1])
def test_a_hop_that_the_encoder_cannot_take_is_refused(exact, hop):
    with pytest.raises(BundleError, match=rf"cannot take a hop of {hop} segments.*\[1, 2, 4\]"):
        exact.encoder(hop=hop)


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        ({"name": "conv9_9"}, "conv9_9"),
        ({"channels": 7}, "7"),
        ({"bands": 3}, "3"),
        ({"dtype": "uint8"}, "uint8"),
    ],
)
def test_states_other_than_the_manifest_says_are_refused(exact, changed, told, tmp_path):
    Case.of(exact.net, "exact", tmp_path / "encoder.onnx")
    states = [dataclasses.replace(exact.states[0], **changed), *exact.states[1:]]
    with pytest.raises(BundleError, match=told):
        OnnxGraph(tmp_path / "encoder.onnx", **streaming_graph_io(exact.spec, states, bands=64))


def test_a_state_of_unknown_type_is_refused():
    with pytest.raises(BundleError, match="float16"):
        StateSpec("conv1_1", 1, 64, "float16")


def test_onnxruntime_fuses_int8_layers_whole(tmp_path):
    """Nothing between two joins is left in floats: else int8 would be slower than fp32."""
    Case.of(random_net(NARROW["cnn14"]), "small", tmp_path / "encoder.onnx")
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    options.optimized_model_filepath = str(tmp_path / "optimised.onnx")
    onnxruntime.InferenceSession(tmp_path / "encoder.onnx", options, providers=["CPUExecutionProvider"])
    found = Counter(node.op_type for node in onnx.load(tmp_path / "optimised.onnx").graph.node)
    assert (found["QLinearConv"], found["QLinearAveragePool"], found["Conv"]) == (11, 5, 1)
    assert (found["QuantizeLinear"], found["DequantizeLinear"]) == (1, 1)


def test_int8_carries_bytes(tmp_path):
    states = Case.of(random_net(NARROW["cnn14"]), "small", tmp_path / "encoder.onnx").states
    assert [state.dtype for state in states] == ["float32"] + 11 * ["uint8"]


@pytest.mark.parametrize("block", [999, 32_000, 10**6])
def test_a_listener_gives_the_windows_of_the_whole_recording(block):
    bundle = Bundle(narrow_bundle(), profile="small")
    sound = sounds(1, seconds=17, seed=5)[0]
    segments = bundle.whole_clip(log_mel(bundle.manifest.mel, bundle.tables, sound))
    listener = Listener(bundle)
    windows = [w for i in range(0, len(sound), block) for w in listener.push(sound[i : i + block])]
    windows += listener.flush()
    width, last = bundle.manifest.window.segments, len(segments) - bundle.manifest.window.segments
    assert [w.index for w in windows] == [*range(0, last + 1, 4)] + [last] * (last % 4 > 0)
    for window in windows:
        assert np.array_equal(window.embedding, bundle.embed_segments(segments[window.index : window.index + width]))


def test_a_provisional_window_reaches_the_newest_frame():
    bundle = Bundle(narrow_bundle(), profile="exact")
    sound = sounds(1, seconds=13, seed=6)[0]
    listener = Listener(bundle)
    assert listener.provisional() is None
    list(listener.push(sound))
    window = listener.provisional()
    assert window is not None
    assert not window.settled
    heard = bundle.log_mel().push(sound)
    segments = bundle.whole_clip(heard)
    assert window.end_s == pytest.approx(0.32 * len(segments))
    assert np.array_equal(window.embedding, bundle.embed_segments(segments[-bundle.manifest.window.segments :]))
    assert [w.index for w in listener.flush()][-1] == window.index


@pytest.mark.slow
def test_full_size_cnn14_streams_bit_for_bit(tmp_path):
    """75 M weights: the kernels of wide layers are others than those of narrow ones."""
    net = random_net(CNN14)
    frames = frames_of(net, sounds(1, seconds=4.4, seed=2))[0]
    x = torch.from_numpy(frames.T.copy())[None]
    with torch.no_grad():
        eager = net.encode(x, net.start_state(), net.right_edge())[0][0].numpy()
    for profile in ("exact", "small"):
        case = Case.of(net, profile, tmp_path / f"{profile}.onnx")
        whole = case.whole(frames)
        for hop in (1, 4):
            assert np.array_equal(streamed(case.encoder(hop=hop), frames, [100]), whole)
        if profile == "exact":
            assert np.abs(whole - eager).max() < TOLERANCE
