"""`python -m benchmarks retrieval`: its arithmetic where the answer is known by hand or by another way."""

from pathlib import Path

import numpy as np
import pytest

from benchmarks.retrieval.alerts import Answer, Truth, scored
from benchmarks.retrieval.answers import AMBIENCES, ANSWERS, answers
from benchmarks.retrieval.detection import _by_minute
from benchmarks.retrieval.scenes import Event, plan_scenes
from benchmarks.retrieval.variants import RATE_HZ, VARIANTS, chance, pink
from benchmarks.retrieval.wording import ASKED
from edge_runtime.bundle import Bundle
from edge_runtime.phrases import default_phrases
from training.augment import loudest, rms
from training.bootstrap import Draws, drawn_figures, text_to_audio
from training.metrics import ranking
from training.phrasings import TEMPLATES
from training.sounds import Clip


def clip(label: str, name: str = "", rms_dbfs: float = -20.0) -> Clip:
    return Clip(Path(f"{name or label}.wav"), "test", label, (), name or label, "esc50", "CC0", rms_dbfs)


def test_intervals_cover_the_truth_about_as_often_as_they_say() -> None:
    """Recordings of 3 clips that agree, 60 of them, right with chance 0.7: 95 % of 200 intervals, give or take 3
    standard deviations of such a count (1.5 points each)."""
    rng = np.random.default_rng(5)
    recordings = np.repeat(np.arange(60), 3)
    covered = 0
    for seed in range(200):
        right = np.repeat(rng.random(60) < 0.7, 3)
        found = Draws(recordings, seed=seed, resamples=400).mean(right)
        assert found.value == pytest.approx(100 * right.mean())
        covered += found.low <= 70 <= found.high
    assert 0.90 <= covered / 200 <= 0.995


def test_more_clips_of_the_same_recordings_make_no_interval_narrower() -> None:
    right = np.random.default_rng(0).random(40) < 0.6
    once = Draws(range(40), seed=1).mean(right)
    fivefold = Draws(np.repeat(range(40), 5), seed=1).mean(np.repeat(right, 5))
    assert (once.low, once.high) == pytest.approx((fivefold.low, fivefold.high))
    alone = Draws(range(200), seed=1).mean(np.repeat(right, 5))
    assert alone.high - alone.low < 0.6 * (once.high - once.low)


def test_all_alike_has_no_spread_and_nothing_is_refused() -> None:
    found = Draws("aabbc", seed=0).mean(np.ones(5, bool))
    assert (found.value, found.low, found.high) == (100, 100, 100)
    assert Draws("abc", seed=0).median(np.array([3.0, 1.0, 2.0])).value == 2.0
    with pytest.raises(ValueError, match="nothing to resample"):
        Draws([], seed=0)


def test_medians_lie_among_the_values_and_a_ratio_is_of_sums() -> None:
    draws = Draws(range(9), seed=0)
    found = draws.median(np.arange(9.0))
    assert found.value == 4 and 0 <= found.low < 4 < found.high <= 8
    assert draws.ratio(np.arange(9), np.full(9, 0.5)).value == pytest.approx(8.0)


def test_each_stratum_keeps_its_number_of_recordings() -> None:
    labels = ["a"] * 5 + ["b"] * 2 + ["c"]
    counts = Draws(range(8), seed=3, strata=labels).counts
    assert set(counts[:, :5].sum(axis=1)) == {5}
    assert set(counts[:, 5:7].sum(axis=1)) == {2}
    assert set(counts[:, 7]) == {1}


@pytest.mark.parametrize("seed", range(5))
def test_a_resample_scores_as_the_pool_written_out(seed: int) -> None:
    """Oracle: every clip repeated as often as it was drawn, ranked by training/metrics.py."""
    rng = np.random.default_rng(seed)
    scores, relevant = rng.random((7, 40)), rng.random((7, 40)) < 0.1
    relevant[np.arange(7), rng.integers(40, size=7)] = True
    copies = rng.multinomial(40, np.full(40, 1 / 40))
    asked = (relevant @ copies) > 0
    order = np.argsort(-scores, axis=1, kind="stable")
    wanted = np.minimum(relevant @ copies, 10)
    every = np.stack(
        [
            drawn_figures(copies[None, places], right[places], wanted[q : q + 1])[0]
            for q, (places, right) in enumerate(zip(order, relevant, strict=True))
        ]
    )  # (Q, 4)
    found = 100 * every[asked].mean(axis=0)
    written_out = np.repeat(np.arange(40), copies)
    # repeated clips tie with themselves only, and ties with a right clip are right
    expected = ranking(scores[asked][:, written_out], relevant[asked][:, written_out])
    assert found == pytest.approx([expected.r1, expected.r5, expected.r10, expected.map10])


def test_a_search_lies_in_its_interval_and_a_perfect_one_has_no_spread() -> None:
    rng = np.random.default_rng(0)
    labels = [f"label {i // 6}" for i in range(60)]
    relevant = np.arange(10)[:, None] == np.arange(60) // 6
    settings = {"recordings": [f"r{i // 2}" for i in range(60)], "labels": labels, "seed": 0}
    perfect = text_to_audio(relevant.astype(float), relevant, **settings)
    assert all((each.value, each.low, each.high) == (100, 100, 100) for each in perfect.values())
    noisy = text_to_audio(relevant + rng.standard_normal((10, 60)), relevant, **settings)
    assert all(each.low < each.value < each.high for name, each in noisy.items() if name in ("r1", "map10"))


DOG, SIREN = Event(clip("dog"), 20.0, 24.0), Event(clip("siren"), 60.0, 64.0)
TRUTH = Truth([DOG, SIREN], {"dog": frozenset({"a dog barking"}), "siren": frozenset({"a siren"})}, frozenset({"wind"}))


def windows(*told: tuple[float, str, float]) -> list[Answer]:
    """10 s windows by the moment at which they end; each is known 1 s later."""
    return [Answer(max(0.0, end - 10), end, end + 1, phrase, score) for end, phrase, score in told]


def test_hits_delays_and_false_alerts_are_those_counted_by_hand() -> None:
    heard = windows(
        (10, "wind", 0.9),  # the background: an alert, but true
        (15, "a siren", 0.6),  # no siren yet: false
        (21, "a dog barking", 0.4),  # below the threshold
        (22.5, "a dog barking", 0.7),  # hit: known 3.5 s after the event's beginning
        (25, "a dog barking", 0.8),  # on already: no second alert
        (33, "a dog barking", 0.8),  # holds the event's last second
        (36, "a dog barking", 0.8),  # the event has left the window, but the alert goes on
        (55, "a dog barking", 0.8),  # a new alert, of nothing: false
        (63, "a dog barking", 0.9),  # beside the siren, on shortly before: no new alert
    )
    found = scored(heard, TRUTH, threshold=0.5, memory_s=10.0)
    assert found.delays_s == [pytest.approx(3.5), None]
    assert [each.known_s for each in found.alerts] == [11, 16, 23.5, 56]
    assert [(each.known_s, each.phrase) for each in found.false] == [(16, "a siren"), (56, "a dog barking")]
    lower = scored(heard, TRUTH, threshold=0.4, memory_s=10.0)
    assert lower.delays_s == [pytest.approx(2.0), None]
    assert scored(heard, TRUTH, threshold=0.95, memory_s=10.0).delays_s == [None, None]


def test_false_alerts_an_hour_are_counts_over_the_time_of_whole_and_broken_minutes() -> None:
    counts, hours = _by_minute([0.0, 59.9, 60.0, 89.0, 90.0], 90.0)
    assert counts.tolist() == [2, 3]
    assert hours.tolist() == [pytest.approx(60 / 3600), pytest.approx(30 / 3600)]
    assert Draws(range(2), seed=0).ratio(counts, hours).value == pytest.approx(5 / 90 * 3600)


def test_scenes_are_fixed_by_the_seed_and_hold_no_sound_twice_in_a_window() -> None:
    clips = [clip(label, f"{label}{i}") for label in ("dog", "siren", "rain", "cat", "hen") for i in range(12)]
    clips += [clip("dog", "faint", -61.0), clip("unknown", "other")]
    plan = {"hours": 1 / 6, "seed": 4}
    placeable = {"dog", "siren", "rain", "cat", "hen"}
    scenes = plan_scenes(clips, [4.0] * len(clips), placeable, [None], **plan)
    assert scenes == plan_scenes(clips, [4.0] * len(clips), placeable, [None], **plan)
    assert [scene.snr_db for scene in scenes] == [20, 10, 0]
    for scene in scenes:
        assert len(scene.events) > 15
        assert not {"faint", "other"} & {event.clip.recording for event in scene.events}
        for event, after in zip(scene.events, scene.events[1:], strict=False):
            assert event.end_s + 5 <= after.start_s
            assert event.clip.label != after.clip.label
        assert scene.events[-1].end_s <= scene.seconds


@pytest.fixture(scope="module")
def barks() -> np.ndarray:
    """3 s of synthesised barks."""
    from edge_runtime.synthesis import Studio, dog

    sound = dog(Studio(RATE_HZ, 1), 3.0)
    return (0.3 * sound / np.abs(sound).max()).astype(np.float32)


def test_variants_do_what_their_names_say(barks: np.ndarray) -> None:
    other = pink(RATE_HZ, np.random.default_rng(1)) * np.float32(0.02)
    found = {each.name: each.of(barks, other, chance(each, clip("dog"), seed=0)) for each in VARIANTS}
    assert all(each.dtype == np.float32 and np.isfinite(each).all() for each in found.values())
    for dbfs in (0, -10, -20, -30, -40):
        # 16 bits round a peak by half a step at most
        assert np.abs(found[f"level {dbfs} dBFS"]).max() == pytest.approx(10 ** (dbfs / 20), abs=0.5 / 32767)
    for snr_db in (20, 10, 0):
        added = found[f"noise {snr_db} dB SNR"] - barks
        assert 20 * np.log10(rms(barks) / rms(added)) == pytest.approx(snr_db, abs=0.01)
    for rate_khz in (8, 16):
        power = np.abs(np.fft.rfft(found[f"rate {rate_khz} kHz"])) ** 2
        above = round(len(power) * (rate_khz * 1000 / 2 * 1.05) / (RATE_HZ / 2))
        assert power[above:].sum() < 1e-4 * power.sum()
    for seconds in (0.5, 1, 2, 5, 10, 30):
        assert len(found[f"length {seconds:g} s"]) == seconds * RATE_HZ
    assert np.abs(found["length 0.5 s"]).max() > 0.2  # the loudest stretch, no pause
    assert len(found["mixture 0 dB"]) == len(barks)


def test_chance_is_a_clips_own() -> None:
    first, second = VARIANTS[:2]
    draw = [
        chance(variant, clip(name), seed=seed).random()
        for variant, name, seed in ((first, "a", 0), (first, "b", 0), (second, "a", 0), (first, "a", 1))
    ]
    assert len(set(draw)) == 4 and draw[0] == chance(first, clip("a"), seed=0).random()


def test_the_loudest_stretch_is_found() -> None:
    sound = np.zeros(100, np.float32)
    sound[60:65] = 1
    assert loudest(sound, 5).tolist() == [1] * 5
    assert loudest(sound, 100).sum() == 5


def test_every_answer_is_a_phrase_of_the_shipped_vocabulary(bundle: Bundle) -> None:
    known = set(default_phrases(bundle))
    told = {phrase for table in (ANSWERS, AMBIENCES) for phrases in table.values() for phrase in phrases}
    assert told <= known
    assert set(answers(known)) == set(ANSWERS)
    assert answers(["a siren"]) == {"siren": {"a siren"}}


def test_no_template_that_is_asked_is_one_of_training() -> None:
    assert not set(ASKED) & set(TEMPLATES)
