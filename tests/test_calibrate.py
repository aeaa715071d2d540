"""`python -m benchmarks.calibrate`: thresholds chosen anew on validation scenes, nothing else of a bundle touched."""

import dataclasses
import json
import sys
from pathlib import Path

import numpy as np
import pytest

from benchmarks import calibrate as command
from benchmarks.calibrate import calibrate, margin_on
from benchmarks.retrieval.alerts import Answer, Truth, loosest
from benchmarks.retrieval.detection import ABOVE_REFERENCE, Heard
from benchmarks.retrieval.scenes import Event, Scene
from edge_runtime.background import Background
from edge_runtime.bundle import Bundle
from edge_runtime.manifest import Manifest
from export import background as made
from export.background import thinned
from tests.retrieval_case import write_sounds
from training.sounds import Clip, read_clips

MEMORY_S = 5.0


@pytest.fixture
def little_noise(monkeypatch: pytest.MonkeyPatch) -> None:
    """Enough for a background of every kind, and quick."""
    monkeypatch.setattr(made, "SHORT_S", (1.0,))
    monkeypatch.setattr(made, "LEVELS_DBFS", (-40,))
    monkeypatch.setattr(made, "TILTS", (0.0, 1.0))
    monkeypatch.setattr(made, "HUMS_HZ", (50,))


def digests(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.mark.usefixtures("little_noise")
def test_a_bundle_is_calibrated_to_the_same_bytes_each_time_and_its_graphs_stay(
    bundle_copy: Path, tmp_path: Path
) -> None:
    clips = read_clips(write_sounds(tmp_path / "sounds", split="val"))
    before, files = Manifest.read(bundle_copy), digests(bundle_copy)
    told = calibrate(bundle_copy, clips, rate=20, hours=0.025)
    once = digests(bundle_copy)
    assert {name for name in files if files[name] != once.get(name)} == {"background.npz", "manifest.json"}
    assert set(once) == set(files)
    after = Manifest.read(bundle_copy)
    assert after.fingerprint == before.fingerprint
    match = after.match
    assert (match.margin, match.sharpness, match.recall) == (told["margin"], told["sharpness"], told["recall"])
    assert told["search_map10_recalled"] >= told["search_map10_normalised"] >= told["search_map10_raw"]
    assert after.quality["scenes_false_alerts_per_hour"] <= 20
    opened = Bundle.open(bundle_copy)
    assert opened.background and opened.background.bank and len(opened.background.bank.texts) == 320
    calibrate(bundle_copy, clips, rate=20, hours=0.025)
    assert digests(bundle_copy) == once


@pytest.mark.usefixtures("little_noise")
def test_the_command_says_what_it_chose_and_refuses_a_folder_without_sounds(
    bundle_copy: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    sounds = write_sounds(tmp_path / "sounds", split="val")
    line = ["calibrate", str(bundle_copy), "--sounds", str(sounds), "--hours", "0.025", "--false-alerts", "0"]
    monkeypatch.setattr(sys, "argv", line)
    assert command.run() == 0
    assert json.loads(capsys.readouterr().out.splitlines()[-1])["scenes_false_alerts_per_hour"] == 0
    monkeypatch.setattr(sys, "argv", [*line[:3], str(tmp_path / "none")])
    assert command.run() == 2
    assert "no clips.csv" in capsys.readouterr().err


def windows(*told: tuple[float, str, float]) -> list[Answer]:
    return [Answer(max(0.0, end - 5), end, end, phrase, score) for end, phrase, score in told]


def test_the_margin_is_the_lowest_with_so_few_false_alerts_and_noise_may_ask_for_more() -> None:
    dog = Event(Clip(Path("dog.wav"), "val", "dog", (), "dog", "esc50", "CC0", -20.0), 50.0, 54.0)
    truth = Truth([dog], {"dog": frozenset({"a dog barking"})}, frozenset())
    above = {"a dog barking": 0.1, "rain": 0.2}
    answers = windows(
        (20, "rain", 0.05),  # false from .25 down
        (30, "a dog barking", 0.06),  # false from .16 down
        (40, "rain", -0.01),  # below what noise asks of rain: never heard
        (52, "a dog barking", 0.02),  # a hit from .12 down
    )
    scene = Scene(20.0, None, (dog,), 3600.0, 0)
    heard = [Heard(scene, truth, {ABOVE_REFERENCE: answers})]
    found = {rate: margin_on(heard, above, rate, memory_s=MEMORY_S) for rate in (0.0, 1.0, 2.0)}
    assert found[0.0][0] == pytest.approx(0.252) and found[0.0][1]["scenes_hits"] == 0
    assert found[1.0][0] == pytest.approx(0.162) and found[1.0][1]["scenes_hits"] == 0
    assert found[2.0][0] == 0 and found[2.0][1] == {"scenes_hits": 100.0, "scenes_false_alerts_per_hour": 2.0}


def test_a_threshold_is_loosened_until_more_are_false_and_never_past_that() -> None:
    """Below .3 the two false alerts merge into one: that is not looked for."""
    truth = Truth([], {}, frozenset())
    answers = windows((10, "rain", 0.5), (14, "rain", 0.2), (18, "rain", 0.4))
    found = loosest([(answers, truth)], 1, memory_s=MEMORY_S, low=0.0, high=0.6)
    assert 0.4 < found <= 0.402


def test_thinning_keeps_the_thresholds_of_the_bundles_phrases(bundle: Bundle) -> None:
    background = bundle.background
    assert background is not None and background.bank is not None
    phrases = bundle.embed_text(["rain", "a dog barking", "silence", "a siren"])
    loose = dataclasses.replace(bundle.manifest.match, margin=-1.0)
    few = thinned(background, phrases[:3])
    kept, before = (each.thresholds(phrases[:3], loose) for each in (few, background))
    np.testing.assert_allclose(kept, before, rtol=0, atol=1e-6)  # a row's float32 sum depends on those beside it
    assert isinstance(few, Background) and few.held.sum() == background.held.sum()
