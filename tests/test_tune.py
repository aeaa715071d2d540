"""The device chooses: profiles timed here, the choice kept, optimised graphs cached per CPU."""

import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch", reason="needs the train extra")
pytest.importorskip("onnx", reason="needs the export extra")

from conftest import WINDOWED_BUNDLE
from streaming_case import narrow_bundle

from edge_runtime import bundle as bundle_module
from edge_runtime import cpu, graph_cache, profile_choice, tune
from edge_runtime.bundle import DEFAULT_BUNDLE, MIN_CACHED_BYTES, Bundle
from edge_runtime.cli import device
from edge_runtime.engine import Engine
from edge_runtime.errors import BundleError, EarmarkError, HomeError
from edge_runtime.graph import load_onnxruntime
from edge_runtime.graph_cache import GraphCache
from edge_runtime.manifest import Manifest
from edge_runtime.profile_choice import Choice, chosen, keep_choice
from edge_runtime.tune import Measured, fastest, measure_profiles

EXACT = "audio_encoder.exact.onnx"
PROFILES = ("small", "balanced", "exact", "tiny")


@pytest.fixture(autouse=True)
def one_engine(monkeypatch: pytest.MonkeyPatch) -> None:
    """As on a device without OpenVINO; tests/test_openvino.py has both."""
    for module in (tune, profile_choice, device):
        monkeypatch.setattr(module, "installed_engines", lambda: ["onnxruntime"])


@pytest.fixture
def place(tmp_path: Path) -> Path:
    return tmp_path / "place"


@pytest.fixture(autouse=True, scope="module")
def narrow_graphs_are_cached() -> Iterator[None]:
    """As heavy ones are."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(bundle_module, "MIN_CACHED_BYTES", 0)
        yield


@pytest.fixture(scope="module")
def cached(narrow_graphs_are_cached, tmp_path_factory) -> Path:
    """A home whose cache holds the optimised graphs of the exact profile; copy it to spoil it."""
    home = tmp_path_factory.mktemp("cached")
    Bundle.open(narrow_bundle(), profile="exact", home=home)
    return home


def sha256() -> str:
    return Manifest.read(narrow_bundle()).files[EXACT]


# the cache


@pytest.mark.parametrize("profile", PROFILES)
def test_optimised_graphs_answer_like_the_originals(profile, place):
    """Bit for bit, but for the fp32 head: its mapped matrix is multiplied unpacked, and summed in another order."""
    frames = np.random.default_rng(0).normal(size=(300, 64)).astype(np.float32)
    plain, mapped = (Bundle.open(narrow_bundle(), profile=profile, home=home) for home in (None, place))
    segments = plain.whole_clip(frames)
    assert np.array_equal(segments, mapped.whole_clip(frames))
    assert np.array_equal(plain.embed_text(["a dog barks"]), mapped.embed_text(["a dog barks"]))
    apart = np.abs(plain.embed_segments(segments) - mapped.embed_segments(segments)).max()
    assert apart <= (1e-6 if profile == "exact" else 0)


def test_each_graph_is_cached_once(cached, place):
    """Encoders of three precisions, heads of three, one text encoder: `small` and `tiny` share theirs."""
    shutil.copytree(cached, place)
    for profile in Manifest.read(narrow_bundle()).profiles:
        Bundle.open(narrow_bundle(), profile=profile, home=place)
    assert len(list((place / "graphs").glob("*/graph.onnx"))) == 7


def test_the_optimised_stream_equals_the_optimised_whole(cached):
    frames = np.random.default_rng(0).normal(size=(300, 64)).astype(np.float32)
    bundle = Bundle.open(narrow_bundle(), profile="exact", home=cached)
    encoder = bundle.encoder(hop=2)
    encoder.push(frames)
    encoder.flush()
    assert np.array_equal(encoder.segments(0, 9), bundle.whole_clip(frames))


def test_it_is_built_once(cached, monkeypatch):
    monkeypatch.setattr(GraphCache, "build", lambda *_: pytest.fail("built again"))
    Bundle.open(narrow_bundle(), profile="exact", home=cached)


def test_graphs_that_load_in_a_moment_as_they_are_are_not_cached(place, monkeypatch):
    heaviest = max(path.stat().st_size for path in narrow_bundle().glob("*.onnx"))
    monkeypatch.setattr(bundle_module, "MIN_CACHED_BYTES", heaviest)
    Bundle.open(narrow_bundle(), home=place, profile="exact")
    assert len(list((place / "graphs").iterdir())) == 1


def test_the_shipped_bundle_is_not_cached(place, monkeypatch):
    monkeypatch.setattr(bundle_module, "MIN_CACHED_BYTES", MIN_CACHED_BYTES)
    Bundle.open(home=place)
    assert not (place / "graphs").exists()


def test_reading_only_uses_the_cache_and_does_not_make_one(place, cached):
    Bundle.open(narrow_bundle(), profile="exact", home=place, write=False)
    assert not place.exists()
    assert GraphCache(cached / "graphs").find(sha256()) is not None


def test_a_cached_graph_of_another_cpu_or_bundle_is_not_found(cached, monkeypatch):
    cache = GraphCache(cached / "graphs")
    assert cache.find(sha256()) is not None
    assert cache.find("0" * 64) is None
    monkeypatch.setattr(graph_cache, "cpu_key", lambda: "another")
    assert cache.find(sha256()) is None


def test_a_cached_graph_renamed_to_another_cpu_is_built_again(cached, place, monkeypatch):
    """A home that was copied from another machine, its folder renamed to fit: what is told inside counts."""
    shutil.copytree(cached, place)
    cache = GraphCache(place / "graphs")
    path = cache.find(sha256())
    monkeypatch.setattr(graph_cache, "cpu_key", lambda: "another")
    path.parent.rename(place / "graphs" / f"{sha256()[:16]}-another")
    assert cache.find(sha256()) is None
    Bundle.open(narrow_bundle(), profile="exact", home=place)
    assert cache.find(sha256()) is not None


@pytest.mark.parametrize("name", ["graph.onnx", "graph.weights", "about.json"])
@pytest.mark.parametrize("damage", ["flip", "cut", "remove"])
def test_a_damaged_cache_is_built_again(cached, place, name, damage):
    shutil.copytree(cached, place)
    cache = GraphCache(place / "graphs")
    path = cache.find(sha256()).with_name(name)
    data = bytearray(path.read_bytes())
    if damage == "remove":
        path.unlink()
    else:
        data[len(data) // 2] ^= 0xFF
        path.write_bytes(data if damage == "flip" else data[: len(data) // 2])
    assert cache.find(sha256()) is None
    Bundle.open(narrow_bundle(), profile="exact", home=place)
    assert cache.find(sha256()) is not None


def test_an_update_leaves_one_form_behind_not_two(cached, place, monkeypatch):
    shutil.copytree(cached, place)
    monkeypatch.setattr(graph_cache, "cpu_key", lambda: "after-the-update")
    Bundle.open(narrow_bundle(), profile="exact", home=place)
    assert {path.name.partition("-")[2] for path in (place / "graphs").iterdir()} == {"after-the-update"}


def test_a_new_date_alone_does_not_spoil_it(cached, place):
    shutil.copytree(cached, place)
    cache = GraphCache(place / "graphs")
    os.utime(cache.find(sha256()).with_name("graph.weights"), (1, 1))
    assert cache.find(sha256()) is not None


def test_where_it_cannot_be_built_the_original_serves(place, caplog):
    place.write_text("a file where the home should be")
    assert Bundle.open(narrow_bundle(), profile="exact", home=place).profile == "exact"
    assert "cannot be kept" in caplog.text


def test_a_damaged_original_is_not_optimised(place, tmp_path):
    folder = Path(shutil.copytree(narrow_bundle(), tmp_path / "bundle"))
    data = bytearray((folder / EXACT).read_bytes())
    data[-100] ^= 1
    (folder / EXACT).write_bytes(data)
    with pytest.raises(BundleError, match="damaged"):
        Bundle.open(folder, profile="exact", home=place)


# the choice


def test_every_profile_is_measured(place):
    found = measure_profiles(narrow_bundle(), home=place, rounds=3)
    assert [str(each.choice) for each in found] == [f"{name} in onnxruntime" for name in PROFILES]
    assert all(each.hop_ms > 0 and not each.failure for each in found)
    figures = {name: each.figures["embedding_cosine"] for name, each in Manifest.read(narrow_bundle()).profiles.items()}
    assert all(each.cosine == pytest.approx(figures[each.choice.profile], abs=1e-3) for each in found)


def test_what_int8_costs_and_what_this_cpu_adds_are_added_as_angles(place, monkeypatch):
    monkeypatch.setattr(Bundle, "self_test", lambda _: {"audio_cosine": float(np.cos(0.3))})
    for each in measure_profiles(narrow_bundle(), rounds=1):
        cosine = Manifest.read(narrow_bundle()).profiles[each.choice.profile].figures["embedding_cosine"]
        assert np.arccos(each.cosine) == pytest.approx(0.3 + np.arccos(cosine), abs=1e-4)


def test_the_fastest_within_the_bound_is_kept():
    found = [
        Measured(Choice("small"), 1, 0.97),
        Measured(Choice("balanced"), 2, 0.99),
        Measured(Choice("exact"), 3, 1.0),
    ]
    assert fastest(found).choice.profile == "balanced"
    assert fastest(found, min_cosine=0.995).choice.profile == "exact"
    assert fastest(found, min_cosine=0.9).choice.profile == "small"
    slow_int8 = [Measured(Choice("small"), 9, 0.99), Measured(Choice("exact"), 3, 1.0)]
    assert fastest(slow_int8).choice.profile == "exact"


def test_a_cosine_that_is_no_number_never_fits():
    with pytest.raises(BundleError, match="no profile reaches"):
        fastest([Measured(Choice("small"), 1, float("nan"))])


def test_a_profile_that_fails_its_self_test_is_reported_and_not_kept(place, monkeypatch):
    def fail(bundle):
        if bundle.profile == "small":
            raise BundleError("this CPU saturates")
        return {"audio_cosine": 1.0}

    monkeypatch.setattr(Bundle, "self_test", fail)
    found = measure_profiles(narrow_bundle(), home=place, rounds=2)
    assert found[0].failure == "this CPU saturates"
    assert fastest(found).choice.profile != "small"


@pytest.mark.parametrize("folder", [DEFAULT_BUNDLE, WINDOWED_BUNDLE], ids=["streaming", "windowed"])
def test_a_bundle_of_one_precision_in_one_engine_has_nothing_to_choose(folder):
    with pytest.raises(
        BundleError, match=r"one precision and onnxruntime is the only engine here.*earmark\[openvino\]"
    ):
        measure_profiles(folder)


def test_the_kept_choice_opens_and_an_explicit_one_wins(place):
    manifest = Manifest.read(narrow_bundle())
    assert chosen(place, manifest) is None
    keep_choice(place, manifest, Choice("balanced"), measured={})
    assert Bundle.open(narrow_bundle(), home=place).profile == "balanced"
    assert Bundle.open(narrow_bundle(), home=place, profile="exact").profile == "exact"
    assert Bundle.open(narrow_bundle()).profile == "small"
    assert Engine.open(narrow_bundle(), home=place).bundle.profile == "balanced"
    assert Engine.open(narrow_bundle(), home=place, profile="tiny").bundle.profile == "tiny"


def test_the_choice_is_of_one_cpu_and_one_bundle(place, monkeypatch):
    manifest = Manifest.read(narrow_bundle())
    keep_choice(place, manifest, Choice("balanced"), measured={})
    assert chosen(place, Manifest.read(DEFAULT_BUNDLE)) is None
    monkeypatch.setattr(profile_choice, "cpu_key", lambda: "another")
    assert chosen(place, manifest) is None
    keep_choice(place, manifest, Choice("exact"), measured={})
    monkeypatch.undo()
    assert chosen(place, manifest) == Choice("balanced")


def test_another_onnxruntime_is_another_key(monkeypatch):
    before = cpu.cpu_key()
    monkeypatch.setattr(load_onnxruntime(), "__version__", "0.1")
    assert cpu.cpu_key() != before


def test_a_kept_choice_that_means_nothing_is_ignored(place):
    manifest = Manifest.read(narrow_bundle())
    keep_choice(place, manifest, Choice("gone"), measured={})
    assert Bundle.open(narrow_bundle(), home=place).profile == "small"
    for text in ("not json", "[1]", '{"x": 3}', json.dumps({f"{cpu.cpu_key()}-{manifest.fingerprint}": "exact"})):
        (place / "profiles.json").write_text(text)
        assert Bundle.open(narrow_bundle(), home=place).profile == "small"


def test_a_choice_of_before_there_were_engines_still_reads(place):
    manifest = Manifest.read(narrow_bundle())
    keep_choice(place, manifest, Choice("balanced"), measured={})
    kept = json.loads((place / "profiles.json").read_text())
    del kept[f"{cpu.cpu_key()}-{manifest.fingerprint}"]["engine"]
    (place / "profiles.json").write_text(json.dumps(kept))
    assert chosen(place, manifest) == Choice("balanced", "onnxruntime")


@pytest.mark.parametrize("engine", ["openvino", "no such engine", None, 3])
def test_a_chosen_engine_that_is_not_installed_gives_way_with_a_log_line(place, caplog, engine):
    keep_choice(place, Manifest.read(narrow_bundle()), Choice("balanced", engine), measured={})
    bundle = Bundle.open(narrow_bundle(), home=place)
    assert (bundle.profile, bundle.engine) == ("balanced", "onnxruntime")
    assert f"the engine {engine}, chosen for random, is not installed: onnxruntime runs it" in caplog.text


def test_an_engine_that_nobody_knows_is_refused():
    with pytest.raises(EarmarkError, match="no engine 'abacus': this runtime knows onnxruntime and openvino"):
        Bundle.open(engine="abacus")


def test_a_home_that_cannot_be_written_is_told(place):
    place.write_text("a file")
    with pytest.raises(HomeError, match="--home"):
        keep_choice(place, Manifest.read(narrow_bundle()), Choice("exact"), measured={})


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("model name\t: AMD EPYC\nflags\t: avx2 fma\n", "AMD EPYC"),
        ("BogoMIPS\t: 108\nFeatures\t: fp asimd\nCPU implementer\t: 0x41\nCPU part\t: 0xd0b\n", "0x41 0xd0b"),
    ],
)
def test_the_cpu_is_named_as_the_kernel_names_it(tmp_path, monkeypatch, text, told):
    (tmp_path / "cpuinfo").write_text(text)
    monkeypatch.setattr(cpu, "CPUINFO", tmp_path / "cpuinfo")
    assert cpu.cpu_model() == told
    key = cpu.cpu_key()
    (tmp_path / "cpuinfo").write_text(text.replace("fma", "").replace("asimd", ""))
    assert cpu.cpu_key() != key


def test_doctor_tunes_and_later_commands_follow(place, capsys, monkeypatch):
    from edge_runtime.cli import app

    monkeypatch.setattr(tune, "ROUNDS", 2)

    def doctor(*options: str) -> str:
        with pytest.raises(SystemExit) as done:
            app(["doctor", "--bundle", str(narrow_bundle()), "--home", str(place), *options])
        assert not done.value.code
        return capsys.readouterr().out

    assert "profile     small of small, balanced, exact, tiny" in doctor()
    assert not place.exists()
    told = doctor("--tune")
    best = chosen(place, Manifest.read(narrow_bundle()))
    assert f"tuned       {best.profile} in onnxruntime is the fastest" in told
    assert f"profile     {best.profile} of" in doctor()
    assert "profile     exact of" in doctor("--profile", "exact")
    with pytest.raises(BundleError, match="no profile 'huge'"):
        app(["doctor", "--bundle", str(narrow_bundle()), "--profile", "huge"])


def test_doctor_has_nothing_to_tune_in_the_default_bundle(place, capsys):
    from edge_runtime.cli import app

    with pytest.raises(SystemExit) as done:
        app(["doctor", "--tune", "--home", str(place)])
    assert not done.value.code
    assert "nothing to choose" in capsys.readouterr().out
