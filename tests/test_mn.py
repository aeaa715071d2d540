"""EfficientAT's network against plain functions, and the published weights on real sounds."""

import csv
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="needs the train extra")

import torch.nn.functional as F  # noqa: E402

from edge_runtime.errors import EarmarkError  # noqa: E402
from training.frontend import LogMel  # noqa: E402
from training.mel_tables import efficientat_mel  # noqa: E402
from training.mn import MN04, MobileNet, MobileNetConfig, SqueezeExcitation, load_mn04  # noqa: E402

pytestmark = pytest.mark.usefixtures("one_torch_thread")

TOLERANCE = 1e-4
"""Logits reach 10; float32 sums in another order through 17 layers differ by some 1e-6 of that."""

STRIDE_2_LAYERS = (0, 2, 4, 7, 13)
RELU_LAYERS = range(1, 7)


@pytest.fixture(scope="module")
def weights(shared: Path) -> Path:
    folder = shared / "weights" / "efficientat_mn04_as"
    if not folder.is_dir():
        pytest.skip("needs ../shared/weights/efficientat_mn04_as")
    return folder


def random_net(config: MobileNetConfig) -> MobileNet:
    """Random weights, batch norms fitted to noise so that every layer's output has unit scale."""
    torch.manual_seed(0)
    net = MobileNet(config)
    for module in net.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.momentum = None
    with torch.no_grad():
        net.train()(torch.randn(4, 128, 200))
    return net.eval()


def plain_forward(state: dict, log_mel: torch.Tensor) -> torch.Tensor:
    """The published forward pass from a state dict, the classifier on the mean of the feature map."""

    def conv_norm(x, name, stride=1):
        weight = state[f"{name}.0.weight"]
        groups = x.shape[1] // weight.shape[1]
        x = F.conv2d(x, weight, stride=stride, padding=(weight.shape[-1] - 1) // 2, groups=groups)
        norm = (state[f"{name}.1.{key}"] for key in ("running_mean", "running_var", "weight", "bias"))
        return F.batch_norm(x, *norm, eps=0.001)

    x = F.hardswish(conv_norm(log_mel[:, None], "features.0", stride=2))
    for layer in range(1, 16):
        activation = F.relu if layer in RELU_LAYERS else F.hardswish
        parts = sorted({int(k.split(".")[3]) for k in state if k.startswith(f"features.{layer}.block.")})
        before = x
        for part in parts:
            name = f"features.{layer}.block.{part}"
            gate = f"{name}.conc_se_layers.0"
            if f"{gate}.fc1.weight" in state:
                mean = F.relu(F.linear(x.mean(dim=(2, 3)), state[f"{gate}.fc1.weight"], state[f"{gate}.fc1.bias"]))
                scale = torch.sigmoid(F.linear(mean, state[f"{gate}.fc2.weight"], state[f"{gate}.fc2.bias"]))
                x = x * scale[:, :, None, None]
            else:
                depthwise = state[f"{name}.0.weight"].shape[-1] > 1
                x = conv_norm(x, name, stride=2 if depthwise and layer in STRIDE_2_LAYERS else 1)
                x = x if part == parts[-1] else activation(x)
        x = x + before if x.shape == before.shape else x
    x = F.hardswish(conv_norm(x, "features.16")).mean(dim=(2, 3))
    x = F.hardswish(F.linear(x, state["classifier.2.weight"], state["classifier.2.bias"]))
    return F.linear(x, state["classifier.5.weight"], state["classifier.5.bias"])


@torch.no_grad()
@pytest.mark.parametrize("width", [0.4, 1.0])
def test_network_equals_the_published_forward_pass(width):
    net = random_net(MobileNetConfig(width=width, classes=11))
    log_mel = torch.randn(2, 128, 333)
    assert (net(log_mel) - plain_forward(net.state_dict(), log_mel)).abs().max() < TOLERANCE


@torch.no_grad()
@pytest.mark.parametrize("frames", [1, 31, 32, 33, 64, 1000])
def test_segments_are_32_frames_each_with_the_last_one_begun(frames):
    net = random_net(MN04)
    assert net.segments(torch.randn(2, 128, frames)).shape == (2, -(-frames // 32), 384)
    assert net.config.segment_dim == 384


@torch.no_grad()
def test_logits_are_the_classifier_of_the_mean_segment():
    net = random_net(MN04)
    log_mel = torch.randn(2, 128, 200)
    mean = net.segments(log_mel).mean(dim=1, keepdim=True)
    assert (net.classify(mean) - net(log_mel)).abs().max() < TOLERANCE


@torch.no_grad()
def test_squeeze_excitation_is_the_only_look_over_all_of_time(monkeypatch):
    """With its average fixed, a change at the clip's end leaves segments out of its reach as they were."""
    net = random_net(MN04)
    first = torch.randn(1, 128, 3200)
    second = first.clone()
    second[..., -32:] = 0
    assert (net.segments(first) - net.segments(second))[:, :30].abs().max() > 0
    monkeypatch.setattr(SqueezeExcitation, "average", lambda self, x: torch.ones_like(x[:, :, 0, 0]))
    assert torch.equal(net.segments(first)[:, :30], net.segments(second)[:, :30])


def test_channel_counts_are_multiples_of_8_and_mn04_has_its_published_size():
    """FACTS: 0.98 M parameters for mn04, 4.88 M for mn10."""
    for config, millions in ((MN04, 0.98), (MobileNetConfig(), 4.88)):
        with torch.device("meta"):
            net = MobileNet(config)
        assert round(sum(p.numel() for p in net.parameters()) / 1e6, 2) == millions
        assert all(m.out_channels % 8 == 0 for m in net.modules() if isinstance(m, torch.nn.Conv2d))


def test_absent_or_damaged_mn04_says_where_it_is_expected(tmp_path: Path):
    with pytest.raises(EarmarkError, match=r"mn04_as_mAP_432\.pt is missing: download .* to there"):
        load_mn04(tmp_path)
    (tmp_path / "mn04_as_mAP_432.pt").write_bytes(b"not a checkpoint")
    with pytest.raises(EarmarkError, match=r"has sha256 .* expected 899a8c62"):
        load_mn04(tmp_path)


@pytest.mark.shared
@torch.no_grad()
def test_published_mn04_loads_whole_and_equals_its_forward_pass(weights: Path):
    net = load_mn04(weights)
    assert not net.training
    log_mel = torch.randn(2, 128, 500)
    assert (net(log_mel) - plain_forward(net.state_dict(), log_mel)).abs().max() < TOLERANCE


@pytest.mark.shared
@torch.no_grad()
@pytest.mark.parametrize(
    ("file", "label"),
    [
        ("esc50/1-103298-A-9.opus", "Crow"),
        ("esc50/1-119125-A-45.opus", "Train"),
        ("esc50/1-13571-A-46.opus", "Church bell"),
        ("esc50/1-137-A-32.opus", "Computer keyboard"),
        ("esc50/1-17367-A-10.opus", "Rain"),
        ("esc50/1-27403-A-28.opus", "Snoring"),
        ("esc50/1-34094-B-5.opus", "Cat"),
        ("blanket/storm.opus", "Thunder"),
        ("blanket/summer-night.opus", "Cricket"),
    ],
)
def test_published_mn04_hears_what_is_there(file: str, label: str, shared: Path, weights: Path):
    """Front end, network and the order of its classes together: the first label, with room in its score."""
    soundfile = pytest.importorskip("soundfile")
    soxr = pytest.importorskip("soxr")
    path = shared / "data" / "sounds" / "clips" / file
    if not path.is_file():
        pytest.skip(f"needs {path}")
    samples, rate_hz = soundfile.read(path, dtype="float32", frames=480_000)
    samples = soxr.resample(samples, rate_hz, 32000).astype(np.float32)
    with (weights / "audioset_class_labels.csv").open() as rows:
        labels = [row["display_name"] for row in csv.DictReader(rows)]
    scores = torch.sigmoid(load_mn04(weights)(LogMel(*efficientat_mel())(torch.from_numpy(samples)[None])))[0]
    assert labels[scores.argmax()] == label
    assert scores.max() > 0.5
