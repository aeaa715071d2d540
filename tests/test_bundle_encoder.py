"""The encoder out of a bundle: the network whose export has the same bytes."""

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="needs the train extra")
pytest.importorskip("onnx", reason="needs the export extra")

from edge_runtime import Bundle  # noqa: E402
from edge_runtime.bundle import DEFAULT_BUNDLE  # noqa: E402
from edge_runtime.errors import BundleError  # noqa: E402
from edge_runtime.mel import log_mel  # noqa: E402
from export.bundle import golden_signal  # noqa: E402
from export.stream_mobile_graph import stream_mobile_graph  # noqa: E402
from export.streaming_parts import load_encoder  # noqa: E402
from tests.conftest import ROOT  # noqa: E402
from training.bundle_encoder import streaming_mn_of  # noqa: E402
from training.encoders import features_of  # noqa: E402
from training.flags import RUNS  # noqa: E402
from training.mn import MN04, MobileNet  # noqa: E402


@pytest.fixture(scope="module")
def net():
    return streaming_mn_of(DEFAULT_BUNDLE)


def test_it_exports_to_the_same_bytes(net, tmp_path):
    bundle = Bundle.open()
    profile = bundle.manifest.profiles["light"]
    states = stream_mobile_graph(net, tmp_path / "again.onnx")
    assert states == profile.states
    assert (tmp_path / "again.onnx").read_bytes() == (DEFAULT_BUNDLE / profile.encoder.file).read_bytes()


def test_it_hears_what_the_bundle_hears(net):
    bundle = Bundle.open()
    mel = bundle.manifest.mel
    frames = log_mel(mel, bundle.tables, golden_signal(mel.rate_hz))
    with torch.inference_mode():
        own = net.segments(torch.from_numpy(np.ascontiguousarray(frames.T))[None])[0].numpy()
    heard = bundle.whole_clip(frames)
    assert own.shape == heard.shape
    assert np.abs(own - heard).max() < 1e-4 * heard.std()  # fp32 sums in another order


def test_export_takes_a_bundle_as_its_encoder(net):
    again = load_encoder(DEFAULT_BUNDLE, "")
    mine, theirs = (each.net.features.state_dict() for each in (net, again))
    assert all(torch.equal(mine[name], theirs[name]) for name in mine)


def test_the_tagger_is_the_given_one():
    torch.manual_seed(0)
    tagger = MobileNet(MN04)
    found = streaming_mn_of(DEFAULT_BUNDLE, tagger).net.classifier
    assert torch.equal(found[2].weight, tagger.classifier[2].weight)
    assert torch.equal(found[5].bias, tagger.classifier[5].bias)


def test_another_network_is_refused_by_name():
    with pytest.raises(BundleError, match="earmark-cnn14-slim has no streaming mn04 in fp32"):
        streaming_mn_of(ROOT / "export/bundles/earmark-cnn14-slim")


def test_features_of_a_bundle_do_not_go_into_it():
    assert features_of(DEFAULT_BUNDLE) == RUNS / "features" / "default_bundle"
