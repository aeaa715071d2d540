"""Model cards say what was measured: every number between markers, from the bundle's own results, sealed again."""

import dataclasses
import json
import sys
from pathlib import Path

import pytest

from benchmarks import cards
from benchmarks.blocks import BLOCK, blocks_of, filled
from benchmarks.cards import bundles, card_of, fill
from benchmarks.kept import RESULTS, kept
from benchmarks.retrieval.lines import lines
from edge_runtime.bundle import DEFAULT_BUNDLE, Bundle, check_all_files
from edge_runtime.manifest import Manifest
from tests.retrieval_case import write_sounds
from training.bootstrap import Interval

EVERY = pytest.mark.parametrize("folder", bundles(), ids=lambda folder: folder.name)


@EVERY
def test_a_card_is_what_was_measured_of_its_bundle(folder: Path) -> None:
    text = (folder / "MODEL_CARD.md").read_text(encoding="utf-8")
    assert card_of(folder) == text, "run `python -m benchmarks.cards --fill`"
    check_all_files(folder)


@EVERY
def test_every_table_and_gate_of_a_card_stands_between_markers(folder: Path) -> None:
    text = (folder / "MODEL_CARD.md").read_text(encoding="utf-8")
    assert {"parts", "training data", "measured", "export"} <= set(blocks_of(text))
    outside = BLOCK.sub("", text)
    assert not [line for line in outside.splitlines() if line.startswith(("|", "ok ", "FAIL "))]


def test_the_command_measures_a_bundle_fills_its_card_and_seals_it(
    bundle_copy: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("training.bootstrap.RESAMPLES", 40)
    sounds = write_sounds(tmp_path / "sounds")
    command = ["cards", str(bundle_copy), "--sounds", str(sounds), "--limit", "7", "--hours", "0.025", "--jobs", "1"]
    run(monkeypatch, [*command, "--cache", str(tmp_path), "--out", str(tmp_path)])
    known = kept(bundle_copy)
    assert known is not None
    card = (bundle_copy / "MODEL_CARD.md").read_text(encoding="utf-8")
    assert card == card_of(bundle_copy)
    measured = blocks_of(card)["measured"]
    r1 = known["found"]["closed"]["labels"]["audio->text"]["r1"]
    assert str(Interval(**r1)) in measured
    assert "Only 7 clips were heard" in measured and "Not held against fp32" in measured
    for part in ("The test split, both directions", "as the field would have it", "No sound", "live stream", "holds"):
        assert part in measured
    Bundle.open(bundle_copy)
    assert {RESULTS, "MODEL_CARD.md"} <= set(Manifest.read(bundle_copy).files)
    assert run(monkeypatch, ["cards", str(bundle_copy), "--check"]) == 0
    again = [*command, "--cache", str(tmp_path), "--out", str(tmp_path), "--suite", "search"]
    run(monkeypatch, again)  # the others stay as they were measured
    after = kept(bundle_copy)
    assert after is not None and after["found"] == known["found"]
    (bundle_copy / "MODEL_CARD.md").write_text(card.replace("| 7 |", "| 8 |"), encoding="utf-8")
    assert run(monkeypatch, ["cards", str(bundle_copy), "--check"]) == 1
    assert "run `python -m benchmarks.cards`" in capsys.readouterr().err
    assert run(monkeypatch, ["cards", str(bundle_copy), "--fill"]) == 0
    assert (bundle_copy / "MODEL_CARD.md").read_text(encoding="utf-8") == card


def run(monkeypatch: pytest.MonkeyPatch, line: list[str]) -> int:
    monkeypatch.setattr(sys, "argv", line)
    return cards.run()


def test_what_was_measured_of_another_model_is_not_told(bundle_copy: Path) -> None:
    (bundle_copy / RESULTS).write_text(json.dumps({"fingerprint": "0" * 16, "found": {}}))
    assert kept(bundle_copy) is None
    before = (bundle_copy / "MODEL_CARD.md").read_text(encoding="utf-8")
    fill(bundle_copy)
    assert (bundle_copy / "MODEL_CARD.md").read_text(encoding="utf-8") == before


def test_a_card_without_its_block_is_one_line_and_exit_code_2(
    bundle_copy: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (bundle_copy / "MODEL_CARD.md").write_text("# a card")
    assert run(monkeypatch, ["cards", str(bundle_copy)]) == 2
    assert "has no block" in capsys.readouterr().err
    two = ["cards", str(bundle_copy), str(DEFAULT_BUNDLE), "--fp32", str(bundle_copy)]
    assert run(monkeypatch, two) == 2
    assert "checkpoint of one bundle" in capsys.readouterr().err


def test_blocks_are_filled_by_name_and_others_stay() -> None:
    text = "a\n<!-- one -->\nold\n<!-- end -->\nb\n<!-- two -->\n<!-- end -->\n"
    assert filled(text, {"one": "new"}) == text.replace("old", "new")
    assert blocks_of(filled(text, {"two": "x"})) == {"one": "old", "two": "x"}


def test_a_line_holds_up_to_its_bound_and_few_queries_count_in_the_mean_alone() -> None:
    found = {"closed": figures(r10=76.0, r1=80.0), "fp32": {"closed": figures(r10=79.0, r1=80.5)}}
    told = {each.what: each for each in lines(found)}
    assert told["captions search 900 clips: R@10, %"].holds
    assert not told["esc50: top-1 among its class names, %"].holds
    dearest = told["quantised against fp32: the dearest of 2 figures, points"]
    assert dearest.found == pytest.approx(0.5)  # 3 points of 50 captions are not among them
    assert dearest.holds
    mean = told["quantised against fp32: the mean of 3 figures, points"]
    assert mean.found == pytest.approx(3.5 / 3)
    assert not mean.holds
    at_bound = dataclasses.replace(dearest, found=dearest.bound)
    assert at_bound.holds and not dataclasses.replace(dearest, found=0.71).holds


def test_captions_have_a_line_by_cosines_and_one_as_the_archive_ranks() -> None:
    def ranked(r10: float) -> dict:
        return {"captions": {"r10": Interval(r10, r10, r10)}}

    plain = {"clips": 900, "rankings": {"plain cosines": ranked(60.0)}}
    assert lines({"search": plain}) == []
    found = {"closed": figures(r10=60.0, r1=80.0), "search": {**plain, "rankings": {"hubs held down": ranked(75.0)}}}
    held = {each.what: each.holds for each in lines(found)}
    assert not held["captions search 900 clips: R@10, %"]
    assert held["captions search 900 clips, hubs held down: R@10, %"]


def figures(*, r10: float, r1: float) -> dict:
    """A closed suite of three figures: ESC-50 of 400 clips, labels both ways, 50 captions."""

    def exactly(value: float) -> Interval:
        return Interval(value, value, value)

    return {
        "names": {"esc50": exactly(89.0)},
        "names_pool": {"esc50": {"clips": 400, "labels": 50}},
        "labels": {"labels": 150, "clips": 900, "audio->text": {"r1": exactly(r1)}},
        "captions": {"captions": 50, "clips": 40, "pool": 900, "text->audio": {"r10": exactly(r10)}},
    }
