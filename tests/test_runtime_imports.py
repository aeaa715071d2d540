"""What runs on a device is slim: no torch and no workstation code, in the process and in the wheel."""

import ast
import json
import shutil
import subprocess
import sys
import zipfile
from importlib import metadata
from pathlib import Path

import pytest

import edge_runtime
from edge_runtime.bundle import DEFAULT_BUNDLE

ROOT = Path(edge_runtime.__file__).parent.parent
HEAVY = {"torch", "onnx", "onnxscript", "gensim", "librosa", "scipy", "pandas", "sklearn", "training", "export"}
UNHEARD = {"soundfile", "soxr", "importlib.metadata", "email", "socket", "subprocess", "tempfile", "tarfile"}
"""What no listener at the model's own rate needs: six MiB."""
MODULES = sorted((ROOT / "edge_runtime").rglob("*.py"))


def loaded_by(code, earmark):
    """The modules that a fresh interpreter holds after `code`, and their top-level names."""
    report = "import json, sys; print(json.dumps(sorted(sys.modules)))"
    done = subprocess.run(
        [sys.executable, "-c", f"{code}\n{report}"], capture_output=True, text=True, check=True, env=earmark.env
    )
    names = json.loads(done.stdout.splitlines()[-1])
    return {*names, *(name.partition(".")[0] for name in names)}


def test_importing_the_runtime_loads_nothing_heavy_and_no_portaudio(earmark):
    found = loaded_by("from edge_runtime import Engine", earmark)
    assert not found & (HEAVY | {"sounddevice", "typer", "rich", "openvino"})
    assert "numpy" in found


def test_importing_the_runtime_starts_no_engine_and_touches_no_disk(earmark):
    """Nor does it read the environment: onnxruntime is told to report to nobody where it is first needed."""
    assert "onnxruntime" not in loaded_by("from edge_runtime import Engine", earmark)
    assert not earmark.home.parent.joinpath("nobody").exists()


def test_one_part_of_the_runtime_loads_no_other(earmark):
    assert "numpy" not in loaded_by("import edge_runtime", earmark)
    found = loaded_by("from edge_runtime.streaming import StreamingEncoder", earmark)
    assert "numpy" in found
    assert not found & {"edge_runtime.engine", "sqlite3", "hnswlib"}


def test_a_whole_caption_loads_nothing_heavy_and_reports_to_nobody(earmark, recordings):
    """onnxruntime from 1.29 on keeps a device number and a queue of reports in the user's cache, unless told not to."""
    code = f"from edge_runtime import Engine; assert Engine.open().caption({str(recordings / 'five.wav')!r})"
    assert not loaded_by(code, earmark) & (HEAVY | {"sounddevice", "typer", "rich", "openvino"})
    assert not earmark.home.parent.joinpath("nobody").exists()


def test_a_listener_loads_nothing_that_it_does_not_use(earmark):
    code = f"""
import numpy as np
from edge_runtime import Engine
engine = Engine.open(home={str(earmark.home)!r})
assert list(engine.listen([np.zeros(64_000, np.float32)] * 4, rate_hz=32_000))"""
    found = loaded_by(code, earmark)
    assert "sqlite3" in found
    assert not found & UNHEARD


def test_the_command_that_listens_for_a_program_loads_nothing_to_please_people(earmark):
    code = """
import contextlib, io, sys
sys.argv = ["earmark", "listen", "-", "--rate", "32000", "--json"]
sys.stdin = io.TextIOWrapper(io.BytesIO(bytes(2 * 32_000 * 8)))
from edge_runtime.cli import main
with contextlib.redirect_stdout(io.StringIO()) as out, contextlib.suppress(SystemExit):
    main()
assert '"heard_s": 8.0' in out.getvalue()"""
    assert not loaded_by(code, earmark) & {"rich", "pydantic", "soundfile", "soxr", "sounddevice"}


def test_help_loads_nothing_heavy(earmark):
    code = """
import contextlib, io, sys
sys.argv = ["earmark", "--help"]
from edge_runtime.cli import main
with contextlib.redirect_stdout(io.StringIO()) as out, contextlib.suppress(SystemExit):
    main()
assert "listen" in out.getvalue()"""
    assert not loaded_by(code, earmark) & (HEAVY | {"sounddevice", "onnxruntime", "openvino"})


@pytest.mark.parametrize("path", MODULES, ids=[str(path.relative_to(ROOT)) for path in MODULES])
def test_no_module_of_the_runtime_imports_the_workstation_side(path):
    """Not even inside a function."""
    for node in ast.walk(ast.parse(path.read_text())):
        match node:
            case ast.Import(names=names):
                found = {name.name.partition(".")[0] for name in names}
            case ast.ImportFrom(module=module, level=level):
                assert level == 0, "imports are absolute here"
                found = {(module or "").partition(".")[0]}
            case _:
                continue
        assert not found & (HEAVY | {"benchmarks", "tests"})


def test_training_does_not_import_export():
    """edge_runtime <- training <- export."""
    for path in (ROOT / "training").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ImportFrom):
                assert (node.module or "").partition(".")[0] != "export", path
            elif isinstance(node, ast.Import):
                assert all(name.name.partition(".")[0] != "export" for name in node.names), path


def test_every_public_name_is_there():
    for name in edge_runtime.__all__:
        assert getattr(edge_runtime, name).__name__ == name
    with pytest.raises(AttributeError, match="has no attribute 'Nothing'"):
        _ = edge_runtime.Nothing
    assert set(edge_runtime.__all__) == set(edge_runtime.MODULES)


def test_the_wheel_holds_the_runtime_alone_with_its_bundle(tmp_path):
    """Built from a copy, so that no build folder is left in the checkout."""
    try:
        major = int(metadata.version("setuptools").partition(".")[0])
    except metadata.PackageNotFoundError:
        major = 0
    if major < 77:
        pytest.skip("needs setuptools 77 or newer in this environment: pip install 'setuptools>=77'")
    source = tmp_path / "source"
    ignore = shutil.ignore_patterns("__pycache__")
    for folder in ("edge_runtime", "training", "export"):
        shutil.copytree(ROOT / folder, source / folder, ignore=ignore)
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source)
    command = [sys.executable, "-m", "pip", "wheel", ".", "--no-deps", "--no-build-isolation", "--wheel-dir", tmp_path]
    done = subprocess.run(command, cwd=source, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    (wheel,) = tmp_path.glob("earmark-*.whl")
    with zipfile.ZipFile(wheel) as archive:
        names = {name for name in archive.namelist() if ".dist-info/" not in name}
        entry_points = next(archive.read(name) for name in archive.namelist() if name.endswith("entry_points.txt"))
    expected = {str(path.relative_to(ROOT)) for path in MODULES} | {
        "edge_runtime/py.typed",
        "edge_runtime/service/earmark.service",
    }
    expected |= {f"edge_runtime/default_bundle/{path.name}" for path in DEFAULT_BUNDLE.iterdir()}
    assert names == expected
    assert b"earmark = edge_runtime.cli:main" in entry_points
