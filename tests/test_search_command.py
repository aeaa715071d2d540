"""`earmark search` by text, sound, time and source; how often a phrase would have been heard."""

import time

import numpy as np
import pytest
import soundfile

from edge_runtime import Engine, synthesis
from edge_runtime.cli.options import clock
from edge_runtime.clock import Clock, Stamp, boot_id
from edge_runtime.errors import PhraseError
from edge_runtime.ledger import Ledger
from edge_runtime.listener import Window
from edge_runtime.matching.matcher import WITHIN, Matcher, Watchlist
from edge_runtime.sources.stretch import Stretch
from tests.conftest import Earmark

RATE_HZ = 32_000
SECONDS = 9.0
"""Within one window."""
DAY_S = 86_400.0
SOUNDS = {"dog": synthesis.dog, "bell": synthesis.church_bell, "crickets": synthesis.crickets}
DAYS_AGO = {"bell": 10, "dog": 2, "crickets": 1}
DOG = "a dog barking"


def performed(name, folder, seed=0):
    """A file."""
    sound = SOUNDS[name](synthesis.Studio(RATE_HZ, seed), SECONDS)
    path = folder / f"{name}-{seed}.wav"
    soundfile.write(path, 0.5 * sound / np.abs(sound).max(), RATE_HZ)
    return path


@pytest.fixture(scope="module")
def field(tmp_path_factory):
    """A home: sources that heard one sound each, some days ago; and the folder of their sounds, of which the dog's is
    archived as a file too."""
    folder = tmp_path_factory.mktemp("field")
    engine = Engine.open(home=folder / "home")
    for name, days in DAYS_AGO.items():
        (embedding, *_) = engine.embed_audio(performed(name, folder))
        stamp = Stamp(boot_id(), 0.0, time.time() - days * DAY_S, trusted=True)
        with engine.archive.recording(name, live=True, began=lambda stamp=stamp: stamp) as writer:
            writer.add(Window(0.0, SECONDS, embedding, True, 0))
            writer.heard_s = SECONDS
    engine.index(folder / "dog-0.wav")
    engine.archive.close()
    engine.home.close()
    return folder


@pytest.fixture
def search(field):
    def asked(*arguments):
        return Earmark(field / "home")("search", *arguments)

    return asked


def names(ran):
    assert (ran.code, ran.err) == (0, ""), ran.err
    return [row["file"] for row in ran.rows]


def test_a_sound_finds_what_sounds_like_it(field, search):
    for name in ("bell", "crickets"):
        assert names(search("--sound", performed(name, field, seed=1), "--json"))[0] == name


def test_a_text_and_a_sound_ask_for_both(field, search):
    """Each lies nearer to what is like either than what is like neither."""
    bell = performed("bell", field, seed=1)
    found = names(search(DOG, "--sound", bell, "--json", "--top", 4))
    assert found[-1] == "crickets" and set(found[:3]) == {"bell", "dog", str(field / "dog-0.wav")}


def test_a_search_keeps_to_its_days_and_sources(field, search):
    assert set(names(search(DOG, "--json", "--since", "3d"))) == {"dog", "crickets", str(field / "dog-0.wav")}
    assert names(search(DOG, "--json", "--since", "3d", "--until", "36h")) == ["dog"]
    assert names(search(DOG, "--json", "--source", "bell")) == ["bell"]
    assert names(search(DOG, "--json", "--source", field)) == [str(field / "dog-0.wav")], "a folder is its files"
    assert search(DOG, "--source", "attic").refused("--source")
    assert search(DOG, "--until", "400d").refused("--until")
    assert search(DOG, "--since", "yesterday").refused("yesterday")


def test_a_moment_is_told_by_its_date_or_by_its_place_in_a_file(field, search):
    (live,) = search(DOG, "--source", "dog", "--json").rows
    assert live["start_at"] == pytest.approx(time.time() - 2 * DAY_S, abs=600)
    (line,) = search(DOG, "--source", "dog").out.splitlines()
    assert time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(live["start_at"])) in line
    (file,) = search(DOG, "--source", field, "--json").rows
    assert file["start_at"] is None
    assert f"{clock(file['start_s'])}–{clock(file['end_s'])}" in search(DOG, "--source", field).out


def test_what_a_live_source_missed_is_told(field, search):
    """By its ledger: the crickets' source was heard for 6 of its window's 9 s, and for a day nothing came."""
    (before,) = search("crickets", "--source", "crickets", "--json").rows
    assert before["coverage"] is None, "there is no ledger yet"
    with Ledger(field / "home/ledger").account("crickets", Clock(trust="system")) as account:
        ago_s = time.time() - before["start_at"]
        account.begin(Stretch("crickets", RATE_HZ, time.monotonic() - ago_s, lambda: iter(())))
        for _ in range(6):
            account.heard(np.zeros(RATE_HZ, np.float32))
    (row,) = search("crickets", "--source", "crickets", "--json").rows
    assert row["coverage"] == pytest.approx(6 / SECONDS, abs=0.02)
    told = search("crickets", "--source", "crickets", "--since", "3d").out.splitlines()
    assert told[0].endswith("crickets  67% heard")
    assert told[1].startswith("crickets: 0:06 heard of 24:0")
    (file,) = search(DOG, "--source", field, "--json").rows
    assert file["coverage"] is None, "a file was heard whole"


@pytest.mark.parametrize("what", [[], ["--sound", "nothing.wav"]])
def test_nothing_to_search_for_is_refused(search, what):
    assert search(*what).refused("nothing")


def test_a_search_for_nothing_is_an_error_of_the_api_too(field):
    engine = Engine.open(home=field / "home", write=False)
    with pytest.raises(PhraseError, match="give a text, a sound, or both"):
        engine.search()


def test_a_phrase_is_tried_on_what_was_heard(field):
    """Oracle: the same phrase's threshold and the window's reference, by the engine that listens."""
    engine = Engine.open(home=field / "home", phrases=[DOG], write=False)
    (embedding, *_) = engine.embed_audio(performed("dog", field))
    assert [match.phrase for match in engine.phrases.heard(embedding)] == [DOG], "it is heard there"
    earmark = Earmark(field / "home")
    tried = earmark("phrases", "try", DOG, "--json")
    assert names(tried) == ["dog", str(field / "dog-0.wav")], "in the order of time"
    assert f"{DOG}: would have been heard 2 times since" in earmark("phrases", "try", DOG).out
    assert "would have been heard once" in earmark("phrases", "try", DOG, "--source", "dog").out
    assert names(earmark("phrases", "try", DOG, "--source", "dog", "--since", "1d", "--json")) == []
    bell = earmark("phrases", "try", "a church bell ringing", "--since", "30d", "--json")
    assert "bell" in names(bell)


@pytest.mark.parametrize("within", [WITHIN, 0.02])
def test_a_phrase_is_tried_as_a_service_tells_it(field, within):
    """Oracle: the matcher of a service, asked about every phrase of the bundle, on the windows that were archived."""
    engine = Engine.open(home=field / "home", write=False)
    heard = {}
    for name in DAYS_AGO:
        (embedding, *_) = engine.embed_audio(performed(name, field))
        above = {match.phrase for match in engine.phrases.heard(embedding)}
        matcher = Matcher(engine.phrases, Watchlist(within=within))
        firings = matcher.firings(Window(0.0, SECONDS, embedding, True, 0), at=0.0)
        heard[name] = above, {firing.name for firing in firings}
    assert any(told < above for above, told in heard.values()), "some are above their thresholds, far below the best"
    for name, (above, told) in heard.items():
        assert {text for text in above if engine.would_have_fired(text, sources=[name], within=within)} == told


def test_a_phrase_is_tried_with_a_configuration_s_told_within(field):
    """However far below the best phrase, as `told_within = 2` has it, a phrase is told more often."""
    engine, earmark = Engine.open(home=field / "home", write=False), Earmark(field / "home")
    fired = {
        text: [len(engine.would_have_fired(text, within=each)) for each in (WITHIN, 2.0)] for text in engine.phrases
    }
    text = max(fired, key=lambda text: fired[text][1] - fired[text][0])
    few, many = (len(earmark("phrases", "try", text, "--json", *asked).rows) for asked in ([], ["--within", "2"]))
    assert [few, many] == fired[text]
    assert few < many
    refused = earmark("phrases", "try", text, "--within", "3")
    assert refused.code == 2 and "--within" in refused.err


def test_adding_a_phrase_tells_how_often_it_would_have_been_heard(field):
    earmark = Earmark(field / "home")
    added = earmark("phrases", "add", "a dog that barks")
    assert (added.code, added.err) == (0, "")
    tried = Earmark(field / "home")("phrases", "try", "a dog that barks", "--json").rows
    assert tried
    assert f"a dog that barks: would have been heard {len(tried)} times since" in added.out
