"""LMS and MFCC against librosa, and their rows against the frames that they are means of."""

from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="needs the train extra")

from edge_runtime.mel import log_mel  # noqa: E402
from training.compare import TABLES  # noqa: E402
from training.encoders import features_of  # noqa: E402
from training.experts.lms import Lms  # noqa: E402
from training.experts.mfcc import Mfcc, cosines  # noqa: E402
from training.mel_tables import lms_mel  # noqa: E402

DB_TOLERANCE = 2e-2
"""float32 FFTs of two libraries differ by 1e-7 of the loudest bin's amplitude; a band that lies 90 dB below it in
power is off by up to 0.4 %, which is 0.02 dB."""


@pytest.fixture(scope="module")
def decibels(noisy_sweep):
    """librosa's log-mel spectrogram of the sweep, (128, T)."""
    librosa = pytest.importorskip("librosa", reason="needs librosa as the oracle")
    spec, _ = lms_mel()
    power = librosa.feature.melspectrogram(
        y=noisy_sweep, sr=spec.rate_hz, n_fft=spec.fft_samples, hop_length=spec.hop_samples, pad_mode="reflect"
    )
    return librosa.power_to_db(power, top_db=None)


def frames_of(samples) -> torch.Tensor:
    return torch.from_numpy(log_mel(*lms_mel(), samples).T.copy())[None]


def test_lms_frames_are_librosas(noisy_sweep, decibels):
    """Its own defaults for bands, lowest and highest frequency; the edges of a clip reflected, as all mels here."""
    frames = frames_of(noisy_sweep)[0].numpy()
    assert frames.shape == decibels.shape
    assert np.abs(frames - decibels).max() < DB_TOLERANCE


def test_every_lms_band_hears_something():
    """A window of 1024 samples would leave the lowest bands empty."""
    _, tables = lms_mel()
    assert (tables.filterbank.sum(axis=0) > 0).all()


def test_mfcc_are_librosas(noisy_sweep, decibels):
    """The DCT has rows of unit length: the errors of 128 bands add up to sqrt(128) times one at most."""
    librosa = pytest.importorskip("librosa", reason="needs librosa as the oracle")
    expected = librosa.feature.mfcc(S=decibels, n_mfcc=40)  # (40, T)
    rows = Mfcc().segments(frames_of(noisy_sweep))[0]
    whole = expected.shape[1] // 32
    means = expected[:, : whole * 32].reshape(40, whole, 32).mean(axis=2).T
    assert np.abs(rows[:whole].numpy() - means).max() < DB_TOLERANCE * 128**0.5


def test_cosines_are_orthonormal():
    """float32 products of unit vectors: 1e-5."""
    rows = cosines(40, 128)
    assert (rows @ rows.T - torch.eye(40)).abs().max() < 1e-5


@pytest.mark.parametrize("front_end", [Lms(), Mfcc()], ids=["lms", "mfcc"])
@pytest.mark.parametrize("frames", [1, 31, 32, 33, 96, 100])
def test_rows_are_the_means_of_their_frames_and_the_tail_is_kept(front_end, frames):
    """A mean of 32 numbers near 40 in another order: 1e-4."""
    heard = -40 + 10 * torch.randn(2, 128, frames, generator=torch.Generator().manual_seed(frames))
    rows = front_end.segments(heard)
    assert rows.shape[:2] == (2, -(-frames // 32))
    last = front_end.segments(heard[:, :, (rows.shape[1] - 1) * 32 :])
    torch.testing.assert_close(rows[:, -1:], last, atol=1e-4, rtol=0)
    assert not front_end.classify(rows).sigmoid().any()


def test_each_encoder_has_a_folder_of_its_own_for_its_features():
    """One folder holds the copies of one encoder: what is trained takes all that lies there."""
    asked = (None, Path("lms"), Path("mfcc"), Path("runs/slim"))
    found = [features_of(student) for student in asked]
    assert found == [
        Path("runs/features"),
        Path("runs/features/lms"),
        Path("runs/features/mfcc"),
        Path("runs/slim/features"),
    ]
    assert {each.features for each in TABLES["features"].contenders} == {
        str(each.relative_to("runs")) for each in found
    }
