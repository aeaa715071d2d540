"""Profiles: what the export writes, what int8 costs, what it refuses, and how a bundle opens with one of them."""

import dataclasses
import json
import shutil
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="needs the train extra")
pytest.importorskip("onnx", reason="needs the export extra")

from conftest import WINDOWED_BUNDLE  # noqa: E402
from streaming_case import (  # noqa: E402
    NARROW,
    NARROW_CNN14,
    Case,
    frames_of,
    narrow_bundle,
    narrow_parts,
    random_checkpoint,
    random_net,
    sounds,
)

from edge_runtime.bundle import DEFAULT_BUNDLE, Bundle, check_all_files  # noqa: E402
from edge_runtime.engine import Engine  # noqa: E402
from edge_runtime.errors import BundleError, EarmarkError  # noqa: E402
from edge_runtime.manifest import Manifest  # noqa: E402
from export.calibration import Range, count, int8_steps, measure, snr_db  # noqa: E402
from export.fake_quantise import FakeNetwork, Tuning, fine_tuned  # noqa: E402
from export.network import equalised, layers_of, run  # noqa: E402
from export.profiles import RECIPES, Recipe, sensitivity  # noqa: E402
from export.stream_graph import stream_graph  # noqa: E402
from export.streaming_bundle import StreamingParts, export_streaming, judged  # noqa: E402
from export.streaming_parts import load_encoder  # noqa: E402
from training.gates import GateError  # noqa: E402
from training.panns import load_net, save_net  # noqa: E402

pytestmark = pytest.mark.usefixtures("one_torch_thread")

PROFILES = ("small", "balanced", "exact", "tiny")


@pytest.fixture(scope="module")
def net():
    return random_net(NARROW_CNN14)


@pytest.fixture(scope="module")
def clips(net) -> list[np.ndarray]:
    return [frames.T.copy()[None] for frames in frames_of(net, sounds(4, seed=1))]


@pytest.fixture(scope="module")
def unheard(net) -> list[np.ndarray]:
    return [frames.T.copy()[None] for frames in frames_of(net, sounds(3, seed=2))]


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """A streaming bundle to spoil."""
    return Path(shutil.copytree(narrow_bundle(), tmp_path / "bundle"))


def respell(folder: Path, change) -> None:
    """Rewrite the manifest after `change(data)`."""
    data = json.loads((folder / "manifest.json").read_text())
    data.pop("sha256", None)
    change(data)
    (folder / "manifest.json").write_text(json.dumps(data))


# the network, folded and quantised


@pytest.mark.parametrize("network", NARROW)
def test_folding_the_batch_norms_changes_nothing(network):
    net = random_net(NARROW[network])
    frames = frames_of(net, sounds(1, seed=4))[0]
    with torch.no_grad():
        x = torch.from_numpy(frames.T.copy())[None]
        eager = net.encode(x, net.start_state(), net.right_edge())[0][0].numpy()
    assert np.abs(run(layers_of(net), frames.T.copy()[None]) - eager).max() < 2e-5


@pytest.mark.parametrize("alpha", [0.25, 0.5, 0.75])
def test_equalisation_is_exact_through_relu_and_pools(net, clips, alpha):
    layers = layers_of(net)
    peaks = {layer.name: measure(layers, clips)[layer.name, "input"].peak for layer in layers}
    scaled, scales = equalised(layers, peaks, alpha=alpha)
    assert max(float(scale.max() / scale.min()) for scale in scales.values()) > 1.5  # it does something
    assert np.abs(run(scaled, clips[0]) - run(layers, clips[0])).max() < 2e-5


def test_equalisation_evens_out_unlike_channels(net, clips, unheard):
    """A network whose channels differ a thousandfold, as trained ones may: int8 is lost without it."""
    layers = layers_of(net)
    rng = np.random.default_rng(0)
    for i in range(1, len(layers)):
        scale = (1000 ** rng.uniform(-0.5, 0.5, layers[i].channels)).astype(np.float32)
        before, after = layers[i - 1], layers[i]
        layers[i - 1] = dataclasses.replace(
            before, weight=before.weight * scale[:, None, None, None], bias=before.bias * scale
        )
        layers[i] = dataclasses.replace(after, weight=after.weight / scale[None, :, None, None])
    exact = np.concatenate([run(layers, clip) for clip in unheard])
    scaled, steps = int8_steps(layers, clips, int8=RECIPES["small"].int8(layers))
    found = np.concatenate([run(scaled, clip, steps=steps) for clip in unheard])
    assert snr_db(exact, found) > RECIPES["small"].min_snr_db


def test_a_rare_loud_value_is_clipped():
    """MSE: one outlier at 100 must not take the steps of ten million values below 1."""
    ordinary = np.zeros(2048)
    ordinary[:20] = 5e5
    ordinary[-1] = 1
    step = Range(np.array([100.0]), np.array([0.5]), ordinary).step()
    assert step < 0.5 * 100 / 255


@pytest.mark.parametrize("profile", ["balanced", "small"])
def test_the_emulation_is_what_onnxruntime_computes(net, clips, unheard, profile, tmp_path):
    """Within a step or two of the last layer: fp32 before the first rounding may fall to the other side."""
    layers = layers_of(net)
    scaled, steps = int8_steps(layers, clips, int8=RECIPES[profile].int8(layers))
    states = stream_graph(scaled, tmp_path / "encoder.onnx", steps=steps)
    case = Case.of(net, profile, tmp_path / "other.onnx")
    case = dataclasses.replace(case, states=states)
    found = case.whole(unheard[0][0].T)
    assert np.abs(found - run(scaled, unheard[0], steps=steps)).mean() < 2 * steps["conv6_2"].output_step


def test_the_first_convolution_cannot_be_int8(net, clips, tmp_path):
    layers = layers_of(net)
    _, steps = int8_steps(layers, clips, int8={layers[0].name})
    with pytest.raises(ValueError, match="conv1_1 hears decibels"):
        stream_graph(layers, tmp_path / "encoder.onnx", steps=steps)


def test_balanced_keeps_the_early_convolutions_and_small_the_first(net):
    layers = layers_of(net)
    assert RECIPES["exact"].int8(layers) == set()
    assert RECIPES["balanced"].int8(layers) == {layer.name for layer in layers[6:]}
    assert RECIPES["small"].int8(layers) == {layer.name for layer in layers[1:]}


def test_sensitivity_names_every_convolution_and_one_alone_is_better_than_all(net, clips):
    layers = layers_of(net)
    rows = sensitivity(layers, clips)
    assert [row.layer for row in rows] == [layer.name for layer in layers[1:]]
    scaled, steps = int8_steps(layers, clips, int8=RECIPES["small"].int8(layers))
    exact, found = (np.concatenate([run(n, c, steps=s) for c in clips]) for n, s in ((layers, {}), (scaled, steps)))
    assert min(row.snr_db for row in rows) > snr_db(exact, found) - 1


def test_counting_sees_what_measuring_saw(net, clips):
    layers = layers_of(net)
    ranges = measure(layers, clips)
    count(layers, clips, ranges)
    for (name, where), each in ranges.items():
        assert each.counts.sum() > 0, (name, where)


# the bundle


@pytest.mark.parametrize("profile", PROFILES)
def test_every_profile_opens_and_answers_alike(profile):
    bundle, exact = (Bundle.open(narrow_bundle(), profile=name) for name in (profile, "exact"))
    assert bundle.profile == profile
    assert bundle.fingerprint == exact.fingerprint
    sound = sounds(1, seed=11)[0]
    a, b = (each.answers(sound, np.array([1, 2])).embedding for each in (bundle, exact))
    assert a @ b > RECIPES[profile].min_embedding_cosine


def test_the_first_profile_is_the_default():
    assert Bundle.open(narrow_bundle()).profile == "small"


def test_profiles_that_differ_in_the_head_share_their_encoder():
    profiles = Manifest.read(narrow_bundle()).profiles
    assert profiles["tiny"].encoder == profiles["small"].encoder
    assert (profiles["tiny"].head.precision, profiles["small"].head.precision) == ("int4", "int8")


def test_int8_files_are_smaller():
    sizes = {path.name: path.stat().st_size for path in narrow_bundle().iterdir()}
    assert sizes["audio_encoder.small.onnx"] < sizes["audio_encoder.balanced.onnx"] < sizes["audio_encoder.exact.onnx"]
    assert sizes["audio_head.int4.onnx"] < sizes["audio_head.int8.onnx"] < sizes["audio_head.fp32.onnx"]


def test_a_manifest_says_the_same_when_it_is_written_again(tmp_path):
    manifest = Manifest.read(narrow_bundle())
    manifest.write(tmp_path)
    assert Manifest.read(tmp_path) == manifest


def test_the_windowed_bundle_opens_as_before(windowed):
    assert (windowed.manifest.encoder.kind, windowed.profile, windowed.manifest.profiles) == ("windowed", None, {})


def test_the_shipped_bundle_streams_in_one_profile():
    bundle = Bundle.open()
    assert (bundle.manifest.encoder.kind, bundle.profile) == ("streaming", "light")
    assert list(bundle.manifest.profiles) == ["light"]


@pytest.mark.parametrize(
    ("folder", "told"),
    [(WINDOWED_BUNDLE, "one precision"), (DEFAULT_BUNDLE, "light"), (None, "small, balanced, exact")],
)
def test_a_profile_that_the_bundle_lacks_is_refused(folder, told):
    with pytest.raises(BundleError, match=f"no profile 'huge'.*{told}"):
        Bundle.open(folder or narrow_bundle(), profile="huge")


def test_a_damaged_graph_is_refused_by_the_profile_that_uses_it_and_by_the_doctor(copy):
    path = copy / "audio_encoder.balanced.onnx"
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    assert Bundle.open(copy, profile="small").profile == "small"
    with pytest.raises(BundleError, match=r"audio_encoder\.balanced\.onnx is damaged"):
        Bundle.open(copy, profile="balanced")
    with pytest.raises(BundleError, match="damaged"):
        check_all_files(copy)


def test_a_missing_graph_is_refused_whichever_profile_is_asked(copy):
    (copy / "audio_encoder.balanced.onnx").unlink()
    with pytest.raises(BundleError, match=r"lacks audio_encoder\.balanced\.onnx"):
        Bundle.open(copy, profile="small")


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda m: m["profiles"]["small"]["states"][3].update(name="conv9_9"), "conv9_9"),
        (lambda m: m["profiles"]["small"]["states"][3].update(channels=5), "export it again"),
        (lambda m: m["profiles"]["small"]["states"][3].update(dtype="float32"), "conv2_2.*float32"),
        (lambda m: m["profiles"]["small"]["states"].pop(), "conv6_2"),
        (lambda m: m["encoder"]["stream"].update(pad=2), "export it again"),
        (lambda m: m["encoder"]["stream"].update(hops=[]), "hops"),
        (lambda m: m["encoder"].pop("stream"), "streaming encoder with stream None"),
        (lambda m: m["encoder"].update(kind="windowed"), "windowed encoder"),
        (lambda m: m["encoder"].update(kind="clairvoyant"), "clairvoyant"),
        (lambda m: m.pop("profiles"), "without profiles"),
        (lambda m: m["profiles"].pop("small"), "first profile"),
        (lambda m: m["profiles"]["small"].update(colour="red"), "colour"),
        (lambda m: m["profiles"]["small"].pop("states"), "states"),
    ],
)
def test_a_manifest_that_does_not_fit_its_graphs_is_refused(copy, change, told):
    respell(copy, change)
    with pytest.raises(BundleError, match=told):
        Bundle.open(copy)


def test_a_hop_that_no_chunk_divides_is_refused(copy):
    respell(copy, lambda m: m["encoder"]["stream"].update(hops=[2, 4]))
    bundle = Bundle(copy)
    with pytest.raises(BundleError, match=r"hop of 3 segments.*\[2, 4\]"):
        bundle.encoder(hop=3)
    engine = Engine.open(copy)
    with pytest.raises(BundleError, match="hop of 3 segments"):
        list(engine.listen([np.zeros(32000, np.float32)], rate_hz=32000, hop=3))


def test_every_profile_listens(tmp_path):
    """Through resampling, windows, head and phrases: the best phrase is the same in all precisions."""
    sound = sounds(1, seconds=13, seed=21)[0]
    best = {
        next(Engine.open(narrow_bundle(), profile=name).listen([sound], rate_hz=32000)).matches[0].phrase
        for name in PROFILES
    }
    assert len(best) == 1


# the gates


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"min_snr_db": 60.0}, r"small: segments' signal to noise, dB: \d+\.\d+ \(≥ 60.0\)"),
        ({"min_segment_cosine": 1.0}, "small: lowest segment cosine"),
        ({"min_embedding_cosine": 1.1}, "small: lowest embedding cosine"),
    ],
)
def test_a_profile_outside_its_tolerance_is_refused_and_says_by_how_much(net, unheard, monkeypatch, change, told):
    monkeypatch.setitem(RECIPES, "small", dataclasses.replace(RECIPES["small"], **change))
    manifest = Manifest.read(narrow_bundle())
    with pytest.raises(GateError, match=told):
        judged(narrow_bundle(), narrow_parts(), manifest, unheard)


def test_another_network_than_the_bundle_holds_is_refused(unheard):
    parts = dataclasses.replace(narrow_parts(), net=random_net(NARROW_CNN14, seed=1))
    with pytest.raises(GateError, match="exact: largest difference with PyTorch"):
        judged(narrow_bundle(), parts, Manifest.read(narrow_bundle()), unheard)


def test_a_dual_encoder_of_another_width_is_refused(net):
    with pytest.raises(ValueError, match="segments of 9 numbers, the network gives 32"):
        StreamingParts(net, random_checkpoint(9), "x", "0", "none", [], ["rain"], sounds(2))


def test_an_unknown_profile_is_refused_at_export(net):
    with pytest.raises(
        ValueError, match=r"\['huge'\] are not known; there are exact, light, packed, balanced, small, tiny"
    ):
        StreamingParts(net, random_checkpoint(32), "x", "0", "none", [], ["rain"], sounds(2), profiles=("huge",))


def test_weights_alone_in_int8_are_for_mn04(tmp_path):
    with pytest.raises(ValueError, match="no profile packed"):
        export_streaming(tmp_path, dataclasses.replace(narrow_parts(), profiles=("packed",)))


def test_every_recipe_states_what_it_promises():
    for recipe in RECIPES.values():
        assert isinstance(recipe, Recipe)
        assert recipe.min_snr_db >= 15
        assert recipe.min_embedding_cosine >= 0.95


# networks from disk


def test_a_saved_network_is_the_same_network(net, clips, tmp_path):
    save_net(net, tmp_path / "net.pt")
    again = load_encoder(tmp_path / "net.pt", "")
    assert np.array_equal(run(layers_of(again), clips[0]), run(layers_of(net), clips[0]))


def test_a_file_that_is_no_network_is_refused(tmp_path):
    with pytest.raises(EarmarkError, match="missing"):
        load_net(tmp_path / "net.pt")
    torch.save({"model": {}}, tmp_path / "net.pt")
    with pytest.raises(EarmarkError, match="--network"):
        load_net(tmp_path / "net.pt")
    with pytest.raises(ValueError, match="cnn14, cnn10, cnn6"):
        load_encoder(tmp_path / "net.pt", "resnet")


def test_training_with_the_rounding_in_the_loop_brings_int8_nearer_to_fp32(net, clips, unheard):
    layers = layers_of(net)
    scaled, steps = int8_steps(layers, clips, int8=RECIPES["small"].int8(layers))
    tuned, learned = fine_tuned(scaled, steps, teacher=layers, clips=clips, config=Tuning(steps=60, crop_frames=192))
    assert learned.keys() == steps.keys()
    exact, before, after = (
        np.concatenate([run(n, clip, steps=s) for clip in unheard])
        for n, s in ((layers, {}), (scaled, steps), (tuned, learned))
    )
    assert snr_db(exact, after) > snr_db(exact, before)


def test_before_training_the_rounding_in_the_loop_is_that_of_the_graph(net, clips):
    layers = layers_of(net)
    scaled, steps = int8_steps(layers, clips, int8=RECIPES["balanced"].int8(layers))
    fake = FakeNetwork(scaled, steps)
    with torch.no_grad():
        found = fake(torch.from_numpy(clips[0]))[0].numpy()
    kept, again = fake.learned()
    assert [layer.name for layer in kept] == [layer.name for layer in layers]
    for name, step in steps.items():  # a weight on the edge between two steps may fall to the other side
        assert np.abs(again[name].weight.astype(int) - step.weight).max() <= 1
    # within a step of the last rounding, after its gain, on average: as for onnxruntime above
    assert np.abs(found - run(scaled, clips[0], steps=steps)).mean() < 2 * steps["conv6_2"].output_step
