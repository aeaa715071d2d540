"""Sounds told in words: what the file says, what stays unsaid, and that texts learn their classes from it."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="needs the train extra")

from edge_runtime.tokenizer import Tokenizer, batch_of, words_of  # noqa: E402
from tests.test_train import NAMES, SMALL, made_up_clips, made_up_tagger, made_up_words, run  # noqa: E402
from training import told_sounds as module  # noqa: E402
from training.features import class_names  # noqa: E402
from training.hold_out import HELD  # noqa: E402
from training.other_texts import OtherTexts  # noqa: E402
from training.told_sounds import ToldSounds, told_sounds  # noqa: E402

pytestmark = pytest.mark.usefixtures("one_torch_thread")

TOLD = {
    "storm at night": {"siren": 0.25, "rain": 1.0},
    "rain": {"rain": 1.0},
    "wolf at noon": {"dog": 1.0},
    "brzzl": {"dog": 1.0},
}
WORDS = ("at", "night", "noon", "rain", "storm", "wolf")


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "told_sounds", lambda: TOLD)


def test_each_told_sound_has_classes_of_weights_up_to_one() -> None:
    told = told_sounds()
    assert len(told) > 2000
    for sound, classes in told.items():
        assert classes, sound
        assert all(0 < weight <= 1 for weight in classes.values()), sound
    spelled = {tuple(words_of(sound)) for sound in told}
    assert len(spelled) == len(told), "two sounds are read as the same words"


def test_every_class_told_is_one_of_audioset(shared: Path) -> None:
    folder = shared / "weights" / "efficientat_mn04_as"
    if not folder.is_dir():
        pytest.skip("needs ../shared/weights/efficientat_mn04_as")
    known = set(class_names(folder))
    assert {name for classes in told_sounds().values() for name in classes} - known == set()


@pytest.mark.usefixtures("told")
def test_what_the_vocabulary_does_not_read_is_left_out() -> None:
    found = ToldSounds.of(NAMES, Tokenizer(WORDS, max_words=8), [])
    ids, tags = found.some(8, np.random.default_rng(0))
    said = {
        " ".join(WORDS[i - 1] for i in row if i): weights
        for row, weights in zip(ids.tolist(), tags.tolist(), strict=True)
    }
    assert said == {"storm at night": [0, 1, 0.25], "rain": [0, 1, 0], "wolf at noon": [1, 0, 0]}


@pytest.mark.usefixtures("told")
def test_a_held_out_label_stays_unsaid() -> None:
    clips = [replace(clip, split=HELD) if clip.label == "rain" else clip for clip in made_up_clips()]
    found = ToldSounds.of(NAMES, Tokenizer(WORDS, max_words=8), clips)
    assert len(found.ids) == 2
    assert found.tags[:, NAMES.index("rain")].tolist() == [1, 0]  # of the storm, which is another sound


@pytest.mark.usefixtures("told")
def test_a_class_that_the_tagger_lacks_is_named() -> None:
    with pytest.raises(ValueError, match="lacks: siren"):
        ToldSounds.of(NAMES[:2], Tokenizer(WORDS, max_words=8), [])


@pytest.mark.usefixtures("told")
def test_a_text_learns_its_classes(tmp_path: Path) -> None:
    """No clip says "wolf" or "storm": only the told sounds know what they are."""
    words = made_up_words(*TOLD)
    asked, right = ["wolf at noon", "storm at night"], [NAMES.index("dog"), NAMES.index("rain")]

    def lead(weight: float) -> np.ndarray:
        config = replace(SMALL, told_weight=weight, epochs=8)
        found = run(tmp_path / str(weight), config, words=words)
        cosines = found.embed_text(asked) @ found.embed_text(NAMES).T
        own = cosines[np.arange(2), right].copy()
        cosines[np.arange(2), right] = -1
        return own - cosines.max(axis=1)

    without, with_told = lead(0.0), lead(1.0)
    assert (with_told > 0).all(), with_told
    assert (with_told > without).all(), (without, with_told)


@pytest.mark.usefixtures("told")
def test_a_tagger_inside_the_head_says_its_classes_by_the_told_sounds(tmp_path: Path) -> None:
    config = replace(SMALL, told_weight=1.0, concept_gain=0.5, concept_root=True)
    words = made_up_words(*TOLD)
    found = run(tmp_path, config, tagger=made_up_tagger(), words=words)
    names = torch.from_numpy(batch_of([found.tokenizer.encode(name) for name in NAMES]))
    wanted = ToldSounds.of(NAMES, found.tokenizer, made_up_clips()).directions(found.model, names)
    assert found.model.concepts is not None
    np.testing.assert_allclose(found.model.concepts.table, wanted, atol=1e-6)  # fp32, the same sums
    assert np.abs(wanted.numpy() - found.embed_text(NAMES)).max() > 0.1  # which the names alone do not give


def test_told_sounds_need_the_classes_of_a_tagger() -> None:
    config, vocabulary = replace(SMALL, told_weight=1.0), Tokenizer(WORDS, max_words=8)
    nothing = {"tags": np.zeros((0, 0)), "device": torch.device("cpu")}
    with pytest.raises(ValueError, match="told-weight needs the tagger's class names"):
        OtherTexts.of(config, [], [], vocabulary, teacher=None, pairs=None, **nothing)
