"""Clips in a background: as long as a window at most, whole, and as far above it as was said."""

import numpy as np
import pytest

from training.augment import RATE_HZ
from training.beds import SNR_DB, WINDOW_S, Beds, sounding_rms

CLIP = np.sin(np.arange(RATE_HZ // 8) / 7).astype(np.float32)
AMBIENCE = np.random.default_rng(5).standard_normal(3 * RATE_HZ).astype(np.float32)


def test_zeros_around_a_sound_do_not_count():
    tone = np.resize(CLIP, RATE_HZ)
    padded = np.concatenate((np.zeros(RATE_HZ, np.float32), tone, np.zeros(RATE_HZ, np.float32)))
    assert sounding_rms(padded) == pytest.approx(sounding_rms(tone), rel=1e-4)
    assert sounding_rms(np.zeros(100, np.float32)) == 0


@pytest.mark.parametrize("beds", [Beds([]), Beds([AMBIENCE])], ids=["noise", "ambience and noise"])
def test_a_short_clip_lies_whole_in_a_stretch_of_a_window_at_most(beds):
    rng = np.random.default_rng(0)
    longest = round(WINDOW_S * RATE_HZ)
    starts = set()
    for _ in range(30):
        laid = beds.lay(CLIP, rng)
        assert len(CLIP) <= len(laid) <= longest and laid.dtype == np.float32
        match = np.correlate(laid, CLIP, "valid")
        start = int(match.argmax())
        starts.add(start)
        bed = np.concatenate((laid[:start], laid[start:][: len(CLIP)] - CLIP, laid[start + len(CLIP) :]))
        below_db = 20 * np.log10(sounding_rms(CLIP) / np.sqrt(np.mean(bed.astype(np.float64) ** 2)))
        # at 0 dB the best match may lie a few samples off, and what is left of the clip counts as background
        assert SNR_DB[0] - 1 <= below_db <= SNR_DB[1] + 0.1
    assert len(starts) > 20


def test_a_long_clip_keeps_its_length_and_its_draws():
    long = np.tile(CLIP, 56)
    first, second = (Beds([AMBIENCE]).lay(long, np.random.default_rng(3)) for _ in range(2))
    assert len(first) == len(long)
    np.testing.assert_array_equal(first, second)
    assert np.abs(first - long).max() > 0


def test_silence_stays_silent():
    assert not Beds([AMBIENCE]).lay(np.zeros(1000, np.float32), np.random.default_rng(0)).any()
