"""A published PANNs checkpoint, all the way: the authors' file -> `python -m export` -> a bundle that streams."""

import csv
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile

torch = pytest.importorskip("torch", reason="needs the train extra")
pytest.importorskip("onnx", reason="needs the export extra")

from conftest import ROOT, Earmark  # noqa: E402
from panns_case import save_published  # noqa: E402
from streaming_case import frames_of, random_checkpoint, random_net, sounds  # noqa: E402

from edge_runtime.bundle import Bundle  # noqa: E402
from edge_runtime.listener import Listener  # noqa: E402
from edge_runtime.mel import log_mel  # noqa: E402
from training.panns import CNN10, Panns  # noqa: E402
from training.sounds import COLUMNS  # noqa: E402

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("one_torch_thread")]

RATE_HZ = 32_000
TOLERANCE = 2e-5
"""PyTorch and onnxruntime sum in other orders; segments here are of unit scale."""
PHRASES = ["a dog barks", "rain", "a loud engine"]


@pytest.fixture(scope="module")
def net() -> Panns:
    """CNN10 as published, 5.2 M weights: the widths are the authors', the numbers random."""
    return random_net(CNN10)


@pytest.fixture(scope="module")
def exported(net, tmp_path_factory) -> Path:
    """The folder that the real command writes from files alone."""
    folder = tmp_path_factory.mktemp("export")
    save_published(net, folder / "Cnn10_mAP=0.380.pth")
    checkpoint = random_checkpoint(CNN10.segment_dim)
    (folder / "train").mkdir()
    checkpoint.save(folder / "train/best.pt")
    save_sounds(folder / "sounds")
    (folder / "phrases.txt").write_text("".join(f"{phrase}\n" for phrase in PHRASES))
    files = ["--encoder", folder / "Cnn10_mAP=0.380.pth", "--sounds", folder / "sounds"]
    options = ["--network", "cnn10", "--profiles", "small,exact", "--phrases", folder / "phrases.txt"]
    command = [sys.executable, "-m", "export", folder / "train", folder / "bundle", *files, *options]
    done = subprocess.run([*map(str, command)], cwd=ROOT, capture_output=True, text=True, timeout=600, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return folder / "bundle"


def save_sounds(folder: Path) -> None:
    """A table of training clips; none to validate on, for random weights retrieve nothing."""
    folder.mkdir()
    with (folder / "clips.csv").open("w", newline="") as file:
        table = csv.DictWriter(file, COLUMNS)
        table.writeheader()
        for number, sound in enumerate(sounds(8, seconds=2)):
            soundfile.write(folder / f"{number}.wav", sound, RATE_HZ, subtype="FLOAT")
            row = dict.fromkeys(COLUMNS, "") | {"file": f"{number}.wav", "split": "train", "rms_dbfs": "-20"}
            table.writerow(row)


def streamed(bundle: Bundle, frames: np.ndarray) -> np.ndarray:
    """All segments of frames (T, M), pushed a prime number at a time."""
    encoder = bundle.encoder()
    found: list[np.ndarray] = []
    for start in range(0, len(frames), 37):
        encoder.push(frames[start : start + 37])
        found += [encoder.segments(at, at + 1) for at in range(len(found), encoder.available)]
    encoder.flush()
    found += [encoder.segments(at, at + 1) for at in range(len(found), encoder.available)]
    return np.concatenate(found)


@pytest.mark.parametrize("profile", ["small", "exact"])
def test_the_bundle_of_a_published_checkpoint_streams_what_it_gives_offline(exported, net, profile):
    """Bit for bit in onnxruntime; `exact` is the checkpoint's own network."""
    bundle = Bundle.open(exported, profile=profile)
    assert bundle.manifest.encoder.segment_frames == CNN10.hop_frames
    sound = sounds(1, seconds=13, seed=21)[0]
    frames = log_mel(bundle.manifest.mel, bundle.tables, sound)
    whole = bundle.whole_clip(frames)
    assert np.array_equal(streamed(bundle, frames), whole)
    if profile == "exact":
        x = torch.from_numpy(frames_of(net, [sound])[0].T.copy())[None]
        with torch.no_grad():
            eager = net.encode(x, net.start_state(), net.right_edge())[0][0].numpy()
        assert np.abs(whole - eager).max() < TOLERANCE


def test_a_listener_of_that_bundle_gives_the_windows_of_the_whole_recording(exported):
    bundle = Bundle.open(exported)
    plan, sound = bundle.manifest.window, sounds(1, seconds=13, seed=22)[0]
    segments = bundle.whole_clip(log_mel(bundle.manifest.mel, bundle.tables, sound))
    listener = Listener(bundle)
    windows = [w for at in range(0, len(sound), 999) for w in listener.push(sound[at : at + 999])]
    windows += listener.flush()
    assert len(windows) > 1
    for window in windows:
        rows = segments[window.index : window.index + plan.segments]
        assert np.array_equal(window.embedding, bundle.embed_segments(rows))


def test_the_command_hears_with_that_bundle(exported, earmark: Earmark, tmp_path):
    soundfile.write(tmp_path / "heard.wav", sounds(1, seconds=11)[0], RATE_HZ)
    found = earmark("caption", tmp_path / "heard.wav", "--json", f"--bundle={exported}")
    assert found.code == 0, found.err
    assert {match["phrase"] for match in found.rows[0]["matches"]} == set(PHRASES)


def test_its_card_and_manifest_name_the_authors(exported):
    manifest = json.loads((exported / "manifest.json").read_text())
    assert any("arXiv:1912.10211" in notice and "CC BY 4.0" in notice for notice in manifest["notices"])
    assert "arXiv:1912.10211" in (exported / "MODEL_CARD.md").read_text()
