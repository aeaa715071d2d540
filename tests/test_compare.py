"""A table of contenders: trained once, read again, and judged by what its figures say."""

from dataclasses import replace
from pathlib import Path

import pytest

torch = pytest.importorskip("torch", reason="needs the train extra")

from test_train import made_up_clips, made_up_features, made_up_words  # noqa: E402

from training import compare as comparing  # noqa: E402
from training.compare import FIGURES, Contender, Setting, Table, compare, markdown  # noqa: E402
from training.features import save  # noqa: E402
from training.train import TrainConfig  # noqa: E402

pytestmark = pytest.mark.usefixtures("one_torch_thread")

SMALL = {"batch": 8, "joint_width": 16, "device": "cpu"}
TABLE = Table(
    "Things, compared",
    "a table",
    (("low",), ("high",)),
    (Contender("low", "first", "low"), Contender("high", "second", "high")),
    SMALL,
    "A note.",
)


def setting(runs: Path, *, epochs: int = 2) -> Setting:
    return Setting(made_up_clips(), made_up_words(), None, runs, epochs, seeds=2, copies=1)


def test_a_table_is_trained_once_and_read_again(tmp_path, monkeypatch):
    monkeypatch.setitem(comparing.TABLES, "things", TABLE)
    for name in ("low", "high"):
        (tmp_path / name).mkdir()
        save(tmp_path / name / "made-0.npz", made_up_features(made_up_clips()))
    said: list[str] = []
    first = compare("things", setting(tmp_path), say=said.append)
    assert len(said) == 4 and "8 clips, 4 labels" in first
    again = compare("things", setting(tmp_path), say=said.append)
    assert again == first and len(said) == 4
    # the same features from the same seeds: the same figures, to the last digit, in both rows
    low, high = (line.split("|")[2:] for line in first.splitlines() if line.startswith(("| low", "| high")))
    assert low == high


def test_other_settings_have_other_runs_and_another_command(tmp_path):
    plain, half = setting(tmp_path), replace(setting(tmp_path), precision="bf16")
    assert plain.home != half.home and plain.home != setting(tmp_path, epochs=3).home
    assert (plain.flags, half.flags) == tuple(
        f"--epochs 2 --seeds 2 --copies 1{more}" for more in ("", " --precision bf16")
    )


def test_a_missing_copy_is_asked_for(tmp_path, monkeypatch):
    monkeypatch.setitem(comparing.TABLES, "things", TABLE)
    with pytest.raises(FileNotFoundError, match="low holds 0 copies of the clips, 1 are compared"):
        compare("things", setting(tmp_path))


def test_the_verdict_counts_the_columns_that_hold(tmp_path):
    worse, better = (dict.fromkeys(FIGURES, value) for value in (10.0, 30.0))
    mixed = worse | {"labels_t2a_r1": 50.0}

    def told(low: list[dict[str, float]], high: list[dict[str, float]]) -> str:
        reports = {"low": low, "high": high}
        runs = {name: [{"commit": "abc", "figures": each} for each in found] for name, found in reports.items()}
        return markdown("things", TABLE, runs, setting(tmp_path))

    lines = told([mixed, mixed], [better, better | {"labels_t2a_r1": 31.0}])
    assert "--copies 1`, trained at commit abc\n" in lines
    assert "| low | 50.0 ± 0.0 | 10.0 ± 0.0 |" in lines
    assert "| high | 30.5 ± 0.7 | 30.0 ± 0.0 |" in lines
    assert "order, low < high (a table), does not hold here in every column:\n" in lines
    assert f"- high above low: in {len(FIGURES) - 1} of {len(FIGURES)} columns" in lines
    assert "columns, by -19.5 to 20.0 points (worst against best), in 0 no more" in lines
    spread = [worse | {"labels_t2a_r1": value} for value in (10.0, 40.0)]  # 25 ± 21, and 30
    lines = told(spread, [better, better])
    assert "holds here in every column" in lines and lines.endswith("\n\nA note.\n")
    assert "columns, by 5.0 to 20.0 points (worst against best), in 1 no more" in lines


def test_every_contender_can_be_configured_and_what_is_trained_once_is_the_same():
    trained = {}
    for table in comparing.TABLES.values():
        names = [contender.name for contender in table.contenders]
        assert sorted(name for group in table.order for name in group) == sorted(names)
        for contender in table.contenders:
            config = TrainConfig(**{**table.config, **contender.config})
            assert trained.setdefault(contender.run, (contender.features, config)) == (contender.features, config)
    assert len(trained) == 8
