"""What is done to a batch at once does what augment.py does to a clip: rooms, recorders, noise, levels, masks."""

from dataclasses import replace

import pytest
import torch

from training.augment import NARROW_HZ, RATE_HZ
from training.roughening import Roughness, coloured, power_of, roughened, wiped

NOTHING = Roughness(room_share=0, narrow_share=0, noise_share=0, level_share=0, masked_bands=0, masked_frames=0)
SAMPLES = 32_000


def drawn(seed: int = 0) -> torch.Generator:
    generator = torch.Generator()
    generator.manual_seed(seed)
    return generator


@pytest.fixture(scope="module")
def noise() -> torch.Tensor:
    return 0.1 * torch.randn(12, SAMPLES, generator=drawn(1))


def test_without_a_share_nothing_changes(noise):
    # there and back through a float32 Fourier transform
    torch.testing.assert_close(roughened(noise, NOTHING, drawn()), noise, atol=1e-6, rtol=0)


def test_noise_lies_as_far_below_as_was_asked(noise):
    heard = roughened(noise, replace(NOTHING, noise_share=1, min_snr_db=12, max_snr_db=12), drawn())
    snr_db = 10 * torch.log10(power_of(noise) / power_of(heard - noise))
    torch.testing.assert_close(snr_db, torch.full_like(snr_db, 12.0), atol=0.01, rtol=0)


def test_a_level_is_the_peak_and_reaches_down_to_the_lowest(noise):
    heard = roughened(noise, replace(NOTHING, level_share=1, min_peak_dbfs=-40), drawn())
    peaks_dbfs = 20 * torch.log10(heard.abs().amax(dim=1))
    assert -40.001 < peaks_dbfs.min() < -30
    assert -10 < peaks_dbfs.max() < 0.001
    assert torch.equal(heard.sign(), roughened(noise, NOTHING, drawn()).sign())


def test_a_recorder_of_a_lower_rate_keeps_nothing_above_half_its_rate(noise):
    heard = roughened(noise, replace(NOTHING, narrow_share=1), drawn())
    before, after = (torch.fft.rfft(each).abs().square() for each in (noise, heard))
    hz = torch.linspace(0, RATE_HZ / 2, before.shape[1])
    tops = {min(NARROW_HZ, key=lambda rate: abs(rate / 2 - float(hz[row > 1e-3].max()))) for row in after}
    assert len(tops) > 1
    low = hz < 0.9 * min(NARROW_HZ) / 2
    torch.testing.assert_close(after[:, low].sum(dim=1), before[:, low].sum(dim=1), rtol=1e-4, atol=0)
    assert after[:, hz > max(NARROW_HZ) / 2].sum() < 1e-6 * before[:, hz > max(NARROW_HZ) / 2].sum()


def test_a_room_goes_on_after_the_sound():
    click = torch.zeros(8, SAMPLES)
    click[:, 100] = 1
    heard = roughened(click, replace(NOTHING, room_share=1), drawn())
    torch.testing.assert_close(heard[:, 100], torch.ones(8), atol=1e-4, rtol=0)
    early, late = (heard[:, first : first + 3000].square().sum(dim=1) for first in (200, 16_000))
    assert (early > 10 * late).all()


def test_noise_has_as_many_colours_as_crops():
    power = torch.fft.rfft(coloured(40, SAMPLES, drawn())).abs().square()
    fall_db = 10 * torch.log10(power[:, 10:110].mean(dim=1) / power[:, 10_000:10_100].mean(dim=1))
    assert fall_db.min() < 5  # white: 0 dB; 1.2 falls by 27 dB over these two decades and a quarter
    assert fall_db.max() > 18


def test_what_is_wiped_out_is_one_band_and_one_stretch_at_the_mean():
    frames = torch.randn(30, 64, 100, generator=drawn(2))
    found = wiped(frames, replace(NOTHING, masked_bands=8, masked_frames=24), drawn())
    hidden = found != frames
    bands, stretches = hidden.all(dim=2).sum(dim=1), hidden.all(dim=1).sum(dim=1)
    assert bands.max() == 8
    assert bands.min() == 0
    assert 20 <= stretches.max() <= 24
    whole = bands[:, None] * 100 + stretches[:, None] * 64 - bands[:, None] * stretches[:, None]
    assert torch.equal(hidden.flatten(1).sum(dim=1), whole[:, 0])
