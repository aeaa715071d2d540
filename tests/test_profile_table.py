"""The table of profiles: a row for each way to run a bundle, what it says of each, and the page it makes."""

import numpy as np
import pytest

pytest.importorskip("torch", reason="needs the train extra")
pytest.importorskip("onnx", reason="needs the export extra")

from conftest import WINDOWED_BUNDLE
from streaming_case import narrow_bundle, sounds

from benchmarks import profiles as module
from benchmarks.blocks import page
from benchmarks.kept import kept
from benchmarks.machine import machine_card
from benchmarks.profiles import COLUMNS, profiles
from benchmarks.report import Report
from benchmarks.retrieval.suites import Settings
from edge_runtime.bundle import DEFAULT_BUNDLE
from edge_runtime.errors import EarmarkError
from edge_runtime.graph_engine import DEFAULT_ENGINE
from edge_runtime.manifest import Manifest
from tests.retrieval_case import write_sounds

PROFILES = ("small", "balanced", "exact", "tiny")


@pytest.fixture(scope="module")
def report() -> Report:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "installed_engines", lambda: [DEFAULT_ENGINE])
        return profiles([narrow_bundle()], sound, rounds=1, repeats=1, hearing=None)


def sound(rate_hz: int) -> np.ndarray:
    assert rate_hz == 32_000
    return sounds(1, seconds=12, seed=5)[0]


def test_every_profile_has_a_row_of_its_own_files_times_and_memory(report):
    rows = report.figures["profiles"]
    assert list(rows) == [f"random/{name}" for name in PROFILES]
    folder, manifest = narrow_bundle(), Manifest.read(narrow_bundle())
    for name in PROFILES:
        row, parts = rows[f"random/{name}"], manifest.profiles[name]
        assert row["encoder_kb"] == (folder / parts.encoder.file).stat().st_size / 1000
        assert row["head_kb"] == (folder / parts.head.file).stat().st_size / 1000
        assert row["segments_snr_db"] == parts.figures["snr_db"]
        assert 0 < row["hop_ms"] < row["read_ms"]  # one segment against 31, and one head at least on both sides
        assert row["resident_mib"] > 20  # Python with numpy and onnxruntime


def test_the_first_fp32_encoder_is_what_the_others_are_held_against(report):
    rows = report.figures["profiles"]
    exact = rows["random/exact"]
    assert exact["embedding_cosine_min"] == pytest.approx(1, abs=1e-5)  # float32 products of unit vectors
    for name in ("small", "balanced"):
        assert 0.9 < rows[f"random/{name}"]["embedding_cosine_min"] < exact["embedding_cosine_min"]


def test_the_page_has_every_row_and_how_it_was_measured(report):
    text = page("The table of profiles", report, machine_card(), "python -m benchmarks profiles --rounds 1")
    assert "`python -m benchmarks profiles --rounds 1`, commit" in text
    for name in PROFILES:
        assert f"| random | {name} | {DEFAULT_ENGINE} |" in text
    assert len(COLUMNS) == text.splitlines()[6].count(" | ") + 1
    assert "How well each answers" not in text  # it keeps no figures, and no sounds were given


def test_what_was_kept_with_a_bundle_is_not_heard_again():
    known = kept(DEFAULT_BUNDLE)
    if known is None:
        pytest.skip("the shipped bundle was not measured since it was made")
    found = module._answers([DEFAULT_BUNDLE], None)
    (closed,) = found.values()
    assert closed["names"]["esc50"].value == known["found"]["closed"]["names"]["esc50"]["value"]


def test_a_few_clips_are_heard_by_all_bundles_alike(tmp_path):
    hearing = Settings(write_sounds(tmp_path / "sounds"), ("closed",), 6)
    found = module._answers([DEFAULT_BUNDLE, WINDOWED_BUNDLE], hearing)
    assert list(found) == ["earmark-mn04/light", "earmark-mn04-windowed"]
    assert {closed["labels"]["clips"] for closed in found.values()} == {6}


def test_a_bundle_given_twice_is_refused():
    with pytest.raises(EarmarkError, match="called alike"):
        profiles([narrow_bundle(), narrow_bundle()], sound, rounds=1, repeats=1, hearing=None)
