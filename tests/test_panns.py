"""The PANNs family: against plain functions, against panns-inference, and stream against whole."""

from pathlib import Path

import pytest

torch = pytest.importorskip("torch", reason="needs the train extra")

import torch.nn.functional as F  # noqa: E402
from panns_case import fitted_net, published_front_end, save_published  # noqa: E402

from edge_runtime.errors import EarmarkError  # noqa: E402
from training.frontend import LogMel  # noqa: E402
from training.mel_tables import panns_mel  # noqa: E402
from training.panns import (  # noqa: E402
    CNN6,
    CNN10,
    CNN14,
    Panns,
    PannsConfig,
    StreamingPanns,
    load_checkpoint,
    load_cnn6,
    load_cnn10,
    load_cnn14,
    slim_cnn14,
)

pytestmark = pytest.mark.usefixtures("one_torch_thread")

TOLERANCE = 2e-5
"""float32 convolutions of other lengths sum in another order; outputs here are of unit scale."""

NARROW = {
    "cnn14": PannsConfig((4, 8, 8, 12, 12, 16), pool_last=False, classes=5),
    "cnn10": PannsConfig((4, 8, 8, 12), classes=5),
    "cnn6": PannsConfig((4, 8, 8, 12), convs_per_block=1, kernel=5, classes=5),
    "three_blocks_of_7x7": PannsConfig((4, 6, 8), convs_per_block=1, kernel=7, pool_last=False, classes=5),
}


def random_net(config: PannsConfig, *, seed: int = 0) -> Panns:
    """Batch norms fitted to noise in decibels, the input of these tests."""
    torch.manual_seed(seed)
    return fitted_net(config, random_frames(4, 320, config.bands), seed=seed)


def random_frames(batch: int, frames: int, bands: int = 64) -> torch.Tensor:
    return -40 + 15 * torch.randn(batch, bands, frames)


@pytest.fixture(scope="module", params=NARROW.values(), ids=NARROW)
def net(request) -> Panns:
    return random_net(request.param)


def plain_segments(state: dict, log_mel: torch.Tensor, config: PannsConfig) -> torch.Tensor:
    """The published forward pass written out, time before frequency, straight from a state dict."""

    def norm(x, name):
        return F.batch_norm(
            x,
            state[f"{name}.running_mean"],
            state[f"{name}.running_var"],
            state[f"{name}.weight"],
            state[f"{name}.bias"],
        )

    x = norm(log_mel[..., None], "bn0")[..., 0].transpose(1, 2)[:, None]  # (B, 1, T, M)
    for block in range(1, len(config.channels) + 1):
        for conv in range(1, config.convs_per_block + 1):
            name = f"conv_block{block}"
            x = F.conv2d(x, state[f"{name}.conv{conv}.weight"], padding=config.kernel // 2)
            x = F.relu(norm(x, f"{name}.bn{conv}"))
        if block < len(config.channels) or config.pool_last:
            x = F.avg_pool2d(x, kernel_size=(2, 2))
    return x.mean(dim=3).transpose(1, 2)


@torch.no_grad()
def test_whole_clip_equals_the_published_forward_pass(net):
    for frames in (net.config.hop_frames, 100, 161, 320):
        log_mel = random_frames(2, frames)
        expected = plain_segments(net.state_dict(), log_mel, net.config)
        found = net.segments(log_mel)
        assert found.shape == (2, frames // net.config.hop_frames, net.config.segment_dim)
        assert (found - expected).abs().max() < TOLERANCE


@torch.no_grad()
def test_stream_equals_whole_for_any_clip_length(net):
    """Every remainder of the flush, clips too short to prime, and clips with no segment at all."""
    hop, prime = net.config.hop_frames, net.config.prime_frames
    lengths = {0, 1, hop - 1, hop, prime - 1, prime, prime + 1, *range(prime + 2 * hop, prime + 3 * hop + 1)}
    for frames in sorted(lengths):
        log_mel = random_frames(1, frames)
        stream = StreamingPanns(net)
        found = torch.cat((stream.push(log_mel), stream.flush()), dim=1)
        whole = net.segments(log_mel)
        assert found.shape == whole.shape == (1, frames // hop, net.config.segment_dim)
        assert frames < hop or (found - whole).abs().max() < TOLERANCE


@torch.no_grad()
@pytest.mark.parametrize("hop_segments", [1, 2, 4])
@pytest.mark.parametrize("block", [1, 7, 32, 50, 1000])
def test_stream_equals_whole_for_any_block_size(net, block, hop_segments):
    frames = net.config.prime_frames + 5 * net.config.hop_frames + 9
    log_mel = random_frames(2, frames)
    stream = StreamingPanns(net, hop_segments=hop_segments, batch=2)
    parts = [stream.push(log_mel[..., i : i + block]) for i in range(0, frames, block)]
    found = torch.cat((*parts, stream.flush()), dim=1)
    assert (found - net.segments(log_mel)).abs().max() < TOLERANCE


@torch.no_grad()
def test_block_size_does_not_change_a_bit(net):
    log_mel = random_frames(1, 300)
    results = []
    for block in (1, 13, 300):
        stream = StreamingPanns(net)
        parts = [stream.push(log_mel[..., i : i + block]) for i in range(0, 300, block)]
        results.append(torch.cat((*parts, stream.flush()), dim=1))
    assert torch.equal(results[0], results[1])
    assert torch.equal(results[0], results[2])


@torch.no_grad()
def test_longer_primes_and_irregular_steady_chunks_are_exact_too(net):
    """What `step` promises beyond what the driver uses: prime_frames + k hops, then any number of hops."""
    hop = net.config.hop_frames
    chunks = [net.config.prime_frames + 2 * hop, 3 * hop, hop, 2 * hop, 0 * hop + 5]
    log_mel = random_frames(1, sum(chunks))
    state, found, start = net.start_state(), [], 0
    for i, length in enumerate(chunks):
        chunk = log_mel[..., start : start + length]
        segments, state = net.step(chunk, state, net.right_edge(end=i == len(chunks) - 1))
        found.append(segments)
        start += length
    assert [part.shape[1] for part in found[:-1]] == [3, 3, 1, 2]
    assert (torch.cat(found, dim=1) - net.segments(log_mel)).abs().max() < TOLERANCE


@torch.no_grad()
def test_prime_length_is_the_least_that_gives_a_segment(net):
    stream = StreamingPanns(net)
    frames = random_frames(1, net.config.prime_frames)
    assert stream.push(frames[..., :-1]).shape[1] == 0
    assert stream.push(frames[..., -1:]).shape[1] == 1


@torch.no_grad()
def test_every_hop_gives_its_segments_at_once(net):
    stream = StreamingPanns(net, hop_segments=2)
    stream.push(random_frames(1, net.config.prime_frames))
    for _ in range(3):
        assert stream.push(random_frames(1, 2 * net.config.hop_frames)).shape[1] == 2


@torch.no_grad()
def test_state_has_the_stated_shapes(net):
    stream = StreamingPanns(net)
    stream.push(random_frames(1, net.config.prime_frames + net.config.hop_frames))
    carried = 2 * net.config.pad
    assert [tuple(s.shape) for s in stream._state] == [(1, *shape, carried) for shape in net.config.state_shapes]


@torch.no_grad()
def test_asking_for_the_tail_changes_nothing(net):
    log_mel = random_frames(1, 250)
    asked, silent = StreamingPanns(net), StreamingPanns(net)
    parts = []
    for i in range(0, 250, 40):
        parts.append(asked.push(log_mel[..., i : i + 40]))
        so_far = torch.cat((*parts, asked.tail()), dim=1)
        whole = net.segments(log_mel[..., : i + 40])
        assert so_far.shape == whole.shape
        assert whole.shape[1] == 0 or (so_far - whole).abs().max() < TOLERANCE
    expected = torch.cat((silent.push(log_mel), silent.flush()), dim=1)
    assert torch.equal(torch.cat((*parts, asked.flush()), dim=1), expected)


@torch.no_grad()
def test_flush_and_reset_leave_a_new_stream(net):
    log_mel = random_frames(1, 230)
    stream, new = StreamingPanns(net), StreamingPanns(net)
    stream.push(random_frames(1, 333))
    stream.flush()
    assert torch.equal(stream.push(log_mel), new.push(log_mel))
    stream.reset()
    new.reset()
    assert torch.equal(stream.push(log_mel), new.push(log_mel))
    assert torch.equal(stream.flush(), new.flush())


@torch.no_grad()
def test_input_norm_folded_into_the_mel_tables_gives_the_same_segments(noisy_sweep):
    """The first convolution's zeros come after the input norm. Decibels near 100 in float32 cost a digit."""
    net = random_net(NARROW["cnn14"])
    spec, tables = panns_mel()
    samples = torch.from_numpy(noisy_sweep)[None]
    folded = LogMel(spec, net.fold_input_norm(tables))(samples)
    found, _ = net.encode(folded, net.start_state(), net.right_edge())
    assert (found - net.segments(LogMel(spec, tables)(samples))).abs().max() < 1e-4


def test_published_sizes_and_lengths():
    """Parameters in millions, frames a segment and frames to the first segment: FACTS and MEASURED."""
    expected = {CNN14: (80.75, 32, 158), CNN10: (5.22, 16, 46), CNN6: (4.84, 16, 46)}
    for config, (millions, hop_frames, prime_frames) in expected.items():
        with torch.device("meta"):
            net = Panns(config)
        assert round(sum(p.numel() for p in net.parameters()) / 1e6, 2) == millions
        assert (config.hop_frames, config.prime_frames) == (hop_frames, prime_frames)
    assert 1001 // CNN14.hop_frames == 31 and 1001 // CNN10.hop_frames == 62
    assert CNN14.prime_frames % 32 == 30
    assert sum(2 * channels * bands for channels, bands in CNN14.state_shapes) == 69_760


def test_slim_cnn14_has_the_same_time_grid():
    slim = slim_cnn14(0.25)
    assert slim.channels == (16, 32, 64, 128, 256, 512)
    assert (slim.hop_frames, slim.prime_frames) == (CNN14.hop_frames, CNN14.prime_frames)


def test_impossible_networks_are_refused():
    with pytest.raises(ValueError, match="odd kernel"):
        PannsConfig((8, 8), kernel=4)
    with pytest.raises(ValueError, match="cannot be halved"):
        PannsConfig((8,) * 8)
    with pytest.raises(ValueError, match=r"net\.eval"):
        StreamingPanns(Panns(NARROW["cnn6"]))


def test_gradients_reach_every_parameter_of_the_encoder():
    net = random_net(NARROW["cnn10"]).train()
    net(random_frames(2, 64)).sum().backward()
    assert all(p.grad is not None and torch.isfinite(p.grad).all() for p in net.parameters())


@torch.no_grad()
def test_checkpoint_of_the_authors_layout_loads_unchanged(tmp_path: Path):
    config = NARROW["cnn14"]
    net = random_net(config)
    save_published(net, tmp_path / "net.pth")
    loaded = load_checkpoint(tmp_path / "net.pth", config)
    log_mel = random_frames(1, 200)
    assert torch.equal(loaded.segments(log_mel), net.segments(log_mel))


@pytest.mark.parametrize("key", published_front_end())
def test_checkpoint_with_another_front_end_is_refused(key, tmp_path: Path):
    model = {**published_front_end(), **random_net(NARROW["cnn6"]).state_dict()}
    model[key] = model[key] * 1.01
    torch.save({"model": model}, tmp_path / "net.pth")
    with pytest.raises(EarmarkError, match=f"its {key} is not that of"):
        load_checkpoint(tmp_path / "net.pth", NARROW["cnn6"])
    del model[key]
    torch.save({"model": model}, tmp_path / "net.pth")
    with pytest.raises(EarmarkError, match=f"holds no {key}"):
        load_checkpoint(tmp_path / "net.pth", NARROW["cnn6"])


@pytest.mark.parametrize(
    ("load", "name", "md5"),
    [
        (load_cnn14, "Cnn14_mAP=0.431.pth", "541141fa"),
        (load_cnn10, "Cnn10_mAP=0.380.pth", "bfb1f1f9"),
        (load_cnn6, "Cnn6_mAP=0.343.pth", "e25e26b8"),
    ],
)
def test_an_absent_or_damaged_file_says_where_it_comes_from(load, name, md5, tmp_path: Path):
    with pytest.raises(EarmarkError, match=rf"is missing: download {name} .*zenodo\.org/records/3987831"):
        load(tmp_path / name)
    (tmp_path / name).write_bytes(b"not a checkpoint")
    with pytest.raises(EarmarkError, match=f"has md5 .* expected {md5}"):
        load(tmp_path)


def test_a_checkpoint_of_another_network_is_refused_by_its_first_strange_parameter(tmp_path: Path):
    save_published(random_net(NARROW["cnn6"]), tmp_path / "net.pth")
    with pytest.raises(EarmarkError, match=r"net\.pth has no conv_block\d\.\S+: it is no checkpoint of Panns"):
        load_checkpoint(tmp_path / "net.pth", NARROW["cnn14"])


@torch.no_grad()
@pytest.mark.slow
def test_cnn14_equals_panns_inference(tmp_path: Path, monkeypatch):
    """One random state dict in both, the published layout on disk between; front end included."""
    pytest.importorskip("torchlibrosa", reason="needs panns-inference as the oracle")
    (tmp_path / "panns_data").mkdir()  # panns-inference would start a download without this file
    (tmp_path / "panns_data" / "class_labels_indices.csv").write_text("index,mid,display_name\n0,/m/x,x\n")
    monkeypatch.setenv("HOME", str(tmp_path))
    models = pytest.importorskip("panns_inference.models", reason="needs panns-inference as the oracle")
    torch.manual_seed(0)
    theirs = models.Cnn14(32000, 1024, 320, 64, 50, 14000, 527)
    theirs.spec_augmenter = torch.nn.Identity()
    for module in theirs.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.momentum = None
    samples = 0.1 * torch.randn(2, 64000)
    theirs.train()(samples)
    theirs.eval()
    torch.save({"model": theirs.state_dict()}, tmp_path / "net.pth")
    ours = load_checkpoint(tmp_path / "net.pth", CNN14)
    kept = []
    theirs.conv_block6.register_forward_hook(lambda module, inputs, output: kept.append(output))
    tags = theirs(samples)["clipwise_output"]
    segments = ours.segments(LogMel(*panns_mel())(samples))
    assert (segments - kept[0].mean(dim=3).transpose(1, 2)).abs().max() < TOLERANCE
    assert (torch.sigmoid(ours.classify(segments)) - tags).abs().max() < TOLERANCE
