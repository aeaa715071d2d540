"""VGGish: its front end against the definition, its network against the published forward pass and its size."""

import math
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="needs the train extra")

import torch.nn.functional as F  # noqa: E402

from edge_runtime.errors import EarmarkError  # noqa: E402
from training.experts import vggish  # noqa: E402
from training.experts.vggish import (  # noqa: E402
    Postprocessor,
    Vggish,
    examples,
    load_postprocessor,
    load_vggish,
    mel_matrix,
)

pytestmark = pytest.mark.usefixtures("one_torch_thread")

ROUNDING = 1e-5
"""float32 sums of up to 12 288 products near 0.01 in another order."""


@pytest.fixture(scope="module")
def net() -> Vggish:
    torch.manual_seed(0)
    return Vggish().eval()


@pytest.fixture(scope="module")
def samples() -> np.ndarray:
    """2.5 s at 16 kHz."""
    rng = np.random.default_rng(0)
    return (0.1 * rng.standard_normal(40_000) + 0.3 * np.sin(np.arange(40_000) / 7)).astype(np.float32)


def test_parameters_are_as_many_as_the_published_file_holds():
    """The release's file has 288 567 937 bytes: 4 for each parameter, and 3201 of names."""
    with torch.device("meta"):
        sizes = {name: value.numel() for name, value in Vggish().state_dict().items()}
    assert sum(sizes.values()) == 72_141_184
    assert 288_567_937 - 4 * sum(sizes.values()) == 3201
    convolutions = [f"features.{i}" for i in (0, 3, 6, 8, 11, 13)]
    linears = [f"embeddings.{i}" for i in (0, 2, 4)]
    assert list(sizes) == [f"{layer}.{part}" for layer in convolutions + linears for part in ("weight", "bias")]


@torch.no_grad()
def test_network_equals_the_forward_pass_written_out(net, samples):
    """TensorFlow's order: the last maps are flattened frames first, then bands, then channels."""
    state, heard = net.state_dict(), torch.from_numpy(examples(samples))
    x = heard[:, None]
    for i, pooled in ((0, True), (3, True), (6, False), (8, True), (11, False), (13, True)):
        x = F.conv2d(x, state[f"features.{i}.weight"], state[f"features.{i}.bias"], padding=1).relu()
        x = F.max_pool2d(x, 2) if pooled else x
    x = torch.stack([each.permute(1, 2, 0).reshape(-1) for each in x])
    for i in (0, 2, 4):
        x = (x @ state[f"embeddings.{i}.weight"].T + state[f"embeddings.{i}.bias"]).relu()
    rows = net(heard)
    assert rows.shape == (2, 128)
    assert (rows - x).abs().max() < ROUNDING


@torch.no_grad()
def test_network_and_front_end_equal_torchvggish(net, samples):
    """The package on PyPI; its resampling stays out: the samples are at 16 kHz."""
    pytest.importorskip("resampy", reason="needs torchvggish and resampy as the oracle")
    theirs = pytest.importorskip("torchvggish.torchvggish", reason="needs torchvggish as the oracle")
    inputs = pytest.importorskip("torchvggish.vggish_input", reason="needs torchvggish as the oracle")
    other = theirs.VGG(theirs.make_layers(), postprocess=False).eval()
    other.load_state_dict(net.state_dict(), strict=True)
    heard = inputs.waveform_to_examples(samples, 16_000)[:, 0]
    assert (torch.from_numpy(examples(samples)) - heard).abs().max() < ROUNDING
    assert (net(heard) - other(heard[:, None])).abs().max() < ROUNDING


def test_filterbank_is_htks():
    """Written with loops in float64: rounding of the same arithmetic."""
    top, bottom = (1127 * math.log(1 + hz / 700) for hz in (7500, 125))
    step = (top - bottom) / 65
    expected = np.zeros((257, 64))
    for k in range(1, 257):
        mel = (1127 * math.log(1 + k * 31.25 / 700) - bottom) / step
        for band in range(64):
            expected[k, band] = max(0, min(mel - band, band + 2 - mel))
    np.testing.assert_allclose(mel_matrix(), expected, atol=1e-9)


def test_frames_are_log_magnitudes_of_25_ms(samples):
    """Frame 100 of the clip, frame 4 of its second example, from the definition of the Fourier transform."""
    part = samples[16_000:16_400].astype(float) * (0.5 - 0.5 * np.cos(2 * np.pi * np.arange(400) / 400))
    turns = np.outer(np.arange(257), np.arange(400)) / 512
    magnitude = np.abs(np.exp(-2j * np.pi * turns) @ part)
    np.testing.assert_allclose(examples(samples)[1, 4], np.log(magnitude @ mel_matrix() + 0.01), atol=ROUNDING)


@pytest.mark.parametrize(("count", "rows"), [(0, 1), (1, 1), (15_599, 1), (15_600, 1), (30_959, 1), (30_960, 2)])
def test_an_example_takes_96_frames_and_the_rest_is_left_out(count, rows):
    """96 frames of 160 samples, and 240 more for the last window of 400."""
    heard = examples(np.ones(count, np.float32))
    assert heard.shape == (rows, 96, 64) and heard.dtype == np.float32


def test_postprocessor_whitens_clips_and_rounds():
    torch.manual_seed(1)
    net, rows = Postprocessor(), 3 * torch.randn(5, 128)
    net.pca_eigen_vectors.copy_(torch.eye(128).flip(0))
    net.pca_means.copy_(torch.full((128, 1), 0.5))
    expected = [[round((min(2, max(-2, x - 0.5)) + 2) * 63.75) for x in row] for row in rows.flip(1).tolist()]
    assert net(rows).tolist() == expected


def test_files_of_the_release_are_told_from_others(tmp_path: Path, monkeypatch):
    (tmp_path / "vggish-10086976.pth").write_bytes(b"another file")
    with pytest.raises(EarmarkError, match=r"has sha256 .* expected 10086976"):
        load_vggish(tmp_path)
    monkeypatch.setattr(vggish, "FILE", vggish.Published("vggish-10086976.pth", "a release"))
    torch.save({"features.0.weight": torch.zeros(64, 1, 3, 3)}, tmp_path / "vggish-10086976.pth")
    with pytest.raises(EarmarkError, match=r"10086976\.pth has no \S+: it is no checkpoint of Vggish"):
        load_vggish(tmp_path)


def test_pca_parameters_are_read_as_arrays(tmp_path: Path, monkeypatch):
    monkeypatch.setattr(vggish, "PCA_FILE", vggish.Published("pca.pth", "a release"))
    vectors, means = np.eye(128), np.arange(128.0)
    torch.save({"pca_eigen_vectors": vectors, "pca_means": means}, tmp_path / "pca.pth")
    net = load_postprocessor(tmp_path / "pca.pth")
    assert net.pca_means[:, 0].tolist() == means.tolist()
    torch.save({"pca_eigen_vectors": vectors[:5], "pca_means": means}, tmp_path / "pca.pth")
    with pytest.raises(EarmarkError, match=r"pca_eigen_vectors is \(5, 128\), expected \(128, 128\)"):
        load_postprocessor(tmp_path / "pca.pth")
    torch.save({"means": means}, tmp_path / "pca.pth")
    with pytest.raises(EarmarkError, match="holds no pca_eigen_vectors"):
        load_postprocessor(tmp_path / "pca.pth")
