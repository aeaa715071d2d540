"""Export: the graphs say what PyTorch says, the gates close, and the loop from sounds to a listening bundle holds."""

import csv
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="needs the train extra")
pytest.importorskip("onnx", reason="needs the export extra")

from edge_runtime.graph import OnnxGraph  # noqa: E402
from edge_runtime.tokenizer import batch_of  # noqa: E402
from export.graphs import factors, head_graph, text_graph  # noqa: E402
from export.quantise import quantise  # noqa: E402
from export.verify import Gate, cosines  # noqa: E402
from training.pooling import POOLINGS  # noqa: E402
from training.retrieval import DualEncoder, RetrievalConfig  # noqa: E402

pytestmark = pytest.mark.usefixtures("one_torch_thread")

FP32_ERROR = 1e-5
"""onnxruntime and PyTorch sum in other orders; unit vectors part by about 1e-7."""


def trained_like(**settings: object) -> DualEncoder:
    """A small model whose batch norms and standardisation are far from the identity, as after training."""
    torch.manual_seed(0)
    model = DualEncoder(
        RetrievalConfig(segment_width=24, word_width=300, joint_width=32, **settings), torch.randn(50, 300)
    )
    model.segment_mean.normal_()
    model.segment_std.uniform_(0.5, 2)
    for module in model.modules():
        if isinstance(module, torch.nn.BatchNorm1d):
            module.running_mean.normal_()
            module.running_var.uniform_(0.5, 2)
            torch.nn.init.normal_(module.weight, 1, 0.2)
            torch.nn.init.normal_(module.bias)
    if model.config.less_common:
        for tower in (model.audio_tower, model.text_tower):
            tower.common.normal_(std=0.1)
    if model.config.kept_width:
        for tower in (model.audio_tower, model.text_tower):
            tower.turn.copy_(torch.linalg.qr(torch.randn(32, 32)).Q[:, : model.config.kept_width])
    if model.concepts is not None:
        model.concepts.weight.uniform_(0.5, 2)
        model.concepts.table.normal_()
        if model.concepts.usual is not None:
            model.concepts.usual.uniform_(0.2, 0.9)
        if model.concepts.known is not None:
            model.concepts.known.copy_(torch.nn.functional.normalize(torch.randn_like(model.concepts.known), dim=1))
    return model.eval()


@pytest.mark.parametrize(
    "settings",
    [
        *({"audio_pooling": name, "lstm_width": 20} for name in POOLINGS),
        {"audio_pooling": "netvlad", "audio_ghosts": 2},
        *({"audio_pooling": name, "audio_padded_to": 33} for name in ("max", "netvlad", "netrvlad")),
        {"classes": 9, "class_hidden": 7, "concept_gain": 0.4},
        {"classes": 9, "class_hidden": 7, "concept_gain": 0.4, "concept_root": True},
        {"classes": 9, "class_hidden": 7, "concept_gain": 0.4, "concept_root": True, "concept_usual": True},
        {"less_common": True},
        {"classes": 9, "class_hidden": 7, "concept_gain": 0.4, "kept_width": 8, "less_common": True},
        {"classes": 9, "class_hidden": 7, "concept_gain": 0.4, "known": 5, "known_width": 6, "concept_doubt": 0.2},
    ],
)
def test_the_folded_head_is_the_audio_tower_for_any_number_of_segments(tmp_path: Path, settings: dict) -> None:
    model = trained_like(**settings)
    head_graph(model, tmp_path / "head.onnx")
    head = OnnxGraph(
        tmp_path / "head.onnx", inputs={"segments": (None, 24)}, outputs={"embedding": (model.config.width,)}
    )
    for count in (1, 2, 31, 40):
        segments = np.random.default_rng(count).standard_normal((count, 24)).astype(np.float32)
        with torch.inference_mode():
            eager = model.audio(torch.from_numpy(segments)[None], torch.ones(1, count, dtype=torch.bool))[0]
        np.testing.assert_allclose(head(segments=segments), eager.numpy(), atol=FP32_ERROR)


@pytest.mark.parametrize(
    "settings",
    [
        *({"text_pooling": name, "lstm_width": 20} for name in POOLINGS),
        {"less_common": True},
        {"kept_width": 8, "less_common": True},
        *({"text_pooling": name, "text_padded_to": 3, "text_ghosts": 1} for name in ("max", "netvlad")),
    ],
)
def test_the_folded_text_encoder_is_the_text_tower_padding_and_all(tmp_path: Path, settings: dict) -> None:
    model = trained_like(**settings)
    text_graph(model, tmp_path / "text.onnx", int8_words=False)
    outputs = {"embedding": (None, model.config.width)}
    text = OnnxGraph(tmp_path / "text.onnx", inputs={"token_ids": (None, None)}, outputs=outputs)
    ids = batch_of([np.array([4]), np.array([7, 8, 9, 49]), np.array([1, 2])])
    with torch.inference_mode():
        eager = model.text(torch.from_numpy(ids)).numpy()
    np.testing.assert_allclose(text(token_ids=ids), eager, atol=FP32_ERROR)
    np.testing.assert_allclose(text(token_ids=ids[:1, :1]), eager[:1], atol=FP32_ERROR)


def test_a_matrix_of_low_rank_is_kept_as_two_of_fewer_numbers() -> None:
    torch.manual_seed(1)
    whole, low = torch.randn(40, 30), torch.randn(40, 5) @ torch.randn(5, 30)
    (kept,) = factors(whole)
    assert torch.equal(kept, whole)
    left, right = factors(low)
    assert (left.shape, right.shape) == ((40, 5), (5, 30))
    torch.testing.assert_close(left @ right, low, atol=1e-5, rtol=0)  # float32 sums of five
    assert len(factors(torch.randn(40, 20) @ torch.randn(20, 30))) == 1, "two of rank 20 are no fewer numbers"


def test_int8_words_and_products_stay_close_and_are_a_quarter_of_the_size(tmp_path: Path) -> None:
    model = trained_like()
    for name, int8 in (("fp32", False), ("words", True)):
        text_graph(model, tmp_path / f"{name}.onnx", int8_words=int8)
    phrases = [np.random.default_rng(i).integers(1, 50, 1 + i % 9) for i in range(40)]
    feeds = ({"token_ids": ids[None]} for ids in phrases)
    quantise(tmp_path / "words.onnx", tmp_path / "int8.onnx", feeds, ops=("MatMul", "Gemm"), min_weights=10_000)
    sizes = {name: (tmp_path / f"{name}.onnx").stat().st_size for name in ("fp32", "int8")}
    assert sizes["int8"] < 0.3 * sizes["fp32"]
    shapes = {"inputs": {"token_ids": (None, None)}, "outputs": {"embedding": (None, 32)}}
    exact, small = (OnnxGraph(tmp_path / f"{name}.onnx", **shapes) for name in ("fp32", "int8"))
    ids = batch_of(phrases)
    # 8 bits a factor leave 0.5 % of noise in each product; a wrong scale or column order falls below .9
    assert cosines(exact(token_ids=ids), small(token_ids=ids)).min() > 0.995


@pytest.mark.parametrize("name", POOLINGS)
def test_a_head_in_int8_stays_close_whatever_it_pools_by(tmp_path: Path, name: str) -> None:
    model = trained_like(audio_pooling=name)
    head_graph(model, tmp_path / "fp32.onnx")
    heard = [np.random.default_rng(i).standard_normal((1 + i, 24)).astype(np.float32) for i in range(16)]
    samples = ({"segments": rows} for rows in heard)
    quantise(tmp_path / "fp32.onnx", tmp_path / "int8.onnx", samples, ops=("MatMul", "Gemm"), min_weights=700)
    shapes = {"inputs": {"segments": (None, 24)}, "outputs": {"embedding": (32,)}}
    exact, small = (OnnxGraph(tmp_path / f"{kind}.onnx", **shapes) for kind in ("fp32", "int8"))
    pairs = [np.stack([graph(segments=rows) for rows in heard]) for graph in (exact, small)]
    # as of the text encoder: 8 bits a factor leave 0.5 % of noise, a wrong scale or order of columns falls below .9
    assert cosines(*pairs).min() > 0.995


def test_a_head_in_int8_says_what_faint_sounds_are_as_well_as_loud_ones(tmp_path: Path) -> None:
    model = trained_like(classes=40, class_hidden=24, concept_gain=3.0)
    assert model.concepts is not None
    model.concepts.weight.fill_(1)
    model.concepts.hidden.weight.copy_(torch.eye(24))
    model.concepts.hidden.bias.zero_()
    model.concepts.classify.bias.fill_(-6)  # a tagger that is sure of little: of .2 % each, until a sound is loud
    head_graph(model, tmp_path / "fp32.onnx")
    rng = np.random.default_rng(0)
    loud, faint = ([scale * rng.standard_normal((4, 24)).astype(np.float32) for _ in range(16)] for scale in (16, 1))
    samples = ({"segments": rows} for rows in (*loud, *faint))
    quantise(tmp_path / "fp32.onnx", tmp_path / "int8.onnx", samples, ops=("MatMul", "Gemm"), min_weights=700)
    shapes = {"inputs": {"segments": (None, 24)}, "outputs": {"embedding": (32,)}}
    exact, small = (OnnxGraph(tmp_path / f"{kind}.onnx", **shapes) for kind in ("fp32", "int8"))
    pairs = [np.stack([graph(segments=rows) for rows in faint]) for graph in (exact, small)]
    # as above; with one scale for the sums of loud sounds' tags and of faint ones' it was .72
    assert cosines(*pairs).min() > 0.995


def test_quantising_nothing_is_an_error(tmp_path: Path) -> None:
    head_graph(trained_like(), tmp_path / "head.onnx")
    with pytest.raises(ValueError, match="no MatMul with a weight of 999999999 numbers"):
        quantise(tmp_path / "head.onnx", tmp_path / "out.onnx", [], ops=("MatMul",), min_weights=999_999_999)


def test_a_gate_refuses_what_is_beyond_its_bound_and_what_is_no_number() -> None:
    assert Gate("error", 1e-6, 1e-4).passed
    assert not Gate("error", 1e-3, 1e-4).passed
    assert Gate("cosine", 0.99, 0.98, at_most=False).passed
    assert not Gate("cosine", 0.9, 0.98, at_most=False).passed
    assert not Gate("error", float("nan"), 1e-4).passed
    assert not Gate("cosine", float("nan"), 0.98, at_most=False).passed


@pytest.fixture(scope="module")
def small_world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of synthesised recordings with a clips.csv, as the shared sounds have: four sounds, nine clips each."""
    import soundfile

    from edge_runtime.synthesis import Studio, crickets, dog, siren, thunderstorm

    root = tmp_path_factory.mktemp("sounds")
    makers = {"crickets": crickets, "dog": dog, "siren": siren, "thunderstorm": thunderstorm}
    rows = []
    for label, make in makers.items():
        for i, split in enumerate(["train"] * 5 + ["val"] * 2 + ["test"] * 2):
            name = f"{label}-{i}.wav"
            sound = make(Studio(32_000, seed=i), 3.0)
            soundfile.write(root / name, 0.3 * sound / np.abs(sound).max(), 32_000)
            rows.append((name, split, label, "", name, "esc50", 3.0, "ours", -20.0))
    with (root / "clips.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(("file", "split", "label", "captions", "recording", "source", "seconds", "licence", "rms_dbfs"))
        writer.writerows(rows)
    return root


@pytest.mark.slow
@pytest.mark.shared
def test_sounds_become_a_bundle_that_names_them_and_a_broken_graph_becomes_none(
    shared: Path, small_world: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from edge_runtime import Engine
    from edge_runtime.tokenizer import words_of
    from export import precision
    from export.__main__ import run as export
    from training.features import extract, load
    from training.mel_tables import efficientat_mel
    from training.mn import load_mn04
    from training.phrasings import TEMPLATES, phrasings_of
    from training.sounds import read_clips
    from training.train import TrainConfig, train
    from training.words import WordVectors

    weights = shared / "weights/efficientat_mn04_as"
    clips = read_clips(small_world)
    features = tmp_path / "features"
    paths = extract(clips, load_mn04(weights), *efficientat_mel(), out=features, copies=1)
    labels = sorted({clip.label for clip in clips})
    texts = [*TEMPLATES, "a dog barks in the rain", *(text for name in labels for text in phrasings_of(name))]
    words = sorted({word for text in texts for word in words_of(text)})
    vectors = np.random.default_rng(0).standard_normal((len(words), 300)).astype(np.float32) / 300**0.5
    config = TrainConfig(epochs=30, batch=10, learning_rate=5e-3, average=0.5, joint_width=32, device="cpu")
    train(clips, load(paths), WordVectors(words, vectors, "made up"), config, tmp_path / "run")
    (tmp_path / "phrases.txt").write_text("\n".join(labels))
    arguments = [
        str(tmp_path / "run"),
        str(tmp_path / "bundle"),
        "--sounds",
        str(small_world),
        "--features",
        str(features),
    ]
    arguments += ["--weights", str(weights), "--phrases", str(tmp_path / "phrases.txt")]
    assert export(arguments) == 0

    engine = Engine.open(tmp_path / "bundle")
    heard = {clip.path: engine.caption(clip.path, k=1)[0].phrase for clip in clips if clip.split == "test"}
    right = sum(heard[clip.path] == clip.label for clip in clips if clip.split == "test")
    assert right >= 6  # of eight; chance is two

    def broken(source: Path, target: Path, samples: object, **rest: object) -> None:
        """An int8 graph of another model: loads, has the right shapes, says something else."""
        quantise(source, target, samples, **rest)
        import onnx

        model = onnx.load(target)
        for tensor in model.graph.initializer:
            if tensor.data_type == onnx.TensorProto.INT8 and len(tensor.dims) == 2:
                values = onnx.numpy_helper.to_array(tensor)
                tensor.CopyFrom(onnx.numpy_helper.from_array(np.ascontiguousarray(values[::-1]), tensor.name))
        onnx.save(model, target)

    monkeypatch.setattr(precision, "quantise", broken)
    before = sorted(path.name for path in (tmp_path / "bundle").iterdir())
    arguments[1] = str(tmp_path / "none")
    assert export(arguments) == 1
    assert not (tmp_path / "none").exists()
    assert sorted(path.name for path in (tmp_path / "bundle").iterdir()) == before
    assert not list(tmp_path.glob(".none-*"))


def test_a_folder_that_is_no_bundle_is_not_overwritten(tmp_path: Path) -> None:
    from export.__main__ import run as export

    precious = tmp_path / "thesis.txt"
    precious.write_text("keep me")
    assert export([str(tmp_path / "run"), str(tmp_path)]) == 2
    assert precious.read_text() == "keep me"
