"""Narrowed models: cosines stay where all numbers are kept, and the first numbers say the most."""

from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="needs the train extra")

from tests.test_train import LABELS, NAMES, SMALL, made_up_clips, made_up_features, made_up_tagger, run  # noqa: E402
from training.train import Checkpoint, TrainConfig  # noqa: E402
from training.widths import narrowed, principal_directions, width_table  # noqa: E402

pytestmark = pytest.mark.usefixtures("one_torch_thread")

SAME = 1e-5
"""float32 vectors through an orthonormal product."""


def cosines(checkpoint: Checkpoint) -> np.ndarray:
    windows = checkpoint.embed_windows(made_up_features(made_up_clips()))
    return windows @ checkpoint.embed_text([*LABELS, *NAMES]).T


def test_all_numbers_kept_every_cosine_is_what_it_was(tmp_path: Path) -> None:
    trained = run(tmp_path)
    turned = narrowed(trained, made_up_features(made_up_clips()), 16)
    np.testing.assert_allclose(cosines(turned), cosines(trained), atol=SAME)
    turned.save(tmp_path / "turned.pt")
    np.testing.assert_array_equal(cosines(Checkpoint.load(tmp_path, "turned.pt")), cosines(turned))


def test_a_narrowed_embedding_is_the_turned_one_cut_short(tmp_path: Path) -> None:
    trained, heard = run(tmp_path), made_up_features(made_up_clips())
    whole, short = (narrowed(trained, heard, width) for width in (16, 5))
    cut = whole.embed_windows(heard)[:, :5]
    np.testing.assert_allclose(short.embed_windows(heard), cut / np.linalg.norm(cut, axis=1, keepdims=True), atol=SAME)
    # of all ways to keep five numbers, the principal ones keep the most of what the embeddings are
    plain = trained.embed_windows(heard)[:, :5]
    assert (cut**2).sum() > (plain**2).sum()


def test_its_text_side_is_read_out_of_a_graph_and_kept(tmp_path: Path) -> None:
    pytest.importorskip("onnx", reason="needs the export extra")
    from types import SimpleNamespace

    from export.graphs import text_graph
    from training.text_side import TextSide

    trained = run(tmp_path, TrainConfig(**{**vars(SMALL), "common_share": 0.5}))
    turned = narrowed(trained, made_up_features(made_up_clips()), 5)
    text_graph(turned.model, tmp_path / "text.onnx", int8_words=False)
    graph = SimpleNamespace(file="text.onnx")
    manifest = SimpleNamespace(text=SimpleNamespace(graph=graph), head=SimpleNamespace(width=5))
    side = TextSide.of_bundle(SimpleNamespace(folder=tmp_path, tokenizer=turned.tokenizer, manifest=manifest))
    side.save(tmp_path / "side.pt")
    for each in (side, TextSide.load(tmp_path / "side.pt")):
        np.testing.assert_allclose(each.embed_text(LABELS), turned.embed_text(LABELS), atol=SAME)


def test_what_the_tagger_hears_turns_with_it(tmp_path: Path) -> None:
    config = TrainConfig(**{**vars(SMALL), "concept_gain": 0.3})
    trained = run(tmp_path, config, tagger=made_up_tagger())
    np.testing.assert_allclose(
        cosines(narrowed(trained, made_up_features(made_up_clips()), 16)), cosines(trained), atol=SAME
    )


def test_the_command_writes_a_checkpoint_of_that_width(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from typer.testing import CliRunner

    from training import recipe_commands
    from training.__main__ import app
    from training.features import save

    run(tmp_path / "trained")
    save(tmp_path / "made-0.npz", made_up_features(made_up_clips()))
    monkeypatch.setattr(recipe_commands, "read_clips", lambda _: made_up_clips())
    asked = ["narrow", str(tmp_path / "trained"), "--width", "5", "--out", str(tmp_path / "short")]
    found = CliRunner().invoke(app, [*asked, "--features", str(tmp_path)])
    assert found.exit_code == 0, found.output
    kept = Checkpoint.load(tmp_path / "short")
    assert kept.embed_text(LABELS).shape == (4, 5) and "labels_a2t_r1" in kept.validation


def test_directions_are_orthonormal_and_in_order() -> None:
    rows = np.random.default_rng(0).standard_normal((200, 6)).astype(np.float32) * [1, 5, 2, 4, 3, 0.1]
    found = principal_directions(rows.astype(np.float32))
    np.testing.assert_allclose(found.T @ found, np.eye(6), atol=SAME)
    assert np.abs(found).argmax(axis=0).tolist() == [1, 3, 4, 2, 0, 5]


def test_the_table_has_every_width_both_ways_and_the_whole_one_is_the_same(tmp_path: Path) -> None:
    config = TrainConfig(**{**vars(SMALL), "epochs": 1, "joint_width": 64})
    trained = [(f"runs/{seed}", run(tmp_path / str(seed), config)) for seed in range(2)]
    lines = width_table(trained, made_up_clips(), made_up_features(made_up_clips())).splitlines()
    assert any("python -m training widths runs/0 runs/1" in line for line in lines)
    rows = [line.split(" | ") for line in lines if line.startswith(("| 32", "| 64"))]
    assert [row[:2] for row in rows] == [[f"| {w}", way] for w in (32, 64) for way in ("as trained", "turned")]
    assert rows[2][2:] == rows[3][2:]


def test_what_cannot_be_kept_is_refused(tmp_path: Path) -> None:
    trained, heard = run(tmp_path), made_up_features(made_up_clips())
    with pytest.raises(ValueError, match="has 16 numbers, 17 of them cannot be kept"):
        narrowed(trained, heard, 17)
    with pytest.raises(ValueError, match="narrowed to 4 numbers already"):
        narrowed(narrowed(trained, heard, 4), heard, 2)
