"""Sinks take whole lines, outlive full disks and readers that left, and stay within their bound."""

import io
import json
import sys

from edge_runtime.service.sinks import Sink, Sinks


def lines(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_each_sink_has_what_it_asked_for(tmp_path, capsys):
    sinks = Sinks([Sink(tmp_path / "a", ("events",)), Sink(tmp_path / "-", ("events", "sources"))])
    sinks.tell("events", name="ein Häher")
    sinks.tell("sources", source="garden")
    sinks.tell("windows", start_s=0)
    assert lines(tmp_path / "a") == [{"type": "event", "name": "ein Häher"}]
    assert [json.loads(line)["type"] for line in capsys.readouterr().out.splitlines()] == ["event", "source"]
    assert sinks.wants("sources") and not sinks.wants("windows")


def test_a_file_at_its_bound_begins_anew_and_the_one_before_is_kept(tmp_path):
    sinks = Sinks([Sink(tmp_path / "a", ("events",), max_mb=0.01)])
    for number in range(1000):
        sinks.tell("events", number=number)
    kept = [line["number"] for line in lines(tmp_path / "a.1") + lines(tmp_path / "a")]
    assert kept == list(range(kept[0], 1000)), "in order, without a gap"
    assert (tmp_path / "a").stat().st_size <= 10_000
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a", "a.1"]


def test_a_sink_that_fails_is_told_once_and_takes_lines_again(tmp_path, caplog):
    sinks = Sinks([Sink(tmp_path / "later/a", ("events",)), Sink(tmp_path / "b", ("events",))])
    sinks.tell("events", number=0)
    sinks.tell("events", number=1)
    (tmp_path / "later").mkdir()
    sinks.tell("events", number=2)
    assert [line["number"] for line in lines(tmp_path / "b")] == [0, 1, 2]
    assert [line["number"] for line in lines(tmp_path / "later/a")] == [2]
    assert [record.message.partition(str(tmp_path))[0] for record in caplog.records] == ["the sink "] * 2
    assert "takes no line" in caplog.records[0].message and "again" in caplog.records[1].message


def test_a_full_disk_and_a_closed_terminal_stop_nothing(tmp_path, caplog, monkeypatch):
    sinks = Sinks([Sink(tmp_path / "a", ("events",)), Sink(tmp_path / "-", ("events",))])
    (tmp_path / "a").symlink_to("/dev/full")
    out = io.StringIO()
    out.close()
    monkeypatch.setattr(sys, "stdout", out)
    sinks.tell("events", number=0)
    assert ["No space left" in record.message for record in caplog.records] == [True, False]
    assert all("takes no line" in record.message for record in caplog.records)
