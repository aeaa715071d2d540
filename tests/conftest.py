"""What several tests share: where things lie, the shipped bundle, the real command, and sounds."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from edge_runtime.bundle import DEFAULT_BUNDLE, Bundle

ROOT = Path(__file__).resolve().parent.parent
WINDOWED_BUNDLE = ROOT / "export/bundles/earmark-mn04-windowed"
"""The encoder that the default bundle's was made from, which hears whole windows."""
LONGEST = tuple(f"test_{name}.py" for name in ("boards", "experiments", "finetune", "export", "joint_export"))
"""Begun first, so that processes that share the tests (`make test`) end together."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    items.sort(key=_longest_first)


def _longest_first(item: pytest.Item) -> int:
    return LONGEST.index(item.path.name) if item.path.name in LONGEST else len(LONGEST)


@dataclass(frozen=True)
class Ran:
    """A finished command: exit code, standard output and standard error."""

    code: int
    out: str
    err: str

    @property
    def rows(self) -> list[dict[str, Any]]:
        """Standard output as JSON lines."""
        return [json.loads(line) for line in self.out.splitlines()]

    @property
    def faults(self) -> list[str]:
        """The lines of standard error."""
        return self.err.splitlines()

    def refused(self, *words: str) -> bool:
        """Exit code 2 and one line on standard error that holds these words, says what to do next, and is no trace."""
        assert self.code == 2, (self.code, self.out, self.err)
        assert len(self.faults) == 1, self.err
        (line,) = self.faults
        assert line.startswith("earmark: "), line
        what, _, next_step = line.removeprefix("earmark: ").rpartition(": ")
        assert what and next_step, line
        missing = [word for word in words if word not in line]
        assert not missing, (missing, line)
        return True


class Earmark:
    """The real command, in a process of its own: `earmark("caption", file)`; `home` is what --home defaults to."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.env = {
            # onnxruntime keeps its telemetry off in CI: what users get is tested
            **{name: value for name, value in os.environ.items() if not name.startswith(("XDG_", "ORT_", "CI"))},
            "EARMARK_HOME": str(home),
            "HOME": str(home.parent / "nobody"),
            "PYTHONPATH": str(ROOT),
            "COLUMNS": "100",
        }

    def __call__(self, *arguments: object, stdin: bytes = b"", cwd: Path | None = None) -> Ran:
        done = subprocess.run(
            self.line(*arguments), input=stdin, capture_output=True, env=self.env, cwd=cwd, timeout=120, check=False
        )
        return Ran(done.returncode, done.stdout.decode(), done.stderr.decode())

    def start(self, *arguments: object) -> subprocess.Popen[bytes]:
        """The command running, with pipes on all three ends."""
        pipe = subprocess.PIPE
        return subprocess.Popen(self.line(*arguments), stdin=pipe, stdout=pipe, stderr=pipe, env=self.env, bufsize=0)

    def line(self, *arguments: object) -> list[str]:
        return [sys.executable, "-m", "edge_runtime", *map(os.fspath, map(_plain, arguments))]  # type: ignore[call-overload]


def _plain(argument: object) -> str | bytes:
    return argument if isinstance(argument, bytes) else str(argument)


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A home that does not exist yet."""
    return tmp_path / "home"


@pytest.fixture
def earmark(home: Path) -> Earmark:
    return Earmark(home)


@pytest.fixture(scope="session")
def bundle() -> Bundle:
    """The shipped bundle, which streams."""
    return Bundle.open()


@pytest.fixture(scope="session")
def windowed() -> Bundle:
    """The bundle whose encoder hears whole windows."""
    return Bundle.open(WINDOWED_BUNDLE)


@pytest.fixture
def bundle_copy(tmp_path: Path) -> Path:
    """A copy of the shipped bundle to spoil."""
    return Path(shutil.copytree(DEFAULT_BUNDLE, tmp_path / "bundle"))


@pytest.fixture(scope="session")
def noise() -> Callable[..., np.ndarray]:
    """`noise(seconds, rate_hz=32_000, seed=0)`: pink-like noise, float32 (n,), of another colour for each seed."""

    def make(seconds: float, rate_hz: int = 32_000, seed: int = 0) -> np.ndarray:
        rng = np.random.default_rng(seed)
        samples = round(seconds * rate_hz)
        spectrum = np.fft.rfft(rng.standard_normal(samples))
        centre_hz = 200.0 * 2 ** (seed % 5)
        f = np.fft.rfftfreq(samples, 1 / rate_hz)
        sound = np.fft.irfft(spectrum / (1 + np.abs(f - centre_hz) / 100), samples)
        return (0.2 * sound / max(float(np.std(sound)), 1e-9)).clip(-1, 1).astype(np.float32)

    return make


@pytest.fixture(scope="session")
def recordings(tmp_path_factory: pytest.TempPathFactory, noise: Callable[..., np.ndarray]) -> Path:
    """A folder of sound recordings that no test changes: 12 s, 25 s and 5 s, 16-bit at 32 kHz."""
    folder = tmp_path_factory.mktemp("recordings")
    for name, seconds, seed in (("twelve.wav", 12, 1), ("twenty-five.flac", 25, 2), ("five.wav", 5, 3)):
        soundfile.write(folder / name, noise(seconds, seed=seed), 32_000, subtype="PCM_16")
    return folder


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of recordings and weights beside the checkout; tests that need it skip without it."""
    folder = ROOT.parent / "shared"
    if not folder.is_dir():
        pytest.skip("needs ../shared/ with its data and weights beside the repository")
    return folder


@pytest.fixture(scope="session")
def noisy_sweep() -> np.ndarray:
    """3 s at 32 kHz, float32 (96000,): a sweep from 100 Hz to 12 kHz over noise, heard in every band."""
    time_s = np.arange(96000) / 32000
    sweep = np.sin(2 * np.pi * (100 * time_s + (12000 - 100) / 6 * time_s**2))
    noise = np.random.default_rng(0).standard_normal(len(time_s))
    return (0.3 * sweep + 0.05 * noise).astype(np.float32)


@pytest.fixture(scope="module")
def one_torch_thread() -> Iterator[None]:
    """Networks as small as those of the tests lose up to tenfold to threads that wait for each other."""
    torch = pytest.importorskip("torch", reason="needs the train extra")
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture
def twelve(recordings: Path) -> Path:
    """Twelve seconds of noise."""
    return recordings / "twelve.wav"
