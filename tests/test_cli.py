"""The command as people and programs use it: real processes, and the JSON forms to the letter."""

import json
import signal
import sqlite3
import time

import numpy as np
import pytest
import soundfile

from edge_runtime import Engine
from edge_runtime.home import Home
from edge_runtime.phrases import default_phrases

RATE_HZ = 32_000
PATIENCE_S = 60.0
"""For what takes a second on an idle machine."""


@pytest.fixture
def few_phrases(tmp_path):
    path = tmp_path / "few.txt"
    path.write_text("# mine\nrain on a roof\n\n  a dog   barking \nan axe chopping wood\nrain on a roof\n")
    return path


FEW = {"rain on a roof", "a dog barking", "an axe chopping wood"}


def pcm_of(path):
    return soundfile.read(path, dtype="int16")[0].astype("<i2").tobytes()


def names(row):
    return [match["phrase"] for match in row["matches"]]


def listing(folder):
    return {path: (path.stat().st_size, path.stat().st_mtime_ns) for path in folder.rglob("*") if path.is_file()}


# --- JSON forms


def test_listen_prints_windows_and_last_the_coverage(twelve, earmark):
    ran = earmark("listen", twelve, "--json", "--top", 2)
    assert (ran.code, ran.err) == (0, "")
    *windows, coverage = ran.rows
    for row in windows:
        assert list(row) == ["type", "start_s", "end_s", "matches"]
        assert row["type"] == "window"
        assert 0 <= row["start_s"] < row["end_s"] <= 12
        assert len(row["matches"]) == 2
        for match in row["matches"]:
            assert list(match) == ["phrase", "score", "heard"]
            assert -1 <= match["score"] <= 1
        scores = [match["score"] for match in row["matches"]]
        assert scores == sorted(scores, reverse=True)
    assert windows[-1]["end_s"] == 12
    assert coverage == {"type": "coverage", "heard_s": 12.0, "lost_s": 0.0}


def test_caption_prints_one_row_a_file_best_first(recordings, earmark, few_phrases):
    paths = [str(path) for path in sorted(recordings.iterdir())]
    ran = earmark("caption", "--json", "--top", 10, "--phrases", few_phrases, *paths)
    assert (ran.code, ran.err) == (0, "")
    assert [row["file"] for row in ran.rows] == paths
    assert [row["seconds"] for row in ran.rows] == [5.0, 12.0, 25.0]
    for row in ran.rows:
        assert list(row) == ["file", "seconds", "matches"]
        assert set(names(row)) == FEW, "the file's phrases alone, each once"
        scores = [match["score"] for match in row["matches"]]
        assert scores == sorted(scores, reverse=True)
    assert not earmark.home.exists()


def test_caption_counts_each_phrase_with_its_best_window(recordings, few_phrases):
    """Oracle: the cosines of every window with every phrase, less how near each window is to any text."""
    engine = Engine.open(phrases=sorted(FEW))
    windows = engine.embed_audio(recordings / "twenty-five.flac")
    scores = windows @ engine.bundle.embed_text(sorted(FEW)).T - engine.bundle.popularity(windows)[:, None]
    best = dict(zip(sorted(FEW), scores.max(axis=0), strict=True))
    found = engine.caption(recordings / "twenty-five.flac", k=2)
    assert [match.phrase for match in found] == sorted(best, key=best.__getitem__, reverse=True)[:2]
    for match in found:
        assert match.score == pytest.approx(best[match.phrase], abs=1e-5), "float32 sums in another order"


def test_index_then_search_prints_one_row_a_hit_best_first(recordings, earmark):
    indexed = earmark("index", recordings)
    assert (indexed.code, indexed.err) == (0, "")
    assert "indexed 0:42" in indexed.out
    ran = earmark("search", "a dog barking", "--json", "--top", 4)
    assert (ran.code, ran.err) == (0, "")
    assert 1 <= len(ran.rows) <= 4
    for row in ran.rows:
        assert list(row) == ["file", "start_s", "end_s", "start_at", "coverage", "score", "cosine"]
        assert row["file"] in {str(path) for path in recordings.iterdir()}
        assert 0 <= row["start_s"] < row["end_s"]
    scores = [row["score"] for row in ran.rows]
    assert scores == sorted(scores, reverse=True)
    again = earmark("index", recordings)
    assert "3 were there already" in again.out


# --- listen


def test_pcm_in_odd_pieces_is_heard_as_the_file_is(twelve, earmark):
    data = pcm_of(twelve)
    rng = np.random.default_rng(0)
    with earmark.start("listen", "-", "--rate", RATE_HZ, "--json") as process:
        at = 3 * RATE_HZ * 2 - 1
        process.stdin.write(data[:at])
        first = process.stdout.readline()  # it waits for sound now, so that it gets each piece by itself
        while at < 4 * RATE_HZ * 2:
            size = int(rng.integers(1, 6000)) | 1
            process.stdin.write(data[at : at + size])
            time.sleep(0.005)
            at += size
        out, err = process.communicate(data[at:] + b"\1", timeout=PATIENCE_S)  # half a sample more
    assert (process.returncode, err) == (0, b"")
    file = earmark("listen", twelve, "--json", "--no-archive")
    assert [json.loads(line) for line in (first + out).splitlines()] == file.rows


def test_no_archive_writes_nothing(twelve, earmark):
    ran = earmark("listen", twelve, "--no-archive", "--json")
    assert (ran.code, ran.rows[-1]["heard_s"]) == (0, 12.0)
    assert not earmark.home.exists()
    assert not earmark.home.with_name("nobody").exists(), "nor in the user's own folder"
    writer = Home.open(earmark.home)
    writer.keep_phrases(["a dog on a far hill"], kept=True)
    writer.close()
    before = listing(earmark.home)
    assert earmark("listen", twelve, "--no-archive", "--json").rows[-1]["heard_s"] == 12.0
    lock_files = {path for path in listing(earmark.home) if path.name.endswith(("-shm", "-wal"))}
    assert {path: told for path, told in listing(earmark.home).items() if path not in lock_files} == before
    assert sum(path.stat().st_size for path in lock_files if path.name.endswith("-wal")) == 0


@pytest.mark.parametrize("seconds", [0, 3.3])
def test_seconds_stop_the_sound_and_its_tail_is_heard(seconds, twelve, earmark):
    ran = earmark("listen", twelve, "--json", "--no-archive", "--seconds", seconds)
    assert ran.code == 0
    assert ran.rows[-1] == {"type": "coverage", "heard_s": seconds, "lost_s": 0.0}
    assert [row["end_s"] for row in ran.rows[-2:-1]] == ([seconds] if seconds else [])


def test_seconds_count_over_a_folder(recordings, earmark):
    ran = earmark("listen", recordings, "--json", "--no-archive", "--seconds", 7)
    assert ran.rows[-1]["heard_s"] == 7.0
    last = {row["file"]: row["end_s"] for row in ran.rows[:-1]}
    assert last == {str(recordings / "five.wav"): 5.0, str(recordings / "twelve.wav"): 2.0}


def test_a_gain_makes_up_for_a_quiet_microphone(twelve, earmark, tmp_path):
    """A quarter of the level, a power of two: with 20 log10(4) dB of gain all is heard to the last digit told."""
    sound, rate_hz = soundfile.read(twelve, dtype="float32")
    soundfile.write(tmp_path / "quiet.wav", sound / 4, rate_hz, subtype="FLOAT")
    quiet = ("listen", tmp_path / "quiet.wav", "--json", "--no-archive")
    loud, louder = earmark("listen", twelve, "--json", "--no-archive"), earmark(*quiet, "--gain-db", 20 * np.log10(4))
    assert loud.code == louder.code == 0
    assert louder.rows[0]["matches"] == loud.rows[0]["matches"]
    assert earmark(*quiet).rows[0]["matches"] != loud.rows[0]["matches"]
    assert earmark(*quiet, "--gain-db", 99).code == 2


def test_listening_to_a_folder_hears_each_file_from_its_start(recordings, earmark):
    ran = earmark("listen", recordings, "--json", "--no-archive")
    assert (ran.code, ran.err) == (0, "")
    assert ran.rows[-1]["heard_s"] == 42.0
    for path, seconds in (("five.wav", 5), ("twelve.wav", 12), ("twenty-five.flac", 25)):
        rows = [row for row in ran.rows[:-1] if row["file"] == str(recordings / path)]
        assert (rows[0]["start_s"], rows[-1]["end_s"]) == (0, seconds)


def test_listen_tells_people_what_it_hears(twelve, earmark):
    ran = earmark("listen", twelve, "--no-archive")
    assert (ran.code, ran.err) == (0, "")
    assert ran.out.splitlines()[0].endswith("twelve.wav")
    assert ran.out.splitlines()[-1] == "heard 0:12, lost 0.0 s"
    assert len(ran.out.splitlines()) >= 3


def test_listen_and_index_of_a_file_leave_the_same_windows(recordings, tmp_path):
    path = recordings / "twenty-five.flac"
    archives = []
    for command in ("listen", "index"):
        engine = Engine.open(home=tmp_path / command)
        if command == "index":
            engine.index(path)
        else:
            _listen(engine, path)
        assert engine.archive.holds(path)
        (day,) = (tmp_path / command).glob("archive/*/*.emb")
        archives.append(day.read_bytes())
    assert archives[0] == archives[1]


def _listen(engine, path, seconds=None):
    from edge_runtime.cli.listen import Session
    from edge_runtime.sources import open_source

    session = Session(engine, keep=True, live_phrases=True, seconds=seconds)
    for stretch in session.stretches(open_source(str(path))):
        list(session.run(stretch, k=1))


def test_listening_to_a_part_of_an_indexed_file_keeps_the_whole(recordings, home):
    path = recordings / "twenty-five.flac"
    engine = Engine.open(home=home)
    _listen(engine, path, seconds=2)
    assert [hit.end_s for hit in engine.search("rain")] == [2.0]
    _listen(engine, path, seconds=4)
    assert [hit.end_s for hit in engine.search("rain")] == [4.0], "the longer part replaces the shorter"
    engine.index(path)
    whole = engine.search("rain", k=20)
    _listen(engine, path, seconds=2)
    assert engine.search("rain", k=20) == whole
    assert engine.archive.holds(path)


def test_phrases_of_a_file_replace_the_vocabulary_for_that_call_only(twelve, earmark, few_phrases):
    ran = earmark("listen", twelve, "--json", "--no-archive", "--top", 100, "--phrases", few_phrases)
    assert all(set(names(row)) == FEW for row in ran.rows[:-1])
    after = earmark("caption", twelve, "--json", "--top", 100)
    assert len(names(after.rows[0])) == 100


# --- index


def test_ctrl_c_while_indexing_keeps_what_was_finished_and_goes_on_later(earmark, noise, tmp_path):
    folder = tmp_path / "many"
    folder.mkdir()
    soundfile.write(folder / "000.wav", noise(30), RATE_HZ)
    for number in range(1, 160):
        (folder / f"{number:03}.wav").hardlink_to(folder / "000.wav")
    with earmark.start("index", folder) as process:
        end = time.monotonic() + PATIENCE_S
        while _whole(earmark.home) < 1 and process.poll() is None and time.monotonic() < end:
            time.sleep(0.01)
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 130
    assert err.decode().splitlines() == ["earmark: stopped; what was finished is kept"]
    finished = _whole(earmark.home)
    assert 1 <= finished < 160
    for path in sorted(folder.iterdir())[finished + 2 :]:
        path.unlink()
    resumed = earmark("index", folder)
    assert resumed.code == 0
    assert f"{finished} were there already" in resumed.out
    assert _whole(earmark.home) == finished + 2
    engine = Engine.open(home=earmark.home, write=False)
    hits = engine.search("rain", k=1000)
    assert len({(hit.file, round(hit.start_s)) for hit in hits}) == len(hits), "no moment twice"


def _whole(home):
    try:
        db = sqlite3.connect(f"file:{home}/earmark.sqlite?mode=ro", uri=True)
        return db.execute("select count(*) from recording where whole = 1").fetchone()[0]
    except sqlite3.Error:
        return 0


# --- phrases


def test_phrases_are_added_listed_imported_and_removed(earmark, few_phrases, bundle):
    start = default_phrases(bundle)
    added = earmark("phrases", "add", "  a wooden\tcart on cobbles ", start[0])
    assert (added.code, added.err) == (0, "")
    assert earmark("phrases", "import", few_phrases).code == 0
    now = list(Engine.open(home=earmark.home).phrases)
    assert set(now) == {*start, "a wooden cart on cobbles", *FEW}
    assert len(now) == len(set(now))
    removed = earmark("phrases", "remove", "a wooden cart on cobbles", *(FEW - {*start}), start[1])
    assert (removed.code, removed.err) == (0, "")
    assert f"the vocabulary has {len(start) - 1} phrases" in removed.out
    listed = earmark("phrases", "list", "--json")
    assert [row["phrase"] for row in listed.rows] == [start[0], *start[2:]]
    assert earmark("phrases", "list").out.splitlines() == [start[0], *start[2:]]


def test_a_vocabulary_may_be_empty(home, earmark, bundle, twelve):
    store = Home.open(home)
    store.keep_phrases(Engine.open().phrases, kept=False)
    ran = earmark("listen", twelve, "--no-archive")
    assert (ran.code, ran.err) == (0, "")
    assert Engine.open(home=home).caption(twelve) == ()


def test_a_phrase_is_matched_back_over_what_was_heard_before(twelve, home):
    """A query needs no place in the vocabulary: the archive holds embeddings, not words."""
    engine = Engine.open(home=home)
    engine.index(twelve)
    assert engine.search("a wooden cart on cobbles")


# --- embed, doctor, bundle, devices


def test_embed_writes_what_the_api_gives(twelve, earmark, tmp_path):
    audio = earmark("embed", "audio", twelve, "--out", tmp_path / "a.npy")
    text = earmark("embed", "text", "a dog barking", "--out", tmp_path / "t.npy")
    assert (audio.code, text.code, audio.err, text.err) == (0, 0, "", "")
    engine = Engine.open()
    np.testing.assert_array_equal(np.load(tmp_path / "a.npy"), engine.embed_audio(twelve))
    np.testing.assert_array_equal(np.load(tmp_path / "t.npy"), engine.embed_text("a dog barking"))
    norms = np.linalg.norm(np.load(tmp_path / "a.npy"), axis=1)
    np.testing.assert_allclose(norms, 1, atol=1e-5, err_msg="float32 rounding over 512 numbers")
    assert earmark("embed", "text", "a dog", "--out", tmp_path / "no" / "x.npy").refused("x.npy", "--out")
    assert not earmark.home.exists()


def test_doctor_passes_on_this_machine(earmark):
    ran = earmark("doctor")
    assert (ran.code, ran.err) == (0, "")
    for word in ("bundle", "self-test   passed", "speed", "microphone", "home"):
        assert word in ran.out
    assert not earmark.home.exists()


def test_doctor_tells_false_alerts_an_hour_of_the_vocabulary_in_force(earmark, bundle):
    told = earmark("doctor", "--json")
    assert (told.code, told.err) == (0, "")
    (row,) = told.rows
    assert row["fingerprint"] == bundle.fingerprint and row["self_test"]["audio_cosine"] > 0.999
    found = row["false_alerts"]
    assert 0 < found["recorded_hours"] < found["hours"]
    rate = found["rate"]
    assert rate["per_hour"] == pytest.approx(rate["alerts"] / found["hours"])
    assert rate["low"] <= rate["per_hour"] < rate["high"]
    line = next(line for line in earmark("doctor").out.splitlines() if line.startswith("background"))
    assert f"{row['phrases']} phrases: {rate['per_hour']:.1f} (" in line
    assert f"{rate['alerts']} in {found['hours']:.2f} hours" in line
    earmark("phrases", "add", "two axes chopping wood")
    assert earmark("doctor", "--json").rows[0]["phrases"] == row["phrases"] + 1


def test_doctor_fails_where_the_home_cannot_be_used(earmark):
    earmark.home.mkdir()
    (earmark.home / "earmark.sqlite").write_text("rubbish " * 1000)
    ran = earmark("doctor")
    assert ran.refused("earmark.sqlite")


def test_bundle_info_tells_model_precisions_licence_and_quality(earmark, bundle):
    ran = earmark("bundle", "info", "--json")
    assert (ran.code, ran.err) == (0, "")
    (row,) = ran.rows
    assert {*row} >= {"name", "version", "fingerprint", "licence", "graphs", "quality"}
    assert row["fingerprint"] == bundle.fingerprint
    assert set(row["graphs"]) == {"encoder", "head", "text encoder"}
    assert all(graph["precision"] and graph["why"] for graph in row["graphs"].values())


def test_devices_lists_microphones_or_says_what_is_missing(earmark):
    ran = earmark("devices")
    if ran.code:
        assert ran.refused("sudo apt install libportaudio2")
    else:
        assert ran.out or "no microphone found" in ran.err
