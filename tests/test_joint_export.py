"""The papers' models in the runtime: experts as graphs of their own, one head, and texts that weigh them."""

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="needs the train extra")
pytest.importorskip("onnx", reason="needs the export extra")

from torch import nn  # noqa: E402

from edge_runtime import Engine  # noqa: E402
from edge_runtime.bundle import Bundle  # noqa: E402
from edge_runtime.errors import BundleError  # noqa: E402
from edge_runtime.graph import OnnxGraph  # noqa: E402
from edge_runtime.listener import Listener  # noqa: E402
from edge_runtime.manifest import Manifest  # noqa: E402
from edge_runtime.mel import log_mel  # noqa: E402
from edge_runtime.resample import Resampler  # noqa: E402
from edge_runtime.tokenizer import PADDING  # noqa: E402
from export.front_ends import MelFrontEnd, SpectrogramFrontEnd, VggishFrontEnd  # noqa: E402
from export.joint_bundle import JointAssembly, export_joint  # noqa: E402
from export.joint_graphs import joint_head_graph, joint_text_graph, joint_width  # noqa: E402
from export.sample_encoders import SampleEncoder, expert_graph  # noqa: E402
from tests.conftest import Earmark  # noqa: E402
from tests.experts_case import EXPERTS, collection, config, vectors  # noqa: E402
from training.experts import vggish, vggsound  # noqa: E402
from training.experts.expert import ExpertBatch  # noqa: E402
from training.mel_tables import efficientat_mel, panns_mel  # noqa: E402
from training.papers.checkpoint import PaperCheckpoint  # noqa: E402
from training.papers.joint import similarity  # noqa: E402
from training.papers.loop import run  # noqa: E402
from training.papers.models import build  # noqa: E402
from training.pooling import POOLINGS  # noqa: E402

pytestmark = pytest.mark.usefixtures("one_torch_thread")

FP32_ERROR = 1e-5
"""onnxruntime and PyTorch sum in other orders; unit vectors part by about 1e-7."""
PHRASES = ("a dog and a cat", "rain", "a bell, wind", "the car", "bird, door")
TOKENS = torch.tensor([[1, 2, 3, 0], [4, 0, 0, 0], [5, 6, 7, 8], [2, 2, 0, 0]])
KINDS = (("moee", {}), ("ce", {}), ("ce", {"overwrite": True, "padded": True}), ("dual", {"audio_pooling": "netrvlad"}))


class Bands(nn.Module):
    """A front end of nothing but a filter: samples (n,) -> (n // 1600, width)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.filters = nn.Conv1d(1, width, 1600, stride=1600)

    def forward(self, samples: torch.Tensor) -> torch.Tensor:
        return self.filters(samples[None, None])[0].T


def encoders() -> list[SampleEncoder]:
    """Of the two experts; the second hears at half the bundle's rate."""
    torch.manual_seed(1)
    nets = [nn.Sequential(nn.Linear(e.width, e.width), nn.Tanh()).eval() for e in EXPERTS]
    rates = (32_000, 16_000)
    return [
        SampleEncoder(e.name, Bands(e.width).eval(), net, e.width, rate, 1600)
        for e, net, rate in zip(EXPERTS, nets, rates, strict=True)
    ]


@pytest.fixture(scope="module")
def checkpoints(tmp_path_factory: pytest.TempPathFactory) -> dict[str, PaperCheckpoint]:
    sounds, stores = collection()
    found = {}
    for number, (kind, settings) in enumerate(KINDS):
        folder = tmp_path_factory.mktemp(kind)
        run(sounds, stores, vectors(), config(kind, epochs=2, **settings), folder)
        found[f"{kind}{number}"] = PaperCheckpoint.load(folder)
    return found


def names_of(checkpoint: PaperCheckpoint) -> list[str]:
    return [expert.name for expert in checkpoint.config.experts]


SLOW = pytest.mark.slow


@pytest.mark.parametrize(
    ("kind", "missing"),
    [
        ("ce1", ()),
        pytest.param("moee0", ("far",), marks=SLOW),
        pytest.param("ce1", ("near",), marks=SLOW),
        pytest.param("ce2", (), marks=SLOW),
        pytest.param("dual3", (), marks=SLOW),
    ],
)
def test_products_of_the_graphs_are_the_models_similarities(
    checkpoints: dict[str, PaperCheckpoint], tmp_path: Path, kind: str, missing: tuple[str, ...]
) -> None:
    checkpoint = checkpoints[kind]
    heard = [name for name in names_of(checkpoint) if name not in missing]
    model, settings = checkpoint.model, checkpoint.config
    joint_head_graph(model, settings, tmp_path / "head.onnx", heard=heard)
    joint_text_graph(model, settings, tmp_path / "text.onnx", heard=heard)
    width = {expert.name: expert.width for expert in EXPERTS}
    segments = {"segments": (None, 1)} | {f"segments_{name}": (None, width[name]) for name in heard}
    joint = joint_width(model, settings, heard)
    head = OnnxGraph(tmp_path / "head.onnx", inputs=segments, outputs={"embedding": (joint,)})
    text = OnnxGraph(tmp_path / "text.onnx", inputs={"token_ids": (None, None)}, outputs={"embedding": (None, joint)})
    rng = np.random.default_rng(0)
    rows = [
        {name: rng.standard_normal((count, width[name])).astype(np.float32) for name in heard}
        for count in (1, 5, 12, 17)
    ]
    audio = np.stack(
        [
            head(segments=np.ones((3, 1), np.float32), **{f"segments_{name}": x for name, x in row.items()})
            for row in rows
        ]
    )
    # as on the device, each phrase by itself
    texts = np.concatenate([text(token_ids=ids[ids != PADDING][None].numpy()) for ids in TOKENS])
    for found in (audio, texts):
        np.testing.assert_allclose(np.linalg.norm(found, axis=1), 1, atol=FP32_ERROR)
    with torch.inference_mode():
        a, available, t, weights = model(ExpertBatch.of(settings.experts, rows), TOKENS)
    expected = similarity(t, weights, a, available).numpy()
    assert available.sum() == len(rows) * len(heard)
    np.testing.assert_allclose(texts @ audio.T * len(heard) ** 0.5, expected, atol=FP32_ERROR)


def bundle_of(folder: Path, checkpoint: PaperCheckpoint, missing: tuple[str, ...] = ()) -> Bundle:
    folder.mkdir()
    given = [e for e in encoders() if e.name in names_of(checkpoint) and e.name not in missing]
    export_joint(folder, JointAssembly(checkpoint, given, "joint", "1.0.0", PHRASES, window_s=1.28))
    return Bundle.open(folder)


def expected_scores(checkpoint: PaperCheckpoint, samples: np.ndarray, missing: tuple[str, ...] = ()) -> np.ndarray:
    """By PyTorch alone: phrases against one window of samples at 32 kHz, over the root of the experts' number."""
    row = {}
    for encoder in encoders():
        if encoder.name in names_of(checkpoint) and encoder.name not in missing:
            resampler = Resampler(32_000, encoder.rate_hz)
            heard = np.concatenate((resampler.push(samples), resampler.flush()))
            with torch.inference_mode():
                row[encoder.name] = encoder.network(encoder.front(torch.from_numpy(heard))).numpy()
    ids = {word: i for i, word in enumerate(checkpoint.words, start=1)}
    texts = []
    for phrase in PHRASES:
        known = [ids[word] for word in phrase.replace(",", "").split() if word in ids]
        texts.append(torch.tensor([known]))
    with torch.inference_mode():
        audio, available = checkpoint.model.audio(ExpertBatch.of(checkpoint.config.experts, [row]))
        found = [similarity(*checkpoint.model.text(each), audio, available) for each in texts]
    return torch.cat(found)[:, 0].numpy() / len(row) ** 0.5


@pytest.fixture(scope="module")
def shipped(checkpoints: dict[str, PaperCheckpoint], tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    """Collaborative experts, both of them."""
    return bundle_of(tmp_path_factory.mktemp("joint") / "bundle", checkpoints["ce1"])


def check_search(bundle: Bundle, checkpoint: PaperCheckpoint, home: Path, missing: tuple[str, ...] = ()) -> None:
    """Every window's phrases and scores are PyTorch's."""
    samples = np.random.default_rng(3).standard_normal(3 * 32_000).astype(np.float32) * 0.1
    engine = Engine.open(bundle.folder, home=home)
    found = list(engine.listen(iter(np.array_split(samples, 7)), rate_hz=32_000, k=len(PHRASES)))
    assert len(found) == 3  # two whole windows and the tail
    segment = bundle.manifest.encoder.segment_frames * bundle.manifest.mel.hop_samples
    for heard in found:
        first = heard.window.index * segment
        part = samples[first : first + bundle.manifest.window.segments * segment]
        scores = expected_scores(checkpoint, part, missing)
        told = {match.phrase: match.score for match in heard.matches}
        np.testing.assert_allclose([told[phrase] for phrase in PHRASES], scores, atol=FP32_ERROR)
        assert [match.phrase for match in heard.matches] == [PHRASES[i] for i in np.argsort(-scores)]


def test_the_runtime_searches_as_pytorch_does(
    shipped: Bundle, checkpoints: dict[str, PaperCheckpoint], tmp_path: Path
) -> None:
    check_search(shipped, checkpoints["ce1"], tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("missing", [(), ("near",)])
def test_a_mixture_of_embedded_experts_does_so_too_and_without_one_of_them(
    checkpoints: dict[str, PaperCheckpoint], tmp_path: Path, missing: tuple[str, ...]
) -> None:
    checkpoint = checkpoints["moee0"]
    check_search(bundle_of(tmp_path / "bundle", checkpoint, missing), checkpoint, tmp_path / "home", missing)


def test_windows_do_not_depend_on_how_the_sound_arrives(shipped: Bundle) -> None:
    bundle = shipped
    samples = np.random.default_rng(4).standard_normal(5 * 32_000 + 77).astype(np.float32) * 0.1

    def windows(block: int) -> np.ndarray:
        listener = Listener(bundle)
        parts = [samples[i : i + block] for i in range(0, len(samples), block)]
        found = [window for part in parts for window in listener.push(part)]
        return np.stack([window.embedding for window in (*found, *listener.flush())])

    whole = windows(len(samples))
    for block in (1_234, 40_000):
        np.testing.assert_array_equal(windows(block), whole)


def test_a_recording_is_archived_and_found_by_text(shipped: Bundle, tmp_path: Path) -> None:
    import soundfile

    samples = np.random.default_rng(5).standard_normal(6 * 32_000).astype(np.float32) * 0.1
    soundfile.write(tmp_path / "sound.wav", samples, 32_000, subtype="FLOAT")
    engine = Engine.open(shipped.folder, home=tmp_path / "home")
    engine.index(tmp_path / "sound.wav")
    scores = engine.embed_audio(tmp_path / "sound.wav") @ engine.embed_text("a dog and a cat")
    # archived embeddings are int8 with a scale each: products part by a few parts in a thousand
    assert engine.search("a dog and a cat", k=1)[0].score == pytest.approx(scores.max(), abs=5e-3)


def test_the_command_line_tells_a_bundles_experts(shipped: Bundle, earmark: Earmark) -> None:
    done = earmark("bundle", "info", "--bundle", shipped.folder)
    assert done.code == 0, done.err
    assert "expert near" in done.out and "expert far" in done.out


@pytest.mark.slow
def test_the_other_engine_hears_the_same(shipped: Bundle) -> None:
    pytest.importorskip("openvino")
    samples = np.random.default_rng(6).standard_normal(32_000).astype(np.float32) * 0.1
    ids = np.array([1, 2], np.int64)
    other = Bundle.open(shipped.folder, engine="openvino")
    # OpenVINO may work in bfloat16 where the CPU has it: its self-test's bound
    assert other.answers(samples, ids).embedding @ shipped.answers(samples, ids).embedding > 0.999


@pytest.mark.slow
@pytest.mark.parametrize("pooling", POOLINGS)
def test_a_dual_encoder_of_any_pooling_becomes_graphs(tmp_path: Path, pooling: str) -> None:
    settings = config("dual", audio_pooling=pooling, text_pooling=pooling, padded=pooling != "lstm")
    torch.manual_seed(0)
    model = build(settings, torch.randn(9, 300)).eval()
    for module in model.modules():
        if isinstance(module, nn.BatchNorm1d):
            module.running_mean.normal_(0, 0.1)
            module.running_var.uniform_(0.5, 2)
    joint_head_graph(model, settings, tmp_path / "head.onnx", heard=["near"])
    joint_text_graph(model, settings, tmp_path / "text.onnx", heard=["near"])
    inputs = {"segments": (None, 1), "segments_near": (None, 16)}
    head = OnnxGraph(tmp_path / "head.onnx", inputs=inputs, outputs={"embedding": (16,)})
    text = OnnxGraph(tmp_path / "text.onnx", inputs={"token_ids": (None, None)}, outputs={"embedding": (None, 16)})
    for count in (1, 6, 20):
        x = np.random.default_rng(count).standard_normal((count, 16)).astype(np.float32)
        with torch.inference_mode():
            eager = model.audio(ExpertBatch.of(settings.experts, [{"near": x}]))[0][0].numpy()
        found = head(segments=np.zeros((1, 1), np.float32), segments_near=x)
        np.testing.assert_allclose(found, eager, atol=FP32_ERROR)
    with torch.inference_mode():
        np.testing.assert_allclose(text(token_ids=TOKENS.numpy()), model.text(TOKENS)[0].numpy(), atol=FP32_ERROR)


def test_networks_that_do_not_fit_the_model_are_refused(
    checkpoints: dict[str, PaperCheckpoint], tmp_path: Path
) -> None:
    checkpoint = checkpoints["moee0"]
    near, far = encoders()
    for wrong, message in (
        ([], "networks of none"),
        ([replace(near, name="other")], "networks of other"),
        ([replace(near, width=17)], "near gives 17 numbers"),
    ):
        with pytest.raises(ValueError, match=message):
            export_joint(tmp_path, JointAssembly(checkpoint, wrong, "joint", "1.0.0", PHRASES))
    with pytest.raises(ValueError, match="has a word of the captions"):
        export_joint(tmp_path, JointAssembly(checkpoint, [near, far], "joint", "1.0.0", ["xylophone"]))


def test_a_manifest_of_experts_survives_its_file_and_names_what_is_wrong(shipped: Bundle, tmp_path: Path) -> None:
    manifest = shipped.manifest
    assert Manifest.read(shipped.folder) == manifest
    assert [expert.head_input for expert in manifest.experts] == ["segments_near", "segments_far"]
    fewer = replace(manifest, experts=manifest.experts[:1])
    assert fewer.fingerprint != manifest.fingerprint
    with pytest.raises(BundleError, match="names an expert twice"):
        replace(manifest, experts=manifest.experts[:1] * 2)
    with pytest.raises(BundleError, match="named 'a b'"):
        replace(manifest.experts[0], name="a b")
    spoilt = Path(shutil.copytree(shipped.folder, tmp_path / "spoilt"))
    (spoilt / "expert_far.onnx").write_bytes(b"")
    with pytest.raises(BundleError, match=r"expert_far\.onnx is damaged"):
        Bundle.open(spoilt)


@pytest.mark.parametrize("seconds", [0.98, 2.5, 4.003])
def test_front_ends_in_graphs_are_those_that_features_come_from(noise, seconds: float) -> None:
    for make in (panns_mel, efficientat_mel):
        spec, tables = make()
        samples = noise(seconds, spec.rate_hz)
        found = MelFrontEnd(spec, tables)(torch.from_numpy(samples))[0].T.numpy()
        # two transforms in fp32: 1e-4 apart in quiet bands, in units of a hundredth of the range
        np.testing.assert_allclose(found, log_mel(spec, tables, samples), atol=2e-3)
    samples = noise(seconds, vggish.RATE_HZ)
    found = VggishFrontEnd()(torch.from_numpy(samples)).numpy()
    np.testing.assert_allclose(found, vggish.examples(samples), atol=1e-3)
    found = SpectrogramFrontEnd()(torch.from_numpy(samples))[0].numpy()
    np.testing.assert_allclose(found, vggsound.spectrogram(samples), atol=2e-3)


@pytest.mark.slow
def test_the_papers_experts_become_graphs(tmp_path: Path) -> None:
    torch.manual_seed(0)
    net = vggish.Vggish().eval()
    encoder = SampleEncoder("vggish", VggishFrontEnd(), net, vggish.WIDTH, vggish.RATE_HZ, vggish.EXAMPLE_SAMPLES)
    expert_graph(encoder, tmp_path / "vggish.onnx")
    graph = OnnxGraph(tmp_path / "vggish.onnx", inputs={"samples": (None,)}, outputs={"segments": (None, 128)})
    for seconds in (1.0, 3.3):
        samples = np.random.default_rng(0).standard_normal(round(seconds * 16_000)).astype(np.float32) * 0.1
        with torch.inference_mode():
            eager = net(torch.from_numpy(vggish.examples(samples))).numpy()
        found = graph(samples=samples)
        assert found.shape == eager.shape
        np.testing.assert_allclose(found, eager, atol=1e-4 * float(np.abs(eager).max()))
