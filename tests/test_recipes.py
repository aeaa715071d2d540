"""The table of recipes: trained once, read again, its figures on the validation split alone."""

import json
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="needs the train extra")

from tests.test_train import SMALL, made_up_clips, made_up_features, made_up_words, run  # noqa: E402
from training import recipe_commands  # noqa: E402
from training.extras import Extras  # noqa: E402
from training.features import save  # noqa: E402
from training.folds import ASKED, folded  # noqa: E402
from training.hold_out import HELD  # noqa: E402
from training.recipes import COLUMNS, Ground, figures, recipes  # noqa: E402
from training.sampler import in_turn_segments  # noqa: E402
from training.train import Checkpoint  # noqa: E402
from training.train_config import TrainConfig  # noqa: E402

pytestmark = pytest.mark.usefixtures("one_torch_thread")


def ground(out: Path) -> Ground:
    clips = made_up_clips()
    return Ground(clips, [made_up_features(clips)], made_up_words(), (), None, None, Extras(), None, out)


def test_each_recipe_is_trained_once_from_each_seed_and_read_again(tmp_path: Path) -> None:
    said: list[str] = []
    names = ["default", "audio: mean"]
    first = recipes(ground(tmp_path), names, base=SMALL, seeds=2, say=said.append)
    written = sorted(path.stat().st_mtime_ns for path in tmp_path.glob("*/best.pt"))
    assert len(said) == 4 and len(written) == 4
    assert "validation split: 8 clips of 8 recordings" in first and "audio_pooling mean" in first
    assert recipes(ground(tmp_path), names, base=SMALL, seeds=2, say=said.append) == first
    assert sorted(path.stat().st_mtime_ns for path in tmp_path.glob("*/best.pt")) == written
    with pytest.raises(ValueError, match=r"recipes \['none'\] are not known; there are default"):
        recipes(ground(tmp_path), ["none"], base=SMALL, seeds=1)


def test_in_parts_every_recording_of_training_and_validation_is_asked_once(tmp_path: Path) -> None:
    clips = made_up_clips()
    asked = []
    for part in range(3):
        parted = folded(clips, part, of=3)
        asked += [clip.recording for clip in parted if clip.split == ASKED]
        heard = [clip.recording for clip in parted if clip.split in ("train", "val")]
        assert not set(heard) & {clip.recording for clip in parted if clip.split == ASKED}
        tested = [each.split for each, clip in zip(parted, clips, strict=True) if clip.split == "test"]
        assert tested == [HELD] * 8
        assert sum(bool(clip.captions) for clip in parted if clip.split == ASKED) in (5, 6), "of 16 in three parts"
    assert sorted(asked) == sorted(clip.recording for clip in clips if clip.split != "test")
    for part, of in ((3, 3), (-1, 3), (0, 1)):
        with pytest.raises(ValueError, match="two parts at least"):
            folded(clips, part, of=of)
    said: list[str] = []
    table = recipes(ground(tmp_path), ["default", "audio: mean"], base=SMALL, seeds=1, folds=2, say=said.append)
    assert "training and validation in 2 parts: 32 clips of 32 recordings, 16 captions" in table
    assert "--folds 2 --epochs 4" in table
    parts = [folded(clips, part, of=2) for part in range(2)]
    features = made_up_features(clips)
    expected = [
        Checkpoint.load(tmp_path / f"default-{part}-of-2").evaluate(parted, features.cut(16)[0], ASKED).figures()
        for part, parted in enumerate(parts)
    ]
    told, other = (
        [json.loads(line[line.index("{") :])["captions_t2a_map10"] for line in said if line.startswith(name)]
        for name in ("default", "audio: mean")
    )
    assert told == [each["captions_t2a_map10"] for each in expected]
    gains = np.array(other) - told
    assert f"({gains.mean():.1f} ± {gains.std(ddof=1):.1f})" in table


def test_figures_are_those_of_the_validation_split(tmp_path: Path) -> None:
    clips = made_up_clips()
    features = made_up_features(clips)
    checkpoint = run(tmp_path)
    found = figures(checkpoint, clips, features)
    assert found.keys() == COLUMNS.keys()
    expected = checkpoint.evaluate(clips, features, "val").figures()
    assert found["labels_a2t_r1"] == expected["labels_a2t_r1"]
    assert found["narrow_a2t_r1"] == expected["labels_a2t_r1"]  # 16 numbers are fewer than 64
    assert found["both_in_turn"] == 100  # four labels in all: both are among the first five


def test_two_sounds_stand_one_after_the_other_in_one_window() -> None:
    long, short = np.ones((32, 3)), np.zeros((32, 3))
    short[:5] = 2
    joined, length = in_turn_segments([(long, 32), (short, 5)], np.random.default_rng(0))
    assert length == 21 and (joined[:16] == 1).all() and (joined[16:21] == 2).all() and not joined[21:].any()


def test_evaluate_tells_each_checkpoint_and_the_mean_of_several(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    clips = made_up_clips()
    features = made_up_features(clips)
    save(tmp_path / "made-up-0.npz", features)
    monkeypatch.setattr(recipe_commands, "read_clips", lambda _: clips)
    seeds = [TrainConfig(**{**vars(SMALL), "epochs": 2, "window": 8, "seed": seed}) for seed in (0, 1)]
    runs = [tmp_path / f"seed-{config.seed}" for config in seeds]
    part = features.cut(8)[0]  # as long as they were trained on
    figures = [
        run(out, config).evaluate(clips, part, "test").figures() for out, config in zip(runs, seeds, strict=True)
    ]
    capsys.readouterr()
    recipe_commands.evaluate(runs, features=tmp_path, as_json=True)
    told = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [{name: each[name] for name in figures[0]} for each in told] == figures
    recipe_commands.evaluate(runs, features=tmp_path, page=tmp_path / "page.md")
    values = [each["labels_a2t_map10"] for each in figures]
    shown = capsys.readouterr().out
    assert f"| labels_a2t_map10 | {np.mean(values):.1f} ± {np.std(values, ddof=1):.1f} |" in shown
    assert shown in (tmp_path / "page.md").read_text()
    with pytest.raises(FileNotFoundError, match="holds no features"):
        recipe_commands.evaluate(runs, features=tmp_path / "none")
