"""mn04 that streams: whole clip and stream agree, in PyTorch closely, in onnxruntime to the last bit."""

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_runtime.bundle import DEFAULT_BUNDLE, Bundle, check_all_files
from edge_runtime.errors import BundleError, EarmarkError
from edge_runtime.graph import OnnxGraph
from edge_runtime.listener import Listener
from edge_runtime.manifest import EncoderSpec, Graph, Manifest, StateSpec, StreamSpec
from edge_runtime.mel import log_mel
from edge_runtime.streaming import StreamingEncoder, streaming_graph_io, whole_clip
from export.stream_mobile_graph import RIGHT_COLUMNS, stream_mobile_graph
from export.streaming_bundle import StreamingParts, export_streaming
from training.features import load_samples
from training.mn import MobileNet, MobileNetConfig
from training.stream_mn import (
    STREAMING_MN04,
    StreamingMobileNet,
    StreamingMobileNetConfig,
    load_streaming_mn,
    save_streaming_mn,
)

SMALL = MobileNetConfig(width=0.1, classes=7)
CONFIG = StreamingMobileNetConfig(SMALL, bands=64)
HOPS = [1, 2, 4, 16]


def fitted(config: StreamingMobileNetConfig = CONFIG) -> StreamingMobileNet:
    """Random weights, and batch norms that keep every layer at unit scale."""
    torch.manual_seed(5)
    net = StreamingMobileNet(config)
    for module in net.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.momentum = None
    with torch.no_grad():
        net.train().segments(torch.randn(4, config.bands, 400))
    return net.eval()


@pytest.fixture(scope="module")
def net() -> StreamingMobileNet:
    return fitted()


@pytest.fixture(scope="module")
def graph(net: StreamingMobileNet, tmp_path_factory: pytest.TempPathFactory) -> tuple[OnnxGraph, EncoderSpec, list]:
    path = tmp_path_factory.mktemp("mobile") / "encoder.onnx"
    states = stream_mobile_graph(net, path)
    stream = StreamSpec(CONFIG.prime_frames, RIGHT_COLUMNS, HOPS)
    width = CONFIG.segment_dim
    spec = EncoderSpec(Graph(path.name, "fp32", ""), "streaming", width, CONFIG.hop_frames, CONFIG.hop_frames, stream)
    return OnnxGraph(path, **streaming_graph_io(spec, states, bands=CONFIG.bands)), spec, states


def frames_of(count: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(0, 1, (count, CONFIG.bands)).astype(np.float32)


@torch.no_grad()
def test_the_stream_equals_the_whole_clip_in_pytorch(net):
    for frames in (CONFIG.prime_frames, CONFIG.prime_frames + 1, 400, 517):
        x = torch.from_numpy(frames_of(frames).T.copy())[None]
        found, state = net.step(x[..., : CONFIG.prime_frames], net.start_state(), end=False)
        parts, at = [found], CONFIG.prime_frames
        while at + 32 <= frames:
            found, state = net.step(x[..., at : at + 32], state, end=False)
            assert found.shape[1] == 1
            parts.append(found)
            at += 32
        parts.append(net.step(x[..., at:], state, end=True)[0])
        whole = net.segments(x)
        assert whole.shape == (1, -(-frames // 32), CONFIG.segment_dim)
        # convolutions of other lengths sum in another order
        torch.testing.assert_close(torch.cat(parts, dim=1), whole, atol=1e-5, rtol=1e-5)


def test_a_prime_gives_the_first_segment_and_each_hop_one_more():
    for frames, segments in ((-32, 0), (0, 1), (32, 2), (320, 11)):
        columns = CONFIG.prime_frames + frames
        for plan in CONFIG.plans():
            columns = plan.outputs(columns, end=False)
        assert columns == segments


def test_mn04_looks_no_further_ahead_than_cnn14():
    from training.panns import CNN14

    assert STREAMING_MN04.prime_frames <= CNN14.prime_frames


def test_the_graph_says_what_the_network_says(net, graph):
    encoder, spec, states = graph
    frames = frames_of(333)
    with torch.no_grad():
        eager = net.segments(torch.from_numpy(frames.T.copy())[None])[0].numpy()
    # folded batch norms and other orders of sums, on numbers of unit size
    np.testing.assert_allclose(whole_clip(encoder, spec, states, frames), eager, atol=2e-5)


@settings(max_examples=40, deadline=None)
@given(
    frames=st.integers(32, 700),
    hop=st.sampled_from(HOPS),
    cuts=st.lists(st.integers(0, 700), max_size=8),
    seed=st.integers(0, 9),
)
def test_the_stream_equals_the_whole_clip_bit_for_bit_for_any_blocks(graph, frames, hop, cuts, seed):
    net, spec, states = graph
    x = frames_of(frames, seed)
    stream = StreamingEncoder(net, spec, states, silence=np.zeros(CONFIG.bands, np.float32), keep_segments=99, hop=hop)
    for block in np.split(x, sorted(cut for cut in cuts if cut < frames)):
        stream.push(block)
    stream.flush()
    whole = whole_clip(net, spec, states, x)
    assert stream.available == len(whole)
    assert np.array_equal(stream.segments(0, stream.available), whole)


def test_an_early_answer_changes_nothing_after_it(graph):
    net, spec, states = graph
    streams = [
        StreamingEncoder(net, spec, states, silence=np.zeros(CONFIG.bands, np.float32), keep_segments=99)
        for _ in range(2)
    ]
    x = frames_of(500)
    for block in np.array_split(x, 7):
        for stream in streams:
            stream.push(block)
        assert len(streams[0].provisional()) > 0
    for stream in streams:
        stream.flush()
    assert np.array_equal(*(stream.segments(0, stream.available) for stream in streams))


def test_the_memory_forgets_what_is_older_than_it(net):
    """Two different beginnings; after memory and convolutions have passed them by, the same segments."""
    x = frames_of(1400)
    other = x.copy()
    other[:64] += 3
    with torch.no_grad():
        a, b = (net.segments(torch.from_numpy(each.T.copy())[None])[0].numpy() for each in (x, other))
    assert np.abs(a[:2] - b[:2]).max() > 1e-2
    assert np.array_equal(a[-2:], b[-2:])


def test_the_published_weights_are_taken_whole():
    windowed = MobileNet(SMALL)
    net = StreamingMobileNet(CONFIG)
    net.load_windowed(windowed)
    for name, tensor in windowed.state_dict().items():
        assert torch.equal(net.net.state_dict()[name], tensor)


def test_settings_out_of_range_are_errors():
    with pytest.raises(ValueError, match="14 look-aheads for 15 blocks"):
        StreamingMobileNetConfig(look_ahead=(1,) * 14)
    with pytest.raises(ValueError, match="cannot look 2 ahead"):
        StreamingMobileNetConfig(look_ahead=(2,) * 15)
    with pytest.raises(ValueError, match="multiple of 32"):
        StreamingMobileNetConfig(memory_frames=100)
    with pytest.raises(BundleError, match="two numbers"):
        StateSpec("stem", 1, 64, "float32", [1, 2, 3])


def test_a_saved_network_is_the_same_and_another_file_is_refused(tmp_path: Path):
    net = StreamingMobileNet(STREAMING_MN04).eval()
    save_streaming_mn(net, tmp_path / "net.pt")
    again = load_streaming_mn(tmp_path / "net.pt")
    assert again.config == net.config
    x = torch.randn(1, 128, 64)
    with torch.no_grad():
        assert torch.equal(again.segments(x), net.segments(x))
    torch.save({"panns": {}}, tmp_path / "other.pt")
    for name in ("other.pt", "absent.pt"):
        with pytest.raises(EarmarkError, match="training stream"):
            load_streaming_mn(tmp_path / name)


@pytest.fixture(scope="module")
def mobile_parts():
    from streaming_case import random_checkpoint, sounds

    net = fitted(StreamingMobileNetConfig(SMALL))
    return StreamingParts(
        net,
        random_checkpoint(net.config.segment_dim),
        name="random-mobile",
        version="0",
        licence="none",
        notices=[],
        phrases=["a dog barks", "rain", "a loud engine"],
        sounds=sounds(8),
        profiles=("light", "exact"),
        report=lambda line: None,
    )


def test_a_streaming_bundle_hears_live_what_it_hears_in_the_whole(mobile_parts, tmp_path: Path):
    manifest = export_streaming(tmp_path, mobile_parts)
    assert list(manifest.profiles) == ["light", "exact"]
    assert manifest.encoder.graph.precision == "fp32"
    bundle = Bundle.open(tmp_path)
    samples = np.random.default_rng(3).normal(0, 0.1, 14 * 32_000).astype(np.float32)
    listener = Listener(bundle)
    windows = [window for block in np.array_split(samples, 37) for window in listener.push(block)]
    windows += list(listener.flush())
    segments = bundle.whole_clip(log_mel(bundle.manifest.mel, bundle.tables, samples))
    assert len(windows) > 2
    for window in windows:
        rows = segments[window.index : window.index + bundle.manifest.window.segments]
        assert np.array_equal(window.embedding, bundle.embed_segments(rows))


def test_the_shipped_bundle_is_whole_and_hears_live_what_it_hears_in_the_whole(recordings: Path):
    check_all_files(DEFAULT_BUNDLE)
    bundle = Bundle.open()
    assert bundle.manifest.encoder.kind == "streaming"
    samples = load_samples(recordings / "five.wav", bundle.manifest.mel.rate_hz)
    encoder = bundle.encoder(hop=1)
    frames = log_mel(bundle.manifest.mel, bundle.tables, samples)
    for block in np.array_split(frames, 23):
        encoder.push(block)
    encoder.flush()
    assert np.array_equal(encoder.segments(0, encoder.available), bundle.whole_clip(frames))


def test_the_shipped_bundle_names_its_encoders_licence():
    manifest = Manifest.read(DEFAULT_BUNDLE)
    assert any("Florian Schmid" in notice for notice in manifest.notices)
    assert "non-commercial" in manifest.licence
    assert "Permission is hereby granted" in (DEFAULT_BUNDLE / "MODEL_CARD.md").read_text(encoding="utf-8")
    assert all(b"site-packages" not in (DEFAULT_BUNDLE / name).read_bytes() for name in manifest.files)
