"""`python -m benchmarks finetune`: which clips teach, which are asked, and when a label holds."""

from pathlib import Path

import pytest

torch = pytest.importorskip("torch", reason="needs the train extra")

from benchmarks.finetune import Ground, Lesson, Setting, _parts, _row, finetune  # noqa: E402
from edge_runtime.errors import EarmarkError  # noqa: E402
from tests.test_train import SMALL, made_up_clips, made_up_features, made_up_words  # noqa: E402
from training.finetune import FinetuneConfig  # noqa: E402
from training.sounds import Clip  # noqa: E402
from training.train import train  # noqa: E402


def test_clips_that_teach_share_no_recording_with_those_that_are_asked() -> None:
    clips = [
        Clip(Path(f"{i}.wav"), "test" if i % 4 == 0 else "train", "zorb", (), f"r{i // 2}", "esc50", "CC0", -20)
        for i in range(40)
    ]
    ground = Ground(clips, {"zorb": list(range(40))}, [], None, None, None)  # type: ignore[arg-type]
    teaching, asked = _parts(ground, "zorb", 12, seed=1)
    taught, heard = ({clips[row].recording for row in rows} for rows in (teaching, asked))
    assert len(teaching) == len(set(teaching)) == 12
    assert not taught & heard
    assert {clips[row].recording for row in range(40) if clips[row].split == "test"} <= heard
    assert len(taught) == 10  # one of each of the recordings outside the test split, then second ones
    assert (teaching, asked) == _parts(ground, "zorb", 12, seed=1) != _parts(ground, "zorb", 12, seed=2)


def test_a_label_holds_that_gains_twenty_points_or_all_that_was_left_and_costs_one_at_most() -> None:
    def holds(*lessons: tuple[float, ...]) -> bool:
        return _row([Lesson(8, *each) for each in lessons])["holds"]

    assert holds((0, 20, 1, 0, 0), (0, 20, 1, 0, 0))
    assert not holds((0, 19, 0, 0, 0))
    assert holds((90, 100, 0, 0, 0))
    assert not holds((0, 100, 0, 0, 1.1))
    row = _row([Lesson(8, 0, 10, 0, 0, 0), Lesson(8, 0, 30, 0, 0, 0)])
    assert (row["gain"], row["gain_sd"]) == (pytest.approx(20), pytest.approx(10))


def test_a_checkpoint_that_was_trained_on_every_label_is_refused(tmp_path: Path) -> None:
    clips = made_up_clips()
    train(clips, [made_up_features(clips)], made_up_words(), SMALL, tmp_path)
    with pytest.raises(EarmarkError, match="trained on every label"):
        finetune(Setting(tmp_path, tmp_path, tmp_path), FinetuneConfig())
