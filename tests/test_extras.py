"""Mixtures and still sounds: known levels, captions that say both, and which text fits which example."""

import random
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="needs the train extra")

from edge_runtime.mel import log_mel  # noqa: E402
from edge_runtime.tokenizer import Tokenizer  # noqa: E402
from tests.test_train import LABELS, SMALL, made_up_clips, made_up_features, made_up_words, run  # noqa: E402
from training.extras import (  # noqa: E402
    Extras,
    Mixtures,
    extract_mixtures,
    extract_still,
    laid_over,
    partners,
    still_sounds,
)
from training.features import Features  # noqa: E402
from training.joint_captions import AT_ONCE, BACKGROUND_DB, BEHIND, IN_TURN, at_once, in_turn  # noqa: E402
from training.label_names import tidy_label  # noqa: E402
from training.mel_tables import lms_mel  # noqa: E402
from training.phrasings import phrasings_of  # noqa: E402
from training.sampler import ALONE, Sampler  # noqa: E402
from training.sounds import Clip  # noqa: E402
from training.train_config import TrainConfig  # noqa: E402

pytestmark = pytest.mark.usefixtures("one_torch_thread")


def power_db(samples: np.ndarray) -> float:
    return 10 * np.log10(np.mean(samples.astype(np.float64) ** 2))


@pytest.mark.parametrize("below_db", [0.0, 7.5, 20.0])
def test_the_second_sound_lies_as_far_below_the_first_as_was_said(below_db: float) -> None:
    rng = np.random.default_rng(0)
    first = (0.01 * rng.standard_normal(3000)).astype(np.float32)
    second = (0.3 * rng.standard_normal(700)).astype(np.float32)
    over = laid_over(first, second, below_db) - first
    # the repeats of the second are not of quite its power: the level is set on what was really laid over
    assert power_db(first) - power_db(over) == pytest.approx(below_db, abs=0.01)
    np.testing.assert_allclose(over[:700], over[700:1400], atol=1e-7)  # float32 takes the first away again


def test_loud_sounds_are_turned_down_together_and_silence_stays() -> None:
    loud = np.ones(100, np.float32)
    np.testing.assert_allclose(laid_over(loud, loud, 0.0), loud)
    assert not laid_over(np.zeros(50, np.float32), loud, 0.0).any()


def test_a_partner_is_another_sound_in_another_recording_and_the_same_each_time() -> None:
    clips = made_up_clips()
    rows = [row for row, clip in enumerate(clips) if clip.split == "train"]
    found = partners(clips, rows, seed=4)
    for row, other in zip(rows, found, strict=True):
        assert clips[other].split == "train" and clips[other].label != clips[row].label
    np.testing.assert_array_equal(found, partners(clips, rows, seed=4))
    with pytest.raises(ValueError, match="a mixture needs two"):
        partners(clips, [0, 1], seed=0)


def test_still_sounds_are_as_loud_as_said_and_no_two_alike() -> None:
    sounds = list(still_sounds(8_000, seed=1))
    assert len({sound.tobytes() for sound in sounds}) == len(sounds)
    levels = [power_db(sound) for sound in sounds if sound.any()]
    assert sum(not sound.any() for sound in sounds) == 3  # silence of three lengths
    assert min(levels) == pytest.approx(-70, abs=0.1) and max(levels) == pytest.approx(-22, abs=0.1)
    assert all(np.abs(sound).max() <= 1 for sound in sounds)


class Bands(torch.nn.Module):
    """Stands for an encoder: a segment is the mean of its frames."""

    def segments(self, log_mel: torch.Tensor) -> torch.Tensor:
        frames = log_mel[0].T  # (T, M)
        frames = torch.nn.functional.pad(frames, (0, 0, 0, -len(frames) % 32))
        return frames.reshape(1, -1, 32, frames.shape[1]).mean(dim=2)

    def classify(self, segments: torch.Tensor) -> torch.Tensor:
        return segments.mean(dim=1)[:, :3]


def test_extraction_gives_each_training_clip_one_mixture_and_keeps_what_is_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import soundfile

    import training.extras as module

    monkeypatch.setattr(module, "STILL_S", (0.5,))

    rng = np.random.default_rng(0)
    clips = []
    for i in range(6):
        path = tmp_path / f"{i}.wav"
        soundfile.write(path, 0.1 * rng.standard_normal(32_000 * (12 if i == 0 else 3)), 32_000)
        clips.append(
            Clip(path, "test" if i == 5 else "train", ("dog", "rain")[i % 2], (), f"r{i}", "esc50", "CC0", -20)
        )
    spec, tables = lms_mel()
    path = extract_mixtures(clips, Bands(), spec, tables, out=tmp_path / "features", workers=1)
    still = extract_still(Bands(), spec, tables, out=tmp_path / "features")
    found = Extras.load(tmp_path / "features")
    mixtures = found.mixtures
    assert mixtures is not None and found.still is not None
    assert set(mixtures.features.clip.tolist()) == {0, 1, 2, 3, 4} and 5 not in mixtures.partner
    assert (mixtures.features.clip == 0).sum() == 2  # 12 s are two windows, both of one mixture
    assert len(set(mixtures.below_db[mixtures.features.clip == 0])) == 1
    assert (found.still.clip == -1).all()

    row = int(np.flatnonzero(mixtures.features.clip == 2)[0])
    first, second = (soundfile.read(clips[i].path, dtype="float32")[0] for i in (2, mixtures.partner[row]))
    frames = log_mel(spec, tables, laid_over(first, second, float(mixtures.below_db[row])))
    expected = Bands().segments(torch.from_numpy(frames.T.copy())[None])[0].numpy()
    length = int(mixtures.features.lengths[row])
    np.testing.assert_allclose(mixtures.features.segments[row, :length], expected[:length], rtol=2e-3)  # float16
    before = path.stat().st_mtime_ns, still.stat().st_mtime_ns
    extract_mixtures(clips, Bands(), spec, tables, out=tmp_path / "features", seed=9)
    extract_still(Bands(), spec, tables, out=tmp_path / "features", seed=9)
    assert before == (path.stat().st_mtime_ns, still.stat().st_mtime_ns)
    assert Extras.load(tmp_path) == Extras()


def test_captions_say_both_sounds_and_which_is_the_weaker() -> None:
    rng = random.Random(0)
    nouns = {label: {text for text in phrasings_of(label) if not text.endswith(".")} for label in ("dog", "rain")}

    def texts(templates: tuple[str, ...], first: str, second: str) -> set[str]:
        return {each.format(a, b) for each in templates for a in nouns[first] for b in nouns[second]}

    both_ways = texts(AT_ONCE, "dog", "rain") | texts(AT_ONCE, "rain", "dog")
    for _ in range(200):
        assert at_once("dog", "rain", BACKGROUND_DB - 0.1, rng) in both_ways
        assert at_once("dog", "rain", BACKGROUND_DB, rng) in texts(BEHIND, "dog", "rain")
        assert in_turn("dog", "rain", rng) in texts(IN_TURN, "dog", "rain")


def made_up_extras(clips: list[Clip]) -> Extras:
    """A mixture is the mean of two clips' segments; what is still is near 0."""
    features = made_up_features(clips)
    rows = np.array([row for row, clip in enumerate(clips) if clip.split == "train"])
    other = partners(clips, rows.tolist(), seed=0)
    segments = (features.segments[rows] + features.segments[other]) / 2
    mixed = Features(segments, features.lengths[rows], rows, features.tags[rows])
    still = Features(0.1 * features.segments[:5], features.lengths[:5], np.full(5, -1), features.tags[:5])
    return Extras(Mixtures(mixed, other, np.linspace(0, 20, len(rows))), still)


def sampler_of(clips: list[Clip], **settings: object) -> Sampler:
    config = TrainConfig(**{**vars(SMALL), **settings})
    tokenizer = Tokenizer(made_up_words().words, max_words=64)
    return Sampler(clips, [made_up_features(clips)], tokenizer, config, made_up_extras(made_up_clips()))


def test_a_text_fits_what_has_all_the_sounds_that_it_names() -> None:
    clips = made_up_clips()
    sampler = sampler_of(clips)
    dog, rain, siren = (next(row for row, clip in enumerate(clips) if clip.label == name) for name in LABELS[:3])
    rows, others = np.array([dog, dog + 1, dog + 2, rain]), np.array([ALONE, rain + 1, siren, dog + 3])
    joint = np.array([False, True, False, True])
    # the examples: a dog; a dog and rain; a dog and a siren, whose text is the dog's alone; rain and a dog
    expected = [
        [True, False, True, False],
        [True, True, True, True],
        [True, False, True, False],
        [True, True, True, True],
    ]
    np.testing.assert_array_equal(sampler._fits(rows, others, joint), expected)


def test_a_joint_example_is_two_clips_and_its_own_text_fits() -> None:
    clips = made_up_clips()
    features = made_up_features(clips)
    sampler = sampler_of(clips, joint=1.0)
    rng = np.random.default_rng(0)
    kinds = set()
    for row in (row for row, clip in enumerate(clips) if clip.split == "train"):
        heard = sampler._heard(row, rng)
        kinds.add(heard.below_db is None)
        if heard.below_db is None:
            own = min(16, int(features.lengths[row]))
            assert heard.length == own + min(16, int(features.lengths[heard.other]))
            starts = range(int(features.lengths[row]) - own + 1)
            assert any(np.array_equal(features.segments[row, i : i + own], heard.segments[:own]) for i in starts)
        else:
            assert clips[heard.other].label != clips[row].label
    assert kinds == {True, False}
    batch = sampler.of(np.arange(24), rng)
    assert batch.positive.diagonal().all() and not bool((batch.positive == batch.positive.T).all())


def test_no_mixture_brings_a_sound_that_is_kept_from_training() -> None:
    import dataclasses

    clips = [
        dataclasses.replace(clip, split="held") if clip.label == "rain" and clip.split == "train" else clip
        for clip in made_up_clips()
    ]
    sampler, rng = sampler_of(clips, joint=1.0), np.random.default_rng(0)
    rows = [row for row, clip in enumerate(clips) if clip.split == "train"]
    others = {clips[sampler._heard(row, rng).other].label for row in rows for _ in range(20)}
    assert others == set(LABELS) - {"rain"}


def test_training_with_all_of_it_runs_and_names_what_is_missing(tmp_path: Path) -> None:
    config = TrainConfig(**{**vars(SMALL), "epochs": 1, "joint": 0.5, "still": 4, "narrow_weight": 1.0})
    with pytest.raises(ValueError, match="python -m training extras"):
        run(tmp_path / "none", config)
    for loss in ("infonce", "margin"):
        chosen = TrainConfig(**{**vars(config), "loss": loss})
        assert run(tmp_path / loss, chosen, extras=made_up_extras(made_up_clips())).config["joint"] == 0.5


def test_still_sounds_come_as_they_are_and_as_many_as_asked() -> None:
    clips = made_up_clips()
    batch = sampler_of(clips, still=7).of(np.arange(8), np.random.default_rng(0))
    assert batch.still is not None
    segments, mask = batch.still
    still = made_up_extras(clips).still
    assert still is not None
    assert len(segments) == 7 and set(mask.sum(dim=1).tolist()) <= set(still.lengths.tolist())


def test_every_template_reads_with_the_vocabulary_of_the_labels() -> None:
    """Words of the templates must reach the vocabulary: training/__main__.py gives them to `vocabulary`."""
    import training.__main__ as commands

    assert tidy_label("dog") == "dog"
    assert set(AT_ONCE) | set(BEHIND) | set(IN_TURN) <= set(commands.own_lines())
