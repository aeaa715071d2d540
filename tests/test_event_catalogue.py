"""Kept events: found again by time, name and source; each once; with clips; told anew when the clock is mended."""

import sqlite3
from contextlib import contextmanager
from dataclasses import replace

import pytest

from edge_runtime.clock import Clock
from edge_runtime.database import MIGRATIONS
from edge_runtime.errors import HomeError
from edge_runtime.events.catalogue import Catalogue, events_of
from edge_runtime.events.clips import Clip
from edge_runtime.events.event import Event
from edge_runtime.home import Home
from edge_runtime.journal import Entry
from edge_runtime.matching.site import SiteLimit, keep_limits, limits_of
from edge_runtime.rebuild import taken_over

NOON = 1_700_000_000.0


class Clocks:
    """A board whose system clock is `offset_s` ahead of its monotonic one, and held by a time server or not."""

    def __init__(self):
        self.monotonic_s, self.offset_s, self.held = 1000.0, NOON - 1000, True

    def clock(self):
        return Clock(
            system_s=lambda: self.monotonic_s + self.offset_s,
            monotonic_s=lambda: self.monotonic_s,
            sleeping_s=lambda: 0.0,
            disciplined=lambda: self.held,
        )


@pytest.fixture
def store(home):
    store = Home.open(home)
    yield store
    store.close()


@pytest.fixture
def clocks():
    return Clocks()


@pytest.fixture
def catalogue(store, clocks):
    return Catalogue(store, clocks.clock())


def event(start_s, end_s, name="a dog barking", source="garden", score=0.5, heard_s=None):
    return Event(
        source,
        name,
        "phrase",
        (name, "a wolf"),
        start_s,
        end_s,
        (start_s + end_s) / 2,
        score,
        0.3,
        3,
        end_s - start_s if heard_s is None else heard_s,
    )


def test_an_event_comes_back_as_it_was_with_wall_times(catalogue, store):
    catalogue.keep(event(1010.0, 1020.0, heard_s=5.0), stretch_s=1004.0, file="/x/a.wav")
    (kept,) = events_of(store)
    assert (kept.name, kept.source, kept.kind, kept.phrases) == (
        "a dog barking",
        "garden",
        "phrase",
        ("a dog barking", "a wolf"),
    )
    assert (kept.start_at, kept.end_at, kept.peak_at) == (NOON + 10, NOON + 20, NOON + 15)
    assert (kept.start_s, kept.end_s, kept.file) == (6.0, 16.0, "/x/a.wav")
    assert (kept.score, kept.threshold, kept.windows, kept.coverage) == (0.5, 0.3, 3, 0.5)
    assert kept.trusted
    assert kept.clip is None


def test_an_event_that_went_on_replaces_itself(catalogue, store):
    catalogue.keep(event(1010.0, 1020.0), stretch_s=1000)
    catalogue.keep(event(1010.0, 1090.0), stretch_s=1000)
    (kept,) = events_of(store)
    assert kept.end_s == 90.0


def test_events_are_found_by_time_name_and_source(catalogue, store):
    rows = [(10, "dog", "a"), (20, "dog", "b"), (30, "bell", "a"), (40, "rain", "b")]
    for start, name, source in rows:
        catalogue.keep(event(1000.0 + start, 1005.0 + start, name, source), stretch_s=1000)

    def found(**options):
        return [round(kept.start_at - NOON) for kept in events_of(store, **options)]

    assert found() == [10, 20, 30, 40]
    assert found(since=NOON + 24, until=NOON + 40) == [20, 30], "one that goes on there counts"
    assert found(since=NOON + 25) == [30, 40]
    assert found(names=["dog", "rain"]) == [10, 20, 40]
    assert found(names=["dog"], sources=["b"]) == [20]
    assert found(newest=2) == [30, 40]
    assert found(names=["x'); drop table event; --"]) == []
    assert len(found()) == 4


def clip(path="clips/2023-11-14/x.flac", events=(("a dog barking", 1010.0),)):
    return Clip(path, "garden", "a dog barking", 0.2, 1007.0, 1022.0, 0.0, events)


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
def test_an_event_and_its_clip_find_each_other_whichever_came_first(catalogue, store, order):
    steps = [lambda: catalogue.keep(event(1010.0, 1020.0), stretch_s=1000), lambda: catalogue.keep_clip(clip())]
    for number in order:
        steps[number]()
    (kept,) = events_of(store)
    assert (kept.clip, kept.clip_start_at) == ("clips/2023-11-14/x.flac", NOON + 7)
    known = catalogue.clips()["clips/2023-11-14/x.flac"]
    assert (known.name, known.excess, known.start_at) == ("a dog barking", 0.2, NOON + 7)


def test_an_event_with_two_clips_is_told_once(catalogue, store):
    catalogue.keep(event(1010.0, 1200.0), stretch_s=1000)
    for number in range(2):
        catalogue.keep_clip(clip(f"clips/2023-11-14/{number}.flac"))
    assert len(list(events_of(store))) == 1


def test_an_event_outlives_its_clip(catalogue, store):
    catalogue.keep(event(1010.0, 1020.0), stretch_s=1000)
    catalogue.keep_clip(clip())
    catalogue.forget_clips(["clips/2023-11-14/x.flac"])
    (kept,) = events_of(store)
    assert kept.clip is None
    assert catalogue.clips() == {}


def test_wall_times_of_this_boot_are_told_anew_and_those_of_others_stay(store, clocks):
    clocks.held, clocks.offset_s = False, 0.0
    clock = clocks.clock()
    catalogue = Catalogue(store, clock)
    catalogue.keep(event(1010.0, 1020.0), stretch_s=1000)
    catalogue.keep_clip(clip())
    store.db.execute(
        "insert into event select 'another boot', source, name, kind, phrases, start_s, end_s, peak_s, "
        "start_at, stretch_s, score, threshold, heard_s, trusted, windows, file from event"
    )
    assert {kept.start_at for kept in events_of(store)} == {1010.0}
    clocks.held, clocks.offset_s = True, NOON - 1000
    assert clock.look().followed
    catalogue.repair()
    other, mine = events_of(store)
    assert (other.start_at, other.trusted) == (1010.0, False)
    assert (mine.start_at, mine.trusted, mine.clip_start_at) == (NOON + 10, True, NOON + 7)


def test_what_waits_for_the_disk_while_the_clock_steps_is_told_right(store, clocks, monkeypatch):
    clock = clocks.clock()
    catalogue = Catalogue(store, clock)
    at_once = store.transaction

    @contextmanager
    def after_a_step():
        monkeypatch.setattr(store, "transaction", at_once)
        clocks.offset_s += 3600
        assert clock.look().followed
        catalogue.repair()
        with at_once():
            yield

    for keep in (lambda: catalogue.keep(event(1010.0, 1020.0), stretch_s=1000), lambda: catalogue.keep_clip(clip())):
        monkeypatch.setattr(store, "transaction", after_a_step)
        keep()
    (kept,) = events_of(store)
    assert kept.clip_start_at == NOON + 7 + 7200
    catalogue.repair()
    assert list(events_of(store)) == [kept], "it was told by the clock as it stood"


def test_a_new_catalogue_is_made_of_the_journal(catalogue, store, tmp_path):
    catalogue.keep(event(1010.0, 1020.0), stretch_s=1000)
    catalogue.keep(event(1010.0, 1030.0), stretch_s=1000)
    catalogue.keep_clip(clip())
    catalogue.keep_clip(clip("clips/2023-11-14/y.flac", (("another", 1.0),)))
    catalogue.forget_clips(["clips/2023-11-14/y.flac"])
    catalogue.repair()
    fresh = Home.open(tmp_path / "fresh")
    for entry in store.journal.entries():
        assert taken_over(fresh.db, entry)
    assert list(events_of(fresh)) == list(events_of(store))
    assert fresh.db.execute("select * from clip").fetchall() == store.db.execute("select * from clip").fetchall()


def test_a_damaged_database_is_made_again_with_events_clips_and_limits(catalogue, store, home):
    catalogue.keep(event(1010.0, 1020.0), stretch_s=1000)
    catalogue.keep_clip(clip())
    keep_limits(store, "model", "garden", [SiteLimit("a dog barking", 0.3, 0.2, 0.4, 1.0, 3, 7.0)])
    before = list(events_of(store)), limits_of(store, "model", "garden")
    store.close()
    file = home / "earmark.sqlite"
    file.write_bytes(file.read_bytes()[:5000])
    again = Home.open(home)
    assert (list(events_of(again)), limits_of(again, "model", "garden")) == before
    assert len(before[0]) == len(before[1]) == 1
    assert list(home.glob("earmark.sqlite.damaged*")), "moved aside, not deleted"
    again.close()


def test_what_cannot_be_noted_is_not_kept(catalogue, store, monkeypatch):
    def full(*_, **__):
        raise HomeError("the journal cannot grow (No space left on device): free some disk")

    monkeypatch.setattr(store.journal, "note", full)
    with pytest.raises(HomeError, match="cannot grow"):
        catalogue.keep(event(1010.0, 1020.0), stretch_s=1000)
    with pytest.raises(HomeError, match="cannot grow"):
        catalogue.keep_clip(clip())
    assert list(events_of(store)) == []
    assert catalogue.clips() == {}


def test_damaged_notes_put_nothing_back(catalogue, store, tmp_path):
    catalogue.keep(event(1010.0, 1020.0), stretch_s=1000)
    catalogue.keep_clip(clip())
    fresh = Home.open(tmp_path / "fresh")
    for entry in store.journal.entries():
        fields = entry.fields
        for name in fields:
            if name in ("seconds", "end_s", "peak_s", "heard_s", "trusted", "windows"):
                continue
            left = {key: fields[key] for key in fields if key != name}
            assert not taken_over(fresh.db, replace(entry, fields=left)), name
            if name not in ("phrases", "events"):
                assert not taken_over(fresh.db, replace(entry, fields={**fields, name: {}})), name
    assert not taken_over(fresh.db, Entry("another kind", 0.0, {}))
    assert list(events_of(fresh)) == []


def test_a_home_of_the_first_layout_holds_no_events_and_gets_room_for_them(home):
    home.mkdir()
    db = sqlite3.connect(home / "earmark.sqlite")
    MIGRATIONS[0](db)
    db.execute("pragma user_version = 1")
    db.commit()
    db.close()
    with pytest.raises(HomeError, match="holds no events"):
        events_of(Home.open(home, write=False))
    assert list(events_of(Home.open(home))) == []
