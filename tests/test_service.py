"""`earmark run` in a process of its own: it starts, stops, reloads and tells as it should."""

import json
import signal
import tempfile
import time
from pathlib import Path

import numpy as np
import pytest
import soundfile

from edge_runtime.scene import demo_scene
from edge_runtime.synthesis import Studio, church_bell, crickets
from tests.service_case import PIPE, RATE_HZ, Systemd, moments, running
from tests.voice_case import babble

HOP_S, WINDOW_S = 1.28, 5.12
"""Of the shipped bundle."""


@pytest.fixture
def systemd():
    with tempfile.TemporaryDirectory(prefix="earmark-") as folder:  # pytest's own are too long for a socket's name
        made = Systemd(Path(folder))
        yield made
        made.close()


def test_files_and_a_pipe_are_heard_side_by_side_until_they_end(earmark, recordings, noise, tmp_path):
    config = f'{PIPE}\n[[sources]]\nname = "twelve"\ninput = "{recordings / "twelve.wav"}"\n'
    with running(earmark, config) as service:
        service.hear(noise(8))
        assert service.end() == 0
        windows = service.told("window")
        assert {line["source"] for line in windows} == {"pipe", "twelve"}
        last = {line["source"]: line["end_s"] for line in windows}
        assert last == {"pipe": 8.0, "twelve": 12.0}
        ends = [line["source"] for line in service.told("source") if line["state"] == "ended"]
        assert sorted(ends) == ["pipe", "twelve"]
    found = earmark("search", "noise", "--json", "--top", 9)
    assert {row["file"] for row in found.rows} >= {"pipe", str(recordings / "twelve.wav")}


def test_sigterm_keeps_what_was_heard_to_the_last_sample(earmark, noise):
    """7.3 s: neither a hop nor a window ends there."""
    with running(earmark, PIPE) as service:
        service.hear(noise(7.3))
        service.wait_for("window", lambda line: line["end_s"] > 5)
        assert service.stop() == 0
        assert service.told("window")[-1]["end_s"] == pytest.approx(7.3)
        assert service.errors == ""
    assert max(row["end_s"] for row in earmark("search", "noise", "--json", "--top", 9).rows) == pytest.approx(7.3)
    status = earmark("status", "--json")
    assert status.code == 1
    (row,) = status.rows
    assert not row["running"]
    assert row["sources"][0]["heard_s"] == pytest.approx(7.3)
    # in whole decibels and tenths, of samples rounded to 16 bits
    assert row["sources"][0]["peak_dbfs"] == pytest.approx(20 * np.log10(np.abs(noise(7.3)).max()), abs=0.06)


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM])
def test_a_service_that_hears_nothing_stops_at_once(earmark, how):
    with running(earmark, PIPE) as service:
        for _ in moments():
            if (earmark.home / "status.json").exists():
                break
        assert service.stop(how) == 0


def test_a_phrase_that_is_added_to_a_running_service_is_heard_at_the_next_hop(earmark):
    scene, events = demo_scene()
    start = round((events[-1].start_s + 1) * RATE_HZ)
    crickets = np.tile(scene[start : start + 6 * RATE_HZ], 2)
    with running(earmark, PIPE) as service:
        service.hear(crickets[: 8 * RATE_HZ])
        before = service.wait_for("window", lambda line: line["end_s"] > 6)
        assert earmark("phrases", "add", "crickets at night").code == 0
        service.hear(crickets[8 * RATE_HZ : round((8 + HOP_S) * RATE_HZ)])
        after = service.wait_for("window", lambda line: line["end_s"] > before["end_s"])
    assert after["end_s"] == pytest.approx(before["end_s"] + HOP_S)
    best = {line["end_s"]: line["matches"][0] for line in (before, after)}
    assert best[before["end_s"]]["phrase"] == "crickets chirping"
    assert best[after["end_s"]]["phrase"] == "crickets at night" and best[after["end_s"]]["heard"]


def test_sighup_takes_the_new_configuration_without_losing_a_sample_of_what_stays(earmark, noise, recordings, systemd):
    with running(earmark, PIPE, env=systemd.env) as service:
        service.hear(noise(6))
        service.wait_for("window", lambda line: line["end_s"] > 3)
        added = f'{PIPE}\n[[sources]]\nname = "five"\ninput = "{recordings / "five.wav"}"\n'
        (service.folder / "field.toml").write_text(added)
        service.process.send_signal(signal.SIGHUP)
        service.wait_for("window", lambda line: line["source"] == "five")
        systemd.wait_for("READY=1", count=2)
        service.hear(noise(6, seed=1))
        (service.folder / "field.toml").write_text("sources = 3")
        service.process.send_signal(signal.SIGHUP)
        systemd.wait_for("READY=1", count=3)
        service.hear(noise(1, seed=2))
        assert service.stop() == 0
        ends = [line["end_s"] for line in service.told("window") if line["source"] == "pipe"]
        assert np.diff(ends)[:-1] == pytest.approx(HOP_S)
        assert ends[-1] == pytest.approx(13.0), "one recording, whole"
        assert "line 1: sources is 3, expected a list" in service.errors
    assert [message.partition("\n")[0] for message in systemd.read() if not message.startswith("STATUS")] == [
        "READY=1",
        "RELOADING=1",
        "READY=1",
        "RELOADING=1",
        "READY=1",
        "STOPPING=1",
    ]


def test_the_watchdog_is_fed_by_sound_alone(earmark, noise, systemd):
    """Its period is .4 s: it could be fed at every tick."""
    with running(earmark, PIPE, env={**systemd.env, "WATCHDOG_USEC": "400000"}) as service:
        systemd.wait_for("READY=1")
        assert systemd.count("WATCHDOG=1") == 0
        service.hear(noise(1))
        systemd.wait_for("WATCHDOG=1")
        fed = _fed_while_silent(systemd)
        service.hear(noise(1))
        systemd.wait_for("WATCHDOG=1", count=fed + 1)
        assert service.stop() == 0


def _fed_while_silent(systemd):
    """How often it was fed by when that ends: a second and a half go by without another time."""
    for _ in moments():
        fed = systemd.count("WATCHDOG=1")
        time.sleep(1.5)
        if systemd.count("WATCHDOG=1") == fed:
            return fed
    raise AssertionError("a silent pipe feeds it")


def test_a_home_has_one_service(earmark):
    with running(earmark, PIPE):
        for _ in moments():
            if (earmark.home / "status.json").exists():
                break
        assert earmark("run", earmark.home.parent / "field.toml").refused("is running on", "stop it")
        assert "running, last report" in earmark("status").out


def test_status_of_a_home_without_a_service_is_refused(earmark):
    assert earmark("status").refused("no service has run", "earmark run")


def test_the_status_lies_in_systemds_runtime_folder_where_there_is_one(earmark, tmp_path):
    runtime = tmp_path / "runtime"
    runtime.mkdir()
    with running(earmark, PIPE, env={"RUNTIME_DIRECTORY": str(runtime)}):
        for _ in moments():
            if (runtime / "status.json").exists():
                break
        assert earmark("status").code == 0
    assert json.loads((runtime / "status.json").read_text())["sources"][0]["name"] == "pipe"
    assert earmark("status").out.startswith("not running")


def test_check_says_what_is_wrong_and_starts_nothing(earmark, tmp_path):
    path = tmp_path / "field.toml"
    path.write_text(PIPE)
    assert earmark("run", "--check", path).out == f"{path} is sound: pipe (-)\n"
    path.write_text(PIPE.replace("rate_hz", "rate"))
    assert earmark("run", "--check", path).refused("line 5", "sources[0].rate", "did you mean 'rate_hz'")
    assert not earmark.home.exists()


def test_a_source_that_cannot_be_read_is_told_and_ends_with_exit_code_2(earmark, tmp_path):
    path = tmp_path / "field.toml"
    path.write_text('[[sources]]\nname = "gone"\ninput = "gone.wav"\n[[sinks]]\nto = "-"\n')
    ran = earmark("run", path)
    assert ran.code == 2
    assert "there is no file" in ran.err
    (last,) = [row for row in ran.rows if row["state"] == "failed"]
    assert "there is no file" in last["trouble"]
    assert "there is no file" in earmark("status").out


def test_a_damaged_file_of_a_folder_is_told_and_the_others_are_heard(earmark, tmp_path, noise):
    folder = tmp_path / "card"
    folder.mkdir()
    soundfile.write(folder / "b.wav", noise(6), RATE_HZ)
    (folder / "a.wav").write_bytes((folder / "b.wav").read_bytes()[:100_000])
    path = tmp_path / "field.toml"
    path.write_text('[[sources]]\nname = "card"\ninput = "card"\n')
    ran = earmark("run", path)
    assert ran.code == 0
    assert "a.wav is cut short" in ran.err
    assert earmark("status", "--json").rows[0]["sources"][0]["heard_s"] == pytest.approx(6.0)


@pytest.fixture(scope="module")
def scene(tmp_path_factory):
    """The demo's minute: birds, bell, dog, keyboard, siren, thunderstorm, crickets."""
    path = tmp_path_factory.mktemp("scene") / "scene.wav"
    soundfile.write(path, demo_scene()[0], RATE_HZ, subtype="PCM_16")
    return path


WATCHED = """
[groups]
bells = ["a church bell ringing", "a level crossing bell"]
[rules]
storm-after-siren = "a siren AND thunder rumbling in the distance WITHIN 12 s"
dog-without-bells = "a dog barking NOT bells WITHIN 60 s"
keys-without-bells = "keyboard typing NOT bells WITHIN 5 s"
"""


def test_compound_phrases_over_a_scene_become_events_with_clips(earmark, scene):
    config = f'[[sources]]\nname = "scene"\ninput = "{scene}"\n{WATCHED}[clips]\npre_s = 1\nlongest_s = 15\n'
    path = earmark.home.parent / "field.toml"
    path.write_text(config)
    assert earmark("run", path).code == 0
    events = {row["name"]: row for row in earmark("events", "list", "--json").rows}
    assert {"bells", "storm-after-siren", "keys-without-bells"} <= set(events)
    assert "dog-without-bells" not in events, "the bell rings seconds before the dog"
    assert not {"a church bell ringing", "a level crossing bell"} & set(events), "told under their group's name"
    _, truth = demo_scene()
    for row, label in ((events["bells"], "a church bell ringing"), (events["keys-without-bells"], "keyboard typing")):
        (true,) = [each for each in truth if each.label == label]
        assert row["start_s"] < true.end_s and true.start_s < row["end_s"]
        clip = earmark.home / row["clip"]
        assert 5 < soundfile.info(clip).duration <= 15


def test_without_a_table_of_clips_no_sound_is_written(earmark, scene):
    path = earmark.home.parent / "field.toml"
    path.write_text(f'[[sources]]\nname = "scene"\ninput = "{scene}"\n')
    assert earmark("run", path).code == 0
    assert earmark("events", "list", "--json").rows
    assert not (earmark.home / "clips").exists()


def test_where_speech_is_dropped_its_windows_are_not_archived(earmark, tmp_path):
    """A bell, a voice and crickets, each as long as two windows of the archive; the voice's two are dropped."""
    parts = [make(Studio(RATE_HZ, 0), 2 * WINDOW_S) for make in (church_bell, babble, crickets)]
    sound = np.concatenate([0.3 * part / np.abs(part).max() for part in parts])
    heard = tmp_path / "voice.wav"
    soundfile.write(heard, sound, RATE_HZ, subtype="PCM_16")
    path = earmark.home.parent / "field.toml"
    found = {}
    for speech in ("silence", "drop"):
        home = earmark.home.with_name(speech)
        path.write_text(
            f'home = "{home}"\nspeech = "{speech}"\n[[sources]]\nname = "scene"\ninput = "{tmp_path}/voice.wav"\n'
        )
        assert earmark("run", path).code == 0
        rows = earmark("search", "a church bell ringing", "--json", "--top", 20, "--home", home).rows
        found[speech] = sorted(row["start_s"] / WINDOW_S for row in rows)
    assert found == {"silence": [0, 1, 2, 3, 4, 5], "drop": [0, 1, 4, 5]}


def test_a_quiet_source_is_heard_as_loud_as_its_gain_makes_it_and_clipped_as_it_came(earmark, scene, tmp_path):
    """The scene 40 dB down, and heard 40 dB louder: the same windows are told, and events; its clips are quiet."""
    sound, rate_hz = soundfile.read(scene, dtype="float32")
    quiet = tmp_path / "quiet.wav"
    soundfile.write(quiet, 0.01 * sound, rate_hz, subtype="FLOAT")
    path = earmark.home.parent / "field.toml"
    told = {}
    for name, file, gain in (("loud", scene, ""), ("quiet", quiet, "gain_db = 40"), ("faint", quiet, "")):
        home = earmark.home.with_name(name)
        source = f'[[sources]]\nname = "yard"\ninput = "{file}"\n{gain}\n'
        path.write_text(f'home = "{home}"\nspeech = "keep"\n{source}[clips]\n[[sinks]]\nto = "-"\ntell = ["windows"]\n')
        ran = earmark("run", path)
        assert ran.code == 0
        windows = [row["matches"] for row in ran.rows if row["type"] == "window"]
        told[name] = [(best["phrase"], best["score"]) for best, *_ in windows]
    assert [phrase for phrase, _ in told["quiet"]] == [phrase for phrase, _ in told["loud"]]
    scores = {name: np.array([score for _, score in rows]) for name, rows in told.items()}
    # 0.01 is no power of two: samples are off by a float32's rounding, which may move an int8 step
    np.testing.assert_allclose(scores["quiet"], scores["loud"], atol=0.01)
    assert np.abs(scores["faint"] - scores["loud"]).max() > 0.05
    events = earmark("events", "list", "--json", "--home", earmark.home.with_name("quiet")).rows
    clips = [earmark.home.with_name("quiet") / row["clip"] for row in events if row["clip"]]
    assert clips and all(np.abs(soundfile.read(clip)[0]).max() <= 0.0101 for clip in clips)


def test_the_ledger_tells_what_each_second_of_a_live_source_was(earmark, noise):
    """The pipe gives 4 s of sound in as many."""
    with running(earmark, PIPE) as service:
        for tenth in np.array_split(noise(4), 40):
            service.hear(tenth)
            time.sleep(0.1)
        assert service.stop() == 0
    rows = earmark("coverage", "--json").rows
    assert sum(row["heard_s"] for row in rows) == pytest.approx(4, abs=1)
    assert {row["source"] for row in rows} == {"pipe"}
