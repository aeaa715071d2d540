"""The demo recording: its form, and each sound's character measured by other means than it was made with."""

from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from edge_runtime import synthesis
from edge_runtime.scene import EVENT_S, GAP_S, PROGRAMME, demo_scene
from edge_runtime.synthesis import Studio

RATE_HZ = 32_000
SECONDS = 6.0
FRAME = 1024  # 32 ms, 31.25 Hz a bin


@pytest.fixture(scope="module")
def scene():
    return demo_scene()


def made(name: str, seed: int = 5) -> np.ndarray:
    return getattr(synthesis, name)(Studio(RATE_HZ, seed), SECONDS)


def spectrogram(sound: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Power (frames, bins) of Hann frames that do not overlap, and the bins' frequencies in Hz."""
    frames = sound[: len(sound) // FRAME * FRAME].reshape(-1, FRAME)  # (frames, FRAME)
    return np.abs(np.fft.rfft(frames * np.hanning(FRAME))) ** 2, np.fft.rfftfreq(FRAME, 1 / RATE_HZ)


def share(sound: np.ndarray, low_hz: float, high_hz: float) -> float:
    """How much of the power lies between two frequencies."""
    power, f = spectrogram(sound)
    return power[:, (f >= low_hz) & (f < high_hz)].sum() / power.sum()


def frame_power(sound: np.ndarray) -> np.ndarray:
    return spectrogram(sound)[0].sum(axis=1)


def test_scene_is_fixed_by_its_seed(scene):
    sound, events = scene
    again, again_events = demo_scene()
    other, _ = demo_scene(seed=1)
    assert np.array_equal(sound, again)
    assert events == again_events
    assert not np.array_equal(sound, other)


def test_scene_is_float32_mono_in_range_and_of_the_stated_length(scene):
    sound, _ = scene
    assert sound.dtype == np.float32
    assert sound.shape == (round((GAP_S + len(PROGRAMME) * (EVENT_S + GAP_S)) * RATE_HZ),)
    assert np.isfinite(sound).all()
    assert np.abs(sound).max() < 1  # nothing was clipped
    assert 55 < len(sound) / RATE_HZ < 70


def test_events_follow_each_other_inside_the_scene(scene):
    sound, events = scene
    edges = [0.0] + [edge for event in events for edge in (event.start_s, event.end_s)] + [len(sound) / RATE_HZ]
    assert all(before < after for before, after in pairwise(edges))
    assert len({event.label for event in events}) == len(events)


def test_every_event_is_louder_than_the_gap_before_it(scene):
    sound, events = scene

    def rms(start_s: float, end_s: float) -> float:
        return float(np.sqrt(np.mean(sound[round(start_s * RATE_HZ) : round(end_s * RATE_HZ)] ** 2)))

    for event in events:
        # 6 dB at least: typing, short clicks with nothing between them, is 7 dB above the air; the others 20 and more
        assert rms(event.start_s, event.end_s) > 2 * rms(event.start_s - GAP_S, event.start_s), event


def test_every_event_is_named_by_a_phrase_of_the_default_vocabulary(scene):
    phrases = Path(__file__).parents[1].joinpath("export", "phrases.txt").read_text(encoding="utf-8").splitlines()
    assert {event.label for event in scene[1]} <= set(phrases)


@pytest.mark.parametrize("rate_hz", [16_000, 44_100])
def test_scene_keeps_its_shape_at_other_rates(scene, rate_hz):
    sound, events = demo_scene(rate_hz)
    assert abs(len(sound) / rate_hz - len(scene[0]) / RATE_HZ) < 1e-3
    assert events == scene[1]
    assert np.isfinite(sound).all()


def test_a_rate_too_low_for_the_sounds_is_refused():
    with pytest.raises(ValueError, match="8000"):
        demo_scene(8_000)


def test_birds_whistle_between_2_and_7_khz_and_pause():
    birds = made("birds")
    assert share(birds, 2000, 7000) > 0.95
    power = frame_power(birds)
    assert np.mean(power < 0.01 * power.max()) > 0.1


def test_bell_rings_at_the_partials_of_a_minor_third_bell():
    bell = made("church_bell")
    spectrum = np.abs(np.fft.rfft(bell * np.hanning(len(bell))))
    f = np.fft.rfftfreq(len(bell), 1 / RATE_HZ)
    for ratio in (0.5, 1, 1.183, 1.506, 2):
        partial, around = (np.abs(f / (640 * ratio) - 1) < width for width in (0.005, 0.05))
        assert spectrum[partial].max() == spectrum[around].max() > 10 * np.median(spectrum[around]), ratio


def test_bell_decays_and_its_high_partials_sooner():
    power, f = spectrogram(synthesis.church_bell(Studio(RATE_HZ, 5), 2.3))  # one stroke
    early, late = power[10:20].sum(axis=0), power[50:60].sum(axis=0)  # 1.3 s apart

    def decay_db(low_hz: float, high_hz: float) -> float:
        band = (f > low_hz) & (f < high_hz)
        return 10 * np.log10(early[band].sum() / late[band].sum())

    assert 2 < decay_db(500, 900) < decay_db(2500, 6000) - 6


def test_dog_barks_in_short_voiced_bursts():
    dog = made("dog")
    power = frame_power(dog)
    loud = power > 0.1 * power.max()
    onsets = np.count_nonzero(loud[1:] & ~loud[:-1])
    assert 6 <= onsets <= 24
    assert np.mean(loud) < 0.5
    at = int(np.argmax(power)) * FRAME
    bark = dog[at : at + FRAME] * np.hanning(FRAME)
    echo = np.correlate(bark, bark, "full")[FRAME - 1 :] / np.sum(bark**2)
    lags = slice(RATE_HZ // 800, RATE_HZ // 250)
    assert echo[lags].max() > 0.4  # a pitch between 250 and 800 Hz


def test_typing_is_many_short_clicks():
    typing = made("keyboard")
    assert share(typing, 1500, 16_000) > 0.5
    blocks = np.abs(typing[: len(typing) // 160 * 160]).reshape(-1, 160).max(axis=1)  # 5 ms each
    rises = np.flatnonzero((blocks[1:] > 0.25 * blocks.max()) & (blocks[1:] > 3 * blocks[:-1]))
    assert 5 < len(rises) / SECONDS < 30
    assert np.median(blocks) < 0.1 * blocks.max()


def test_siren_sweeps_smoothly_over_an_octave():
    power, f = spectrogram(made("siren"))
    voice = (f > 500) & (f < 1800)
    pitch_hz = f[voice][np.argmax(power[:, voice], axis=1)]
    assert np.percentile(pitch_hz, 5) < 800
    assert np.percentile(pitch_hz, 95) > 1350
    assert np.median(np.abs(np.diff(pitch_hz))) < 2 * RATE_HZ / FRAME  # two bins a frame


def test_thunder_is_low_and_rain_is_high_and_steady():
    storm = made("thunderstorm")
    assert share(storm, 20, 400) > 0.6
    power, f = spectrogram(storm)
    thunder, rain = power[:, f < 300].sum(axis=1), power[:, f > 3000].sum(axis=1)

    def spread_db(levels: np.ndarray) -> float:
        return float(np.subtract(*np.percentile(10 * np.log10(levels), [95, 5])))

    assert spread_db(thunder) > spread_db(rain) + 6


def test_crickets_chirp_above_3_khz_about_three_times_a_second():
    crickets = made("crickets")
    assert share(crickets, 3000, 16_000) > 0.97
    power = np.sqrt((crickets[: len(crickets) // 320 * 320] ** 2).reshape(-1, 320).mean(axis=1))  # 100 a second
    rhythm = np.abs(np.fft.rfft(power - power.mean()))
    rate = np.fft.rfftfreq(len(power), 0.01)
    slow = (rate > 1) & (rate < 10)
    assert 2 < rate[slow][np.argmax(rhythm[slow])] < 4.5
