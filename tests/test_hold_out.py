"""The open protocol: what is held out, and that nothing of it reaches training."""

import random
from collections import Counter
from pathlib import Path

import pytest

from training.evaluate import same_sound
from training.hold_out import HELD, SOURCES, HoldOut
from training.phrasings import PHRASINGS
from training.sounds import Clip, read_clips


def clip(label: str, number: int, *, source: str = "esc50", recording: str = "", split: str = "train") -> Clip:
    name = f"{source}-{label}-{number}"
    return Clip(Path(f"{name}.wav"), split, label, (), recording or name, source, "CC0", -20.0)


@pytest.fixture
def clips() -> list[Clip]:
    """Two clips of every label that has phrasings, in two splits; a pack's clips; a recording of two labels."""
    labels = sorted(PHRASINGS)
    found = [clip(label, i, split=split) for label in labels for i, split in enumerate(("train", "val"))]
    found += [clip(label, 2, source="openclonk", split="test") for label in labels[:9]]
    held = min(HoldOut.of(found).labels)
    other = next(label for label in labels if label not in HoldOut.of(found).labels)
    return [*found, clip(held, 7, recording="shared"), clip(other, 7, recording="shared")]


def test_no_held_out_label_and_no_twin_of_one_is_left_to_train_on(clips: list[Clip]) -> None:
    held = HoldOut.of(clips)
    trained = sorted({each.label for each in held.kept_back(clips) if each.split in ("train", "val")})
    everything = sorted({*trained, *held.labels})
    alike = same_sound(everything)
    for label in held.labels:
        twins = {everything[i] for i in alike[everything.index(label)].nonzero()[0]}
        assert twins <= held.labels, (label, twins - held.labels)


def test_a_fifth_of_the_labels_is_held_out_and_a_group_at_most_more(clips: list[Clip]) -> None:
    held, labels = HoldOut.of(clips).labels, {each.label for each in clips if each.source not in SOURCES}
    assert len(labels) / 5 <= len(held) < len(labels) / 5 + 7  # the largest group of one sound has six labels


def test_no_held_out_source_and_no_recording_of_held_out_sound_is_left(clips: list[Clip]) -> None:
    held = HoldOut.of(clips)
    left = [each for each in held.kept_back(clips) if each.split in ("train", "val")]
    assert not {each.source for each in left} & SOURCES
    assert "shared" not in {each.recording for each in left}
    gone = {each.recording for each in clips if held.why(each) in ("source", "label")}
    assert not gone & {each.recording for each in left}


def test_the_hold_out_depends_on_names_alone(clips: list[Clip]) -> None:
    again = random.Random(3).sample(clips, len(clips)) + clips[:40]
    assert HoldOut.of(again) == HoldOut.of(clips)


def test_rows_stay_in_place_and_test_clips_stay_test_clips(clips: list[Clip]) -> None:
    back = HoldOut.of(clips).kept_back(clips)
    assert [each.path for each in back] == [each.path for each in clips]
    assert all(
        new.split == old.split or (new.split == HELD and old.split != "test")
        for new, old in zip(back, clips, strict=True)
    )


def test_the_shared_sounds_keep_most_of_their_clips_for_training(shared: Path) -> None:
    clips = read_clips(shared / "data/sounds")
    held = HoldOut.of(clips)
    assert Counter(held.why(each) for each in clips) == {None: 3109, "label": 789, "source": 517, "recording": 6}
    assert {"dog", "dog bark", "vacuum cleaner"} <= held.labels
