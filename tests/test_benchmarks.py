"""`python -m benchmarks`: what it prints, and that its arithmetic is right where the answer is known."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from benchmarks.__main__ import app
from benchmarks.captions import made_up_captions
from benchmarks.hnsw import Graph, memory_needed
from benchmarks.index import exact_top, recall
from benchmarks.latency import OPENVINO_RATIOS, RATIOS, ratios
from benchmarks.peaks import Peaks
from benchmarks.roofline import least_ms, over_the_roof
from benchmarks.timing import Contender, Timing, interleaved, ratio
from benchmarks.work import Work, encoder_work
from edge_runtime.errors import EarmarkError
from edge_runtime.graph_engine import installed_engines
from edge_runtime.manifest import IndexSpec, StateSpec, StreamSpec

ROOT = Path(__file__).parents[1]
Run = Callable[..., tuple[list[str], dict]]


class FakeClock:
    """A clock that moves only when somebody says so."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now

    def takes(self, *seconds: float) -> Iterator[None]:
        """Each call moves the clock by the next of `seconds`, over and over."""
        while True:
            for each in seconds:
                self.now += each
                yield


def timing(median_ms: float) -> Timing:
    return Timing.of([median_ms], [median_ms], audio_s=1)


def test_medians_quartiles_and_ratios_are_those_of_the_clock() -> None:
    clock = FakeClock()
    slow, fast = clock.takes(0.9, 0.9, 0.010, 0.050, 0.020, 0.040, 0.030), clock.takes(0.004, 0.002)
    contenders = [
        Contender("slow", lambda: next(slow), audio_s=10),
        Contender("fast", lambda: next(fast), audio_s=0.5, calls=2),
    ]
    found = interleaved(contenders, rounds=5, clock=clock, cpu_clock=lambda: clock.now / 2)
    # the two rounds of 0.9 s are the warm-up
    assert found["slow"].median_ms == pytest.approx(30)
    assert (found["slow"].q1_ms, found["slow"].q3_ms) == (pytest.approx(20), pytest.approx(40))
    assert found["slow"].fastest_ms == pytest.approx(10)
    assert found["slow"].cpu_ms == pytest.approx(15)
    assert (found["slow"].calls, found["fast"].calls) == (5, 10)
    assert found["fast"].median_ms == pytest.approx(3)
    assert found["fast"].per_10s_ms == pytest.approx(60)
    assert ratio(found["slow"], found["fast"]) == pytest.approx(10)
    assert ratio(found["slow"], found["fast"], cpu=True) == pytest.approx(10)


def test_contenders_take_turns() -> None:
    order: list[str] = []
    contenders = [Contender(name, lambda name=name: order.append(name), audio_s=1) for name in "abc"]
    interleaved(contenders, rounds=2)
    assert "".join(order) == "abc" * 4
    with pytest.raises(ValueError, match="different names"):
        interleaved([contenders[0], contenders[0]], rounds=1)


def test_ratios_have_the_promised_names_and_are_none_without_their_contender() -> None:
    timings = {
        "small/hop1": timing(8),
        "exact/hop1": timing(28),
        "small/window": timing(96),
        "exact/window": timing(240),
    }
    found = ratios({**timings, "eager/window": timing(560)})
    assert found == {
        "stream_small_vs_eager_window": 70,
        "stream_small_vs_ort_fp32_window": 30,
        "stream_small_vs_ort_int8_window": 12,
        "stream_exact_vs_eager_window": 20,
        "offline_fp32_vs_eager": pytest.approx(560 / 240),
        "offline_int8_vs_eager": pytest.approx(560 / 96),
    }
    without = ratios(timings)
    assert [name for name, value in without.items() if value is None] == [
        name for name in RATIOS if name.endswith("eager") or "eager_window" in name
    ]


CNN14_STATES = [
    *((1, 64), (64, 64), (64, 32), (128, 32), (128, 16), (256, 16)),
    *((256, 8), (512, 8), (512, 4), (1024, 4), (1024, 2), (2048, 2)),
]


@pytest.mark.parametrize("int8", [False, True])
def test_the_work_of_cnn14_is_the_known_one(int8: bool) -> None:
    """MEASURED: 20.04 GMAC in 10 s, 0.643 a hop, 75.5 M convolution weights."""
    dtypes = ["float32", *["uint8" if int8 else "float32"] * 11]
    states = [StateSpec(f"c{i}", *shape, dtypes[i]) for i, shape in enumerate(CNN14_STATES)]
    encoder = SimpleNamespace(stream=StreamSpec(158, 1, [1]), width=2048)
    manifest = SimpleNamespace(encoder=encoder, mel=SimpleNamespace(bands=64), name="cnn14")
    model = SimpleNamespace(manifest=manifest, profiles={"it": SimpleNamespace(states=states)})
    hop, whole = (encoder_work(model, "it", frames=frames) for frames in (32, 1001))
    assert hop.macs == pytest.approx(0.643e9, rel=1e-3)
    assert whole.macs == pytest.approx(20.04e9, rel=5e-3)
    assert hop.weight_bytes == pytest.approx(75.5e6 * (1 if int8 else 4), rel=1e-3)
    assert hop.state_bytes == pytest.approx(2 * 69_760 * (1 if int8 else 4), rel=6e-3)
    assert (hop.int8_macs > 0) == int8


def test_the_roof_is_the_longer_of_arithmetic_and_memory() -> None:
    peaks = Peaks(1, fp32_gmacs=100.0, int8_gmacs=400.0, read_gbytes=10.0)
    assert least_ms(Work(1e9, 4e9, 0, 0), peaks) == (20.0, "arithmetic")
    assert least_ms(Work(1e9, 0, 300_000_000, 0), peaks) == (30.0, "memory")
    assert least_ms(Work(1e9, 0, 0, 0), Peaks(1, None, None, 10.0)) == (None, "unknown")


def test_recall_counts_ties_as_found_and_misses_as_missed() -> None:
    table = np.eye(16, dtype=np.float32)[[*range(12), *[11] * 20]]  # 21 equal rows
    queries = np.eye(16, dtype=np.float32)[[11]]
    tenth = exact_top(table, queries)
    assert tenth == pytest.approx([1.0])
    ten_of_them = table[20:30] @ queries[0]
    assert recall([ten_of_them], tenth, of=10) == 1.0
    assert recall([np.where(np.arange(10) < 3, 0, ten_of_them)], tenth, of=10) == 0.7


def test_the_tenth_best_is_exact_over_many_blocks_of_rows() -> None:
    rng = np.random.default_rng(0)
    table, queries = rng.standard_normal((70_000, 4)).astype(np.float32), rng.standard_normal((3, 4)).astype(np.float32)
    expected = np.sort(queries @ table.T, axis=1)[:, -10]
    np.testing.assert_allclose(exact_top(table, queries), expected, atol=1e-5)


def test_made_up_captions_are_distinct_and_grow_from_the_same_beginning() -> None:
    phrases = ["rain", "a dog barks", "an engine"]
    many = made_up_captions(phrases, 500)
    assert len(set(many)) == 500
    assert made_up_captions(phrases, 20) == many[:20]
    with pytest.raises(ValueError, match="3 phrases make 3240 captions"):
        made_up_captions(phrases, 3000)


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory, one_torch_thread: None) -> Path:
    """The stand-in, a thirtieth as wide as CNN14."""
    pytest.importorskip("onnx", reason="needs the export extra")
    from benchmarks import stand_in

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(stand_in, "PROFILES", ("exact", "small"))
        patch.setattr(stand_in, "SOUND_S", 2.0)
        return stand_in.stand_in(tmp_path_factory.mktemp("bench"), width=1 / 32)


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Callable[..., tuple[list[str], dict]]:
    """Run a command; the lines that it prints, and its JSON. Plots go into the test's own folder."""

    def command(*arguments: str | Path) -> tuple[list[str], dict]:
        app([*map(str, arguments), "--out", str(tmp_path / "plots")], standalone_mode=False)
        lines = capsys.readouterr().out.splitlines()
        return lines, json.loads(lines[-1])

    return command


def test_the_stand_in_has_the_joint_width_that_is_asked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Beside the one of the usual width, and made anew where a folder of that name is another one."""
    from benchmarks import stand_in

    made = []
    monkeypatch.setattr(stand_in, "_export", lambda folder, *wanted: made.append(wanted))
    for joint_width in (None, 512, 512, None):
        stand_in.stand_in(tmp_path, width=0.5, joint_width=joint_width)
    assert made == [("stand-in-cnn14-0.5", 0.5, 1024), ("stand-in-cnn14-0.5-e512", 0.5, 512)]
    (tmp_path / "cnn14-0.5").rename(tmp_path / "cnn14-0.5-e64")
    stand_in.stand_in(tmp_path, width=0.5, joint_width=64)
    assert made[-1] == ("stand-in-cnn14-0.5-e64", 0.5, 64)


def test_latency_prints_tables_then_one_json_line_with_the_promised_ratios(tiny: Path, run: Run) -> None:
    lines, found = run("latency", "--bundle", tiny, "--threads", "1", "--rounds", "2")
    assert len(lines) > 10
    assert found["benchmark"] == "latency"
    assert set(found["ratios"]) == set(RATIOS)
    assert all(value > 0 for value in found["ratios"].values())
    assert set(found["ratios_openvino"]) == set(OPENVINO_RATIOS)
    with_openvino = "openvino" in installed_engines()
    assert all((value or 0) > 0 if with_openvino else value is None for value in found["ratios_openvino"].values())
    assert with_openvino or any("OpenVINO left out" in note for note in found["notes"])
    modes = {(each["contender"], each["mode"]) for each in found["timings"]}
    for profile in ("exact", "small"):
        assert {(profile, mode) for mode in ("window", "hop1", "hop2", "hop4", "prime", "flush")} <= modes
    assert ("eager", "window") in modes
    assert found["machine"]["cores"] >= 1 and "after" in found["machine"]
    for plot in found["plots"]:
        assert Path(plot).stat().st_size > 5000


def test_parity_of_the_stand_in_is_exact_and_near_pytorch(tiny: Path, run: Run) -> None:
    lines, found = run("parity", "--bundle", tiny, "--json")
    assert len(lines) == 1
    assert found["stream_equals_offline_fp32"] is True
    assert found["stream_equals_offline_int8"] is True
    assert found["profiles"]["small"]["reset_equals_new"] is True
    # fp32 sums in another order move a segment by some 6e-8 of its largest number a layer; another graph, by all of it
    assert 0 < found["stream_vs_eager_max_abs"] <= 2e-6 * found["eager_largest"]
    assert found["profiles"]["small"]["cosine_mean"] > 0.97


@pytest.mark.slow
def test_footprint_measures_each_profile_in_a_process_of_its_own(tiny: Path, tmp_path: Path, run: Run) -> None:
    _, found = run("footprint", "--bundle", tiny, "--rounds", "1", "--cache", tmp_path, "--json")
    rows = found["footprint"]
    forms = {f"{profile}{form}" for profile in ("exact", "small") for form in ("", ", cached")}
    assert set(rows) == {"eager"} | forms | {f"{form}, encoder alone" for form in forms}
    assert set(found["goals_peak_mib"]) < set(rows)
    for row in rows.values():
        assert row["peak_mib"] >= row["resident_mib"] > row["imported_mib"] > 10
        assert row["load_s"] > 0 and row["disk_mb"] > 0
        assert row["peak_mib"] > row["least_mib"]
    assert rows["eager"]["peak_mib"] > rows["small"]["peak_mib"]


def test_roofline_and_peers_name_every_contender(tiny: Path, tmp_path: Path, run: Run) -> None:
    shared = ("--bundle", tiny, "--threads", "1", "--rounds", "1", "--cache", tmp_path, "--json")
    _, found = run("roofline", *shared)
    assert {(row["profile"], row["mode"]) for row in found["work"]} == {
        (profile, mode) for profile in ("exact", "small") for mode in ("hop", "window")
    }
    assert all(row["least_ms"] > 0 for row in found["work"])
    assert found["peaks"][0]["read_gbytes"] > 0
    _, found = run("peers", *shared)
    names = {each["contender"] for each in found["timings"]}
    assert {"eager, 10 s", "onnxruntime exact, 10 s", "onnxruntime small, hop of 0.32 s"} <= names


def test_index_reports_recall_and_the_settings_that_reach_the_goal(
    tmp_path: Path, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("benchmarks.index.SOUND_S", 15.0)
    _, found = run("index", "--count", "300", "--ef", "16", "--ef", "200", "--m", "8", "--cache", tmp_path, "--json")
    assert {(each["ef"], each["queries"]) for each in found["found"]} == {
        (ef, kind) for ef in (16, 200) for kind in ("captions", "sounds")
    }
    assert all(each["recall"] >= 0.99 for each in found["found"] if each["ef"] == 200)
    assert found["chosen"]["sounds"]["recall"] >= 0.99
    assert all(each["build_s"] > 0 and each["bytes"] > 300 * 512 * 4 for each in found["found"])


def test_a_graph_that_its_time_cuts_short_is_one_of_the_captions_that_it_has(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("benchmarks.hnsw.BATCH", 100)
    vectors = np.random.default_rng(0).standard_normal((250, 8)).astype(np.float32)
    spec = IndexSpec(8, 50, 50)
    cut = Graph.of(tmp_path, vectors, spec, threads=1, budget_s=0)
    assert cut.captions == len(cut.index.get_ids_list()) == 100
    whole = Graph.of(tmp_path, vectors, spec, threads=1, budget_s=60)  # what was cut short is not taken for it
    assert whole.captions == 250 and whole.build_s is not None
    kept = Graph.of(tmp_path, vectors, spec, threads=1, budget_s=0)
    assert kept.captions == 250 and kept.build_s is None
    again = Graph.of(tmp_path, vectors[:100], spec, threads=1, budget_s=0)
    assert again.captions == 100 and again.build_s is None and again.bytes < whole.bytes


def test_index_leaves_out_and_tells_what_the_memory_cannot_hold(
    tmp_path: Path, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("benchmarks.index.SOUND_S", 15.0)
    monkeypatch.setattr("benchmarks.index.available_bytes", lambda: memory_needed(1000, 512, 8))
    _, found = run("index", "--count", "200", "--count", "1001", "--ef", "16", "--m", "8", "--cache", tmp_path)
    assert {each["captions"] for each in found["found"]} == {200}
    assert any(note.startswith("1001 captions need") and note.endswith("left out") for note in found["notes"])
    with pytest.raises(EarmarkError, match="give a smaller --count"):
        run("index", "--count", "1001", "--cache", tmp_path)


def test_what_is_faster_than_the_roof_is_told() -> None:
    rows = [
        {"profile": "small", "mode": mode, "of_roof_percent": share} for mode, share in (("hop", 441), ("window", 4))
    ]
    (note,) = over_the_roof(rows)
    assert note.startswith("faster than the roof: small hop: ")
    assert over_the_roof(rows[1:]) == over_the_roof([{**rows[0], "of_roof_percent": None}]) == []


@pytest.mark.slow
def test_a_board_without_pytorch_measures_a_bundle_and_says_what_is_left_out(tiny: Path, tmp_path: Path) -> None:
    """Neither torch nor onnx nor matplotlib nor the exporting code is there, as on a Pi."""
    copied = tmp_path / "bundle"
    shutil.copytree(tiny, copied)
    (copied / "weights.pt").unlink()
    absent = ("torch", "onnx", "matplotlib", "openvino", "panns_inference", "export")
    code = """if True:
        import sys
        sys.modules.update(dict.fromkeys(sys.argv[2:]))
        from benchmarks.__main__ import app
        shared = ["--bundle", sys.argv[1], "--json"]
        for command in ("latency", "peers", "roofline"):
            app([command, *shared, "--threads", "1", "--rounds", "1"], standalone_mode=False)
        app(["footprint", *shared, "--rounds", "1"], standalone_mode=False)
        app(["parity", *shared], standalone_mode=False)
    """
    command = [sys.executable, "-c", code, str(copied), *absent]
    done = subprocess.run(
        command, capture_output=True, text=True, cwd=tmp_path, check=False, env={**os.environ, "PYTHONPATH": str(ROOT)}
    )
    assert done.returncode == 0, done.stderr
    found = {line["benchmark"]: line for line in map(json.loads, done.stdout.splitlines())}
    assert set(found) == {"latency", "peers", "roofline", "footprint", "parity"}
    for line in found.values():
        assert line["plots"] == []
        assert any("matplotlib is not here" in note for note in line["notes"])
        assert line["benchmark"] == "roofline" or any("PyTorch eager left out" in note for note in line["notes"])
    assert found["latency"]["ratios"]["stream_small_vs_eager_window"] is None
    assert found["latency"]["ratios"]["stream_small_vs_ort_int8_window"] > 0
    assert found["parity"]["stream_equals_offline_int8"] is True
    assert found["parity"]["stream_vs_eager_max_abs"] is None
    assert not (tmp_path / "runs/bench/cnn14-1").exists()


def test_a_bundle_that_is_none_is_one_line_and_exit_code_2(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "benchmarks", "latency", "--bundle", str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=False)
    assert done.returncode == 2
    assert done.stderr.startswith("benchmarks: ") and "is no bundle" in done.stderr


def test_the_listener_is_timed_stage_by_stage_and_weighed_in_processes_of_its_own(run: Run) -> None:
    lines, found = run("listener", "--phrases", "20", "--rounds", "2", "--repeats", "1")
    assert list(found["stages"]) == ["front end", "encoder", "head", "matching", "whole"]
    assert all(0 < each["fastest_ms"] <= each["median_ms"] for each in found["stages"].values())
    assert found["phrases"] == found["memory"]["library"]["phrases"] == 20
    for process in ("library", "command"):
        memory = found["memory"][process]
        assert 20 < memory["resident"] <= memory["peak"]
    assert any("whole" in line for line in lines)
