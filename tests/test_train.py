"""The training loop on a small made-up set: it learns, resumes, and says what it cannot do."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="needs the train extra")

from training.caption_teacher import Captions, CaptionTeacher, own_texts  # noqa: E402
from training.described_sounds import DescribedSound  # noqa: E402
from training.extras import Extras  # noqa: E402
from training.features import WINDOW_SEGMENTS, Features  # noqa: E402
from training.losses import shortened  # noqa: E402
from training.paired_texts import PairedTexts  # noqa: E402
from training.sampler import Batch, Sampler  # noqa: E402
from training.sounds import Clip, read_clips  # noqa: E402
from training.train import Checkpoint, TrainConfig, train  # noqa: E402
from training.words import WordVectors  # noqa: E402

pytestmark = pytest.mark.usefixtures("one_torch_thread")

LABELS = ("dog", "rain", "siren", "train")
NAMES = ["dog", "rain", "siren"]
WIDTH = 12
SMALL = TrainConfig(epochs=4, batch=8, joint_width=16, learning_rate=1e-2, seed=3, device="cpu")
BANK_ALONE = replace(SMALL, epochs=25, average=0.5, tag_weight=0.0, bank_weight=1.0, loss="margin", margin=-2.0)
"""No InfoNCE on pairs, no tags: what is learned comes from captions that no clip has."""


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


def made_up_words(*more: str) -> WordVectors:
    """Every word that the labels' phrasings and templates can bring, and some more."""
    from edge_runtime.tokenizer import words_of
    from training.phrasings import TEMPLATES, phrasings_of

    texts = [*TEMPLATES, "is heard a", *more, *(text for label in LABELS for text in phrasings_of(label))]
    words = sorted({word for text in texts for word in words_of(text)})
    vectors = np.random.default_rng(1).standard_normal((len(words), 300)) / 300**0.5
    return WordVectors(words, vectors.astype(np.float32), "made up")


def run(
    out: Path,
    config: TrainConfig = SMALL,
    *,
    resume: bool = False,
    tagger: torch.nn.Sequential | None = None,
    teacher: CaptionTeacher | None = None,
    extras: Extras | None = None,
    pairs: PairedTexts | None = None,
    words: WordVectors | None = None,
) -> Checkpoint:
    clips = made_up_clips()
    copies = [made_up_features(clips)]
    more = {"tagger": tagger, "teacher": teacher, "extras": extras, "pairs": pairs, "resume": resume}
    return train(clips, copies, words or made_up_words(), config, out, class_names=NAMES, **more)


def made_up_tagger() -> torch.nn.Sequential:
    """In the form of a MobileNet's classifier."""
    torch.manual_seed(4)
    return torch.nn.Sequential(torch.nn.Linear(WIDTH, 512), torch.nn.Hardswish(), torch.nn.Linear(512, len(NAMES)))


def made_up_teacher() -> CaptionTeacher:
    """Captions of the labels' words; a text's embedding says which of the labels' names it has."""
    captions = [f"{what} {label} is heard" for label in LABELS for what in ("a", "the sound of", "sounds of")]
    own = own_texts(made_up_clips(), NAMES)
    embeddings = {text: np.array([0.1, *(label in text for label in LABELS)], np.float32) for text in captions + own}
    embeddings = {text: row / np.linalg.norm(row) for text, row in embeddings.items()}
    return CaptionTeacher(captions, np.stack([embeddings[text] for text in captions]), embeddings)


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

    teacher = CaptionTeacher(["a dog", "zzz qqq", "rain"], np.eye(3, dtype=np.float32), {})
    kept = teacher.readable(Tokenizer(["dog", "rain"], max_words=8), [])
    assert kept.texts == ["a dog", "rain"]
    np.testing.assert_array_equal(kept.embeddings, np.eye(3)[[0, 2]])


def test_captions_of_clips_that_training_may_not_hear_are_left_out() -> None:
    from edge_runtime.tokenizer import Tokenizer

    def clip(split: str) -> Clip:
        return Clip(Path("x.wav"), split, "dog", ("A dog, barking!",), "x", "esc50", "CC0", -20)

    teacher = CaptionTeacher(["a dog barking", "a dog"], np.eye(2, dtype=np.float32), {})
    tokenizer = Tokenizer(["dog", "barking"], max_words=8)
    assert teacher.readable(tokenizer, [clip("train")]).texts == ["a dog barking", "a dog"]
    for split in ("val", "test"):
        assert teacher.readable(tokenizer, [clip("train"), clip(split)]).texts == ["a dog"]


def test_words_of_no_clip_come_to_lie_by_the_label_that_corpora_put_them_beside(tmp_path: Path) -> None:
    foreign = ("hund", "regen", "sirene", "zug")
    sounds = [DescribedSound((label,), (f"ein {word}",)) for label, word in zip(LABELS, foreign, strict=True)]
    pairs, words = PairedTexts(sounds, np.eye(4, dtype=np.float32)), made_up_words("ein", *foreign)
    nearest = {}
    for weight in (0.0, 1.0):
        config = TrainConfig(**{**vars(SMALL), "pairs_weight": weight})
        found = run(tmp_path / str(weight), config, pairs=pairs, words=words)
        cosines = found.embed_text([f"ein {word}" for word in foreign]) @ found.embed_text(LABELS).T
        nearest[weight] = cosines.argmax(axis=1).tolist()
    assert nearest[1.0] == [0, 1, 2, 3] != nearest[0.0]
    with pytest.raises(ValueError, match="run `python -m training pairs` first"):
        run(tmp_path / "none", TrainConfig(**{**vars(SMALL), "pairs_weight": 1.0}))


def test_captions_alone_teach_the_audio_tower(tmp_path: Path) -> None:
    clips = made_up_clips()
    config = replace(BANK_ALONE, own_share=1.0)
    taught = run(tmp_path / "taught", config, teacher=made_up_teacher()).evaluate(
        clips, made_up_features(clips), "test"
    )
    assert taught.names["esc50"] >= 75  # chance is 25


def test_what_is_known_of_a_clip_is_its_texts_and_its_tags() -> None:
    teacher, clips = made_up_teacher(), made_up_clips()
    known = teacher.known_of(clips, NAMES, own_share=0.5)
    dog = next(row for row, clip in enumerate(clips) if clip.label == "dog")
    as_dog, as_rain = (torch.from_numpy(teacher.own[name]) for name in ("dog", "rain"))
    captions = Captions(torch.zeros(2, 1), torch.stack((as_dog, as_rain)))
    found = known.likeness(np.array([dog, dog]), torch.tensor([[0.9, 0.0, 0.0], [0.0, 0.9, 0.0]]), captions)
    torch.testing.assert_close(found[0], captions.embeddings @ as_dog)
    both = torch.nn.functional.normalize(as_dog + as_rain, dim=0)
    torch.testing.assert_close(found[1], captions.embeddings @ both)
    with pytest.raises(ValueError, match="does not know the text 'owl'"):
        teacher.known_of(clips, ["owl"], own_share=0.5)


def test_a_captions_file_of_an_older_form_is_named(tmp_path: Path) -> None:
    np.savez(tmp_path / "captions.npz", texts=np.array(["a dog"]), embeddings=np.eye(1))
    with pytest.raises(ValueError, match="run `python -m training captions`"):
        CaptionTeacher.load(tmp_path / "captions.npz").known_of(made_up_clips(), NAMES, own_share=0.5)


def test_the_tagger_stays_as_it_was_given_and_speaks_with_the_text_towers_class_names(tmp_path: Path) -> None:
    tagger = made_up_tagger()
    found = run(tmp_path, TrainConfig(**{**vars(SMALL), "epochs": 1, "concept_gain": 0.3}), tagger=tagger)
    concepts = found.model.concepts
    for given, own in ((tagger[0], concepts.hidden), (tagger[2], concepts.classify)):
        torch.testing.assert_close(own.weight, given.weight, rtol=0, atol=0)
    np.testing.assert_allclose(concepts.table.numpy(), found.embed_text(NAMES), atol=1e-6)  # batches of other shapes
    with pytest.raises(ValueError, match="--student"):
        run(
            tmp_path / "other",
            TrainConfig(**{**vars(SMALL), "concept_gain": 0.3}),
            tagger=torch.nn.Sequential(torch.nn.Linear(5, 512), torch.nn.Linear(512, 3)),
        )


def test_cropped_windows_are_stretches_of_their_clips() -> None:
    from edge_runtime.tokenizer import Tokenizer

    clips = made_up_clips()
    features = made_up_features(clips)
    config = TrainConfig(**{**vars(SMALL), "crop": 1.0})
    sampler = Sampler(clips, [features], Tokenizer(made_up_words().words, max_words=64), config)
    rows = np.arange(len(clips))
    batch = sampler.of(rows, np.random.default_rng(5))
    kept = batch.mask.sum(dim=1).numpy()
    assert (kept >= 1).all() and (kept <= features.lengths).all() and (kept < features.lengths).mean() > 0.5
    for row, found, count in zip(rows, batch.segments.numpy(), kept, strict=True):
        whole = features.segments[row, : features.lengths[row]].astype(np.float32)
        places = [np.array_equal(whole[i : i + count], found[:count]) for i in range(len(whole) - count + 1)]
        assert any(places) and not found[count:].any()


def test_a_persons_caption_fits_its_whole_label_or_its_own_recording_alone() -> None:
    from edge_runtime.tokenizer import Tokenizer

    clips = made_up_clips()
    tokenizer = Tokenizer(made_up_words().words, max_words=64)
    label, recording = (np.array([getattr(clip, name) for clip in clips]) for name in ("label", "recording"))
    same_label, same_recording = label[:, None] == label, recording[:, None] == recording
    captions = [tokenizer.encode(f"a {clip.label} is heard") for clip in clips]
    for own in (False, True):
        config = TrainConfig(**{**vars(SMALL), "own_captions": own})
        sampler = Sampler(clips, [made_up_features(clips)], tokenizer, config)
        batch = sampler.of(np.arange(len(clips)), np.random.default_rng(5))
        ids = [row[row > 0].numpy() for row in batch.token_ids]
        told = np.array([np.array_equal(*pair) for pair in zip(ids, captions, strict=True)])
        assert 4 < told.sum() < len(clips) / 2 and (same_label & ~same_recording)[:, told].any(axis=0).all()
        np.testing.assert_array_equal(batch.positive.numpy(), np.where(told & own, same_recording, same_label))


def test_nested_embeddings_tell_the_labels_apart_by_their_first_numbers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Four numbers of sixteen: with their own loss they separate the labels better than without."""
    import training.objective as module

    monkeypatch.setattr(module, "NARROW", (4,))
    clips, features, right = made_up_clips(), made_up_features(made_up_clips()), []
    for weight in (0.0, 2.0):
        config = TrainConfig(**{**vars(SMALL), "epochs": 25, "average": 0.5, "narrow_weight": weight})
        found = run(tmp_path / str(weight), config)
        windows = torch.from_numpy(found.embed_windows(features))
        short = shortened(windows, 4) @ shortened(torch.from_numpy(found.embed_text(LABELS)), 4).T
        own = short.argmax(dim=1).numpy() == np.array([LABELS.index(clip.label) for clip in clips])
        right.append(own.mean())
    assert right[1] > right[0] and right[1] >= 0.75  # chance is 0.25


def test_bf16_trains_on_the_same_batches_to_nearly_the_same_loss(tmp_path: Path) -> None:
    found = [run(tmp_path / name, TrainConfig(**{**vars(SMALL), "precision": name})) for name in ("fp32", "bf16")]
    a, b = (each.embed_text(LABELS) for each in found)
    # bf16 has 8 bits: after four epochs the texts still point the same way
    assert (a * b).sum(axis=1).min() > 0.98


def test_a_shorter_window_is_all_that_training_hears(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import training.train as module

    longest = []
    judge = module.objective

    def watching(model: torch.nn.Module, batch: Batch, *rest: object, **more: object) -> torch.Tensor:
        longest.append(batch.segments.shape[1])
        return judge(model, batch, *rest, **more)

    monkeypatch.setattr(module, "objective", watching)
    run(tmp_path, TrainConfig(**{**vars(SMALL), "epochs": 2, "window": 8}))
    assert set(longest) == {8}
    with pytest.raises(ValueError, match="windows of 40 segments are not there: give 2 to 32"):
        TrainConfig(window=40)


def test_settings_out_of_range_are_refused() -> None:
    with pytest.raises(ValueError, match="precision 'fp8' is not known"):
        TrainConfig(precision="fp8")
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
        def __init__(self, clips: list[Clip], *rest: object, **settings: object) -> None:
            seen.extend(clips)
            super().__init__(clips, *rest, **settings)

    monkeypatch.setattr(module, "Sampler", Watching)
    found = run(tmp_path, TrainConfig(**{**vars(SMALL), "epochs": 1, "hold_out": "open"}))
    held = HoldOut.of(made_up_clips()).labels
    assert len(held) == 1 and found.config["hold_out"] == "open"
    assert {clip.label for clip in seen if clip.split in ("train", "val")} == set(LABELS) - held
    with pytest.raises(ValueError, match="hold_out 'half' is not known"):
        TrainConfig(hold_out="half")
