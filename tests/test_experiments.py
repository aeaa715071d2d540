"""The papers' tables: what they print as published, and every command on made-up data, cut short and not."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.collections_case import make_audiocaps, make_everything
from tests.conftest import ROOT
from training.datasets.readers import READERS
from training.experiments import plot, table
from training.experiments.catalogue import EXPERIMENTS
from training.experiments.recipe import Row
from training.experiments.runner import Run, make
from training.experiments.sources import gathered
from training.experiments.table import Seed
from training.papers.authors_evaluation import MeanStd

PAPERS = ROOT.parent / "shared/papers"
TEXTS = {
    "paper1": "audio_text_retrieval_in_context.txt",
    "paper2": "audio_retrieval_with_natural_language_queries.txt",
}
LONGER = ("--seeds", "1", "--epochs", "12")
SMALL = ("--joint-width", "16")
"""The papers' joint spaces have up to 2048 dimensions: a checkpoint of that width has a gigabyte."""


def told(text: str) -> str:
    """A paper's figures as the recipes write them: "$29.3_{\\pm 0.3}$" -> "29.3±0.3"."""
    plain = re.sub(r"</?sub>|\\ |\\textbf|\\mathbf|\\bf|\\scriptstyle|[${}_|]", "", text)
    return re.sub(r"\s+", " ", re.sub(r"\s*(\\pm|±)\s*", "±", plain))


@pytest.mark.shared
@pytest.mark.skipif(not PAPERS.is_dir(), reason=f"the papers are not at {PAPERS}")
@pytest.mark.parametrize("name", EXPERIMENTS)
def test_published_figures_stand_in_the_paper_in_this_order(name: str) -> None:
    text = told((PAPERS / TEXTS[name.partition("-")[0]]).read_text(encoding="utf-8"))
    for row in EXPERIMENTS[name].rows:
        figures = " ".join(f"{each.mean}±{each.std}" for each in row.published.values())
        assert figures in text, (row.name, figures)


def test_published_pools_are_those_of_the_readers() -> None:
    pools = {each: READERS[each].clips["test"] for each in ("audiocaps", "clotho", "clotho-1", "activitynet")}
    assert pools == {"audiocaps": 816, "clotho": 1045, "clotho-1": 1045, "activitynet": 4917}
    assert READERS["queryd-segments"].clips["test"] == 1954


def row(experiment: str, name: str, collection: str) -> Row:
    (found,) = [
        each for each in EXPERIMENTS[experiment].rows if each.name == name and each.training.collection == collection
    ]
    return found


def test_a_training_that_stands_in_several_tables_is_one() -> None:
    for collection in ("audiocaps", "clotho"):
        three = [
            row("paper1-features", "CNN14", collection),
            row("paper1-poolings", "NetRVLAD", collection),
            row("paper1-comparison", "CNN14 + NetRVLAD", collection),
        ]
        assert len({each.training.folder for each in three}) == 1
    assert row("paper2-scale", "100 %", "audiocaps").training == row("paper2-pretraining", "CE", "audiocaps").training
    every = [each for experiment in EXPERIMENTS.values() for each in experiment.trainings()]
    settings = {(each.folder, each.collection, each.config, each.start) for each in every}
    assert len({each.folder for each in every}) == len(settings)


def test_what_a_training_begins_with_comes_before_it() -> None:
    trainings = EXPERIMENTS["paper2-padding"].trainings()
    folders = [each.folder for each in trainings]
    starts = [each for each in trainings if each.start]
    assert len(starts) == 4
    assert all(folders.index(each.start.folder) < folders.index(each.folder) for each in starts if each.start)
    longer = EXPERIMENTS["paper2-padding"].having({"epochs": 3}).trainings()
    assert all(each.config.epochs == 3 for each in longer) and not set(folders) & {each.folder for each in longer}


def test_other_settings_than_the_papers_are_told_as_flags() -> None:
    other = EXPERIMENTS["paper2-padding"].having({"joint_width": 16, "padded": False, "query_bank": True})
    assert other.flags == " --joint-width 16 --masked --query-bank" and other.flags in other.note
    configs = [each.config for each in other.trainings()]
    assert not any(each.padded for each in configs) and all(each.joint_width == 16 for each in configs)
    assert EXPERIMENTS["paper2-padding"].having({}) == EXPERIMENTS["paper2-padding"]


def test_all_that_is_missing_is_told_at_once_with_its_place(tmp_path: Path) -> None:
    make_audiocaps(tmp_path / "AudioCaps")
    with pytest.raises(FileNotFoundError) as error:
        gathered(EXPERIMENTS["paper1-comparison"], tmp_path, tmp_path / "words.bin")
    lines = str(error.value).splitlines()
    assert len(lines) == 9
    for words in (
        ("AudioCaps", "cnn14", "AudioCaps/AudioExpert/panns_cnn14"),
        ("AudioCaps", "vggsound", "structured-symlinks/aggregated_vggsound/vggsound-raw.hickle"),
        ("Clotho v2.1", f"{tmp_path}/CLOTHO", "clotho_captions_development.csv"),
        ("word vectors", f"{tmp_path}/words.bin"),
    ):
        assert any(all(word in line for word in words) for line in lines), words


def test_a_bad_file_of_features_is_told_with_the_rest(tmp_path: Path) -> None:
    make_everything(tmp_path)
    path = tmp_path / "CLOTHO-v1/features/vggish.h5"
    path.write_bytes(path.read_bytes()[:1000])
    with pytest.raises(FileNotFoundError, match=r"vggish\.h5 is no whole HDF5 file"):
        gathered(EXPERIMENTS["paper2-datasets"], tmp_path, tmp_path / "GoogleNews-vectors-negative300.bin")


@pytest.mark.parametrize("name", ["words.bin", "words.txt", "words.npz"])
def test_a_file_that_holds_no_word_vectors_is_refused_by_name(tmp_path: Path, name: str) -> None:
    make_everything(tmp_path)
    (tmp_path / name).write_bytes(b"PK a page that says where to log in")
    with pytest.raises(ValueError, match=rf"{name} holds no word vectors"):
        gathered(EXPERIMENTS["paper2-scale"], tmp_path, tmp_path / name)


def test_features_are_found_by_the_names_that_the_authors_gave_clips(tmp_path: Path) -> None:
    make_everything(tmp_path)
    sources = gathered(EXPERIMENTS["paper1-features"], tmp_path, tmp_path / "GoogleNews-vectors-negative300.bin")
    for name, collection in sources.collections.items():
        for store in sources.stores[name].values():
            assert all(item.id in store and store[item.id].ndim == 2 for item in collection.items)


FIGURES = ("r1", "r5", "r10", "median_rank", "pool")


def seed_of(r1: float, *, banked: float | None = None) -> Seed:
    figures = {f"{way}_{name}": 10.0 for way in ("t2a", "a2t") for name in FIGURES}
    query_bank = figures | {"t2a_r1": banked} if banked else None
    return Seed(figures | {"t2a_r1": r1, "t2a_pool": 8.0}, 2, 21_860_000, "abc1234", query_bank)


def test_a_table_has_means_sample_deviations_pools_and_what_is_not_finished(tmp_path: Path) -> None:
    make_everything(tmp_path)
    scale = EXPERIMENTS["paper2-scale"]
    sources = gathered(scale, tmp_path, tmp_path / "GoogleNews-vectors-negative300.bin")
    folders = [each.training.folder for each in scale.rows]
    seeds = [[seed_of(20.0), seed_of(21.0), seed_of(25.0)], [], [], [], [seed_of(20.0, banked=23.0)]]
    found = dict(zip(folders, seeds, strict=True))
    assert table.over([each.figures for each in seeds[0]])["t2a_r1"] == MeanStd(22.0, pytest.approx(7**0.5))
    lines = table.lines(scale, sources, found)
    assert lines[2].endswith("trained at commit abc1234")
    assert any(line.startswith("| 10 % | here | 3 | 8 | 22.0 ± 2.6 | 10.0 ± 0.0 |") for line in lines)
    assert any(line.startswith("| 100 % | here | 1 | 8 | 20.0 | 10.0 |") for line in lines)
    assert any(line.startswith("| | here, query-bank normalised | 1 | 8 | 23.0 | 10.0 |") for line in lines)
    assert any(line.startswith("| 25 % | here | 0 | - | - |") for line in lines)
    assert "| | published | 3 | 816 | 22.9 ± 0.0 | - | 70.2 ± 0.0 | - | 26.1 ± 0.2 | - | 72.7 ± 0.2 | - | |" in lines
    assert any("left out" in line and "10 % 2" in line for line in lines)
    assert any(line == "- test: 8 clips, published are 816" for line in lines)


def test_a_run_of_other_clips_or_words_is_not_taken_for_this_table(tmp_path: Path) -> None:
    make_everything(tmp_path)
    words = tmp_path / "GoogleNews-vectors-negative300.bin"
    training = EXPERIMENTS["paper2-scale"].rows[0].training
    run = Run(training, 0, gathered(EXPERIMENTS["paper2-scale"], tmp_path, words), tmp_path / "out")
    run.folder.mkdir(parents=True)
    (run.folder / "given.json").write_text(json.dumps(run.given | {"commit": "abc1234"}))
    assert run.came_to() is None
    (run.folder / "results.json").write_text('{"test": {"t2a_r1": 3.0}, "skip')
    assert run.came_to() is None  # cut short
    (run.folder / "results.json").write_text('{"test": {"t2a_r1": 3.0}, "skipped": [], "parameters": 5}')
    assert run.came_to() == Seed({"t2a_r1": 3.0}, 0, 5, "abc1234")
    ids = (tmp_path / "AudioCaps/train_list.txt").read_text().splitlines()
    (tmp_path / "AudioCaps/train_list.txt").write_text("\n".join(ids[1:]) + "\n")
    other = Run(training, 0, gathered(EXPERIMENTS["paper2-scale"], tmp_path, words), tmp_path / "out")
    with pytest.raises(ValueError, match="give another --out"):
        other.came_to()


def test_figure_2_is_a_curve_over_shares_with_the_published_points_on_it() -> None:
    scale = EXPERIMENTS["paper2-scale"]
    found = {
        each.training.folder: [seed_of(value - 1), seed_of(value + 1)]
        for each, value in zip(scale.rows, (4.0, 8.0, 12.0, 16.0, 20.0), strict=True)
    }
    del found[scale.rows[1].training.folder]
    (axes,) = plot.picture(scale, found | {scale.rows[1].training.folder: []}).axes
    curves = {each.get_label(): each for each in axes.containers}
    line, _, (bars,) = curves["T→A R@1"]
    assert line.get_xydata().tolist() == [[10, 4], [50, 12], [75, 16], [100, 20]]  # what is not finished has no point
    assert bars.get_segments()[0][:, 1] == pytest.approx([4 - 2**0.5, 4 + 2**0.5])
    published = [tuple(each.get_xydata()[0]) for each in axes.lines if each.get_label() == "published"]
    assert published == [(100, 22.9), (100, 70.2), (100, 26.1), (100, 72.7)]


def test_a_table_is_bars_with_the_published_points_on_them() -> None:
    padding = EXPERIMENTS["paper2-padding"]
    found = {each.training.folder: [seed_of(20.0)] for each in padding.rows}
    (axes,) = plot.picture(padding, found).axes
    assert [each.get_text() for each in axes.get_yticklabels()] == [each.name for each in padding.rows]
    assert [each.get_width() for each in axes.patches] == [20.0, 10.0, 10.0, 10.0] * len(padding.rows)
    points = [each[0].get_xdata()[0] for each in axes.containers if each.get_label() == "published"]
    assert points == [each.mean for row in padding.rows for each in row.published.values()]


def test_without_matplotlib_a_message_stands_for_the_plot(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert plot.missing() == ""
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    assert "earmark[train]" in plot.draw(EXPERIMENTS["paper2-scale"], {}, tmp_path)
    assert not list(tmp_path.iterdir())


def test_without_matplotlib_the_command_says_so_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    make_everything(tmp_path)
    scale = EXPERIMENTS["paper2-scale"]
    sources = gathered(scale, tmp_path, tmp_path / "GoogleNews-vectors-negative300.bin")
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    monkeypatch.setattr(Run, "came_to", lambda _: seed_of(20.0))  # nothing is left to train
    written = make(scale, sources, tmp_path / "out", seeds=1)
    assert capsys.readouterr().err.splitlines() == [plot.missing()] * 2, "before the training and after it"
    assert written.exists() and not written.with_suffix(".png").exists()


def test_the_readme_names_every_table() -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    assert [name for name in EXPERIMENTS if name not in readme] == []


def command(name: str, data: Path, out: Path, *more: str) -> list[str]:
    asked = ("experiment", name, "--data", str(data), "--out", str(out), *SMALL, *more)
    return [sys.executable, "-m", "training", *asked]


ENVIRONMENT = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}


def ran(name: str, data: Path, out: Path, *more: str) -> subprocess.CompletedProcess[str]:
    asked = command(name, data, out, *more)
    return subprocess.run(asked, env=ENVIRONMENT, cwd=ROOT, capture_output=True, text=True, check=False)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data")
    make_everything(folder)
    return folder


@pytest.fixture(scope="module")
def out(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("out")


@pytest.mark.slow
@pytest.mark.parametrize("name", EXPERIMENTS)
def test_every_table_is_made_from_beginning_to_end(name: str, data: Path, out: Path) -> None:
    seeds = 2 if name == "paper2-datasets" else 1
    more = ("--masked", "--query-bank") if name == "paper1-comparison" else ()
    done = ran(name, data, out, "--epochs", "2", "--seeds", str(seeds), *more)
    assert done.returncode == 0, done.stderr
    written = (out / f"{name}.md").read_text(encoding="utf-8")
    assert done.stdout == written
    experiment = EXPERIMENTS[name]
    assert [line.split(" | ")[:3] for line in written.splitlines() if " | here | " in line] == [
        [f"| {each.name}", "here", str(seeds)] for each in experiment.rows
    ]
    assert written.count("query-bank normalised | 1 |") == (len(experiment.rows) if more else 0)
    assert written.count("| published | 3 |") == sum(bool(each.published) for each in experiment.rows)
    assert (out / f"{name}.png").stat().st_size > 1000 and (out / f"{name}.json").exists()
    assert not list(out.rglob("last.pt"))
    if seeds > 1:
        again = ran(name, data, out, "--epochs", "2", "--seeds", str(seeds))
        assert again.returncode == 0 and again.stdout == written
        assert "run 1 of" not in again.stderr


@dataclass(frozen=True)
class Uncut:
    """A table that nobody interrupted."""

    out: Path
    stdout: str


@pytest.fixture(scope="module")
def uncut(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Uncut:
    out = tmp_path_factory.mktemp("uncut")
    return Uncut(out, ran("paper2-scale", data, out, *LONGER).stdout)


@pytest.mark.slow
@pytest.mark.parametrize("end", [signal.SIGKILL, signal.SIGINT], ids=["killed", "interrupted"])
def test_a_table_cut_short_and_resumed_is_the_table(
    end: signal.Signals, data: Path, tmp_path: Path, uncut: Uncut
) -> None:
    """In the middle of the third run of five."""
    process = subprocess.Popen(
        command("paper2-scale", data, tmp_path, *LONGER),
        env=ENVIRONMENT,
        cwd=ROOT,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    third = EXPERIMENTS["paper2-scale"].having({"epochs": 12, "joint_width": 16}).rows[2].training.folder
    last = tmp_path / "runs" / third / "seed-0/last.pt"
    while process.poll() is None and not last.exists():
        time.sleep(0.005)
    process.send_signal(end)
    told = process.communicate()[1]
    assert process.returncode != 0 and last.exists() and not (last.parent / "results.json").exists(), told
    if end == signal.SIGINT:
        assert "the same command goes on" in told and "Traceback" not in told
    resumed = ran("paper2-scale", data, tmp_path, *LONGER)
    assert resumed.returncode == 0, resumed.stderr
    assert re.findall(r"run (\d) of 5", resumed.stderr) == ["3", "4", "5"], resumed.stderr
    assert uncut.stdout == resumed.stdout
    results = list(uncut.out.glob("runs/*/seed-0/results.json"))
    assert len(results) == 5
    for path in results:
        assert path.read_text() == (tmp_path / path.relative_to(uncut.out)).read_text()


@pytest.mark.slow
def test_two_processes_make_one_table(data: Path, tmp_path: Path) -> None:
    """Its figures are one process's up to the order of sums (tests/test_papers_loop.py); here, that all rows are made,
    and that one process alone tells and writes."""
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--nproc_per_node", "2"]
    asked = torchrun + command("paper2-scale", data, tmp_path, "--epochs", "1", "--seeds", "1")[1:]
    done = subprocess.run(asked, env=ENVIRONMENT, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout == (tmp_path / "paper2-scale.md").read_text(encoding="utf-8")
    assert done.stdout.count(" | here | 1 | 8 |") == 5 and done.stderr.count("run 5 of 5") == 1
