"""Two texts of one sound: which corpora bring them, what stays out, and what a step sees."""

import json
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="needs the train extra")

from edge_runtime.tokenizer import Tokenizer  # noqa: E402
from training.described_sounds import SENTENCE_WORDS, DescribedSound, described_sounds  # noqa: E402
from training.losses import text_pairs  # noqa: E402
from training.paired_texts import PairedTexts  # noqa: E402
from training.sounds import Clip  # noqa: E402

WORDS = [
    "a",
    "bark",
    "barks",
    "barking",
    "bell",
    "cat",
    "dog",
    "door",
    "home",
    "is",
    "late",
    "near",
    "rain",
    "rings",
    "the",
    "wet",
    "wind",
]
SOUNDS = [
    DescribedSound(("dog bark",), ("a dog barks", "the dog is barking"), "freesound:1"),
    DescribedSound((), ("rain", "wind", "rain near the door")),
    DescribedSound(("bell",), ("a bell rings",), "freesound:2"),
]


def pairs() -> PairedTexts:
    embeddings = np.eye(3, dtype=np.float32)
    embeddings[1] = [0.8, 0.6, 0.0]  # nearer to the first sound than what is told apart
    return PairedTexts(list(SOUNDS), embeddings)


def clip(split: str, *, recording: str = "freesound:9", captions: tuple[str, ...] = ()) -> Clip:
    return Clip(Path("x.wav"), split, "dog", captions, recording, "esc50", "CC0", -20.0)


def texts_of(found: torch.Tensor) -> list[str]:
    return [" ".join(WORDS[i - 1] for i in row if i) for row in found.tolist()]


def corpora(folder: Path) -> Path:
    """One row each, as the published files have them."""
    captions = ",".join(f"caption_{i}" for i in range(1, 6))
    files = {
        "clotho_development_captions.csv": f"file_name,{captions}\nDogBarking_02.wav,one,two,two,four,five\n",
        "foleyset_descriptions.csv": "freesound-id,category,sub-category,original-tags,description\n"
        f'7,Door,DoorSlam,"door, slam",{" ".join(["word"] * 90)}\n',
        "soundbible_captions.csv": "id,title,caption\n1,Old Bell,A bell is ringing.\n",
        "audiocaps_val.csv": "audiocap_id,youtube_id,start_time,caption\n1,x,0,rain\n2,y,0,wind\n3,x,0,rain falls\n",
        "audioset_ontology.json": json.dumps([{"name": "Bark", "description": "What a dog says."}]),
    }
    for name, text in files.items():
        (folder / name).write_text(text)
    return folder


def test_every_corpus_says_what_belongs_to_one_sound(tmp_path: Path) -> None:
    clotho, foley, bible, rain, wind, bark = described_sounds(corpora(tmp_path))
    assert clotho == DescribedSound(("dog barking",), ("one", "two", "four", "five"))
    assert foley.names == ("door slam", "door door slam")  # the tags are the first of them once more
    assert foley.recording == "freesound:7" and len(foley.sentences[0].split()) == SENTENCE_WORDS
    assert bible == DescribedSound(("old bell",), ("A bell is ringing.",))
    assert (rain, wind) == (DescribedSound((), ("rain", "rain falls")), DescribedSound((), ("wind",)))
    assert bark == DescribedSound(("bark",), ("What a dog says.",))


def test_a_corpus_that_is_not_there_or_another_is_named(tmp_path: Path) -> None:
    (corpora(tmp_path) / "soundbible_captions.csv").write_text("id,name\n1,bell\n")
    with pytest.raises(ValueError, match=r"soundbible_captions\.csv lacks the columns \['title', 'caption'\]"):
        list(described_sounds(tmp_path))
    (tmp_path / "foleyset_descriptions.csv").unlink()
    with pytest.raises(FileNotFoundError, match=r"foleyset_descriptions\.csv is missing"):
        list(described_sounds(tmp_path))


def test_saved_pairs_come_back(tmp_path: Path) -> None:
    pairs().save(tmp_path / "deep" / "pairs.npz")
    found = PairedTexts.load(tmp_path / "deep" / "pairs.npz")
    assert found.sounds == SOUNDS
    np.testing.assert_allclose(found.embeddings, pairs().embeddings, atol=5e-4)  # kept as float16
    with pytest.raises(FileNotFoundError, match="`python -m training pairs` makes it"):
        PairedTexts.load(tmp_path / "none.npz")


def test_what_is_said_of_clips_that_training_may_not_hear_stays_out() -> None:
    tokenizer = Tokenizer(WORDS, max_words=64)
    heard = [clip("train", recording="freesound:1", captions=("A bell rings.",))]
    assert len(pairs().readable(tokenizer, heard).texts) == 3
    for kept in (clip("test", recording="freesound:2"), clip("val", captions=("A bell  rings!",))):
        found = pairs().readable(tokenizer, [*heard, kept])
        assert len(found.texts) == 2
        np.testing.assert_array_equal(found.embeddings, pairs().embeddings[:2])


def test_a_sound_needs_two_texts_that_differ_in_the_vocabularys_words() -> None:
    sounds = [
        DescribedSound(("dog",), ("Dog!",)),
        DescribedSound(("qqq",), ("a bell",)),
        DescribedSound(("cat",), ("a cat",)),
    ]
    found = PairedTexts(sounds, np.eye(3, dtype=np.float32)).readable(Tokenizer(WORDS, max_words=64), [])
    assert len(found.texts) == 1
    ids, _ = found.some(5, np.random.default_rng(0))
    assert sorted(texts_of(ids)) == ["a cat", "cat"]


def test_a_step_sees_two_texts_of_each_sound_and_which_sounds_are_alike() -> None:
    found = pairs().readable(Tokenizer(WORDS, max_words=64), [])
    rng, seen = np.random.default_rng(0), set()
    for _ in range(60):
        ids, alike = found.some(2, rng)
        texts = texts_of(ids)
        for first, second in zip(texts[:2], texts[2:], strict=True):
            (own,) = [sound for sound in SOUNDS if first in (*sound.names, *sound.sentences)]
            assert second in (*own.names, *own.sentences) and second != first
            seen.add((first, second))
        near = [any(text in SOUNDS[i].names + SOUNDS[i].sentences for text in texts) for i in range(3)]
        assert alike.tolist() == ([[False, True], [True, False]] if near[:2] == [True, True] else [[False] * 2] * 2)
    assert ("dog bark", "a dog barks") in seen and ("a dog barks", "dog bark") in seen  # a name and a sentence
    assert ("a dog barks", "the dog is barking") in seen  # two sentences
    assert len({pair for pair in seen if "rain" in pair[0]}) > 2  # without a name too


def test_pairs_are_told_from_other_sounds_but_not_from_those_alike() -> None:
    apart = torch.eye(3)
    none = torch.zeros(3, 3, dtype=torch.bool)
    confused = apart.clone()
    confused[0, 1] = confused[1, 0] = 1.0
    alike = none.clone()
    alike[0, 1] = alike[1, 0] = True
    # two of three rows choose between two equals: log 2 each; the third is sure
    assert text_pairs(confused, none).item() == pytest.approx(2 * np.log(2) / 3, abs=1e-5)
    assert text_pairs(confused, alike).item() == pytest.approx(0, abs=1e-5)
    assert text_pairs(apart, none).item() == pytest.approx(0, abs=1e-5)
