"""Clips in memory: what is cut out of them, at which speed, and where a short one goes on."""

import numpy as np
import pytest
import torch

from training.waveforms import Waveforms

CPU = torch.device("cpu")
RATE_HZ = 32_000


def sounds() -> Waveforms:
    rng = np.random.default_rng(0)
    return Waveforms.of([rng.normal(0, 0.1, n).astype(np.float32) for n in (5000, 300, 8000)], RATE_HZ, CPU)


def test_at_its_own_speed_a_stretch_is_the_clip_itself():
    found = sounds()
    clips, starts = torch.tensor([0, 2, 2]), torch.tensor([0.0, 0.999, 0.5])
    crops = found.crops(clips, starts, torch.ones(3).double(), samples=1000)
    assert torch.equal(crops[0], found.whole(0)[:1000])
    assert torch.equal(crops[1], found.whole(2)[6993:7993])  # floor(0.999 * (8000 - 1000))
    assert torch.equal(crops[2], found.whole(2)[3500:4500])


def test_a_clip_that_is_too_short_begins_again():
    found = sounds()
    crop = found.crops(torch.tensor([1]), torch.tensor([0.7]), torch.ones(1).double(), samples=1000)[0]
    assert torch.equal(crop, found.whole(1).repeat(4)[:1000])


@pytest.mark.parametrize("speed", [0.7, 1.5])
def test_a_faster_clip_is_higher_by_as_much(speed):
    t = np.arange(3 * RATE_HZ) / RATE_HZ
    found = Waveforms.of([np.sin(2 * np.pi * 400 * t).astype(np.float32)], RATE_HZ, CPU)
    crop = found.crops(torch.zeros(1).long(), torch.zeros(1), torch.tensor([speed]).double(), samples=RATE_HZ)[0]
    expected = np.sin(2 * np.pi * 400 * speed * t[:RATE_HZ])
    # a cubic is off by a share of the cube of the phase between two samples, (2 pi / 80)^3 = 5e-4: measured 4e-5; the
    # first sample takes its neighbour from the end
    assert np.abs(crop.numpy() - expected)[2:].max() < 1e-4


def test_a_clip_without_a_sample_is_an_error_that_names_it():
    with pytest.raises(ValueError, match=r"no sound in b\.wav"):
        Waveforms.of([np.zeros(3, np.float32), np.zeros(0, np.float32)], RATE_HZ, CPU, names=["a.wav", "b.wav"])
    with pytest.raises(ValueError, match="no sound in all"):
        Waveforms.of([], RATE_HZ, CPU)
