"""Where tests find what lies beside the repository, and the one signal that several of them hear."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of recordings and weights beside the checkout; tests that need it skip without it."""
    folder = Path(__file__).resolve().parent.parent.parent / "shared"
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
