"""VGGSound's ResNet18: spectrogram against scipy, network against the equations; names, size and rate as published."""

from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="needs the train extra")

import torch.nn.functional as F  # noqa: E402

from edge_runtime.errors import EarmarkError  # noqa: E402
from training.experts.vggsound import Vggsound, load_vggsound, spectrogram  # noqa: E402

pytestmark = pytest.mark.usefixtures("one_torch_thread")

ROUNDING = 1e-4
"""float32 sums of up to 4608 products of unit scale in another order, through 18 layers."""


@pytest.fixture(scope="module")
def net() -> Vggsound:
    torch.manual_seed(0)
    return Vggsound().eval()


def noise(seconds: float) -> np.ndarray:
    return np.random.default_rng(1).normal(0, 0.1, round(seconds * 16_000)).astype(np.float32)


def test_parameters_are_those_of_a_resnet18_with_one_channel_and_309_classes():
    """torchvision gives 11 689 512 for three channels and 1000 classes."""
    with torch.device("meta"):
        parameters = dict(Vggsound().named_parameters())
    more_channels, more_classes = 2 * 64 * 7 * 7, (1000 - 309) * (512 + 1)
    assert sum(p.numel() for p in parameters.values()) == 11_689_512 - more_channels - more_classes == 11_328_757
    assert {name.split(".")[0] for name in parameters} == {"audnet"}
    assert tuple(parameters["audnet.conv1.weight"].shape) == (64, 1, 7, 7)
    assert tuple(parameters["audnet.layer4.0.downsample.0.weight"].shape) == (512, 256, 1, 1)
    assert tuple(parameters["audnet.fc.weight"].shape) == (309, 512)


def plain_maps(state: dict, x: torch.Tensor) -> torch.Tensor:
    """ResNet18 written out from a state dict (He et al. 2015, table 1): (B, 257, T) -> (B, 512, 9, T / 32)."""

    def norm(x, name):
        names = ("running_mean", "running_var", "weight", "bias")
        return F.batch_norm(x, *(state[f"audnet.{name}.{each}"] for each in names))

    def conv(x, name, stride, pad):
        return F.conv2d(x, state[f"audnet.{name}.weight"], stride=stride, padding=pad)

    x = F.max_pool2d(norm(conv(x[:, None], "conv1", 2, 3), "bn1").relu(), 3, 2, 1)
    for layer in (1, 2, 3, 4):
        for block in (0, 1):
            name, stride = f"layer{layer}.{block}", 2 if layer > 1 and block == 0 else 1
            kept = norm(conv(x, f"{name}.downsample.0", stride, 0), f"{name}.downsample.1") if stride == 2 else x
            x = norm(conv(x, f"{name}.conv1", stride, 1), f"{name}.bn1").relu()
            x = (norm(conv(x, f"{name}.conv2", 1, 1), f"{name}.bn2") + kept).relu()
    return x


@torch.no_grad()
def test_network_equals_a_resnet18_written_out(net):
    heard = torch.randn(2, 257, 301, generator=torch.Generator().manual_seed(2))
    maps = plain_maps(net.state_dict(), heard)
    assert (net.segments(heard) - maps.mean(dim=2).transpose(1, 2)).abs().max() < ROUNDING
    logits = maps.mean(dim=(2, 3)) @ net.audnet.fc.weight.T + net.audnet.fc.bias  # averaged over both at once
    assert (net.classify(net.segments(heard)) - logits).abs().max() < ROUNDING


def test_spectrogram_is_scipys():
    """The authors' call, then their normalisation; float64 to the end in both."""
    signal = pytest.importorskip("scipy.signal", reason="needs scipy as the oracle")
    samples = noise(1.3) + 0.2
    _, _, power = signal.spectrogram(samples.astype(float), 16_000, nperseg=512, noverlap=353)
    log = np.log(power + 1e-7)
    np.testing.assert_allclose(spectrogram(samples), (log - log.mean()) / log.std(), atol=1e-6)


@pytest.mark.parametrize(("seconds", "columns", "rows"), [(0.0, 1, 1), (0.03, 1, 1), (1.0, 98, 4), (10.0, 1004, 32)])
@torch.no_grad()
def test_ten_seconds_give_32_rows(net, seconds, columns, rows):
    """About 3.2 a second; a clip that is shorter than one window still gives a row."""
    heard = spectrogram(noise(seconds))
    assert heard.shape == (257, columns) and np.isfinite(heard).all()
    assert net.segments(torch.from_numpy(heard)[None]).shape == (1, rows, 512)


def test_a_checkpoint_loads_by_the_authors_names_and_another_is_refused(tmp_path: Path, net):
    path = tmp_path / "H.pth.tar"
    torch.save({"epoch": 3, "model_state_dict": net.state_dict()}, path)
    loaded = load_vggsound(tmp_path)
    assert all(torch.equal(value, net.state_dict()[name]) for name, value in loaded.state_dict().items())
    torch.save({"model_state_dict": {**net.state_dict(), "audnet.fc.weight": torch.zeros(310, 512)}}, path)
    with pytest.raises(EarmarkError, match=r"H\.pth\.tar: audnet\.fc\.weight is \(310, 512\), expected \(309, 512\)"):
        load_vggsound(tmp_path)
    torch.save(net.state_dict(), path)
    with pytest.raises(EarmarkError, match=r"H\.pth\.tar has no model_state_dict"):
        load_vggsound(path)
