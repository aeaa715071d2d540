"""A watched folder under a running service: files that grow, are damaged, vanish while they are heard, or have a name
that is no text. The service goes on, hears each file once, and after a restart only what is new."""

import json
import os
import signal
import time
from pathlib import Path

import pytest
import soundfile

from edge_runtime.home import Home
from tests.service_case import RATE_HZ, moments, running

pytestmark = pytest.mark.slow

CONFIG = """
[[sources]]
name = "card"
input = "card"
watch = true

[[sinks]]
to = "told.jsonl"
tell = ["windows", "sources"]
"""


@pytest.fixture
def card(earmark):
    """The watched folder."""
    folder = earmark.home.parent / "card"
    folder.mkdir()
    return folder


@pytest.fixture
def put(card, noise):
    """Writes a recording into the folder at once."""

    def write(name, seconds=8.0, *, rate_hz=RATE_HZ):
        path = card.parent / "new.wav"
        soundfile.write(path, noise(seconds, rate_hz), rate_hz, subtype="PCM_16")
        path.rename(os.fsdecode(os.fsencode(card) + b"/" + name))
        return card / os.fsdecode(name)

    return write


def wait_until_heard(service, wanted_s):
    """So much in all, by the service's own account."""
    status, heard_s = service.folder / "home" / "status.json", 0.0
    for _ in moments():
        if status.exists():
            heard_s = json.loads(status.read_text())["sources"][0]["heard_s"]
        if heard_s >= wanted_s - 0.1:
            break
        assert service.process.poll() is None, service.errors
    assert heard_s == pytest.approx(wanted_s, abs=0.1), service.errors


def kept(earmark):
    """The files that the archive has, by name."""
    home = Home.open(earmark.home, write=False)
    names = home.db.execute("select name from recording where whole = 1 order by name").fetchall()
    return [Path(name).name for (name,) in names]


def test_what_grows_is_heard_whole_and_what_is_damaged_is_told_once(earmark, card, put):
    put(b"first.wav")
    with running(earmark, CONFIG) as service:
        wait_until_heard(service, 8)
        whole = put(b"whole.wav").read_bytes()
        (card / "cut.wav").write_bytes(whole[: len(whole) // 2])
        (card / "text.wav").write_text("no sound at all")
        with (card / "grows.wav").open("wb", buffering=0) as grows:
            for part in range(8):
                grows.write(whole[part * len(whole) // 8 : (part + 1) * len(whole) // 8])
                time.sleep(0.5)
        wait_until_heard(service, 24)
        for _ in moments(10):
            if "text.wav" in service.errors and "cut.wav" in service.errors:
                break
        time.sleep(3)  # looked at three times more
        assert [service.errors.count(name) for name in ("grows.wav", "cut.wav", "text.wav")] == [0, 1, 1]
        (card / "cut.wav").write_bytes(whole)
        wait_until_heard(service, 32)
        assert service.stop() == 0
    assert kept(earmark) == ["cut.wav", "first.wav", "grows.wav", "whole.wav"]


def test_after_a_restart_only_what_was_not_heard_whole_is_heard(earmark, put):
    put(b"a.wav")
    put(b"b.wav", 300, rate_hz=4000)  # takes some seconds
    for how in (signal.SIGKILL, signal.SIGTERM):
        with running(earmark, CONFIG) as service:
            service.wait_for("window", lambda line: line["start_s"] > 20)
            service.stop(how)
        assert service.told("window")[-1]["start_s"] < 290, "stopped in the middle"
        begin_anew(service)
    with running(earmark, CONFIG) as service:
        wait_until_heard(service, 300)
        assert service.stop() == 0
    begin_anew(service)
    put(b"c.wav")
    with running(earmark, CONFIG) as service:
        wait_until_heard(service, 8)
        assert service.stop() == 0
    assert kept(earmark) == ["a.wav", "b.wav", "c.wav"]


def begin_anew(service):
    for name in ("told.jsonl", "home/status.json"):
        (service.folder / name).unlink(missing_ok=True)


def test_what_vanishes_while_it_is_heard_or_has_no_name_costs_no_other(earmark, put):
    path = put(b"long.wav", 300, rate_hz=4000)
    with running(earmark, CONFIG) as service:
        service.wait_for("window")
        path.unlink()
        wait_until_heard(service, 300)
        assert service.errors == "", "no fault of the disk"
        put(b"Ger\xe4usch.wav")
        put(b"next.wav")
        wait_until_heard(service, 308)
        assert service.stop() == 0
    (line,) = service.errors.splitlines()
    assert "not UTF-8" in line
    assert kept(earmark) == ["long.wav", "next.wav"]
