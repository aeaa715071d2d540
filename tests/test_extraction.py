"""Extraction: what each expert gives for a clip, in parallel, resumed, stopped, and with files that are bad."""

import csv
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import soundfile

torch = pytest.importorskip("torch", reason="needs the train extra")
pytest.importorskip("h5py", reason="needs the train extra")

from conftest import ROOT  # noqa: E402
from panns_case import save_published  # noqa: E402

from edge_runtime.errors import EarmarkError  # noqa: E402
from training import mn, panns  # noqa: E402
from training.datasets.collection import Collection, Item  # noqa: E402
from training.experts import extraction, extractors, vggish  # noqa: E402
from training.experts.extraction import extract  # noqa: E402
from training.experts.extractors import SOURCES, extractor, fingerprint  # noqa: E402
from training.experts.hdf5 import Hdf5Features  # noqa: E402
from training.experts.store import LAYOUTS, FeatureStore  # noqa: E402
from training.experts.vggsound import Vggsound  # noqa: E402
from training.features import load_samples  # noqa: E402
from training.published import Published  # noqa: E402

pytestmark = pytest.mark.usefixtures("one_torch_thread")


@pytest.fixture
def collection(tmp_path: Path, noise) -> Collection:
    """Six clips of half a second to three, one without audio, one that is no audio, one that is cut short."""
    folder = tmp_path / "sounds"
    folder.mkdir()
    items = []
    for i in range(6):
        path = folder / f"clip {i}.wav"
        soundfile.write(path, noise(0.5 * (i + 1), seed=i), 32_000, subtype="PCM_16")
        items.append(Item(f"folder/clip {i}", ("train", "val", "test")[i % 3], ("a sound",), path))
    (folder / "text.wav").write_text("no audio at all")
    whole = (folder / "clip 5.wav").read_bytes()
    (folder / "cut.wav").write_bytes(whole[: len(whole) // 2])
    items += [
        Item("silent film", "train", ("nothing",)),
        Item("text", "val", ("nothing",), folder / "text.wav"),
        Item("cut", "test", ("nothing",), folder / "cut.wav"),
    ]
    return Collection("made up", tuple(items))


@pytest.mark.parametrize("workers", [1, 2])
def test_every_clip_has_its_own_rows_and_what_is_left_out_is_listed(workers, collection, tmp_path: Path):
    found = extract(collection, "lms", out=tmp_path / "out", workers=workers)
    assert (found.clips, len(found.skipped)) == (6, 3)
    store = FeatureStore.open(found.path, "lms")
    hear = extractor("lms")
    for item in collection.items[:6]:
        np.testing.assert_array_equal(store[item.id], hear(load_samples(item.audio, 32_000)))
    reasons = {each.id: each.reason for each in found.skipped}
    assert reasons["silent film"] == "it has no audio"
    assert "text.wav is no audio that can be read" in reasons["text"] and "cut.wav is cut short" in reasons["cut"]
    with (tmp_path / "out/lms.skipped.csv").open(encoding="utf-8", newline="") as file:
        assert {row["id"]: row["reason"] for row in csv.DictReader(file)} == reasons
    assert found.lines(listed=1)[0].endswith("lms.h5: 6 clips, 3 left out")
    assert found.lines(listed=1)[2].startswith("  and 2 more: ")
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["lms.h5", "lms.skipped.csv"]


def test_a_run_goes_on_where_it_was_and_only_what_lacks_is_heard(collection, tmp_path: Path, monkeypatch):
    heard = []

    def counted(hear, item, *, real=extraction._hear):
        heard.append(item.id)
        if item.id.endswith("3") and len(heard) == 4:
            raise KeyboardInterrupt
        return real(hear, item)

    monkeypatch.setattr(extraction, "_hear", counted)
    with pytest.raises(KeyboardInterrupt):
        extract(collection, "lms", out=tmp_path / "out")
    assert sorted(path.name for path in (tmp_path / "out/lms.parts").iterdir()) == ["000001.h5"]
    # a part that a power cut spoiled costs its own clips alone
    (tmp_path / "out/lms.parts/000002.h5").write_bytes(b"half a file")
    assert extract(collection, "lms", out=tmp_path / "out").clips == 6
    assert len(heard) == 4 + 6 and heard[4:7] == [f"folder/clip {i}" for i in (3, 4, 5)]
    # what could not be heard is tried again, what was heard is not
    again = extract(collection, "lms", out=tmp_path / "out")
    assert again.clips == 6 and heard[10:] == ["silent film", "text", "cut"]


def test_other_weights_never_join_a_file(collection, tmp_path: Path):
    extract(collection, "lms", out=tmp_path / "out")
    (tmp_path / "out/mfcc.h5").write_bytes((tmp_path / "out/lms.h5").read_bytes())
    with pytest.raises(EarmarkError, match=r"mfcc\.h5 was extracted with lms, this is mfcc: give another --out"):
        extract(collection, "mfcc", out=tmp_path / "out")


def command(folder: Path, out: Path, *more: str) -> list[str]:
    line = ["features", "--expert", "lms", "--collection", "folder", "--data", str(folder), "--out", str(out), *more]
    return [sys.executable, "-m", "training", *line]


def environment() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}


@pytest.fixture
def own_sounds(tmp_path: Path, noise) -> Path:
    folder = tmp_path / "own"
    (folder / "a hum").mkdir(parents=True)
    for i in range(24):
        soundfile.write(folder / f"a hum/{i}.wav", noise(20, seed=i), 32_000, subtype="PCM_16")
    return folder


@pytest.mark.slow
@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGKILL], ids=["ctrl-c", "kill"])
def test_a_command_that_was_ended_leaves_no_process_behind_and_goes_on(how, own_sounds: Path, tmp_path: Path):
    out = tmp_path / "out"
    pipe = subprocess.PIPE
    running = subprocess.Popen(
        command(own_sounds, out, "--workers", "2"), env=environment(), stdout=pipe, stderr=pipe, start_new_session=True
    )
    while not (out / "lms.parts").exists():  # the workers start after it
        assert running.poll() is None, running.stderr.read()
        time.sleep(0.05)
    time.sleep(1)
    if how == signal.SIGINT:
        os.killpg(running.pid, how)  # as a terminal does: to all of the group
    else:
        running.kill()
    _, faults = running.communicate(timeout=120)  # returns when the last process has closed its pipes
    if how == signal.SIGINT:
        assert running.returncode == 130
        assert faults.decode().splitlines() == [
            f"training: stopped; what is finished is in {out}: the same command goes on"
        ]
    done = subprocess.run(
        command(own_sounds, out, "--workers", "1"), env=environment(), capture_output=True, check=True
    )
    assert b"lms.h5: 24 clips, 0 left out" in done.stdout


def killed(item: Item) -> None:
    """A worker whose memory the kernel wants back."""
    os._exit(9)


def test_a_worker_that_ends_is_told_and_what_is_finished_stays(collection, tmp_path: Path, monkeypatch):
    monkeypatch.setattr(extraction, "_work", killed)
    with pytest.raises(EarmarkError, match=r"a worker process of lms ended, .* with --workers 1 in less memory"):
        extract(collection, "lms", out=tmp_path / "out", workers=2)
    assert (tmp_path / "out/lms.parts").is_dir()


def test_an_unknown_expert_is_refused_and_weights_are_asked_for():
    with pytest.raises(EarmarkError, match="'ears' is no expert that hears: there are lms, mfcc, vggish"):
        extractor("ears")
    with pytest.raises(
        EarmarkError, match=r"vggish needs its weights: give --weights, the path of vggish-10086976\.pth"
    ):
        extractor("vggish")
    with pytest.raises(EarmarkError, match=r"Cnn14_mAP=0\.431\.pth is missing: download"):
        fingerprint("cnn14", Path(__file__).parent)


def weights_of(name: str, folder: Path) -> Path:
    """A file of random weights by the names of the published one."""
    torch.manual_seed(0)
    path = folder / "net.pth"
    if name.startswith("cnn"):
        save_published(panns.Panns({"cnn14": panns.CNN14, "cnn10": panns.CNN10, "cnn6": panns.CNN6}[name]), path)
    elif name.startswith("mn"):
        torch.save(mn.MobileNet({"mn04": mn.MN04, "mn10": mn.MN10}[name]).state_dict(), path)
    elif name == "vggish":
        torch.save(vggish.Vggish().state_dict(), path)
    elif name == "vggsound":
        torch.save({"model_state_dict": Vggsound().state_dict()}, path)
    return path


TEN_SECONDS = {"cnn14": 31, "cnn10": 62, "cnn6": 62, "vggish": 10, "vggsound": 32}
"""Rows of 10 s; the others here have one for each 0.32 s begun."""


@pytest.mark.parametrize(
    "name", [name for name in SOURCES if name != "cnn14"] + [pytest.param("cnn14", marks=pytest.mark.slow)]
)
def test_every_expert_hears_ten_seconds_in_the_papers_rows_and_the_shortest_clip_in_one(
    name, noise, tmp_path: Path, monkeypatch
):
    """CNN14 has 31 rows for 10 s, CNN10 62, VGGish 10: the lengths to which the first paper pads AudioCaps."""
    for module, constant in ((panns, f"{name.upper()}_FILE"), (mn, f"{name.upper()}_FILE"), (vggish, "FILE")):
        if hasattr(module, constant):
            monkeypatch.setattr(module, constant, Published("net.pth", "nowhere"))
    hear = extractor(name, weights_of(name, tmp_path))
    samples = noise(10, rate_hz=hear.rate_hz)
    rows = hear(samples)
    assert rows.shape == (TEN_SECONDS.get(name, 32), LAYOUTS[name].width) and rows.dtype == np.float32
    assert np.isfinite(rows).all()
    short = hear(samples[:20])
    assert short.shape == (1, LAYOUTS[name].width) and np.isfinite(short).all()


def test_a_recording_heard_in_parts_equals_it_heard_whole(noise, monkeypatch):
    """PANNs stream, VGGish's examples stand alone. float32 sums of other shapes: 1e-4 of unit scale."""
    torch.manual_seed(0)
    net = panns.Panns(panns.PannsConfig((4, 8, 8, 12, 12, 16), pool_last=False)).eval()
    samples = noise(30)
    parts = []
    for at_once in (4, 10_000):
        monkeypatch.setattr(extractors, "AT_ONCE", at_once)
        parts.append(extractors.Extractor(32_000, extractors._panns(net).rows)(samples))
    assert parts[0].shape == (93, 16)
    np.testing.assert_allclose(parts[0], parts[1], atol=1e-4)


def test_the_file_says_what_made_it(collection, tmp_path: Path):
    found = extract(collection, "mfcc", out=tmp_path / "out")
    with Hdf5Features(found.path) as features:
        assert features.attributes["made_with"] == "mfcc"
