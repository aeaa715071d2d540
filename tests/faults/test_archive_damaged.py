"""A disk that forgets: a bit of a sealed day, the end of the database. What is damaged is named, the rest is used."""

import json
import os
import random

import pytest

from edge_runtime.scene import demo_scene
from tests.service_case import PIPE, RATE_HZ, running

pytestmark = pytest.mark.slow

BIRDS_S = 20
SIZES = (0, 1, 4096, 0.3, 0.7, -1)
"""Where a database is cut: bytes, a part of it, or bytes before its end."""


def archived_on(home, date):
    """The file that is written to now, as if that had been on a date."""
    (path,) = [each for each in home.glob("archive/*/*.emb") if not each.with_suffix(".seal").exists()]
    path.rename(path.with_name(f"{date}.emb"))


def names(ran):
    return {row["file"] for row in ran.rows}


def test_a_day_in_which_a_bit_has_turned_is_named_and_the_others_are_searched(earmark, recordings):
    """One bit, anywhere in the file, its head and its records' checksums included."""
    files = [recordings / name for name in ("twelve.wav", "twenty-five.flac", "five.wav")]
    for number, file in enumerate(files):
        assert earmark("index", file).code == 0
        archived_on(earmark.home, f"2026-01-0{number + 1}")
    assert earmark("index", files[0]).code == 0, "which seals them"
    asked = ("search", "rain", "--json", "--top", 50)
    whole = earmark(*asked)
    assert (names(whole), whole.err) == (set(map(str, files)), "")
    assert len(list(earmark.home.glob("archive/*/*.seal"))) == 3
    (day,) = earmark.home.glob("archive/*/2026-01-02.emb")
    held = day.read_bytes()
    dice = random.Random(0)
    for place in (0, 20, 40, len(held) - 1, *(dice.randrange(len(held)) for _ in range(3))):
        bad = bytearray(held)
        bad[place] ^= 1 << dice.randrange(8)
        day.write_bytes(bad)
        ran = earmark(*asked)
        assert ran.code == 0, place
        assert names(ran) == {str(files[0]), str(files[2])}, place
        assert str(day) in ran.err and "restore it, or move it out" in ran.err, place
    assert earmark("doctor", "--repair").code == 2
    assert earmark("index", recordings).code == 0, "and the archive goes on"
    day.write_bytes(held)
    assert earmark(*asked).rows == whole.rows
    assert "every sealed day is as it was sealed" in earmark("doctor", "--repair").out


@pytest.fixture
def heard(earmark):
    """A service has heard birds, a phrase was added; what is asked of it before and after its database is damaged."""
    scene, _ = demo_scene()
    with running(earmark, PIPE) as service:
        service.hear(scene[: BIRDS_S * RATE_HZ])
        assert service.end() == 0
        assert service.told("event")
    assert earmark("phrases", "add", "a wooden cart on cobbles").code == 0
    assert earmark("phrases", "remove", "a dog barking").code == 0

    def told():
        listed = earmark("events", "list", "--json"), earmark("phrases", "list"), earmark("search", "birds", "--json")
        assert [ran.code for ran in listed] == [0, 0, 0], listed
        return [ran.out for ran in listed]

    return told


def cut(file, size):
    """What was not yet in it goes with its log."""
    whole = file.stat().st_size
    size = round(size * whole) if isinstance(size, float) else size
    os.truncate(file, size if size >= 0 else whole + size)
    for log in file.parent.glob(f"{file.name}-*"):
        log.unlink()


def test_a_database_that_was_cut_is_moved_aside_and_made_again(earmark, heard):
    before = heard()
    assert json.loads(before[0].splitlines()[0])["name"]
    file = earmark.home / "earmark.sqlite"
    for size in SIZES:
        cut(file, size)
        asked = earmark("search", "birds", "--json")
        if asked.code:  # else what it needs is not in the part that was cut
            assert (asked.code, len(asked.faults)) == (2, 1) and "doctor --repair" in asked.err, (size, asked.err)
        else:
            assert asked.out == before[2], size
        mended = earmark("doctor", "--repair")
        assert mended.code == 0, (size, mended.err)
        assert "taken over from the journal" in mended.err
        assert heard() == before, size
    assert list(earmark.home.glob("earmark.sqlite.damaged-*")), "a damaged one is kept"


def test_a_database_that_is_cut_under_a_service_stops_no_sound_and_the_next_start_makes_it_again(earmark, noise):
    """Until then what is heard goes into the day files and the journal."""
    with running(earmark, PIPE) as service:
        service.hear(noise(12))
        service.wait_for("window", lambda line: line["end_s"] > 6)
        cut(earmark.home / "earmark.sqlite", 4096)
        service.hear(noise(12, seed=1))
        service.wait_for("window", lambda line: line["end_s"] > 18)
        assert service.stop() in (0, 1)
        assert "Traceback" not in service.errors
    assert earmark("phrases", "add", "a wooden cart on cobbles").code == 0
    found = earmark("search", "noise", "--json", "--top", 20)
    assert found.code == 0
    assert max(row["end_s"] for row in found.rows) > 18
