"""The disk is full while recordings are archived: the command says so in one line, and what was whole stays whole."""

import numpy as np
import pytest

from edge_runtime.archive import Archive
from edge_runtime.archive.day_file import DayFiles
from edge_runtime.archive.record import intact
from edge_runtime.errors import HomeError
from edge_runtime.home import Home
from edge_runtime.listener import Window
from tests.disk_case import fill, small_disk

pytestmark = pytest.mark.slow

DISK_MB = 4
FINGERPRINT = "d" * 16
WIDTH = 512
ROW = np.ones(WIDTH, np.float32) / np.sqrt(np.float32(WIDTH))


@pytest.fixture
def disk(home):
    """The home, on a file system of its own."""
    with small_disk(home, megabytes=DISK_MB):
        yield home


def names(earmark):
    return {row["file"] for row in earmark("search", "rain", "--json", "--top", 50).rows}


def test_indexing_onto_a_full_disk_is_refused_in_one_line_and_goes_on_when_there_is_room(earmark, disk, recordings):
    five, twelve = recordings / "five.wav", recordings / "twelve.wav"
    assert earmark("index", five).code == 0
    for leaving in (0, 1000, 20_000):
        fill(disk, leaving=leaving)
        ran = earmark("index", twelve)
        if ran.code == 0:  # that was room enough
            break
        assert (ran.code, len(ran.faults)) == (2, 1) and "free some disk" in ran.err, (leaving, ran.err)
        assert names(earmark) == {str(five)}, "nothing of it counts before all of it is there"
        (disk / "filler").unlink()
    assert earmark("index", twelve).code == 0
    assert names(earmark) == {str(five), str(twelve)}


def test_a_record_that_finds_no_room_is_not_half_there(disk):
    """Records go in until the disk is full to the byte, again and again, a little more of it free each time."""
    store = Home.open(disk)
    archive = Archive(store, FINGERPRINT, width=WIDTH)
    days = DayFiles(disk / "archive" / FINGERPRINT, FINGERPRINT, width=WIDTH)
    kept = 0
    with archive.recording("garden", live=True) as writer:
        for room in (0, 3000, 50_000):
            (disk / "filler").unlink(missing_ok=True)
            fill(disk, leaving=room)
            with pytest.raises(HomeError, match="No space left"):
                for _ in range(5000):
                    writer.add(Window(5.0 * kept, 5.0 * kept + 5, ROW, True, kept))
                    kept += 1
        (disk / "filler").unlink()
        writer.add(Window(5.0 * kept, 5.0 * kept + 5, ROW, True, kept))
        kept += 1
    archive.close()
    store.close()
    (day,) = days.all()
    records = days.records(day)
    assert intact(records).all()
    assert records["end_s"].tolist() == [5.0 * number + 5 for number in range(kept)], "each once, in order"
    (hit,) = Archive(Home.open(disk, write=False), FINGERPRINT, width=WIDTH).search(ROW, k=1)
    assert hit.file == "garden"
