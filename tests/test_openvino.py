"""OpenVINO behind the interface of `OnnxGraph`: the same answers, the same checks, and `doctor --tune` chooses.

Tolerances. fp32 sums in another order: 1e-4 of the segments' deviation (measured 1e-5). int8 besides: a sum that falls
between two steps may go to the other one, and a few such steps change a segment by some hundredths of a deviation, but
hardly its direction: a cosine of .999 (measured .99996).
"""

import importlib.util
import json
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from conftest import WINDOWED_BUNDLE

from edge_runtime import bundle as bundle_module
from edge_runtime import openvino_graph, tune
from edge_runtime.bundle import DEFAULT_BUNDLE, Bundle
from edge_runtime.engine import Engine
from edge_runtime.errors import BundleError, EarmarkError
from edge_runtime.graph_engine import ENGINES, installed_engines
from edge_runtime.manifest import Manifest
from edge_runtime.openvino_graph import OpenvinoGraph
from edge_runtime.profile_choice import Choice, chosen, keep_choice
from edge_runtime.tune import Measured, fastest, measure_profiles

with_openvino = pytest.mark.skipif(
    importlib.util.find_spec("openvino") is None, reason="needs the openvino extra: pip install 'earmark[openvino]'"
)
HEAD = WINDOWED_BUNDLE / "audio_head.onnx"
HEAD_IO = {"inputs": {"segments": (None, 384)}, "outputs": {"embedding": (512,)}}
MAX_FP32_DEVIATIONS, MIN_INT8_COSINE = 1e-4, 0.999


@pytest.fixture(scope="module")
def narrow() -> Path:
    """A narrow CNN14 that streams, in four profiles."""
    pytest.importorskip("torch", reason="needs the train extra")
    pytest.importorskip("onnx", reason="needs the export extra")
    from streaming_case import narrow_bundle

    return narrow_bundle()


def heard(bundle: Bundle, *, frames: int = 990, seed: int = 0) -> np.ndarray:
    """The segments of a recording, streamed where the bundle streams."""
    encoder = bundle.encoder()
    encoder.push(np.random.default_rng(seed).normal(size=(frames, bundle.manifest.mel.bands)).astype(np.float32))
    encoder.flush()
    return encoder.segments(max(0, encoder.available - bundle.manifest.window.segments), encoder.available)


def both(folder: Path, profile: str | None = None) -> list[Bundle]:
    return [Bundle.open(folder, profile=profile, engine=engine) for engine in ENGINES]


def lowest_cosine(a: np.ndarray, b: np.ndarray) -> float:
    return float(((a * b).sum(axis=1) / np.linalg.norm(a, axis=1) / np.linalg.norm(b, axis=1)).min())


# the answers


@with_openvino
@pytest.mark.parametrize("frames", [40, 990])
@pytest.mark.parametrize("folder", [DEFAULT_BUNDLE, WINDOWED_BUNDLE], ids=["streaming", "windowed"])
def test_mn04_answers_alike(folder, frames):
    onnx, vino = both(folder)
    assert (onnx.engine, vino.engine) == ENGINES
    a, b = heard(onnx, frames=frames), heard(vino, frames=frames)
    assert np.abs(a - b).max() <= MAX_FP32_DEVIATIONS * a.std()
    assert onnx.embed_segments(a) @ vino.embed_segments(b) >= MIN_INT8_COSINE  # its head is int8
    assert np.array_equal(onnx.embed_text(["rain"]), vino.embed_text(["rain"]))


@with_openvino
@pytest.mark.parametrize("profile", ["small", "balanced", "exact", "tiny"])
def test_a_streamed_cnn14_answers_alike_in_every_profile(profile, narrow):
    onnx, vino = both(narrow, profile)
    a, b = heard(onnx), heard(vino)
    assert lowest_cosine(a, b) >= MIN_INT8_COSINE
    if profile == "exact":
        assert np.abs(a - b).max() <= MAX_FP32_DEVIATIONS * a.std()
    assert onnx.embed_segments(a) @ vino.embed_segments(b) >= MIN_INT8_COSINE


@with_openvino
@pytest.mark.parametrize("profile", ["small", "exact"])
def test_states_go_through_unchanged_in_any_chunks(profile, narrow):
    """uint8 where the graph has them so. Hops of one segment and of four, and a provisional answer between."""
    bundle = Bundle.open(narrow, profile=profile, engine="openvino")
    frames = np.random.default_rng(1).normal(size=(700, 64)).astype(np.float32)
    found = []
    for hop in (1, 4):
        encoder = bundle.encoder(hop=hop)
        for block in np.array_split(frames, 9):
            encoder.push(block)
            encoder.provisional()
        encoder.flush()
        found.append(encoder.segments(0, encoder.available))
    whole = bundle.whole_clip(frames)
    for each in found:
        assert each.shape == whole.shape
        assert lowest_cosine(each, whole) >= MIN_INT8_COSINE
        if profile == "exact":
            assert np.abs(each - whole).max() <= MAX_FP32_DEVIATIONS * whole.std()


@with_openvino
def test_the_next_call_leaves_an_answer_alone_and_threads_take_turns():
    graph = OpenvinoGraph(HEAD, **HEAD_IO)
    windows = np.abs(np.random.default_rng(2).normal(size=(24, 31, 384))).astype(np.float32)
    alone = [graph(segments=window) for window in windows]
    kept = [each.copy() for each in alone]
    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(lambda window: graph(segments=window), windows))
    assert np.array_equal(kept, alone)
    assert np.array_equal(kept, together)


# what is refused


@with_openvino
@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"inputs": {"segments": (None, 385)}}, "inputs"),
        ({"inputs": {"log_mel": (None, 384)}}, "inputs"),
        ({"outputs": {"embedding": (513,)}}, "outputs"),
        ({"outputs": {"embedding": (1, 512)}}, "outputs"),
        ({"dtypes": {"segments": "uint8"}}, "segments as float32.*uint8"),
    ],
)
def test_a_graph_that_does_not_fit_its_manifest_is_refused(change, told):
    with pytest.raises(BundleError, match=rf"audio_head\.onnx has .*{told}.*export it again"):
        OpenvinoGraph(HEAD, **{**HEAD_IO, **change})


@with_openvino
def test_a_file_that_is_no_graph_is_refused(tmp_path):
    (tmp_path / "x.onnx").write_bytes(b"no graph")
    with pytest.raises(BundleError, match=r"x\.onnx cannot be loaded by OpenVINO"):
        OpenvinoGraph(tmp_path / "x.onnx", **HEAD_IO)


def test_without_openvino_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "openvino", None)
    assert installed_engines() == ["onnxruntime"]
    with pytest.raises(EarmarkError, match=r"pip install 'earmark\[openvino\]'"):
        Bundle.open(engine="openvino")


def test_a_command_refuses_an_engine_in_one_line(earmark, recordings):
    earmark("caption", recordings / "five.wav", "--engine", "abacus").refused("abacus", "onnxruntime", "openvino")


@with_openvino
def test_a_caption_in_openvino_reports_to_nobody(earmark, recordings):
    """Its conversion tools would, as soon as they are imported; a home of its own shows what is written there."""
    done = earmark("caption", recordings / "five.wav", "--engine", "openvino")
    assert done.code == 0 and done.out
    code = (
        "import sys; from edge_runtime import Engine; "
        f"Engine.open(engine='openvino').caption({str(recordings / 'five.wav')!r}); "
        "assert 'openvino' in sys.modules; assert not [m for m in sys.modules if 'telemetry' in m or 'tools.ovc' in m]"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, env=earmark.env)
    assert ran.returncode == 0, ran.stderr
    assert not earmark.home.parent.joinpath("nobody").exists()


@with_openvino
def test_the_conversion_tools_can_be_imported_afterwards():
    openvino_graph.load_openvino()
    assert sys.modules.get(openvino_graph.CONVERTER, "absent") is not None


# the choice


@with_openvino
@pytest.mark.parametrize("folder", [DEFAULT_BUNDLE, WINDOWED_BUNDLE], ids=["streaming", "windowed"])
def test_both_engines_are_measured_and_the_fastest_is_kept_and_opened(folder, tmp_path, capsys, monkeypatch):
    from edge_runtime.cli import app

    monkeypatch.setattr(tune, "ROUNDS", 2)

    def doctor(*options: str) -> str:
        with pytest.raises(SystemExit) as done:
            app(["doctor", "--home", str(tmp_path), "--bundle", str(folder), *options])
        assert not done.value.code
        return capsys.readouterr().out

    told = doctor("--tune")
    manifest = Manifest.read(folder)
    best, profile = chosen(tmp_path, manifest), next(iter(manifest.profiles), None)
    assert best.profile == profile and best.engine in ENGINES
    assert f"tuned       {best} is the fastest" in told
    assert all(f"  {Choice(profile, engine)!s:24}" in told for engine in ENGINES)
    assert f"engine      {best.engine} of onnxruntime, openvino" in doctor()
    assert "engine      openvino of" in doctor("--engine", "openvino")


@with_openvino
def test_every_profile_is_measured_in_every_engine(narrow):
    found = measure_profiles(narrow, rounds=2)
    assert [each.choice for each in found] == [
        Choice(profile, engine) for profile in ("small", "balanced", "exact", "tiny") for engine in ENGINES
    ]
    assert all(each.hop_ms > 0 and each.cosine > 0.9 and not each.failure for each in found)


@with_openvino
def test_an_engine_that_fails_its_self_test_is_reported_and_not_kept(monkeypatch):
    def fail(bundle: Bundle) -> dict[str, float]:
        if bundle.engine == "openvino":
            raise BundleError("this CPU saturates")
        return {"audio_cosine": 1.0}

    monkeypatch.setattr(Bundle, "self_test", fail)
    found = measure_profiles(WINDOWED_BUNDLE, rounds=1)
    assert [each.failure for each in found] == ["", "this CPU saturates"]
    assert fastest(found).choice == Choice(None, "onnxruntime")


def test_the_fastest_engine_wins():
    found = [Measured(Choice("small", "onnxruntime"), 3, 0.99), Measured(Choice("small", "openvino"), 2, 0.99)]
    assert fastest(found).choice.engine == "openvino"
    assert fastest([*found, Measured(Choice("tiny", "openvino"), 1, 0.9)]).choice == Choice("small", "openvino")


@with_openvino
def test_what_is_asked_for_goes_before_what_was_chosen(tmp_path):
    keep_choice(tmp_path, Manifest.read(DEFAULT_BUNDLE), Choice("light", "openvino"), measured={})
    assert Bundle.open(home=tmp_path).engine == "openvino"
    assert Bundle.open(home=tmp_path, engine="onnxruntime").engine == "onnxruntime"
    assert Bundle.open().engine == "onnxruntime"
    assert Engine.open(home=tmp_path).bundle.engine == "openvino"


@with_openvino
def test_an_engine_is_chosen_for_its_profile_alone(tmp_path, narrow):
    keep_choice(tmp_path, Manifest.read(narrow), Choice("balanced", "openvino"), measured={})
    for options, expected in (
        ({}, ("balanced", "openvino")),
        ({"profile": "balanced"}, ("balanced", "openvino")),
        ({"profile": "small"}, ("small", "onnxruntime")),
        ({"engine": "onnxruntime"}, ("balanced", "onnxruntime")),
        ({"profile": "small", "engine": "openvino"}, ("small", "openvino")),
    ):
        bundle = Bundle.open(narrow, home=tmp_path, write=False, **options)
        assert (bundle.profile, bundle.engine) == expected, options


@with_openvino
def test_openvino_needs_no_optimised_forms_of_the_audio_graphs(tmp_path, narrow, monkeypatch):
    """Only the text encoder, which runs in onnxruntime whatever the engine."""
    monkeypatch.setattr(bundle_module, "MIN_CACHED_BYTES", 0)
    Bundle.open(narrow, profile="small", engine="openvino", home=tmp_path)
    (about,) = (tmp_path / "graphs").glob("*/about.json")
    assert json.loads(about.read_text())["source"] == Manifest.read(narrow).files["text_encoder.onnx"]


@with_openvino
def test_a_damaged_graph_is_refused_before_openvino_reads_it(tmp_path, narrow):
    folder = Path(shutil.copytree(narrow, tmp_path / "bundle"))
    path = folder / "audio_encoder.small.onnx"
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    with pytest.raises(BundleError, match="damaged"):
        Bundle.open(folder, profile="small", engine="openvino")
