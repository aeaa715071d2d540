"""The open suite of `python -m benchmarks retrieval`, on a model trained for it within the test."""

from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="needs the train extra")

from test_train import SMALL, made_up_clips, made_up_features, made_up_words, run  # noqa: E402

from benchmarks.retrieval.open import conse, open_protocol  # noqa: E402
from edge_runtime.errors import EarmarkError  # noqa: E402
from training.features import Features  # noqa: E402
from training.hold_out import HoldOut  # noqa: E402
from training.train import Checkpoint, TrainConfig  # noqa: E402

pytestmark = pytest.mark.usefixtures("one_torch_thread")

CLASSES = ("dog", "rain", "siren")
OPEN = TrainConfig(**{**vars(SMALL), "epochs": 1, "hold_out": "open"})


@pytest.fixture(autouse=True)
def few_resamples(monkeypatch: pytest.MonkeyPatch) -> None:
    """Enough for an interval of any width, and quick."""
    monkeypatch.setattr("training.bootstrap.RESAMPLES", 40)


@pytest.fixture
def laid_out(tmp_path: Path) -> dict[str, Path]:
    """Features and class names where the suite looks for them."""
    clips = made_up_clips()
    np.savez(tmp_path / "teacher-0.npz", **vars(made_up_features(clips)))
    rows = [f"{i},/m/{i},{name}" for i, name in enumerate(CLASSES)]
    (tmp_path / "audioset_class_labels.csv").write_text("\n".join(["index,mid,display_name", *rows]) + "\n")
    return {"features": tmp_path, "weights": tmp_path}


def test_the_open_figures_are_of_what_training_never_had(tmp_path: Path, laid_out: dict[str, Path]) -> None:
    clips = made_up_clips()
    run(tmp_path / "open", OPEN)
    found = open_protocol(clips, [tmp_path / "open"], [], **laid_out, limit=None, seed=0)
    held = HoldOut.of(clips).labels
    assert found["held_labels"] == sorted(held)
    assert set(found["sets"]) == {"unseen labels", "seen"}
    unseen, seen = found["sets"]["unseen labels"], found["sets"]["seen"]
    assert (unseen["test"]["clips"], unseen["every split"]["clips"], unseen["test"]["labels"]) == (2, 10, 1)
    assert (seen["test"]["clips"], seen["test"]["labels"]) == (6, 3) and "every split" not in seen
    for who in ("open", "ConSE"):
        assert unseen["test"]["by"][who]["audio->text_r1"].value == 100  # one label is no choice
        assert unseen["every split"]["by"][who]["among_all_r10"].value == 100  # nor are four of ten


def test_several_checkpoints_answer_by_their_folders_each_in_windows_of_its_own(
    tmp_path: Path, laid_out: dict[str, Path]
) -> None:
    folders = [tmp_path / "whole", tmp_path / "short"]
    for folder, window in zip(folders, (32, 4), strict=True):
        run(folder, TrainConfig(**{**vars(OPEN), "window": window}))
    heard: list[int] = []
    embed = Checkpoint.embed_windows

    def watched(self: Checkpoint, features: Features) -> np.ndarray:
        heard.append(int(features.lengths.max()))
        return embed(self, features)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Checkpoint, "embed_windows", watched)
        found = open_protocol(made_up_clips(), folders, [], **laid_out, limit=None, seed=0)
    assert heard[0] > 4 and heard[1] == 4
    assert set(found["sets"]["seen"]["test"]["by"]) == {*(f"open: {folder}" for folder in folders), "ConSE"}
    assert {config["window"] for config in found["checkpoints"].values()} == {32, 4}


def test_a_checkpoint_that_heard_everything_is_refused(tmp_path: Path, laid_out: dict[str, Path]) -> None:
    run(tmp_path / "closed", TrainConfig(**{**vars(SMALL), "epochs": 1}))
    with pytest.raises(EarmarkError, match="trained on every label"):
        open_protocol(made_up_clips(), [tmp_path / "closed"], [], **laid_out, limit=None, seed=0)


def test_conse_mixes_class_names_by_their_probabilities(tmp_path: Path) -> None:
    trained: Checkpoint = run(tmp_path, OPEN)
    tags = np.array([[1, 0, 0], [0.5, 0, 0.5]], np.float16)
    features = Features(np.zeros((2, 32, 12), np.float16), np.array([4, 4]), np.array([0, 1]), tags)
    answering = conse(features, CLASSES, trained)
    vectors = made_up_words()
    dog, siren = (
        each / np.linalg.norm(each)
        for each in (vectors.vectors[vectors.words.index(name)] for name in ("dog", "siren"))
    )
    np.testing.assert_allclose(answering.texts(["dog", "siren"]), [dog, siren], atol=1e-6)  # float32
    np.testing.assert_allclose(answering.windows[0], [dog], atol=1e-6)
    both = (dog + siren) / np.linalg.norm(dog + siren)
    np.testing.assert_allclose(answering.windows[1], [both], atol=1e-6)
