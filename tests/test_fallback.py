"""A tagger beside trained towers: what they know stays, what they do not is told by the tagger."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="needs the train extra")

from tests.test_train import (  # noqa: E402
    LABELS,
    NAMES,
    SMALL,
    made_up_clips,
    made_up_features,
    made_up_tagger,
    made_up_words,
    run,
)
from tests.test_widths import SAME  # noqa: E402
from training import told_sounds  # noqa: E402
from training.fallback import Sizes, with_fallback  # noqa: E402
from training.features import Features, save  # noqa: E402
from training.hold_out import HELD, HoldOut  # noqa: E402
from training.retrieval import DOUBT_SOFTNESS  # noqa: E402
from training.taught_tagger import taught_tagger  # noqa: E402
from training.train import Checkpoint, TrainConfig  # noqa: E402
from training.widths import narrowed  # noqa: E402

pytestmark = pytest.mark.usefixtures("one_torch_thread")


def fallen_back(trained: Checkpoint, **settings: Any) -> Checkpoint:
    clips = made_up_clips()
    return with_fallback(trained, clips, made_up_features(clips), made_up_tagger(), NAMES, **settings)


def test_an_embedding_gains_what_the_tagger_says_by_how_little_it_is_like_what_is_known(tmp_path: Path) -> None:
    trained = run(tmp_path)
    found = fallen_back(trained, gain=0.4, doubted=0.25)
    known = trained.embed_text(LABELS)  # embeddings of 16 numbers are no longer than what is kept of them
    heard = made_up_features(made_up_clips())
    before, after = trained.embed_windows(heard), found.embed_windows(heard)
    nearest = (before @ known.T).max(axis=1)
    val = np.array([clip.split == "val" for clip in made_up_clips()])
    assert found.model.config.concept_doubt == pytest.approx(np.quantile(nearest[val], 0.25), abs=1e-4)
    gain = 0.4 / (1 + np.exp((nearest - found.model.config.concept_doubt) / DOUBT_SOFTNESS))
    segments = torch.from_numpy(heard.segments.astype(np.float32))
    mask = torch.arange(segments.shape[1])[None] < torch.from_numpy(heard.lengths)[:, None]
    with torch.inference_mode():
        told = found.model.concepts(segments, mask).numpy()
    wanted = before + gain[:, None] * told
    np.testing.assert_allclose(after, wanted / np.linalg.norm(wanted, axis=1, keepdims=True), atol=SAME)
    np.testing.assert_allclose(found.model.concepts.table, trained.embed_text(NAMES), atol=SAME)
    np.testing.assert_array_equal(found.embed_text(LABELS), trained.embed_text(LABELS))


def test_where_all_is_doubted_the_tagger_weighs_the_same_everywhere(tmp_path: Path) -> None:
    trained, heard = run(tmp_path), made_up_features(made_up_clips())
    found = fallen_back(trained, gain=2.0, doubted=1.0)
    assert found.model.concepts.known is None
    segments = torch.from_numpy(heard.segments.astype(np.float32))
    mask = torch.arange(segments.shape[1])[None] < torch.from_numpy(heard.lengths)[:, None]
    with torch.inference_mode():
        wanted = trained.embed_windows(heard) + 2.0 * found.model.concepts(segments, mask).numpy()
    wanted /= np.linalg.norm(wanted, axis=1, keepdims=True)
    np.testing.assert_allclose(found.embed_windows(heard), wanted, atol=SAME)


def test_classes_are_said_by_the_told_sounds_and_count_by_their_roots(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told = {"barking at night": {"dog": 1.0, "siren": 0.25}, "wet train": {"rain": 0.5}}
    monkeypatch.setattr(told_sounds, "told_sounds", lambda: told)
    trained = run(tmp_path, words=made_up_words(*told))
    found = fallen_back(trained, told=True).model
    texts = np.concatenate((trained.embed_text(list(told)), trained.embed_text(NAMES)))
    weights = np.array([[1, 0, 0.25], [0, 0.5, 0], *np.eye(3)])  # of dog, rain and siren
    inverse = np.linalg.inv(texts.T @ texts + told_sounds.RIDGE * np.eye(texts.shape[1]))
    np.testing.assert_allclose(found.concepts.table, (inverse @ texts.T @ weights).T, atol=SAME)
    heard = made_up_features(made_up_clips())
    segments = torch.from_numpy(heard.segments.astype(np.float32))
    mask = torch.arange(segments.shape[1])[None] < torch.from_numpy(heard.lengths)[:, None]
    with torch.inference_mode():
        shares = found.concepts.probabilities(segments, mask).numpy() ** 0.5
        said = found.concepts(segments, mask).numpy()
    trained_on = [made_up_clips()[row].split == "train" for row in heard.clip]
    assert 0 < sum(trained_on) < len(trained_on)
    wanted = (shares - shares[trained_on].mean(axis=0)) * found.concepts.weight.numpy() @ found.concepts.table.numpy()
    np.testing.assert_allclose(said, wanted / np.linalg.norm(wanted, axis=1, keepdims=True), atol=SAME)


def test_of_an_open_training_what_was_held_back_is_not_known(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    held = HoldOut(frozenset(), frozenset({"siren"}), frozenset())
    monkeypatch.setattr(HoldOut, "of", classmethod(lambda cls, clips: held))
    trained = run(tmp_path, TrainConfig(**{**vars(SMALL), "hold_out": "open"}))
    assert {clip.split for clip in held.kept_back(made_up_clips()) if clip.label == "siren"} == {HELD, "test"}
    known = fallen_back(trained).model.concepts.known
    np.testing.assert_allclose(known, trained.embed_text([each for each in LABELS if each != "siren"]), atol=SAME)


def test_what_is_kept_may_be_smaller_than_what_it_is_made_of(tmp_path: Path) -> None:
    heard, sizes = made_up_features(made_up_clips()), Sizes(known=5, names=2, tagger=1)
    assert fallen_back(run(tmp_path / "plain"), sizes=sizes).model.concepts.known.shape == (len(LABELS), 16)
    trained = run(tmp_path / "nested", TrainConfig(**{**vars(SMALL), "narrow_weight": 1.0}))
    small = fallen_back(trained, sizes=sizes)
    concepts = small.model.concepts
    for matrix, rank in ((concepts.table * concepts.weight[:, None], 2), (concepts.classify.weight, 1)):
        assert torch.linalg.matrix_rank(matrix, rtol=1e-4) == rank
    known = trained.embed_text(LABELS)[:, :5]
    np.testing.assert_allclose(concepts.known, known / np.linalg.norm(known, axis=1, keepdims=True), atol=SAME)
    assert np.isfinite(small.embed_windows(heard)).all()


def test_what_cannot_fall_back_is_refused(tmp_path: Path) -> None:
    trained, clips = run(tmp_path), made_up_clips()
    with pytest.raises(ValueError, match="has a tagger beside its towers already"):
        fallen_back(fallen_back(trained))
    with pytest.raises(ValueError, match="narrow the one before"):
        narrowed(fallen_back(trained), made_up_features(clips), 8)
    with pytest.raises(ValueError, match=r"doubted is 1\.1"):
        fallen_back(trained, doubted=1.1)
    unexamined = [replace(clip, split="train") for clip in clips]
    with pytest.raises(ValueError, match="no validation clip"):
        with_fallback(trained, unexamined, made_up_features(clips), made_up_tagger(), NAMES)


def test_the_command_writes_a_checkpoint_that_says_what_it_gained(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from typer.testing import CliRunner

    from training import features, recipe_commands
    from training.__main__ import app

    run(tmp_path / "trained")
    features.save(tmp_path / "made-0.npz", made_up_features(made_up_clips()))
    monkeypatch.setattr(recipe_commands, "read_clips", lambda _: made_up_clips())
    monkeypatch.setattr(recipe_commands, "encoder_of", lambda *_: (None, None))
    monkeypatch.setattr(features, "class_names", lambda _: NAMES)
    asked = ["fallback", str(tmp_path / "trained"), "--features", str(tmp_path)]  # of the published mn04's
    asked += ["--out", str(tmp_path / "whole")]
    monkeypatch.setattr(recipe_commands, "tagger_of", lambda _: made_up_tagger())
    found = CliRunner().invoke(app, asked)
    assert found.exit_code == 0, found.output
    told, kept = json.loads(found.output), Checkpoint.load(tmp_path / "whole")
    assert kept.model.config.concept_gain == 0.3 and kept.validation == told["after"]
    assert told["before"].keys() == told["after"].keys() and told["doubt"] == kept.model.config.concept_doubt


def told_by_label() -> Features:
    """The made-up sounds, of which the tagger of another network knows what they are."""
    clips = made_up_clips()
    sure = 0.05 + 0.9 * np.eye(len(NAMES))[[LABELS.index(clip.label) % len(NAMES) for clip in clips]]
    return replace(made_up_features(clips), tags=sure.astype(np.float16))


def test_a_tagger_learns_what_another_says_and_hears_segments_as_they_come() -> None:
    rows = np.arange(len(made_up_clips()))
    heard = told_by_label()
    heard = replace(heard, segments=(20 * heard.segments.astype(np.float32) + 7).astype(np.float16))  # of no unit scale
    held = heard.of_clips(rows[::4])
    tagger = taught_tagger([heard.of_clips(np.setdiff1d(rows, rows[::4]))])
    pairs = zip(held.segments.astype(np.float32), held.lengths, strict=True)
    means = np.stack([part[:count].mean(axis=0) for part, count in pairs])
    with torch.inference_mode():
        found = tagger(torch.from_numpy(means)).sigmoid().numpy()
    wanted = held.tags.astype(np.float32)
    assert (found.argmax(axis=1) == wanted.argmax(axis=1)).mean() > 0.9
    untaught = np.abs(wanted.mean(axis=0) - wanted).mean()
    assert np.abs(found - wanted).mean() < 0.5 * untaught
    with pytest.raises(ValueError, match="no window to learn tags from"):
        taught_tagger([heard.of_clips([])])


def test_an_encoder_without_a_tagger_is_given_one_of_what_training_may_hear(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from typer.testing import CliRunner

    from training import features, recipe_commands
    from training import taught_tagger as module
    from training.__main__ import app

    held = HoldOut(frozenset(), frozenset({"siren"}), frozenset())
    monkeypatch.setattr(HoldOut, "of", classmethod(lambda cls, clips: held))
    run(tmp_path / "trained", TrainConfig(**{**vars(SMALL), "hold_out": "open"}))
    for copy in range(2):
        save(tmp_path / f"made-{copy}.npz", told_by_label())
    monkeypatch.setattr(recipe_commands, "read_clips", lambda _: made_up_clips())
    monkeypatch.setattr(recipe_commands, "encoder_of", lambda *_: (None, None))
    monkeypatch.setattr(recipe_commands, "tagger_of", lambda _: None)
    monkeypatch.setattr(features, "class_names", lambda _: NAMES)
    learnt: list[Features] = []
    taught = module.taught_tagger
    monkeypatch.setattr(module, "taught_tagger", lambda copies: taught(learnt.extend(copies) or copies))
    asked = ["fallback", str(tmp_path / "trained"), "--student", "a bundle", "--features", str(tmp_path)]
    done = CliRunner().invoke(app, [*asked, "--out", str(tmp_path / "whole")])
    assert done.exit_code == 0, (done.output, done.exception)
    assert Checkpoint.load(tmp_path / "whole").model.config.concept_gain == 0.3
    of = [clip.label for clip in made_up_clips() if clip.split == "train"]
    assert "siren" in of
    assert len(learnt) == 2
    assert all({made_up_clips()[row].label for row in copy.clip} == set(of) - {"siren"} for copy in learnt)
