"""The papers' training loop: it learns, resumes, fine-tunes, and spreads over processes without changing its loss."""

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="needs the train extra")

from edge_runtime.errors import EarmarkError  # noqa: E402
from tests.experts_case import collection, config, vectors  # noqa: E402
from training.datasets.collection import Collection, Item  # noqa: E402
from training.papers.checkpoint import PaperCheckpoint, table_of  # noqa: E402
from training.papers.config import PaperConfig  # noqa: E402
from training.papers.joint import similarity  # noqa: E402
from training.papers.loop import loss_of, run  # noqa: E402
from training.papers.models import build  # noqa: E402
from training.papers.processes import World  # noqa: E402
from training.papers.scoring import scored  # noqa: E402
from training.papers.steps import epoch_of  # noqa: E402
from training.papers.token_lookup import UNKNOWN, Texts  # noqa: E402

ROOT = Path(__file__).parent.parent
pytestmark = pytest.mark.usefixtures("one_torch_thread")


def trained(out: Path, settings: PaperConfig, **options: object):
    sounds, stores = collection()
    return run(sounds, stores, vectors(), settings, out, **options)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "settings",
    [
        config("moee"),
        config("ce", captions="one", loss="infonce", optimiser="adamw", learning_rate=0.003),
        config("ce", padded=True, overwrite=True, loss="margin-sum"),
        config("dual", audio_pooling="netrvlad", text_pooling="netrvlad"),
    ],
    ids=lambda settings: settings.model,
)
def test_every_model_learns_and_is_measured(tmp_path: Path, settings: PaperConfig) -> None:
    results = trained(tmp_path, replace(settings, epochs=6, query_bank=True))
    assert results.losses[-1] < 0.7 * results.losses[0]
    assert results.validation.selection > 50  # chance: R@1, R@5, R@10 of 10, 50 and 100 % have a mean of 37
    assert (results.test.text_to_audio.queries, results.test.text_to_audio.pool) == (20, 10)
    assert results.query_bank is not None and results.query_bank.audio_to_text.pool == 20
    told = json.loads((tmp_path / "results.json").read_text())
    assert told["test"] == results.test.figures() and told["chosen_on"] == "val"
    assert PaperConfig.of(json.loads((tmp_path / "config.json").read_text())) == replace(
        settings, epochs=6, query_bank=True
    )


def test_the_checkpoint_answers_as_the_run_was_measured(tmp_path: Path) -> None:
    results = trained(tmp_path, config())
    best = PaperCheckpoint.load(tmp_path)
    sounds, stores = collection()
    texts = Texts.read([c for i in sounds.items for c in i.captions], vectors(), lemma=True, spelling=True)
    assert texts.words == best.words
    scores, _ = scored(best.model, sounds.part("test"), stores, texts, best.config)
    assert (scores.argmax(axis=1) == np.repeat(np.arange(10), 2)).mean() * 100 == results.test.text_to_audio.r1
    assert best.epoch == results.epoch and best.validation == results.validation.figures()


def test_a_trained_model_reads_words_that_no_caption_had(tmp_path: Path) -> None:
    sounds, stores = collection()
    train = [item for item in sounds.items if not any("wind" in text for text in item.captions)]
    run(Collection("sounds", tuple(train)), stores, vectors(), config(epochs=1), tmp_path)
    best = PaperCheckpoint.load(tmp_path)
    more = best.reading(vectors())
    assert "wind" not in best.words and set(more.words) == {*vectors().words, UNKNOWN}
    place = more.words.index("wind") + 1
    np.testing.assert_array_equal(table_of(more.model)[place], vectors().vectors[vectors().words.index("wind")])
    ids = torch.tensor([[1, 2]])
    assert torch.equal(more.model.text(ids)[0], best.model.text(ids)[0])
    with pytest.raises(ValueError, match="trained with the word vectors 'drawn', and 'others' has other numbers"):
        best.reading(replace(vectors(), vectors=2 * vectors().vectors, source="others"))


def test_a_resumed_run_is_the_uninterrupted_one_to_the_last_bit(tmp_path: Path) -> None:
    whole = trained(tmp_path / "whole", config(epochs=4))
    trained(tmp_path / "parts", config(epochs=2))
    state = torch.load(tmp_path / "parts" / "last.pt", weights_only=True)
    state["config"]["epochs"] = 4  # as if a run of four had been stopped
    torch.save(state, tmp_path / "parts" / "last.pt")
    again = trained(tmp_path / "parts", config(epochs=4), resume=True)
    assert again == whole
    a, b = (torch.load(tmp_path / name / "last.pt", weights_only=True)["model"] for name in ("whole", "parts"))
    assert all(torch.equal(a[name], b[name]) for name in a)


@pytest.mark.slow
def test_a_run_that_was_killed_goes_on_after_its_last_epoch(tmp_path: Path) -> None:
    program = (
        "import sys; from pathlib import Path; from tests.test_papers_loop import trained, config;"
        "trained(Path(sys.argv[1]), config('moee', epochs=400))"
    )
    env = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    process = subprocess.Popen([sys.executable, "-c", program, str(tmp_path)], env=env, stdout=subprocess.DEVNULL)
    deadline = time.monotonic() + 60
    while not (tmp_path / "last.pt").exists() and time.monotonic() < deadline:
        time.sleep(0.1)
    process.send_signal(signal.SIGKILL)
    process.wait()
    done = torch.load(tmp_path / "last.pt", weights_only=True)
    assert 0 <= done["epoch"] < 399
    done["config"]["epochs"] = done["epoch"] + 2
    torch.save(done, tmp_path / "last.pt")
    results = trained(tmp_path, config("moee", epochs=done["epoch"] + 2), resume=True)
    assert results.losses[:-1] == tuple(done["losses"]) and len(results.losses) == done["epoch"] + 2


def test_other_settings_and_other_clips_do_not_resume(tmp_path: Path) -> None:
    trained(tmp_path, config(epochs=1))
    with pytest.raises(ValueError, match="another margin: give it again"):
        trained(tmp_path, config(epochs=1, margin=0.1), resume=True)
    sounds, stores = collection()
    fewer = Collection("sounds", sounds.items[1:])
    with pytest.raises(ValueError, match="other clips or captions"):
        run(fewer, stores, vectors(), config(epochs=1), tmp_path, resume=True)


def test_fine_tuning_takes_weights_and_optimiser_and_begins_a_new_epoch_and_best(tmp_path: Path) -> None:
    first = trained(tmp_path / "first", config(epochs=3))
    source = PaperCheckpoint.load(tmp_path / "first")
    tuned = trained(tmp_path / "tuned", config(epochs=1, text_frames=7), start_from=tmp_path / "first")
    assert tuned.epoch == 0 and len(tuned.losses) == 1
    assert tuned.losses[0] < 0.6 * first.losses[0]
    rate = PaperCheckpoint.load(tmp_path / "tuned").optimiser["param_groups"][0]["lr"]
    assert rate == pytest.approx(source.optimiser["param_groups"][0]["lr"] * 0.95)
    steps = [state["step"].item() for state in PaperCheckpoint.load(tmp_path / "tuned").optimiser["state"].values()]
    assert set(steps) == {4 * (source.epoch + 2)}  # four batches an epoch, the source's and one more


@pytest.mark.parametrize(
    ("other", "message"),
    [
        (config("moee"), "model ce there, moee here"),
        (config(joint_width=24), "width 16 there, 24 here"),
        (config(optimiser="adamw"), "optimiser ranger there, adamw here"),
    ],
)
def test_a_checkpoint_of_another_architecture_is_refused(tmp_path: Path, other: PaperConfig, message: str) -> None:
    trained(tmp_path / "first", config(epochs=1))
    with pytest.raises(ValueError, match=rf"first/best\.pt is a checkpoint of another architecture: .*{message}"):
        trained(tmp_path / "second", other, start_from=tmp_path / "first")
    with pytest.raises(FileNotFoundError, match=r"has no best\.pt"):
        trained(tmp_path / "second", other, start_from=tmp_path)


def test_a_file_that_is_no_checkpoint_is_refused(tmp_path: Path) -> None:
    torch.save({"model": {}}, tmp_path / "best.pt")
    with pytest.raises(EarmarkError, match=r"best\.pt has no config, epoch, .*table, validation, words"):
        PaperCheckpoint.load(tmp_path)
    trained(tmp_path, config(epochs=1))
    whole = (tmp_path / "best.pt").read_bytes()
    (tmp_path / "best.pt").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(EarmarkError, match=r"best\.pt is no checkpoint that can be read .*training experiment` makes"):
        PaperCheckpoint.load(tmp_path)
    state = torch.load(tmp_path / "last.pt", weights_only=True)
    torch.save({name: part for name, part in state.items() if name != "schedule"}, tmp_path / "last.pt")
    with pytest.raises(EarmarkError, match=r"last\.pt has no schedule"):
        trained(tmp_path, config(epochs=1), resume=True)


def test_clips_without_features_are_left_out_and_listed(tmp_path: Path) -> None:
    sounds, stores = collection()
    silent = Item("silent", "test", ("a bell",))
    more = Collection("sounds", (*sounds.items, silent))
    results = run(more, stores, vectors(), config(epochs=1), tmp_path)
    assert [(each.id, each.reason) for each in results.skipped] == [("silent", "no features of near or far")]
    assert results.test.text_to_audio.pool == 10
    with pytest.raises(ValueError, match="no features of far: give their stores"):
        run(more, {"near": stores["near"]}, vectors(), config(epochs=1), tmp_path)
    with pytest.raises(ValueError, match="0 clips to train on"):
        run(Collection("x", sounds.part("test")), stores, vectors(), config(epochs=1), tmp_path)


def test_without_validation_clips_the_test_split_chooses_and_it_is_said(tmp_path: Path) -> None:
    sounds, stores = collection()
    kept = Collection("sounds", tuple(item for item in sounds.items if item.split != "val"))
    assert run(kept, stores, vectors(), config(epochs=1), tmp_path).chosen_on == "test"


def test_an_epoch_meets_each_clip_once_with_one_caption_or_all() -> None:
    sounds, stores = collection()
    train = sounds.part("train")
    texts = Texts.read([c for i in train for c in i.captions], vectors(), lemma=True, spelling=True)
    for captions, count in (("one", 1), ("all", 2)):
        settings = config(captions=captions)
        steps = list(epoch_of(train, stores, texts, settings, World(), 0))
        assert [step.count for step in steps] == [10] * 4
        assert all(step.owner.tolist() == sorted([*range(10)] * count) for step in steps)
        assert all(len(step.token_ids) == 10 * count for step in steps)
        first = torch.cat([step.experts.features["near"] for step in steps])
        assert len(first.flatten(1).unique(dim=0)) == len(train) == 40
        again = list(epoch_of(train, stores, texts, settings, World(), 0))
        other = list(epoch_of(train, stores, texts, settings, World(), 1))
        assert all(torch.equal(a.token_ids, b.token_ids) for a, b in zip(steps, again, strict=True))
        for before, after in zip(steps, other, strict=True):
            assert not torch.equal(before.experts.features["near"], after.experts.features["near"])


def test_the_loss_averages_the_similarities_of_a_clips_captions() -> None:
    sounds, stores = collection()
    train = sounds.part("train")
    texts = Texts.read([c for i in train for c in i.captions], vectors(), lemma=True, spelling=True)
    settings = config("moee", captions="all")
    torch.manual_seed(0)
    model = build(settings, torch.from_numpy(texts.table))
    (step, *_) = epoch_of(train, stores, texts, settings, World(), 0)
    found = loss_of(model, step, settings, World(), torch.device("cpu"))
    audio, available, text, weights = model(step.experts, step.token_ids)
    total = 0.0
    scores = similarity(text, weights, audio, available).tolist()
    owner = step.owner.tolist()

    def of(caption_clip: int, clip: int) -> float:
        own = [row[clip] for row, each in zip(scores, owner, strict=True) if each == caption_clip]
        return sum(own) / len(own)

    for i in range(10):
        for j in range(10):
            if i != j:
                total += max(0, 0.2 + of(i, j) - of(i, i)) + max(0, 0.2 + of(j, i) - of(i, i))
    assert found.item() == pytest.approx(total / (2 * 90), rel=1e-5)  # fp32 against float64


def test_a_share_of_the_training_items_is_trained_on(tmp_path: Path) -> None:
    results = trained(tmp_path, config(epochs=1, share=25.0))
    state = torch.load(tmp_path / "last.pt", weights_only=True)["optimiser"]["state"]
    assert {int(each["step"]) for each in state.values()} == {1}  # ten clips: one batch
    assert results.test.text_to_audio.pool == 10


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["moee", "ce", "dual"])
def test_two_processes_have_the_loss_of_one(tmp_path: Path, kind: str) -> None:
    """Odd batches, clips that lack an expert, and all captions: every share differs from the other in size."""
    settings = {"batch": 13, "epochs": 3, "learning_rate": 0.003}
    alone = trained(tmp_path / "one", config(kind, **settings))
    program = (
        "import sys; from pathlib import Path; from tests.test_papers_loop import trained, config;"
        f"trained(Path(sys.argv[1]), config({kind!r}, **{settings!r}))"
    )
    script = tmp_path / "program.py"
    script.write_text(program)
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2", str(script)]
    env = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    done = subprocess.run([*command, str(tmp_path / "two")], env=env, capture_output=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr.decode()[-2000:]
    together = json.loads((tmp_path / "two" / "results.json").read_text())
    # sums over a batch in two parts: fp32 rounding, which a few optimiser steps carry on
    np.testing.assert_allclose(together["losses"], alone.losses, rtol=1e-3)
    np.testing.assert_allclose(together["losses"][0], alone.losses[0], rtol=1e-5)
    one, two = (PaperCheckpoint.load(tmp_path / name) for name in ("one", "two"))
    assert one.epoch == two.epoch
