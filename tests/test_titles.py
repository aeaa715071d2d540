"""Uploaders' titles as texts: what of a file name is words, and how often training is told it."""

from dataclasses import replace

import numpy as np
import pytest

pytest.importorskip("torch", reason="needs the train extra")

from edge_runtime.tokenizer import Tokenizer
from tests.test_train import SMALL, made_up_clips, made_up_features, made_up_words
from training.sampler import Sampler
from training.titles import readable_title, title_words
from training.train_config import TrainConfig

VOCABULARY = Tokenizer(["a", "cat", "mew", "freight", "train", "pass", "paris", "hail", "storm"], max_words=4)


@pytest.mark.parametrize(
    ("title", "words"),
    [
        ("06-2011 Freight Train Pass #1.wav", ["freight", "train", "pass"]),
        ("CatMewing_02.WAV", ["cat", "mewing"]),
        ("dog_bark-stereo edit (take 2).aiff", ["dog", "bark"]),
        ("t128.flac", []),
        ("", []),
    ],
)
def test_a_file_name_is_read_as_words(title, words):
    assert title_words(title) == words


@pytest.mark.parametrize(
    ("title", "text"),
    [
        ("CatMewing.wav", "cat mewing"),
        ("a hailstorm.mp3", "a hailstorm"),
        ("Paaris Zorbul train", "train"),  # neither a slip of the pen nor an unknown word is kept
        ("kast_extreem_kraken.mp3", ""),
        ("a a.wav", ""),
        ("cat cat cat cat cat cat", "cat cat cat cat"),
    ],
)
def test_only_what_the_vocabulary_knows_is_kept(title, text):
    assert readable_title(title, VOCABULARY) == text


@pytest.mark.parametrize("share", [0.0, 0.4])
def test_a_clip_is_told_by_its_title_so_often(share):
    vocabulary = made_up_words()
    words = [*vocabulary.words, "zebra"]
    clips = [replace(clip, title="zebra.wav") for clip in made_up_clips()]
    config = replace(SMALL, batch=24, titles=share)
    sampler = Sampler(clips, [made_up_features(clips)], Tokenizer(words, max_words=64), config)
    rng = np.random.default_rng(0)
    told = np.concatenate(
        [batch.token_ids[:, 0].numpy() == len(words) for _ in range(40) for batch in sampler.epoch(rng)]
    )
    assert len(told) == 960
    assert abs(told.mean() - share) < 0.06  # four standard deviations of 960 draws


def test_a_share_is_a_share():
    with pytest.raises(ValueError, match="out of range"):
        TrainConfig(titles=1.5)
