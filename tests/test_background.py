"""Thresholds made from background: what each phrase scores where nothing happens."""

import numpy as np
import pytest

from edge_runtime import Engine
from edge_runtime.background import MARGIN, Background
from edge_runtime.bundle import Bundle
from edge_runtime.errors import BundleError

RATE_HZ = 32_000
SECONDS = 4.0


def unit(rows: np.ndarray) -> np.ndarray:
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


def some(count: int = 40, width: int = 16, seed: int = 0) -> Background:
    """Half of it generated, a quarter of each half held back."""
    rows = unit(np.random.default_rng(seed).standard_normal((count, width)))
    return Background(rows, np.arange(count) < count // 2, np.arange(count) % 4 == 3)


@pytest.fixture(scope="module")
def heard_noise(bundle: Bundle) -> Background:
    """What the shipped bundle makes of generated noise."""
    pytest.importorskip("torch", reason="needs the train extra")
    from export.background import noises

    engine = Engine(bundle, Engine.open().phrases, None)
    rows = [listened(engine, sound) for sound in noises(RATE_HZ, SECONDS, seed=0)]
    return Background(np.stack(rows), np.ones(len(rows), bool), np.zeros(len(rows), bool))


def listened(engine: Engine, sound: np.ndarray) -> np.ndarray:
    return [heard.window.embedding for heard in engine.listen([sound], rate_hz=RATE_HZ, k=1)][-1]


def test_a_threshold_is_so_many_deviations_above_the_middle_and_never_below_the_floor():
    background, phrases = some(), unit(np.random.default_rng(1).standard_normal((5, 16)))
    scores = phrases @ background.embeddings[~background.held].T
    middle = np.median(scores, axis=1)
    spread = 1.4826 * np.median(np.abs(scores - middle[:, None]), axis=1)
    found = background.thresholds(phrases, deviations=9.0, floor=0.0)
    np.testing.assert_allclose(found, middle + 9 * spread, rtol=1e-5)
    assert (background.thresholds(phrases, deviations=0.0, floor=0.9) == np.float32(0.9)).all()


def test_no_generated_noise_reaches_a_threshold_however_low_the_rest_is():
    background, phrases = some(), unit(np.random.default_rng(2).standard_normal((5, 16)))
    found = background.thresholds(phrases, deviations=-9.0, floor=-1.0)
    noise = phrases @ background.embeddings[background.generated & ~background.held].T
    np.testing.assert_allclose(found, noise.max(axis=1) + MARGIN, rtol=1e-5)


def test_what_is_held_back_makes_no_threshold_and_is_what_alerts_are_counted_on():
    background = some()
    phrases = background.embeddings[background.held][:1]
    found = background.thresholds(phrases, deviations=1.0, floor=0.0)
    assert found[0] < 0.99
    alerts, windows = background.alerts(phrases, np.array([0.99]))
    assert (alerts, windows) == (1, int(background.held.sum()))


def test_no_phrases_have_no_thresholds():
    assert some().thresholds(np.zeros((0, 16), np.float32), deviations=1.0, floor=0.0).shape == (0,)


def test_it_is_kept_in_eight_bits(tmp_path):
    background = some(width=64)
    background.save(tmp_path / "background.npz")
    again = Background.load(tmp_path / "background.npz", width=64)
    # 127 steps for the largest of 64 numbers leave 0.3 % of noise in each
    assert (again.embeddings * background.embeddings).sum(axis=1).min() > 0.9999
    assert np.array_equal(again.generated, background.generated) and np.array_equal(again.held, background.held)


@pytest.mark.parametrize(
    "spoil",
    [
        lambda arrays: arrays | {"codes": arrays["codes"][:, :3]},
        lambda arrays: arrays | {"codes": arrays["codes"].astype(np.float32)},
        lambda arrays: arrays | {"codes": arrays["codes"] * 0},
        lambda arrays: arrays | {"generated": arrays["generated"][:3]},
        lambda arrays: arrays | {"held": ~arrays["held"] | True},
        lambda arrays: {"codes": arrays["codes"]},
        lambda arrays: arrays | {"codes": np.array(3, np.int8)},
    ],
    ids=["narrow", "float", "zeros", "fewer kinds", "all held", "no kinds", "a number"],
)
def test_a_spoilt_background_is_refused(spoil, tmp_path):
    path = tmp_path / "background.npz"
    some().save(path)
    with np.load(path) as file:
        arrays = spoil(dict(file))
    np.savez(path, **arrays)
    with pytest.raises(BundleError, match="export the bundle again"):
        Background.load(path, width=16)


def test_rubbish_is_refused(tmp_path):
    (tmp_path / "background.npz").write_bytes(b"no zip")
    with pytest.raises(BundleError, match="cannot be read"):
        Background.load(tmp_path / "background.npz", width=16)


def test_silence_and_white_noise_are_heard_as_nothing(bundle):
    """The shipped bundle at its own thresholds; lengths and levels between those that its background was made from."""
    from export.background import at_level, coloured

    engine = Engine.open()
    phrases, thresholds = engine.phrases.embeddings(), engine.phrases.thresholds()
    rng = np.random.default_rng(9)
    sounds = [np.zeros(int(RATE_HZ * seconds), np.float32) for seconds in (0.5, 3.3, 12)]
    for seconds in (1.2, 2.5, 5.0, 10.24):
        for level in (-62, -38, -22):
            sounds.append(at_level(coloured(int(RATE_HZ * seconds), 0.0, rng), level))
    for sound in sounds:
        scores = phrases @ listened(engine, sound)
        assert (scores < thresholds).all(), float((scores - thresholds).max())


def test_few_noises_of_other_colours_are_heard_as_anything(bundle):
    """Colours, too, between those of the background. One in ten may pass: of 150 tried three did."""
    from export.background import at_level, coloured

    engine = Engine.open()
    phrases, thresholds = engine.phrases.embeddings(), engine.phrases.thresholds()
    rng = np.random.default_rng(9)
    passed = 0
    for _ in range(20):
        count, tilt, level = int(RATE_HZ * rng.uniform(1, 10)), rng.uniform(0, 2), rng.uniform(-70, -20)
        scores = phrases @ listened(engine, at_level(coloured(count, tilt, rng), level))
        passed += bool((scores >= thresholds).any())
    assert passed <= 2


def test_a_phrase_added_a_moment_ago_has_its_own_threshold(heard_noise, bundle):
    from dataclasses import replace

    calibrated = Bundle.open()
    calibrated.background = heard_noise
    calibrated.manifest = replace(calibrated.manifest, match=replace(calibrated.manifest.match, heard=-1.0))
    engine = Engine(calibrated, Engine.open(phrases=["rain"]).phrases, None)
    phrases = type(engine.phrases).of(calibrated, ["rain"])
    phrases.add("white noise")
    query = bundle.embed_text(["white noise"])[0]
    found = {match.phrase: match for match in phrases.match(query, k=2)}
    expected = dict(zip(phrases, phrases.thresholds().tolist(), strict=True))
    assert found["white noise"].threshold == pytest.approx(expected["white noise"])
    assert found["rain"].threshold == pytest.approx(expected["rain"])
    assert expected["white noise"] > expected["rain"]
    assert found["white noise"].heard and not found["rain"].heard
