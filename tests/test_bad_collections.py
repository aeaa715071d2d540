"""Bad data of one's own, through the commands: each is refused or left out in plain lines that name file and field."""

import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

torch = pytest.importorskip("torch", reason="needs the train extra")
pytest.importorskip("h5py", reason="needs the train extra")

from tests.collections_case import (  # noqa: E402
    make_audiocaps,
    make_everything,
    sentence,
    write_csv,
    write_pickle,
    write_wav,
)
from training.__main__ import run_command  # noqa: E402
from training.experiments.catalogue import EXPERIMENTS  # noqa: E402
from training.experts.vggsound import Vggsound  # noqa: E402

Told = tuple[int, str, str]
Command = Callable[..., Told]
CAPS = "AudioCaps"
SCENE = f"{CAPS}/structured-symlinks/aggregated_scene_25fps_256px_stride1_offset0/densenet161-avg.pickle"


@pytest.fixture
def command(capfd: pytest.CaptureFixture[str]) -> Command:
    """Exit code, standard output and standard error of `python -m training ARGUMENTS`, all from this process."""

    def run(*arguments: object) -> Told:
        code = run_command([str(each) for each in arguments])
        return code, *capfd.readouterr()

    return run


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data")
    make_everything(folder)
    return folder


@pytest.fixture
def data(whole: Path, tmp_path: Path) -> Path:
    """All collections, as links: what a test spoils it puts there itself."""
    for path in whole.rglob("*"):
        if path.is_file():
            link = tmp_path / "data" / path.relative_to(whole)
            link.parent.mkdir(parents=True, exist_ok=True)
            link.symlink_to(path)
    return tmp_path / "data"


def in_place_of(path: Path) -> Path:
    path.unlink()
    return path


class Harmful:
    """What a pickle of a stranger may hold."""

    def __reduce__(self) -> tuple[Callable[[str], int], tuple[str]]:
        return os.system, ("echo harm",)


def refused(told: Told, *words: str) -> None:
    """One line of what is wrong, or a heading and a line for each thing; nothing was begun."""
    code, out, error = told
    assert (code, out) == (2, ""), told
    assert error.startswith("training: ") and "Traceback" not in error
    assert all(word in error for word in words), error


def test_a_pickle_that_would_run_code(data: Path, tmp_path: Path, command: Command) -> None:
    write_pickle(in_place_of(data / SCENE), {"x": Harmful()})
    told = command("experiment", "paper2-experts", "--data", data, "--out", tmp_path / "out")
    refused(told, str(data / SCENE), "wants posix.system", "nothing of it was run")
    assert "harm\n" not in told[1] + told[2] and not (tmp_path / "out").exists()


def test_features_cut_short(data: Path, tmp_path: Path, command: Command) -> None:
    path = data / "CLOTHO/features/cnn14.h5"
    content = path.read_bytes()
    in_place_of(path).write_bytes(content[: len(content) // 2])
    told = command("experiment", "paper1-poolings", "--data", data, "--out", tmp_path / "out")
    refused(told, str(path), "is no whole HDF5 file", "copy it again")


def test_a_table_without_a_column(data: Path, tmp_path: Path, command: Command) -> None:
    path = data / "CLOTHO/clotho_captions_validation.csv"
    write_csv(in_place_of(path), ("file_name", "caption_1"), [("a.wav", "a dog barks")])
    told = command("experiment", "paper1-features", "--data", data, "--out", tmp_path / "out")
    refused(told, f"{path}, line 1 lacks the columns ['caption_2', 'caption_3', 'caption_4', 'caption_5']")
    refused(command("dataset", "clotho", data / "CLOTHO"), f"{path}, line 1 lacks the columns")


@pytest.mark.parametrize("workers", [1, 2])
def test_weights_of_another_network(workers: int, tmp_path: Path, command: Command) -> None:
    for i in range(5):
        write_wav(tmp_path / f"own/a dog/{i}.wav")
    path = tmp_path / "H.pth.tar"
    other = {**Vggsound().state_dict(), "audnet.fc.weight": torch.zeros(310, 512)}
    torch.save({"model_state_dict": other}, path)
    asked = ("--expert", "vggsound", "--collection", "folder", "--data", tmp_path / "own", "--workers", workers)
    told = command("features", *asked, "--weights", path)
    refused(told, f"{path}: audnet.fc.weight is (310, 512), expected (309, 512)")


def test_a_clip_without_audio_and_an_empty_caption(tmp_path: Path, command: Command) -> None:
    folder = tmp_path / CAPS
    made = make_audiocaps(folder, lists=False)
    for names in made.values():
        for id in names[1:]:
            write_wav(folder / "audio" / f"{id}.wav", seconds=1.0)
    table = folder / "test.csv"
    table.write_text(table.read_text(encoding="utf-8").replace(sentence(2, 4), " "), encoding="utf-8")
    (folder / "audio" / f"{made['val'][2]}.wav").write_bytes(b"no audio at all")
    code, out, _ = command("dataset", "audiocaps-975", folder, "--all")
    silent = [f"- {split} {names[0]}: no audio {folder / 'audio' / names[0]}.wav" for split, names in made.items()]
    assert code == 1 and all(line in out.splitlines() for line in silent)
    lines = [line for line in out.splitlines() if f"{table}, line" in line]
    assert len(lines) == 1 and lines[0].endswith("caption: 1 of 5 captions empty, the others stay")
    asked = ("--expert", "lms", "--collection", "audiocaps-975", "--data", folder, "--workers", 1)
    code, out, _ = command("features", *asked)
    heard = sum(len(names) - 1 for names in made.values()) - 1
    assert code == 0 and f"lms.h5: {heard} clips, 1 left out" in out
    (line,) = [line for line in out.splitlines() if made["val"][2] in line]
    assert f"{made['val'][2]}.wav is no audio that can be read" in line


def test_a_training_that_begins_with_another_architecture(
    data: Path, tmp_path: Path, command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The checkpoint of AudioCaps that Clotho's training begins with is one of another width."""
    name = "paper2-padding"
    (row,) = (each for each in EXPERIMENTS[name].rows if each.name == "CE z0, from AudioCaps")
    monkeypatch.setitem(EXPERIMENTS, name, replace(EXPERIMENTS[name], rows=(row,)))
    asked = ("experiment", name, "--data", data, "--epochs", 1, "--seeds", 1, "--device", "cpu")
    narrow, wide = ((*asked, "--joint-width", width, "--out", tmp_path / str(width)) for width in (8, 16))
    assert command(*narrow)[0] == command(*wide)[0] == 0
    (other,), (own,) = (tmp_path.glob(f"{width}/runs/audiocaps-*/seed-0/best.pt") for width in (8, 16))
    own.write_bytes(other.read_bytes())
    (result,) = tmp_path.glob("16/runs/clotho-*/seed-0/results.json")
    result.unlink()
    code, out, error = command(*wide)
    assert (code, out) == (2, "")
    last = error.splitlines()[-1]
    assert last == f"training: {own} is a checkpoint of another architecture: width 8 there, 16 here"
