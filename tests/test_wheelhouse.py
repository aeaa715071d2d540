"""What a 64-bit Pi may install, told from wheels made here."""

import struct
import zipfile
from pathlib import Path

import numpy as np
import pytest
from packaging.requirements import Requirement

from benchmarks.arm64 import wheelhouse
from benchmarks.arm64.__main__ import STREAM_BUNDLE
from benchmarks.arm64.answers import answers
from benchmarks.arm64.boards import SYSTEMS
from benchmarks.arm64.compare import MIN_COSINE, compare
from benchmarks.arm64.probes import int8_step, probe, probe_rest
from benchmarks.arm64.wheelhouse import IncompleteWheelhouse, check
from benchmarks.arm64.wheels import Wheel, device_requirements, faults, glibc_needed, read_wheels, resolve
from edge_runtime.bundle import DEFAULT_BUNDLE
from edge_runtime.manifest import Manifest

PROJECT = Path(__file__).resolve().parent.parent
BOOKWORM, TRIXIE = SYSTEMS["bookworm"], SYSTEMS["trixie"]
BOTH = (BOOKWORM, TRIXIE)
ARM, X86 = 183, 62
CPP = b"\0libstdc++.so.6\0"
CROSS_BUILT_HERE = b"\0GNU C++14 12.2.0 -march=armv8-a -mlittle-endian -mabi=lp64 -O3\0"


def library(machine: int = ARM, *, extra: bytes = b"", glibc: str = "2.17") -> bytes:
    """The first bytes of an ELF shared object, and a table of strings as a linker leaves it."""
    header = b"\x7fELF\x02\x01\x01" + bytes(9) + struct.pack("<HH", 3, machine)
    return header + bytes(44) + b"\0GLIBC_2.17\0GLIBC_" + glibc.encode() + b"\0" + extra


def make_wheel(folder: Path, name: str, *, needs: tuple[str, ...] = (), content: bytes | None = None) -> Wheel:
    path = folder / f"{name}.whl"
    package, version = name.split("-")[:2]
    metadata = f"Metadata-Version: 2.1\nName: {package}\nVersion: {version}\n"
    metadata += "".join(f"Requires-Dist: {need}\n" for need in needs)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(f"{package}-{version}.dist-info/METADATA", metadata + "\nText.\n")
        archive.writestr(f"{package}/__init__.py", "")
        if content is not None:
            archive.writestr(f"{package}/core.so", content)
    return Wheel.at(path)


def requirements(*texts: str) -> list[Requirement]:
    return [Requirement(text) for text in texts]


# --- the list of dependencies


def test_dependencies_are_those_of_pyproject_without_the_extras():
    names = {requirement.name for requirement in device_requirements(PROJECT / "pyproject.toml")}
    assert {"numpy", "onnxruntime", "hnswlib", "soxr", "soundfile", "sounddevice"} <= names
    assert not names & {"torch", "onnx", "pytest", "gensim"}


def test_a_dependency_added_to_pyproject_is_asked_for(tmp_path):
    (tmp_path / "pyproject.toml").write_text('[project]\ndependencies = ["numpy>=2.0", "scipy>=1.14"]\n')
    wanted = device_requirements(tmp_path / "pyproject.toml")
    numpy = make_wheel(tmp_path, "numpy-2.1.0-cp311-cp311-manylinux_2_17_aarch64.manylinux2014_aarch64")
    assert resolve(wanted, [numpy], BOOKWORM).missing == {"scipy>=1.14": "earmark"}


# --- tags


@pytest.mark.parametrize(
    ("tags", "suites"),
    [
        ("py3-none-any", {"bookworm", "trixie"}),
        ("py2.py3-none-manylinux_2_28_aarch64", {"bookworm", "trixie"}),
        ("cp311-cp311-manylinux_2_27_aarch64.manylinux_2_28_aarch64", {"bookworm"}),
        ("cp313-cp313-manylinux2014_aarch64", {"trixie"}),
        ("cp310-abi3-manylinux2014_aarch64", {"bookworm", "trixie"}),
        ("cp312-abi3-manylinux_2_28_aarch64", {"trixie"}),
        ("cp311-cp311-manylinux_2_36_aarch64", {"bookworm"}),
        ("cp311-cp311-manylinux_2_38_aarch64", set()),
        ("cp313-cp313-manylinux_2_41_aarch64", {"trixie"}),
        ("cp311-cp311-manylinux_2_28_x86_64", set()),
        ("cp311-cp311-linux_armv7l", set()),
        ("cp311-cp311-musllinux_1_2_aarch64", set()),
        ("cp311-cp311-macosx_11_0_arm64", set()),
        ("cp312-cp312-manylinux_2_28_aarch64", set()),
    ],
)
def test_a_wheel_fits_where_the_system_s_pip_would_take_it(tmp_path, tags, suites):
    wheel = make_wheel(tmp_path, f"thing-1.0-{tags}")
    assert {system.suite for system in BOTH if wheel.rank(system) is not None} == suites
    if not suites:
        (fault,) = faults(wheel, BOTH)
        assert "fit no 64-bit Pi OS" in fault


def test_the_best_tag_of_the_newest_version_is_chosen(tmp_path):
    names = ("1.0-cp311-cp311-manylinux_2_28_aarch64", "2.0-py3-none-any", "2.0-cp311-cp311-manylinux_2_17_aarch64")
    wheels = [make_wheel(tmp_path, f"thing-{name}") for name in names]
    assert resolve(requirements("thing"), wheels, BOOKWORM).wheels["thing"] is wheels[2]
    assert resolve(requirements("thing<2"), wheels, BOOKWORM).wheels["thing"] is wheels[0]
    assert resolve(requirements("thing"), wheels, BOOKWORM, pins={"thing": "1.0"}).wheels["thing"] is wheels[0]
    assert resolve(requirements("thing>1"), wheels, BOOKWORM, pins={"thing": "1.0"}).wheels["thing"] is wheels[2]


# --- what wheels ask for


def test_requirements_are_followed_with_the_markers_of_the_board(tmp_path):
    wheels = [
        make_wheel(
            tmp_path,
            "top-1.0-py3-none-any",
            needs=(
                "below>=1",
                'old; python_version < "3.12"',
                'windows; sys_platform == "win32"',
                'intel; platform_machine == "x86_64"',
                'docs; extra == "docs"',
            ),
        ),
        make_wheel(tmp_path, "below-1.0-py3-none-any", needs=("deepest",)),
    ]
    assert resolve(requirements("top"), wheels, BOOKWORM).missing == {"old": "top", "deepest": "below"}
    assert resolve(requirements("top"), wheels, TRIXIE).missing == {"deepest": "below"}
    assert "docs" in resolve(requirements("top[docs]"), wheels, TRIXIE).missing


def test_requirements_that_depend_on_each_other_come_to_an_end(tmp_path):
    wheels = [
        make_wheel(tmp_path, "one-1.0-py3-none-any", needs=("two", "one[more]")),
        make_wheel(tmp_path, "two-1.0-py3-none-any", needs=("one",)),
    ]
    assert resolve(requirements("one"), wheels, BOOKWORM).wheels.keys() == {"one", "two"}


def test_a_later_and_narrower_requirement_changes_the_choice(tmp_path):
    wheels = [make_wheel(tmp_path, f"thing-{version}-py3-none-any") for version in ("1.0", "2.0")]
    wheels.append(make_wheel(tmp_path, "top-1.0-py3-none-any", needs=("thing<2",)))
    assert resolve(requirements("thing", "top"), wheels, BOOKWORM).wheels["thing"] is wheels[0]


def test_the_check_names_each_dependency_without_a_wheel(tmp_path):
    make_wheel(tmp_path, "earmark-0.1.0-py3-none-any")
    make_wheel(tmp_path, "numpy-2.4.0-cp311-cp311-manylinux_2_28_aarch64")
    with pytest.raises(IncompleteWheelhouse) as raised:
        check(tmp_path, BOTH)
    said = str(raised.value)
    for requirement in device_requirements(PROJECT / "pyproject.toml"):
        lacks = f"no aarch64 wheel of {requirement.name}{requirement.specifier} for Python"
        assert f"{lacks} 3.13" in said
        assert (f"{lacks} 3.11" in said) == (requirement.name != "numpy")


def test_the_check_command_fails_and_says_why(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("sys.argv", ["wheelhouse", "--check", "--out", str(tmp_path)])
    assert wheelhouse.main() == 1
    assert "no aarch64 wheel of onnxruntime" in capsys.readouterr().err


# --- what wheels hold


def test_x86_code_under_an_arm_name_is_refused(tmp_path):
    good = make_wheel(tmp_path, "good-1.0-cp311-cp311-manylinux_2_17_aarch64", content=library())
    bad = make_wheel(tmp_path, "bad-1.0-cp311-cp311-manylinux_2_17_aarch64", content=library(X86))
    assert faults(good, BOTH) == []
    assert faults(bad, BOTH) == ["bad/core.so is x86-64 code"]


def test_a_pure_wheel_must_not_hold_x86_code_either(tmp_path):
    wheel = make_wheel(tmp_path, "thing-1.0-py3-none-any", content=library(X86))
    assert faults(wheel, BOTH) == ["thing/core.so is x86-64 code"]


@pytest.mark.parametrize("flag", ["-march=native", "-mcpu=native", "-mtune=native"])
def test_code_for_the_machine_that_compiled_it_is_refused(tmp_path, flag):
    content = library(extra=f"\0GNU C++14 12.2.0 {flag} -O3\0".encode())
    wheel = make_wheel(tmp_path, "thing-1.0-cp311-cp311-manylinux_2_17_aarch64", content=content)
    (fault,) = faults(wheel, BOTH)
    assert f"compiled with {flag}" in fault


def test_a_wheel_that_needs_a_newer_c_library_than_its_tag_promises_is_refused(tmp_path):
    content = library(glibc="2.34")
    assert glibc_needed(content) == (2, 34)
    honest = make_wheel(tmp_path, "thing-1.0-cp311-cp311-manylinux_2_34_aarch64", content=content)
    boastful = make_wheel(tmp_path, "thing-1.0-cp311-cp311-manylinux2014_aarch64", content=content)
    assert faults(honest, BOTH) == []
    assert faults(boastful, BOTH) == ["thing/core.so needs glibc 2.34, its tag promises 2.17"]


@pytest.mark.parametrize(
    ("record", "refused"),
    [
        (CROSS_BUILT_HERE, None),
        (b"", "names -march=nothing"),
        (CROSS_BUILT_HERE.replace(b"armv8-a", b"armv8.2-a+dotprod"), "armv8.2-a+dotprod"),
    ],
)
def test_hnswlib_must_say_that_it_was_compiled_for_every_64_bit_board(tmp_path, record, refused):
    content = library(extra=CPP + record)
    wheel = make_wheel(tmp_path, "hnswlib-0.8.0-cp311-cp311-manylinux_2_36_aarch64", content=content)
    said = faults(wheel, BOTH)
    assert (refused in said[0]) if refused else said == []


def test_hnswlib_must_not_bring_a_second_c_plus_plus_library(tmp_path):
    """Linked statically, it crashes onnxruntime at import: seen under emulation, and no fault of the emulator."""
    content = library(extra=CROSS_BUILT_HERE)
    wheel = make_wheel(tmp_path, "hnswlib-0.8.0-cp311-cp311-manylinux_2_36_aarch64", content=content)
    (fault,) = faults(wheel, BOTH)
    assert "C++ library of its own" in fault


def test_read_wheels_passes_over_what_is_no_wheel(tmp_path):
    make_wheel(tmp_path, "thing-1.0-py3-none-any")
    (tmp_path / "thing-1.0.tar.gz").touch()
    assert [wheel.name for wheel in read_wheels(tmp_path)] == ["thing"]


# --- the comparison


def answers_of(
    *, cosine: float = 1.0, steps: int = 0, segment: float = 0.0, layer: int = 0, rest: int = 0, whole: float = 0.0
) -> dict[str, np.ndarray]:
    turned = np.array([[cosine, np.sqrt(1 - cosine**2)]], np.float32)
    return {
        "signal": np.zeros(8, np.float32),
        "log_mel": np.zeros((4, 2), np.float32),
        "ids.0": np.array([3, 4]),
        "text": np.array([[1, 0]], np.float32),
        "/segments.0": np.full((2, 3), segment, np.float32),
        "/whole.0": np.full((2, 3), segment + whole, np.float32),
        "/layers/int8.conv": np.array([7, 7 + layer], np.uint8),
        "/rest/int8.conv": np.array([7, 7 + rest], np.uint8),
        "/head": turned,
        "/head.0/int8.gate": np.array([7, 7 + steps], np.uint8),
        "/embeddings": turned,
        "/nearest": np.array([["rain", "wind"]]),
    }


@pytest.mark.parametrize(
    ("change", "step", "failing"),
    [
        ({}, None, set()),
        ({"cosine": MIN_COSINE - 1e-5}, None, {"head", "whole path, file to embedding"}),
        ({"steps": 1}, None, set()),
        ({"steps": 2}, None, {"head (int8)"}),
        ({"segment": 2e-5}, None, {"encoder (fp32)"}),
        ({"segment": 2e-5}, 1e-4, set()),
        ({"segment": 2e-4}, 1e-4, {"encoder (int8)"}),
        ({"segment": 2e-5}, np.array([1e-4, 1e-4, 1e-5]), {"encoder (int8)"}),
        ({"segment": float("nan")}, None, {"encoder (fp32)", "stream and whole clip, both there"}),
        ({"layer": 1}, 1e-4, set()),
        ({"layer": 2}, 1e-4, {"encoder, each layer (int8)"}),
        ({"rest": 1}, 1e-4, {"encoder, its int8 part alone (int8)"}),
        ({"whole": 1e-6}, None, set()),
        ({"whole": 2e-5}, None, {"stream and whole clip, both there"}),
        ({"whole": 2e-4}, 1e-4, {"stream and whole clip, both there"}),
    ],
)
def test_a_difference_beyond_its_bound_fails_its_own_row(change, step, failing):
    rows = compare(answers_of(), answers_of(**change), steps={"": step})
    assert {row.stage for row in rows if not row.ok} == failing


def test_machines_that_ran_different_bundles_are_not_compared():
    board = answers_of()
    del board["/nearest"]
    with pytest.raises(ValueError, match="same bundle"):
        compare(answers_of(), board, steps={"": None})


def test_the_probe_lays_open_the_int8_activations_and_changes_no_answer(tmp_path):
    pytest.importorskip("onnx", reason="needs the export extra")
    import onnxruntime

    graph = DEFAULT_BUNDLE / Manifest.read(DEFAULT_BUNDLE).head.graph.file
    assert probe(graph, tmp_path)
    plain, open_ = (onnxruntime.InferenceSession(path) for path in (graph, tmp_path / graph.name))
    width = plain.get_inputs()[0].shape[1]
    segments = np.random.default_rng(0).standard_normal((5, width)).astype(np.float32)
    names = [node.name for node in open_.get_outputs()]
    values = dict(zip(names, open_.run(None, {"segments": segments}), strict=True))
    np.testing.assert_array_equal(values["embedding"], plain.run(["embedding"], {"segments": segments})[0])
    assert sum(value.dtype in (np.uint8, np.int8) for value in values.values()) == len(names) - 1 >= 1
    (step,) = int8_step(graph, "embedding")
    assert 0 < step < 1


@pytest.fixture(scope="module")
def laid_open(tmp_path_factory):
    """The streaming CNN14's answers to noise, and the folder of its probes."""
    pytest.importorskip("onnx", reason="needs the export extra")
    import soundfile

    folder = tmp_path_factory.mktemp("stream")
    graph = STREAM_BUNDLE / Manifest.read(STREAM_BUNDLE).profile("small").encoder.file
    assert probe(graph, folder) and probe_rest(graph, folder)
    soundfile.write(folder / "noise.wav", np.random.default_rng(0).normal(0, 0.1, 7 * 32_000), 32_000)
    return folder, graph, answers(STREAM_BUNDLE, folder / "noise.wav", folder, {}, ["small"])


def test_the_int8_part_of_an_encoder_fed_its_own_first_activation_repeats_the_rest(laid_open):
    _, _, found = laid_open
    layers, rest = (
        {name.removeprefix(prefix): value for name, value in found.items() if name.startswith(prefix)}
        for prefix in ("small/layers/", "small/rest/")
    )
    assert len(layers) - len(rest) == 1  # the one that is fed
    assert len(rest) > 30
    for name, value in rest.items():
        np.testing.assert_array_equal(value, layers[name])


def test_a_stream_answers_as_its_whole_clip_in_every_window(laid_open):
    _, _, found = laid_open
    windows = [name for name in found if name.startswith("small/segments.")]
    assert [found[name].shape for name in windows] == [(16, 512)] * 2
    for name in windows:
        np.testing.assert_array_equal(found[name], found[name.replace("segments", "whole")])


def test_the_step_of_a_segment_s_number_is_what_one_step_of_its_activation_changes(laid_open, tmp_path):
    """Of the last activation in both of its bands: their mean moves by a whole step, times the number's own gain."""
    import onnxruntime
    from onnx.utils import extract_model

    _, graph, found = laid_open
    last = next(reversed([name for name in found if name.startswith("small/rest/")])).partition("int8.")[2]
    extract_model(str(graph), str(tmp_path / "tail.onnx"), [last], ["segments"])
    session = onnxruntime.InferenceSession(tmp_path / "tail.onnx")
    low, high = (session.run(None, {last: np.full((1, 512, 2, 1), level, np.uint8)})[0][0] for level in (7, 8))
    np.testing.assert_allclose(int8_step(graph, "segments"), high - low, rtol=1e-4)  # float32's differences
    assert len(set((high - low).tolist())) > 100


def test_an_fp32_graph_has_no_quantisation_step(tmp_path):
    pytest.importorskip("onnx", reason="needs the export extra")
    graph = DEFAULT_BUNDLE / Manifest.read(DEFAULT_BUNDLE).encoder.graph.file
    assert int8_step(graph, "segments") is None
    assert not probe(graph, tmp_path)
    assert not probe_rest(graph, tmp_path)
