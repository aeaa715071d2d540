"""The training loop on a small made-up set: it learns, resumes, and says what it cannot do."""

import json
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="needs the train extra")

from training.features import WINDOW_SEGMENTS, Features  # noqa: E402
from training.sounds import Clip, read_clips  # noqa: E402
from training.train import CaptionTeacher, Checkpoint, TrainConfig, train  # noqa: E402
from training.words import WordVectors  # noqa: E402

pytestmark = pytest.mark.usefixtures("one_torch_thread")

LABELS = ("dog", "rain", "siren", "train")
WIDTH = 12
SMALL = TrainConfig(epochs=4, batch=8, joint_width=16, learning_rate=1e-2, seed=3, device="cpu")


def made_up_clips() -> list[Clip]:
    """Ten recordings a label: six to train on, two each for validation and test."""
    splits = ["train"] * 6 + ["val"] * 2 + ["test"] * 2
    return [
        Clip(
            Path(f"{label}{i}.wav"),
            split,
            label,
            (f"a {label} is heard",) * (i % 2),
            f"{label}{i}",
            "esc50",
            "CC0",
            -20,
        )
        for label in LABELS
        for i, split in enumerate(splits)
    ]


def made_up_features(clips: list[Clip]) -> Features:
    """Each label has a direction of its own in the segments; noise on top; lengths differ."""
    rng = np.random.default_rng(0)
    directions = {label: rng.standard_normal(WIDTH) for label in LABELS}
    segments = np.zeros((len(clips), WINDOW_SEGMENTS, WIDTH), np.float16)
    lengths = rng.integers(2, WINDOW_SEGMENTS, len(clips))
    for row, (clip, length) in enumerate(zip(clips, lengths, strict=True)):
        segments[row, :length] = directions[clip.label] + 0.5 * rng.standard_normal((length, WIDTH))
    tags = rng.uniform(0, 1, (len(clips), 3)).astype(np.float16)
    return Features(segments, lengths, np.arange(len(clips)), tags)


def made_up_words() -> WordVectors:
    """Every word that the labels' phrasings and templates can bring."""
    from edge_runtime.tokenizer import words_of
    from training.phrasings import TEMPLATES, phrasings_of

    texts = [*TEMPLATES, "is heard a", *(text for label in LABELS for text in phrasings_of(label))]
    words = sorted({word for text in texts for word in words_of(text)})
    vectors = np.random.default_rng(1).standard_normal((len(words), 300)) / 300**0.5
    return WordVectors(words, vectors.astype(np.float32), "made up")


def run(
    out: Path, config: TrainConfig = SMALL, *, resume: bool = False, teacher: CaptionTeacher | None = None
) -> Checkpoint:
    clips = made_up_clips()
    copies = [made_up_features(clips)]
    names = ["dog", "rain", "siren"]
    return train(clips, copies, made_up_words(), config, out, class_names=names, teacher=teacher, resume=resume)


def test_it_learns_to_tell_the_labels_apart(tmp_path: Path) -> None:
    clips = made_up_clips()
    config = TrainConfig(**{**vars(SMALL), "epochs": 25, "average": 0.5})
    found = run(tmp_path, config).evaluate(clips, made_up_features(clips), "test")
    assert found.names["esc50"] >= 75  # chance is 25
    assert found.labels["text->audio"].pool == 8


@pytest.mark.parametrize("loss", ["infonce", "margin"])
def test_either_loss_runs_and_the_settings_lie_beside_the_checkpoint(tmp_path: Path, loss: str) -> None:
    config = TrainConfig(**{**vars(SMALL), "epochs": 1, "loss": loss})
    found = run(tmp_path, config)
    assert json.loads((tmp_path / "config.json").read_text())["loss"] == loss
    assert found.config["loss"] == loss
    assert found.words_source == "made up"


def test_a_run_that_was_interrupted_goes_on_to_the_same_weights(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = run(tmp_path / "whole")
    import training.train as module

    keep = module._keep

    def stop_after_two(*args: object, epoch: int, **rest: object) -> None:
        keep(*args, epoch=epoch, **rest)
        if epoch == 1:
            raise KeyboardInterrupt

    monkeypatch.setattr(module, "_keep", stop_after_two)
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path / "cut")
    monkeypatch.setattr(module, "_keep", keep)
    run(tmp_path / "cut", resume=True)
    last = [torch.load(tmp_path / name / "last.pt", weights_only=True)["model"] for name in ("whole", "cut")]
    assert all(torch.equal(a, b) for a, b in zip(last[0].values(), last[1].values(), strict=True))
    assert whole.validation == Checkpoint.load(tmp_path / "cut").validation


def test_other_settings_do_not_resume_a_run(tmp_path: Path) -> None:
    run(tmp_path, TrainConfig(**{**vars(SMALL), "epochs": 1}))
    with pytest.raises(ValueError, match="trained with other settings"):
        run(tmp_path, resume=True)


def test_a_saved_checkpoint_embeds_as_the_trained_one(tmp_path: Path) -> None:
    clips = made_up_clips()
    found, again = run(tmp_path), Checkpoint.load(tmp_path)
    features = made_up_features(clips)
    np.testing.assert_array_equal(found.embed_windows(features), again.embed_windows(features))
    np.testing.assert_array_equal(found.embed_text(["a dog"]), again.embed_text(["a dog"]))


def test_captions_that_the_vocabulary_cannot_read_are_left_out() -> None:
    from edge_runtime.tokenizer import Tokenizer

    teacher = CaptionTeacher(["a dog", "zzz qqq", "rain"], np.eye(3, dtype=np.float32))
    kept = teacher.readable(Tokenizer(["dog", "rain"], max_words=8))
    assert kept.texts == ["a dog", "rain"]
    np.testing.assert_array_equal(kept.embeddings, np.eye(3)[[0, 2]])


def test_settings_out_of_range_are_refused() -> None:
    with pytest.raises(ValueError, match="loss 'triplet' is not known"):
        TrainConfig(loss="triplet")
    with pytest.raises(ValueError, match="out of range"):
        TrainConfig(batch=1)


def test_a_missing_checkpoint_or_sound_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"has no best\.pt"):
        Checkpoint.load(tmp_path)
    with pytest.raises(FileNotFoundError, match=r"no clips\.csv"):
        read_clips(tmp_path)


def test_every_shared_clip_is_there_and_no_recording_stands_in_two_splits(shared: Path) -> None:
    clips = read_clips(shared / "data/sounds")
    splits: dict[str, set[str]] = {}
    for clip in clips:
        splits.setdefault(clip.recording, set()).add(clip.split)
    assert len(clips) == 4421
    assert all(len(found) == 1 for found in splits.values())


def test_an_open_run_never_hears_what_is_held_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import training.train as module
    from training.hold_out import HoldOut

    seen: list[Clip] = []

    class Watching(module.Sampler):
        def __init__(self, clips: list[Clip], *rest: object) -> None:
            seen.extend(clips)
            super().__init__(clips, *rest)

    monkeypatch.setattr(module, "Sampler", Watching)
    found = run(tmp_path, TrainConfig(**{**vars(SMALL), "epochs": 1, "hold_out": "open"}))
    held = HoldOut.of(made_up_clips()).labels
    assert len(held) == 1 and found.config["hold_out"] == "open"
    assert {clip.label for clip in seen if clip.split in ("train", "val")} == set(LABELS) - held
    with pytest.raises(ValueError, match="hold_out 'half' is not known"):
        TrainConfig(hold_out="half")
