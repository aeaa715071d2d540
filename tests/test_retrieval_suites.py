"""`python -m benchmarks retrieval` from audio to JSON: on sounds synthesised here, and on a few shared ones."""

import json
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile

from benchmarks.__main__ import app, main
from benchmarks.retrieval.answers import NOTHING
from benchmarks.retrieval.closed import closed
from benchmarks.retrieval.contender import Contender
from benchmarks.retrieval.heard import CLEAN, hear
from benchmarks.retrieval.variants import VARIANTS
from edge_runtime.bundle import DEFAULT_BUNDLE
from edge_runtime.manifest import Manifest
from edge_runtime.matching.matcher import WITHIN
from tests.retrieval_case import write_sounds
from training.evaluate import evaluate
from training.sounds import read_clips

Run = Callable[..., tuple[list[str], dict]]


@pytest.fixture(autouse=True)
def few_resamples(monkeypatch: pytest.MonkeyPatch) -> None:
    """Enough for an interval of any width, and quick."""
    monkeypatch.setattr("training.bootstrap.RESAMPLES", 40)


@pytest.fixture(scope="module")
def sounds(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_sounds(tmp_path_factory.mktemp("sounds"))


@pytest.fixture(scope="module")
def contender() -> Contender:
    return Contender.open(None, profile=None)


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Run:
    def command(*arguments: str | Path) -> tuple[list[str], dict]:
        app(["retrieval", *map(str, arguments), "--out", str(tmp_path / "plots")], standalone_mode=False)
        lines = capsys.readouterr().out.splitlines()
        return lines, json.loads(lines[-1])

    return command


def intervals(figures: object) -> list[dict[str, float]]:
    """All intervals of a JSON value, however deep."""
    if isinstance(figures, dict):
        if set(figures) == {"value", "low", "high"}:
            return [figures]
        figures = list(figures.values())
    return [found for each in figures for found in intervals(each)] if isinstance(figures, list) else []


def test_the_closed_figures_are_those_of_training_evaluate(sounds: Path, contender: Contender) -> None:
    clips = read_clips(sounds)
    windows = [contender.recording(clip.path) for clip in clips]
    found, guesses = closed(contender, clips, windows, seed=0)
    expected = evaluate(clips, windows, contender.texts)
    for task, table in (("labels", expected.labels), ("captions", expected.captions)):
        for way, ranking in table.items():
            for name in ("r1", "r5", "r10", "map10"):
                assert found[task][way][name].value == pytest.approx(getattr(ranking, name)), (task, way, name)
    assert {name: value.value for name, value in found["names"].items()} == pytest.approx(expected.names)
    captioned = [i for i, clip in enumerate(clips) if clip.captions]
    assert 0 < len(captioned) < len(clips)
    alone = evaluate([clips[i] for i in captioned], [windows[i] for i in captioned], contender.texts)
    for name, interval in found["captions"]["among captioned"].items():
        assert interval.value == pytest.approx(getattr(alone.captions["text->audio"], name)), name
    assert found["widths"][512] == found["labels"]
    assert set(found["widths"]) == {64, 128, 256, 512}
    assert len(clips) == 18
    told_right = 100 * np.mean(guesses == [clip.label for clip in clips])
    assert told_right == pytest.approx(expected.labels["audio->text"].r1)
    by_label = {row["label"]: row for row in found["per_label"]}
    assert (by_label["dog"]["clips"], by_label["dog"]["recordings"]) == (3, 2)


def test_samples_are_heard_as_the_file_of_them_is(sounds: Path, contender: Contender) -> None:
    clip = read_clips(sounds)[0]
    samples, _ = soundfile.read(clip.path, dtype="float32")
    np.testing.assert_array_equal(contender.sound(samples), contender.recording(clip.path))


def test_two_processes_and_the_cache_give_what_one_process_hears(
    sounds: Path, contender: Contender, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("benchmarks.retrieval.heard.CHUNK_CLIPS", 2)
    clips = read_clips(sounds)[:3]
    few = [variant for variant in VARIANTS if variant.name in ("noise 0 dB SNR", "length 0.5 s", "mixture 0 dB")]
    alone = hear(contender, clips, [1, 2, 0], few, seed=0, jobs=1)
    shared = hear(contender, clips, [1, 2, 0], few, seed=0, jobs=2, cache=tmp_path)
    monkeypatch.setattr("benchmarks.retrieval.heard._hear_chunk", None)  # what is kept is not heard again
    again = hear(contender, clips, [1, 2, 0], few, seed=0, jobs=1, cache=tmp_path)
    assert list(alone) == list(shared) == list(again) == [CLEAN, *(variant.name for variant in few)]
    for name, windows in alone.items():
        for one, two, three in zip(windows, shared[name], again[name], strict=True):
            np.testing.assert_array_equal(one, two)
            np.testing.assert_array_equal(one, three)
    with pytest.raises(TypeError):  # another seed is another sound
        hear(contender, clips, [1, 2, 0], few, seed=1, jobs=1, cache=tmp_path)


def test_the_suites_report_figures_with_intervals(sounds: Path, run: Run) -> None:
    lines, found = run("--sounds", sounds, "--suite", "all", "--hours", "0.025", "--limit", "7")
    assert len(lines) > 50
    assert found["suites"] == ["closed", "robust", "detection", "search"]
    (name,) = found["by"]
    by = found["by"][name]
    assert found["test_clips"] == 7 and found["machine"]["cores"] >= 1
    assert set(by["robust"]["variants"]) == {"clean", *(variant.name for variant in VARIANTS)}
    clean = by["robust"]["variants"]["clean"]
    assert (
        clean["audio->text_r1"]
        == by["closed"]["labels"]["audio->text"]["r1"]
        == by["wording"]["forms"]["label"]["audio->text_r1"]
    )
    assert clean["r1_change"] == {"value": 0, "low": 0, "high": 0}
    nothing = by["no_sound"]
    assert {"silence", "white noise -40 dBFS", "pink noise -20 dBFS"} <= set(nothing)
    for row in nothing.values():
        assert row["false_alert"] == (row["score"] >= row["threshold"] and row["phrase"] not in NOTHING)
    told = by["detection"]["by_snr"]
    assert set(told) == {"20 dB", "10 dB", "0 dB", "all"}
    assert told["all"]["events"] == sum(told[snr]["events"] for snr in ("20 dB", "10 dB", "0 dB")) > 6
    hits = [point["hits"]["value"] for point in told["all"]["curve"]]
    assert hits == sorted(hits, reverse=True) and hits[0] > 30
    assert 0 in [point["offset"] for point in told["all"]["curve"]]
    near, far = by["detection"]["as_told"]
    assert (near["within"], far["within"]) == (WITHIN, 2.0)
    assert far["hits"]["value"] >= near["hits"]["value"]
    assert far["hits"]["value"] >= next(p["hits"]["value"] for p in told["all"]["curve"] if p["offset"] == 0)
    for row in by["detection"]["at_rates"]:
        assert list(row["rules"]) == ["above the reference", "plain cosine"]
        assert all(point["false_alerts_per_hour"]["value"] <= row["rate"] for point in row["rules"].values())
        new, old = (point["hits"]["value"] for point in row["rules"].values())
        assert row["more_hits"]["value"] == pytest.approx(new - old, abs=1e-3)
    rankings = by["search"]["rankings"]
    assert rankings["plain cosines"]["labels"] == by["closed"]["labels"]["text->audio"]
    assert list(rankings) == ["plain cosines", "hubs held down", "hubs held down, sounds recalled"]
    assert all(set(tasks) == {"labels", "labels, put otherwise", "captions"} for tasks in rankings.values())
    assert len(intervals(found)) > 100
    assert all(each["low"] <= each["high"] for each in intervals(found))
    assert any("only 7 test clips" in note for note in found["notes"])


def test_two_bundles_stand_side_by_side(sounds: Path, bundle_copy: Path, run: Run) -> None:
    """A copy under another name must fare exactly as the one it was copied from."""
    replace(Manifest.read(bundle_copy), name="copy").write(bundle_copy)
    _, found = run(
        "--sounds", sounds, "--suite", "closed", "--limit", "6", "--bundle", DEFAULT_BUNDLE, "--bundle", bundle_copy
    )
    assert list(found["by"]) == ["earmark-mn04/light", "copy/light"]
    assert found["by"]["copy/light"] == found["by"]["earmark-mn04/light"]


def test_what_cannot_be_asked_is_one_line_and_exit_code_2(
    sounds: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["benchmarks", "retrieval", "--sounds", str(sounds), "--suite", "closed"]
    for extra, said in (
        (["--bundle", str(DEFAULT_BUNDLE), "--bundle", str(DEFAULT_BUNDLE)], "two bundles are called alike"),
        (["--suite", "opened"], "no suite 'opened'"),
        (["--suite", "open"], "give --checkpoint"),
        (["--hours", "0"], "more than 0"),
        (["--sounds", str(sounds.parent / "none")], "no clips.csv"),
    ):
        monkeypatch.setattr(sys, "argv", [*command, *extra])
        with pytest.raises(SystemExit) as ended:
            main()
        faults = capsys.readouterr().err.splitlines()
        assert ended.value.code == 2 and len(faults) == 1 and said in faults[0], faults


@pytest.mark.shared
def test_the_shared_sounds_give_the_figures_of_a_few_clips(shared: Path, run: Run) -> None:
    lines, found = run("--sounds", shared / "data/sounds", "--suite", "closed", "--limit", "40", "--json")
    assert len(lines) == 1
    labels = found["by"]["earmark-mn04/light"]["closed"]["labels"]
    assert labels["clips"] == 40 and labels["recordings"] > 20
    assert labels["audio->text"]["r1"]["value"] > 50  # the whole split has 79 among more labels
