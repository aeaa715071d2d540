"""A new head on a bundle's own encoder, which PyTorch cannot read: its features, and the bundle that they lead to."""

import dataclasses

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="needs the train extra")
pytest.importorskip("onnx", reason="needs the export extra")

from streaming_case import NARROW_CNN14, narrow_bundle, narrow_parts, random_checkpoint, sounds  # noqa: E402

from edge_runtime.bundle import Bundle  # noqa: E402
from edge_runtime.errors import BundleError  # noqa: E402
from edge_runtime.manifest import Manifest  # noqa: E402
from edge_runtime.mel import log_mel  # noqa: E402
from export.kept_encoder import KeptEncoder  # noqa: E402
from export.streaming_bundle import export_streaming  # noqa: E402
from export.streaming_parts import load_encoder  # noqa: E402
from tests.conftest import ROOT  # noqa: E402
from training.encoders import tagger_of  # noqa: E402
from training.features import WINDOW_SEGMENTS, rows_of  # noqa: E402
from training.graph_encoder import GraphEncoder, first_profile  # noqa: E402
from training.mn import MN04, MobileNet  # noqa: E402

pytestmark = pytest.mark.usefixtures("one_torch_thread")


@pytest.fixture(scope="module")
def heard() -> GraphEncoder:
    torch.manual_seed(0)
    return GraphEncoder.of(narrow_bundle(), MobileNet(MN04).eval())


@pytest.fixture(scope="module")
def again(tmp_path_factory):
    """The narrow bundle with another head."""
    folder = tmp_path_factory.mktemp("again")
    kept = KeptEncoder(first_profile(narrow_bundle()))
    head = random_checkpoint(NARROW_CNN14.segment_dim, seed=5)
    export_streaming(folder, dataclasses.replace(narrow_parts(), net=kept, checkpoint=head, profiles=("small", "tiny")))
    return folder, head


@pytest.mark.parametrize("seconds", [0.5, 4.0, 12.0])
def test_features_are_what_a_device_computes(heard, seconds):
    (sound,) = sounds(1, seconds=seconds)
    rows = rows_of(sound, 7, heard, *heard.front_end)
    device = Bundle.open(narrow_bundle()).encoder(hop=1)
    device.push(log_mel(*heard.front_end, sound))
    device.flush()
    assert [row for _, _, row in rows] == [7] * (1 + (device.available > WINDOW_SEGMENTS))
    first = rows[0][0]
    sure = len(first) if len(rows) == 1 else 20  # where a window ends, what comes after it is not heard
    assert np.array_equal(first[:sure], device.segments(0, sure))


def test_tags_are_the_published_networks(heard):
    (sound,) = sounds(1, seconds=12.0)
    own = rows_of(sound, 0, heard.teacher, *heard.teacher_ear)
    found = rows_of(sound, 0, heard, *heard.front_end)
    assert len(found) == len(own) > 1
    assert all(np.array_equal(a, b) for (_, a, _), (_, b, _) in zip(found, own, strict=True))
    assert tagger_of(heard) is None


def test_a_last_window_that_one_front_end_alone_has_is_tagged_as_the_one_before(heard):
    (sound,) = sounds(1, seconds=10.24)  # a frame more without pre-emphasis, and a window of it
    own = rows_of(sound, 0, heard.teacher, *heard.teacher_ear)
    found = rows_of(sound, 0, heard, *heard.front_end)
    assert (len(own), len(found)) == (1, 2)
    assert all(np.array_equal(tags, own[0][1]) for _, tags, _ in found)


def test_features_of_another_graph_have_another_name(heard):
    other = GraphEncoder(Bundle.open(narrow_bundle(), profile="exact"), heard.teacher, heard.teacher_ear)
    assert not torch.equal(heard.state_dict()["graph"], other.state_dict()["graph"])


def test_a_windowed_encoder_is_refused(heard):
    with pytest.raises(BundleError, match="windowed encoder: give the network"):
        GraphEncoder.of(ROOT / "export/bundles/earmark-mn04-windowed", heard.teacher)


def test_the_encoder_keeps_its_bytes(again):
    folder, _ = again
    before, after = Manifest.read(narrow_bundle()), Manifest.read(folder)
    for name in ("small", "tiny"):
        old, new = before.profile(name), after.profile(name)
        assert after.files[new.encoder.file] == before.files[old.encoder.file]
        assert new.states == old.states
        assert (new.encoder.precision, new.encoder.why) == (old.encoder.precision, old.encoder.why)
        assert {key: new.figures[key] for key in ("snr_db", "segment_cosine")} == {
            key: old.figures[key] for key in ("snr_db", "segment_cosine")
        }
    assert (folder / "sensitivity.json").read_bytes() == (narrow_bundle() / "sensitivity.json").read_bytes()


def test_the_head_is_the_new_one(again):
    folder, head = again
    bundle, (sound,) = Bundle.open(folder), sounds(1, seed=21)
    segments = bundle.whole_clip(log_mel(bundle.manifest.mel, bundle.tables, sound))
    x = torch.from_numpy(segments)[None]
    with torch.no_grad():
        wanted = head.model.audio(x, torch.ones(x.shape[:2], dtype=torch.bool))[0].numpy()
    assert bundle.embed_segments(segments) @ wanted > 0.98  # what profile small may cost (export/profiles.py)
    assert Bundle.open(narrow_bundle()).embed_segments(segments) @ wanted < 0.9  # and not the old one


def test_a_precision_that_the_head_never_heard_is_refused(tmp_path):
    kept = KeptEncoder(first_profile(narrow_bundle()))
    with pytest.raises(BundleError, match="trained on the profile small of random, and exact was asked for"):
        export_streaming(tmp_path, dataclasses.replace(narrow_parts(), net=kept, profiles=("exact",)))


def test_export_takes_a_bundle_that_pytorch_cannot_read():
    kept = load_encoder(narrow_bundle(), "")
    assert isinstance(kept, KeptEncoder)
    assert kept.config.segment_dim == NARROW_CNN14.segment_dim


def test_a_windowed_bundle_has_no_encoder_to_keep():
    with pytest.raises(BundleError, match="windowed encoder, expected one that streams"):
        KeptEncoder(Bundle.open(ROOT / "export/bundles/earmark-mn04-windowed"))
