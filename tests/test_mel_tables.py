"""The front-end tables against their definitions, and the torch front end against the runtime's."""

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="needs the train extra")

from edge_runtime.mel import log_mel  # noqa: E402
from training.frontend import LogMel  # noqa: E402
from training.mel_tables import efficientat_mel, panns_mel, with_batch_norm  # noqa: E402

FRONT_ENDS = {"panns": panns_mel, "efficientat": efficientat_mel}
LOG_TOLERANCE = 2e-4
"""float32 FFTs of two libraries differ by 1e-7 of the loudest bin, so the power of a band 40 dB below it by
2e-5 of itself: 1e-4 dB. Measured 2e-5; the bound leaves room for other FFTs."""


@pytest.mark.parametrize("build", FRONT_ENDS.values(), ids=FRONT_ENDS)
def test_torch_front_end_equals_the_runtime(build, noisy_sweep):
    spec, tables = build()
    ours = LogMel(spec, tables)(torch.from_numpy(noisy_sweep)[None])[0].T.numpy()
    theirs = log_mel(spec, tables, noisy_sweep)
    assert ours.shape == theirs.shape == (spec.frames(len(noisy_sweep)), spec.bands)
    assert np.abs(ours - theirs).max() < LOG_TOLERANCE


@pytest.mark.parametrize("build", FRONT_ENDS.values(), ids=FRONT_ENDS)
@pytest.mark.parametrize("samples", [0, 1, 2, 3, 17, 319, 320, 321, 513, 1025, 5000])
def test_torch_front_end_equals_the_runtime_for_short_clips(build, samples, noisy_sweep):
    spec, tables = build()
    clip = noisy_sweep[:samples]
    ours = LogMel(spec, tables)(torch.from_numpy(clip)[None])[0].T.numpy()
    theirs = log_mel(spec, tables, clip)
    assert ours.shape == theirs.shape
    assert np.abs(ours - theirs).max(initial=0) < LOG_TOLERANCE


def test_panns_filterbank_is_librosas():
    """librosa rounds to float32 after the same float64 arithmetic: one unit in the last place."""
    librosa = pytest.importorskip("librosa", reason="needs librosa as the oracle")
    _, tables = panns_mel()
    expected = librosa.filters.mel(sr=32000, n_fft=1024, n_mels=64, fmin=50, fmax=14000)
    np.testing.assert_allclose(tables.filterbank.T, expected, rtol=1e-5, atol=1e-9)


def test_panns_triangles_have_unit_area_and_slaney_centres():
    """Below 1 kHz Slaney's mel is linear in Hz, above it a factor 6.4 takes 27 mels (Slaney 1998).

    Sampled every 31.25 Hz, the area of narrow triangles is off by up to 6 %, of wide ones by under 1 %.
    """
    spec, tables = panns_mel()
    bin_hz = spec.rate_hz / spec.fft_samples
    area = tables.filterbank.astype(float).sum(axis=0) * bin_hz
    np.testing.assert_allclose(area, 1, atol=0.06)
    np.testing.assert_allclose(area[-20:], 1, atol=0.01)
    mels = np.linspace(50 * 3 / 200, 15 + 27 * np.log(14) / np.log(6.4), 66)
    hz = np.where(mels < 15, mels * 200 / 3, 1000 * 6.4 ** ((mels - 15) / 27))
    peaks_hz = tables.filterbank.argmax(axis=0) * bin_hz
    assert np.abs(peaks_hz - hz[1:-1]).max() <= bin_hz
    assert not tables.filterbank[int(14000 / bin_hz) + 1 :].any()


def test_efficientat_filterbank_is_kaldis():
    """Against the definition written with loops in float64: float32 rounding only."""
    _, tables = efficientat_mel()
    top = 1127 * np.log(1 + 15000 / 700)
    step = top / 129
    expected = np.zeros((513, 128))
    for band in range(128):
        for k in range(512):
            mel = 1127 * np.log(1 + k * 31.25 / 700)
            rising, falling = mel / step - band, band + 2 - mel / step
            expected[k, band] = max(0, min(rising, falling))
    np.testing.assert_allclose(tables.filterbank, expected, atol=1e-6)


def test_efficientat_frames_equal_the_published_recipe(noisy_sweep):
    """EfficientAT's own steps: conv1d pre-emphasis, torch.stft with win_length 800, Kaldi mels."""
    spec, tables = efficientat_mel()
    samples = torch.from_numpy(noisy_sweep)[None]
    emphasised = torch.nn.functional.conv1d(samples[:, None], torch.tensor([[[-0.97, 1.0]]]))[:, 0]
    window = torch.hann_window(800, periodic=False)
    spectrum = torch.stft(emphasised, 1024, 320, 800, window, center=True, return_complex=True)
    mel = torch.from_numpy(tables.filterbank).T @ spectrum.abs() ** 2
    expected = ((mel + 0.00001).log() + 4.5) / 5
    assert (LogMel(spec, tables)(samples) - expected).abs().max() < LOG_TOLERANCE


def test_windows_are_those_of_torch():
    """float32 cosines of two libraries: 1e-6."""
    np.testing.assert_allclose(panns_mel()[1].window, torch.hann_window(1024).numpy(), atol=1e-6)
    middle = efficientat_mel()[1].window
    np.testing.assert_allclose(middle[112:912], torch.hann_window(800, periodic=False).numpy(), atol=1e-6)
    assert not middle[:112].any() and not middle[912:].any()


def test_panns_frames_are_decibels_floored_at_minus_100(noisy_sweep):
    spec, tables = panns_mel()
    silence = log_mel(spec, tables, np.zeros(32000, np.float32))
    np.testing.assert_allclose(silence, -100, atol=1e-4)  # float32 near 100 has steps of 8e-6
    louder = log_mel(spec, tables, 2 * noisy_sweep) - log_mel(spec, tables, noisy_sweep)
    np.testing.assert_allclose(louder, 20 * np.log10(2), atol=1e-4)


def test_batch_norm_folds_into_gain_and_offset(noisy_sweep):
    """An affine of numbers near 100 in float32: 1e-4 of unit-scale outputs."""
    spec, tables = panns_mel()
    norm = torch.nn.BatchNorm1d(64).eval()
    random = np.random.default_rng(1)
    values = {
        "weight": random.uniform(0.5, 2, 64),
        "bias": random.normal(0, 1, 64),
        "mean": random.normal(-30, 10, 64),
        "var": random.uniform(50, 300, 64),
    }
    values = {name: value.astype(np.float32) for name, value in values.items()}
    for name, key in (
        ("weight", "weight"),
        ("bias", "bias"),
        ("mean", "running_mean"),
        ("var", "running_var"),
    ):
        getattr(norm, key).data.copy_(torch.from_numpy(values[name]))
    frames = LogMel(spec, tables)(torch.from_numpy(noisy_sweep)[None])
    folded = LogMel(spec, with_batch_norm(tables, **values, eps=norm.eps))(torch.from_numpy(noisy_sweep)[None])
    assert (norm(frames) - folded).abs().max() < 1e-4


def test_front_end_refuses_other_shapes_and_types():
    front_end = LogMel(*panns_mel())
    with pytest.raises(ValueError, match="expected float32 samples"):
        front_end(torch.zeros(32000))
    with pytest.raises(ValueError, match="expected float32 samples"):
        front_end(torch.zeros(1, 32000, dtype=torch.int16))
