"""`python -m training system`: the papers' systems on any collection, with settings that are none of a table's."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

torch = pytest.importorskip("torch", reason="needs the train extra")
pytest.importorskip("h5py", reason="needs the train extra")

from tests.collections_case import features, make_archive, make_audiocaps, write_h5, write_wav, write_words  # noqa: E402
from training.__main__ import run_command  # noqa: E402
from training.experts.store import LAYOUTS, expert_of  # noqa: E402
from training.papers.checkpoint import PaperCheckpoint  # noqa: E402

pytestmark = pytest.mark.usefixtures("one_torch_thread")

Command = Callable[..., tuple[int, str, str]]


@pytest.fixture
def command(capfd: pytest.CaptureFixture[str], tmp_path: Path) -> Command:
    """Exit code, standard output and standard error of `python -m training system …`, in this process."""
    write_words(tmp_path / "words.bin")
    capfd.readouterr()  # gensim warns there, where an earlier test has set up logging

    def run(*arguments: object) -> tuple[int, str, str]:
        common = ("--vectors", tmp_path / "words.bin", "--joint-width", 8, "--epochs", 2, "--device", "cpu")
        code = run_command(["system", *(str(each) for each in (*arguments, *common))])
        return code, *capfd.readouterr()

    return run


def test_sounddescs_by_moee_with_infonce_and_adamw(command: Command, tmp_path: Path) -> None:
    """No table of the papers has this collection, this loss or this optimiser."""
    folder = tmp_path / "SoundDescs"
    ids = [id for part in make_archive(folder, "descriptions.pkl", "x").values() for id in part]
    for name, width in (("vggish", 128), ("vggsound", 512)):
        write_h5(folder / f"features/{name}.h5", features(ids[1:], width, 9, seed=1))
    asked = ("moee", "sounddescs", folder, "--loss", "infonce", "--optimiser", "adamw", "--query-bank", "true")
    code, out, error = command(*asked, "--learning-rate", 0.003, "--out", tmp_path / "run")
    assert code == 0 and "1 clips left out" in error
    told = json.loads(out.splitlines()[-1])
    results = json.loads((tmp_path / "run/results.json").read_text())
    assert results["test"].items() <= told.items() and told["t2a_pool"] == 8 and results["query_bank"]
    assert [each["id"] for each in results["skipped"]] == [ids[0]]
    config = PaperCheckpoint.load(tmp_path / "run").config
    assert (config.model, config.loss, config.optimiser, config.query_bank) == ("moee", "infonce", "adamw", True)
    assert [(each.name, each.frames) for each in config.experts] == [("vggish", 29), ("vggsound", 29)]
    again = command(*asked, "--learning-rate", 0.003, "--out", tmp_path / "run")
    assert again[0] == 0 and json.loads(again[1].splitlines()[-1]) == told  # nothing is left to train


def test_a_folder_of_ones_own_from_audio_on(command: Command, tmp_path: Path) -> None:
    for i in range(10):
        write_wav(tmp_path / f"own/{'a dog' if i % 2 else 'a bell'}/{i}.wav", seconds=1.0)
    asked = ("--expert", "lms", "--collection", "folder", "--data", str(tmp_path / "own"), "--workers", "1")
    assert run_command(["features", *asked]) == 0
    code, _, error = command(
        "dual", "folder", tmp_path / "own", "--experts", "lms=10", "--clusters", 4, "--out", tmp_path / "run"
    )
    assert code == 0 and "0 clips left out" in error
    assert PaperCheckpoint.load(tmp_path / "run").config.experts[0].clusters == 4


def test_from_audiocaps_to_another_collection(command: Command, tmp_path: Path) -> None:
    caps, sounds = tmp_path / "AudioCaps", tmp_path / "SoundDescs"
    parts = (make_audiocaps(caps, lists=False), make_archive(sounds, "descriptions.pkl", "x"))
    for folder, made in zip((caps, sounds), parts, strict=True):
        write_h5(folder / "features/vggish.h5", features([id for ids in made.values() for id in ids], 128, 9, seed=1))
    one = ("--experts", "vggish=10")
    assert command("ce", "audiocaps-975", caps, *one, "--out", tmp_path / "first")[0] == 0
    asked = ("ce", "sounddescs", sounds, *one, "--captions", "all", "--start-from", tmp_path / "first")
    assert command(*asked, "--out", tmp_path / "second")[0] == 0
    losses = [json.loads((tmp_path / name / "results.json").read_text())["losses"] for name in ("first", "second")]
    assert losses[1][0] < losses[0][0]


def test_what_makes_no_sense_is_refused_in_a_line(command: Command, tmp_path: Path) -> None:
    make_archive(tmp_path, "descriptions.pkl", "x")
    for asked, message in (
        (("ce", "music", tmp_path), "there is no collection 'music'"),
        (("cd", "sounddescs", tmp_path), "model 'cd' is not known"),
        (("ce", "sounddescs", tmp_path, "--experts", "vgg=3"), "'vgg=3' is no expert: give NAME=ROWS"),
        (("ce", "sounddescs", tmp_path), "features of vggish are missing: expected at "),
    ):
        code, out, error = command(*asked)
        assert (code, out) == (2, "") and error.startswith("training: ") and message in error, error
    code, _, error = command("ce", "sounddescs", tmp_path, "--padded", "perhaps")
    assert code == 2 and "expected true or false" in error.replace("\n", " ")


def test_every_expert_of_a_layout_can_be_asked_for() -> None:
    assert all(expert_of(f"{name}=3", clusters=2).width == layout.width for name, layout in LAYOUTS.items())
    assert expert_of("scene", clusters=2).fixed
