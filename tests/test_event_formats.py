"""Events for other programs: each format is read back by somebody else's reader, and nothing in a text breaks it."""

import csv
import datetime
import io
import json
import sys

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_runtime.cli.events import moment
from edge_runtime.clock import Clock
from edge_runtime.errors import EarmarkError
from edge_runtime.events.catalogue import Catalogue, KeptEvent
from edge_runtime.events.clips import Clip
from edge_runtime.events.event import Event
from edge_runtime.events.formats import COLUMNS, FORMATS
from edge_runtime.home import Home

AT = 1_700_000_000.25


def kept(**changes):
    plain = {
        "source": "garden",
        "name": "a dog barking",
        "kind": "phrase",
        "phrases": ("a dog barking", "a dog growling"),
        "start_at": AT,
        "end_at": AT + 7.5,
        "peak_at": AT + 3,
        "trusted": True,
        "score": 0.512345,
        "threshold": 0.3,
        "windows": 4,
        "coverage": 0.5,
        "start_s": 12.8,
        "end_s": 20.3,
        "file": "/field/a.wav",
        "clip": "clips/2023-11-14/x.flac",
        "clip_start_at": AT - 3,
    }
    return KeptEvent(**{**plain, **changes})


def written(name, events, **options):
    file = io.BytesIO()
    FORMATS[name](events, file, **options)
    return file.getvalue()


def test_json_has_all_that_is_kept():
    (row,) = map(json.loads, written("json", [kept()]).splitlines())
    assert tuple(row) == COLUMNS
    assert (row["start"], row["end"]) == ("2023-11-14T22:13:20.250Z", "2023-11-14T22:13:27.750Z")
    assert (row["score"], row["windows"], row["coverage"]) == (0.5123, 4, 0.5)
    assert row["phrases"] == ["a dog barking", "a dog growling"]


def test_csv_reads_back_as_a_table():
    (row,) = csv.DictReader(io.StringIO(written("csv", [kept()]).decode(), newline=""))
    assert tuple(row) == COLUMNS
    assert row["phrases"] == "a dog barking; a dog growling"
    assert (row["start_s"], row["end_s"], row["file"], row["trusted"]) == ("12.8", "20.3", "/field/a.wav", "True")


def test_no_cell_of_a_csv_is_a_formula():
    events = [kept(name=name, file=None) for name in ('=cmd("x")', "+1", "-1", "@x", 'a, "b"\r\n=c')]
    rows = list(csv.DictReader(io.StringIO(written("csv", events).decode(), newline="")))
    assert [row["name"] for row in rows] == ['\'=cmd("x")', "'+1", "'-1", "'@x", 'a, "b" =c']
    assert [row["file"] for row in rows] == [""] * 5


def test_parquet_keeps_types():
    parquet = pytest.importorskip("pyarrow.parquet", reason="needs the parquet extra")
    table = parquet.read_table(io.BytesIO(written("parquet", [kept(), kept(file=None, clip=None)])))
    assert tuple(table.column_names) == COLUMNS
    first, second = table.to_pylist()
    assert first["start"] == datetime.datetime.fromtimestamp(AT, datetime.UTC)
    assert first["phrases"] == ["a dog barking", "a dog growling"]
    assert (first["windows"], first["trusted"], second["file"]) == (4, True, None)
    assert parquet.read_table(io.BytesIO(written("parquet", []))).num_rows == 0


def test_parquet_without_pyarrow_names_the_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(EarmarkError, match=r"pip install 'earmark\[parquet\]'"):
        written("parquet", [kept()])


def test_a_selection_table_is_what_raven_reads():
    """Its columns as the Raven Pro manual names them: tabs, one header, numbers from 1, seconds of the sound."""
    rows = list(
        csv.DictReader(io.StringIO(written("raven", [kept(), kept(start_s=30, end_s=31)]).decode()), delimiter="\t")
    )
    assert [row["Selection"] for row in rows] == ["1", "2"]
    assert (rows[0]["View"], rows[0]["Channel"]) == ("Spectrogram 1", "1")
    assert (rows[0]["Begin Time (s)"], rows[0]["End Time (s)"]) == ("12.800", "20.300")
    assert float(rows[0]["Low Freq (Hz)"]) < float(rows[0]["High Freq (Hz)"])
    assert (rows[0]["Begin File"], rows[0]["Species"]) == ("/field/a.wav", "a dog barking")


def test_audacity_labels_are_start_end_and_text():
    assert written("audacity", [kept()]) == b"12.800000\t20.300000\ta dog barking (0.51)\n"


def test_times_may_be_those_of_the_clips():
    events = [kept(), kept(clip=None, clip_start_at=None)]
    assert written("audacity", events, clips=True) == b"3.000000\t10.500000\ta dog barking (0.51)\n"
    assert b"\tclips/2023-11-14/x.flac\t" in written("raven", events, clips=True)


@settings(max_examples=100, deadline=None)
@given(st.text(min_size=1, max_size=30), st.text(max_size=30))
def test_no_text_breaks_a_format(name, file):
    events = [kept(name=name, file=file), kept()]
    assert len(written("json", events).splitlines()) == 2
    assert len(list(csv.DictReader(io.StringIO(written("csv", events).decode(), newline="")))) == 2
    lines = written("raven", events).decode().split("\n")
    assert [line.count("\t") for line in lines] == [11, 11, 11, 0]
    assert [line.count("\t") for line in written("audacity", events).decode().split("\n")] == [2, 2, 0]


def test_moments_are_dates_times_or_so_long_ago(monkeypatch):
    monkeypatch.setattr("time.time", lambda: 1_000_000.0)
    assert moment("2d", "--since") == 1_000_000 - 2 * 86_400
    assert moment("90 min", "--since") == 1_000_000 - 5400
    assert moment("2026-05-01", "--since") == datetime.datetime(2026, 5, 1).timestamp()
    assert moment("2026-05-01T22:30:00Z", "--since") == 1777674600
    assert moment(None, "--since") is None
    for text in ("yesterday", "", "99999-01-01", "0001-01-01T00:00"):
        with pytest.raises(EarmarkError, match="--until is"):
            moment(text, "--until")


@pytest.fixture
def heard(home):
    """A home with two events, the newer one with a clip."""
    store = Home.open(home)
    clock = Clock(trust="system")
    catalogue = Catalogue(store, clock)
    now = 10_000.0
    for start_s, name in ((now, "a dog barking"), (now + 60, "heavy rain")):
        event = Event("garden", name, "phrase", (name,), start_s, start_s + 7.5, start_s + 3, 0.5, 0.3, 4, 7.5)
        catalogue.keep(event, stretch_s=now)
    events = (("heavy rain", now + 60),)
    catalogue.keep_clip(Clip("clips/d/x.flac", "garden", "heavy rain", 0.2, now + 57, now + 70, 0.0, events))
    store.close()


def test_events_are_listed_and_exported(heard, earmark, tmp_path):
    listed = earmark("events", "list")
    assert listed.code == 0
    dog, rain = listed.out.splitlines()
    assert "0:07  0.50  garden  a dog barking" in dog
    assert rain.endswith("heavy rain  clips/d/x.flac")
    assert [row["name"] for row in earmark("events", "list", "--json", "--name", "heavy rain").rows] == ["heavy rain"]
    assert [row["name"] for row in earmark("events", "list", "--json", "--top", 1).rows] == ["heavy rain"]
    file = tmp_path / "events.csv"
    assert earmark("events", "export", file).out == f"wrote 2 events to {file}\n"
    assert len(file.read_text().splitlines()) == 3
    labels = earmark("events", "export", "-", "--format", "audacity")
    assert labels.out == "0.000000\t7.500000\ta dog barking (0.50)\n60.000000\t67.500000\theavy rain (0.50)\n"
    raven = earmark("events", "export", "-", "--format", "raven", "--clips", "--name", "heavy rain")
    assert "\t3.000\t10.500\t" in raven.out
    assert [path.name for path in tmp_path.glob("*.part")] == []


def test_what_cannot_be_exported_is_told(heard, earmark, tmp_path):
    assert earmark("events", "export", tmp_path / "x.doc").refused("x.doc", "csv, json, parquet, raven, audacity")
    assert earmark("events", "export", tmp_path / "no" / "x.csv").refused("cannot write")
    assert earmark("events", "export", "-", "--format", "csv", "--clips").refused("--clips", "raven and audacity")
    assert earmark("events", "list", "--since", "soon").refused("--since is 'soon'")


def test_a_home_that_never_was_has_no_events(earmark):
    assert earmark("events", "list").refused("nothing has been heard")
