"""What all texts have in common: both towers drop a share of it, training's own and no more."""

from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="needs the train extra")

from edge_runtime.tokenizer import batch_of  # noqa: E402
from tests.test_train import LABELS, SMALL, made_up_clips, made_up_features, run  # noqa: E402
from tests.test_widths import SAME  # noqa: E402
from training.common import without_common  # noqa: E402
from training.train import Checkpoint, TrainConfig  # noqa: E402

pytestmark = pytest.mark.usefixtures("one_torch_thread")


def unit(rows: np.ndarray) -> np.ndarray:
    return rows / np.linalg.norm(rows, axis=-1, keepdims=True)


def both(trained: Checkpoint) -> tuple[np.ndarray, np.ndarray]:
    """Of the labels' texts and of the sounds."""
    return trained.embed_text(LABELS), trained.embed_windows(made_up_features(made_up_clips()))


def trained_whole(tmp_path: Path, **settings: object) -> Checkpoint:
    return run(tmp_path, TrainConfig(**{**vars(SMALL), **settings}))


def test_training_keeps_towers_that_drop_their_share_of_the_labels_mean(tmp_path: Path) -> None:
    kept = trained_whole(tmp_path, common_share=0.25)
    for tower in (kept.model.audio_tower, kept.model.text_tower):  # what they would say of all of it
        tower.common.zero_()
    whole = both(kept)
    direction = unit(whole[0].mean(axis=0))
    found = both(Checkpoint.load(tmp_path))
    for before, after in zip(whole, found, strict=True):
        wanted = before - 0.25 * (before @ direction)[:, None] * direction
        np.testing.assert_allclose(after, unit(wanted), atol=SAME)
    assert np.linalg.norm(found[0].mean(axis=0)) < np.linalg.norm(whole[0].mean(axis=0))


def test_without_a_share_the_towers_are_as_ever(tmp_path: Path) -> None:
    kept = run(tmp_path)
    assert not kept.model.config.less_common
    assert kept.model.audio_tower.common is None and "text_tower.common" not in kept.model.state_dict()
    with pytest.raises(ValueError, match="shares out of range"):
        TrainConfig(common_share=1.5)


def test_all_of_it_dropped_leaves_nothing_along_it_and_dropping_twice_is_dropping_once(tmp_path: Path) -> None:
    trained = trained_whole(tmp_path, common_share=1.0)
    ids = torch.from_numpy(batch_of([trained.tokenizer.encode(label) for label in LABELS]))
    again = without_common(trained.model, ids, share=1.0)
    direction = again.text_tower.common.numpy()
    torch.testing.assert_close(again.text_tower.common, trained.model.text_tower.common)
    for rows in both(trained):
        np.testing.assert_allclose(rows @ direction, 0, atol=SAME)
