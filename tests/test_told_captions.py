"""What a tagger would report of captions: read out of told sounds, and taught to both towers."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="needs the train extra")

from edge_runtime.tokenizer import Tokenizer  # noqa: E402
from tests.test_train import (  # noqa: E402
    BANK_ALONE,
    NAMES,
    SMALL,
    made_up_clips,
    made_up_features,
    made_up_teacher,
    made_up_words,
    run,
)
from training.caption_teacher import CaptionTeacher, UsualTags  # noqa: E402
from training.told_captions import told_captions  # noqa: E402
from training.train import TrainConfig, train  # noqa: E402

pytestmark = pytest.mark.usefixtures("one_torch_thread")

SOUNDS = np.eye(4, dtype=np.float32)
"""Four told sounds that a sentence encoder finds unlike; the first two are of one class each, the third of both."""
TAGS = np.array([[1, 0, 0], [0, 1, 0], [0.5, 0.5, 0], [0, 0, 1]], np.float32)


def told_teacher() -> CaptionTeacher:
    """Its captions have the class that they name, of three of the labels."""
    teacher = made_up_teacher()
    return replace(teacher, tags=np.array([[name in text for name in NAMES] for text in teacher.texts], np.float16))


def test_a_sentence_that_says_two_sounds_has_the_tags_of_both() -> None:
    both = (SOUNDS[0] + SOUNDS[3]) / 2**0.5
    found = told_captions(np.stack((SOUNDS[0], both)), SOUNDS, TAGS)
    assert found.shape == (2, 3)
    assert found[0].argmax() == 0
    assert found[0, 0] > 3 * found[0, 1:].max()
    assert found[1, [0, 2]].min() > 3 * found[1, 1]


def test_many_sentences_are_told_as_each_of_them_alone() -> None:
    rng = np.random.default_rng(0)
    sentences = rng.standard_normal((1003, 4)).astype(np.float32)
    sentences /= np.linalg.norm(sentences, axis=1, keepdims=True)
    alone = np.concatenate([told_captions(sentences[row : row + 1], SOUNDS, TAGS) for row in (0, 999, 1000, 1002)])
    # sums of four products in another order
    np.testing.assert_allclose(told_captions(sentences, SOUNDS, TAGS)[[0, 999, 1000, 1002]], alone, atol=1e-6)
    assert told_captions(sentences[:0], SOUNDS, TAGS).shape == (0, 3)


def test_a_class_counts_by_how_much_more_it_is_heard_than_usual() -> None:
    usual = UsualTags.of(np.array([[0.5, 0.5, 0.01], [0.05, 0.5, 0.01]], np.float16))
    heard = usual.exceeded(torch.tensor([[0.05, 0.5, 0.01], [0.5, 0.5, 0.01], [0.05, 0.5, 0.02]]))
    one = 1 / (2 * 3) ** 0.5  # of two clips each is 1 / sqrt(2) deviations from their mean; of three classes
    torch.testing.assert_close(heard[:2, 0], torch.tensor([-one, one]), atol=1e-3, rtol=0)  # tags have 16 bits
    assert heard[0, 1].abs() < 1e-2, "what is as usual counts nothing"
    assert heard[2, 2] > 1, "what is never heard otherwise counts much"


def test_what_is_known_of_a_clip_is_its_texts_and_what_is_heard_of_a_captions_sounds() -> None:
    teacher, clips = told_teacher(), made_up_clips()
    usual = UsualTags.of(np.random.default_rng(0).uniform(0, 1, (20, 3)))
    known = teacher.known_of(clips, NAMES, own_share=0.25, usual=usual)
    dog = next(row for row, clip in enumerate(clips) if clip.label == "dog")
    captions = teacher.some(Tokenizer(made_up_words().words, max_words=8), 5, np.random.default_rng(0))
    assert captions.tags is not None
    torch.testing.assert_close(captions.tags.norm(dim=1), captions.tags.any(dim=1).float())
    tags = torch.tensor([[0.05, 0.5, 0.01], [0.5, 0.5, 0.01]])
    own = torch.from_numpy(teacher.own["dog"]) @ captions.embeddings.T
    wanted = (0.25 * own + 0.75 * usual.exceeded(tags) @ captions.tags.T) / (0.25**2 + 0.75**2) ** 0.5
    torch.testing.assert_close(known.likeness(np.array([dog, dog]), tags, captions), wanted)


def test_captions_whose_tags_are_not_told_are_not_taught_by_them(tmp_path: Path) -> None:
    config = TrainConfig(**{**vars(SMALL), "bank_weight": 1.0, "bank_told": True})
    with pytest.raises(ValueError, match="does not say their tags: run `python -m training captions`"):
        run(tmp_path, config, teacher=made_up_teacher())
    with pytest.raises(ValueError, match="give a bank_weight above 0"):
        TrainConfig(bank_told=True)


def test_tags_alone_teach_which_captions_fit(tmp_path: Path) -> None:
    """Neither pairs nor labels: a clip's tags, and what a tagger would report of captions that no clip has."""
    clips = made_up_clips()
    tags = np.array([[0.9 if name == clip.label else 0.1 for name in NAMES] for clip in clips], np.float16)
    features = replace(made_up_features(clips), tags=tags)
    config = replace(BANK_ALONE, own_share=0.0, bank_told=True)
    found = train(clips, [features], made_up_words(), config, tmp_path, class_names=NAMES, teacher=told_teacher())
    heard = found.embed_windows(features)
    three = [row for row, clip in enumerate(clips) if clip.split == "test" and clip.label in NAMES]
    guess = (heard[three] @ found.embed_text([f"a {name} is heard" for name in NAMES]).T).argmax(axis=1)
    right = [NAMES.index(clips[row].label) for row in three]
    assert (guess == right).mean() >= 0.75  # chance is a third; six sounds, so at most one is wrong
