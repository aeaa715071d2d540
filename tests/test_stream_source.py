"""Streams through a real ffmpeg from real servers on this machine: sample for sample, and nothing but the network."""

import os
import signal
import subprocess
import threading
import time
from pathlib import Path

import numpy as np
import pytest

from edge_runtime.errors import AudioError
from edge_runtime.sources import open_source
from edge_runtime.sources.stream import MAX_URL, SCHEMES, check_url, shown
from tests.stream_case import AnswerServer, HttpServer, RtspServer, needs_ffmpeg

RATE_HZ = 48_000


@pytest.fixture(scope="module")
def sound():
    """A second of noise at full scale: no part of it is like another."""
    return np.random.default_rng(0).uniform(-1, 1, RATE_HZ).astype(np.float32)


def heard(source, seconds):
    """What its first stretch gives, until `seconds` are there; samples (n,) and the stretch."""
    blocks = []
    for stretch in source.stretches():
        for block in stretch.blocks():
            blocks.append(block)
            if sum(map(len, blocks)) >= seconds * stretch.rate_hz:
                source.stop()
    return np.concatenate(blocks), stretch


@needs_ffmpeg
@pytest.mark.parametrize("server_of", [RtspServer, HttpServer])
def test_a_stream_is_heard_sample_for_sample(server_of, sound):
    with server_of(sound, RATE_HZ) as server:
        source = open_source(server.url)
        before_s = time.monotonic()
        samples, stretch = heard(source, 1.5)
    expected = np.tile(server.samples, len(samples) // RATE_HZ + 1)[: len(samples)] / np.float32(32768)
    np.testing.assert_array_equal(samples, expected)
    assert (stretch.rate_hz, stretch.path, stretch.missing) == (RATE_HZ, None, None)
    assert before_s < stretch.started_s < stretch.started_s + len(samples) / RATE_HZ < time.monotonic() + 0.1
    assert (source.state, source.trouble, source.lost_s) == ("stopped", None, 0)
    assert stretch.source == source.name == server.url.replace("user:secret@", "")


@needs_ffmpeg
def test_an_answer_that_is_no_sound_is_refused_in_ffmpegs_words_and_without_secrets():
    with AnswerServer({"": b"<html>No such camera</html>"}) as server, pytest.raises(AudioError) as refused:
        next(open_source(server.url + "?token=s3cret").stretches())
    assert "Invalid data" in str(refused.value)
    assert "secret" not in str(refused.value) and "s3cret" not in str(refused.value)


PLAYLIST = """#EXTM3U
#EXT-X-TARGETDURATION:2
#EXTINF:2,
{}
#EXT-X-ENDLIST
"""


@needs_ffmpeg
def test_a_playlist_leads_to_no_file_of_this_device(tmp_path):
    """Oracle: the same playlist gives its sound where it names the network."""
    private = tmp_path / "private.ts"
    subprocess.run(["ffmpeg", "-v", "error", "-f", "lavfi", "-i", "sine=d=2", "-c:a", "mp2", private], check=True)
    with AnswerServer({"": b""}) as server:
        for entry, plays in (("segment.ts", True), (private.as_uri(), False), (f"crypto+{private.as_uri()}", False)):
            server.answers = {"": PLAYLIST.format(entry).encode(), "/segment.ts": private.read_bytes()}
            source = open_source(server.url)
            if plays:
                assert np.abs(heard(source, 1)[0]).max() > 0.1
            else:
                with pytest.raises(AudioError, match="gives no sound"):
                    next(source.stretches())


@needs_ffmpeg
def test_stop_ends_a_stream_at_once_also_while_it_is_opened(sound):
    with AnswerServer({"": None}) as mute:
        source = open_source(mute.url)
        got = []
        thread = threading.Thread(target=lambda: got.extend(source.stretches()))
        thread.start()
        while not mute.connections:
            time.sleep(0.01)
        stopped_s = time.monotonic()
        source.stop()
        thread.join(5)
        assert time.monotonic() - stopped_s < 0.5
        assert (got, source.state) == ([], "stopped")


@needs_ffmpeg
def test_ctrl_c_while_a_stream_is_opened_leaves_no_ffmpeg(earmark):
    with AnswerServer({"": None}) as mute:
        listening = earmark.start("listen", mute.url, "--json", "--no-archive")
        while not mute.connections:
            assert listening.poll() is None, listening.communicate()
            time.sleep(0.02)
        (ffmpeg,) = children(listening.pid)
        listening.send_signal(signal.SIGINT)
        _, errors = listening.communicate(timeout=20)
        assert "Traceback" not in errors.decode()
        assert not Path(f"/proc/{ffmpeg}").exists()


@needs_ffmpeg
def test_a_stream_leaves_no_process_no_thread_and_no_handle(sound):
    handles, threads = len(os.listdir("/proc/self/fd")), threading.active_count()  # noqa: PTH208
    with RtspServer(sound, RATE_HZ) as server:
        heard(open_source(server.url), 0.2)
    with AnswerServer({"": b"no sound"}) as server, pytest.raises(AudioError):
        next(open_source(server.url).stretches())
    assert not children()
    until_s = time.monotonic() + 5  # the servers' own threads end by themselves
    while threading.active_count() > threads and time.monotonic() < until_s:
        time.sleep(0.02)
    assert len(os.listdir("/proc/self/fd")) <= handles, "those of earlier tests may go meanwhile"  # noqa: PTH208
    assert threading.active_count() <= threads


def children(pid="self"):
    """Those of all its threads that are ffmpeg: other tests of this process have theirs."""
    found = [child for file in Path(f"/proc/{pid}/task").glob("*/children") for child in told(file).split()]
    return [child for child in found if told(Path(f"/proc/{child}/comm")).strip() == "ffmpeg"]


def told(file):
    """What /proc has there: nothing of a thread or a process that has ended meanwhile."""
    try:
        return file.read_text()
    except OSError:
        return ""


def test_without_ffmpeg_the_message_names_its_package(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(AudioError, match="sudo apt install ffmpeg"):
        next(open_source("rtsp://camera/live").stretches())


@pytest.fixture
def as_ffmpeg(monkeypatch, tmp_path):
    """Any shell script as the program ffmpeg."""

    def install(script):
        program = tmp_path / "ffmpeg"
        program.write_text(f"#!/bin/sh\n{script}\n")
        program.chmod(0o755)
        monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")

    return install


AU_HEADER = r"printf '.snd\0\0\0\030\377\377\377\377\0\0\0\003\0\0\100\000\0\0\0\001'"
"""24 bytes: 16-bit, 16 384 Hz, mono."""


def test_a_stream_full_of_faults_does_not_choke_on_its_own_complaints(as_ffmpeg):
    as_ffmpeg(
        f"{AU_HEADER}; head -c 40000 /dev/zero; yes 'a fault' | head -c 3000000 >&2; head -c 60000 /dev/zero; "
        "printf 'the server\\033 is gone\\n' >&2"
    )
    source = open_source("rtsp://user:secret@camera/live")
    stretch = next(source.stretches())
    assert stretch.rate_hz == 16_384
    assert sum(map(len, stretch.blocks())) == 50_000
    assert source.trouble == (
        "rtsp://camera/live gives no sound (the server is gone): check the address, and that it runs"
    )


def test_stop_ends_a_stream_whose_ffmpeg_listens_to_nobody(as_ffmpeg):
    as_ffmpeg(f"trap '' TERM; {AU_HEADER}; head -c 40000 /dev/zero; exec sleep 60")
    source = open_source("rtsp://camera/live")
    for stretch in source.stretches():
        for _ in stretch.blocks():
            stopped_s = time.monotonic()
            source.stop()
    assert time.monotonic() - stopped_s < 0.5
    assert not children()


@pytest.mark.parametrize("given", ["", "printf RIFF", "head -c 5000 /dev/urandom", f"{AU_HEADER} | tr '\\003' '\\007'"])
def test_what_is_no_header_is_refused(given, as_ffmpeg):
    as_ffmpeg(given)
    with pytest.raises(AudioError, match="ffmpeg"):
        next(open_source("rtsp://camera/live").stretches())
    assert not children()


@pytest.mark.parametrize(
    "url",
    [
        "file:///etc/passwd",
        "concat:///etc/passwd|/etc/shadow",
        "subfile,,start,0,end,9,,://etc/passwd",
        "-i://x",
        "rtsp://",
        "http://[::1",
        "http://a b/",
        "http://a\n/",
        "http://\N{LATIN SMALL LETTER E WITH ACUTE}/",
        "pipe://0",
        "http://h/" + "x" * MAX_URL,
    ],
)
def test_what_is_no_stream_is_refused(url):
    with pytest.raises(AudioError, match="is no stream that can be opened: give rtsp://"):
        open_source(url)


@pytest.mark.parametrize("scheme", SCHEMES)
def test_a_url_is_told_without_its_secrets(scheme):
    url = f"{scheme}://user:pa@ss@camera:554/live?token=abc"
    check_url(url)
    assert shown(url) == f"{scheme}://camera:554/live"
