"""Clips: the right samples to the last one, whole or not at all, none where somebody speaks, never outside."""

import errno
import io
import itertools
import shutil

import numpy as np
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_runtime.errors import AudioError, HomeError
from edge_runtime.events import clips as clips_module
from edge_runtime.events.clip_folder import ClipFolder
from edge_runtime.events.clips import ClipRecorder, ClipSettings
from edge_runtime.events.event import Event
from edge_runtime.events.flac import FlacBuffer, comments_of
from edge_runtime.events.ring import SampleRing
from edge_runtime.events.speech import SPEECH, SpeechGate
from edge_runtime.listener import Window

WINDOW_S, HOP_S = 5.12, 1.28
STARTED_S = 5_000_000.0
"""Monotonic seconds after two months, when a float of them is a nanosecond wide."""
WALL_OFFSET_S = 1_700_000_000.0


def event(start_s, end_s, name="a dog barking", score=0.5):
    """Stretch seconds in, monotonic ones in the event."""
    return Event(
        "garden", name, "phrase", (name,), STARTED_S + start_s, STARTED_S + end_s, STARTED_S + end_s, score, 0.3, 1, 5
    )


def counted(rate_hz, seconds):
    """Samples that tell their number, modulo 65536, as float32."""
    numbers = np.arange(round(rate_hz * seconds)) % 65536 - 32768
    return (numbers / 32768).astype(np.float32)


class Field:
    """A stretch that plays `sound`; what happens to the clips, as the service makes it happen."""

    def __init__(self, home, rate_hz=48_000, gate=None, **settings):
        self.home, self.rate_hz, self.gate = home, rate_hz, gate
        self.recorder = ClipRecorder(
            ClipFolder(home),
            "garden",
            ClipSettings(**{"pre_s": 3.0, "post_s": 2.0, "min_free_bytes": 0, **settings}),
            rate_hz=rate_hz,
            started_s=STARTED_S,
            window_s=WINDOW_S,
            wall=lambda s: s + WALL_OFFSET_S,
            gate=gate,
        )

    def play(self, sound, spans, block_s=0.1, late_s=0.4):
        """spans: (name, first window's number, last one's); events grow window by window, each hop after `late_s`."""
        found, done, number, going_on = [], 0, 0, {}
        for start in range(0, len(sound), round(block_s * self.rate_hz)):
            block = sound[start : start + round(block_s * self.rate_hz)]
            self.recorder.push(block)
            done += len(block)
            while number * HOP_S + WINDOW_S + late_s <= done / self.rate_hz:
                end_s = number * HOP_S + WINDOW_S
                if self.gate:
                    self.gate.push(Window(number * HOP_S, end_s, np.zeros(0), True, number))
                ended = []
                for name, first, last in spans:
                    if first <= number <= last:
                        going_on[name, first] = event(first * HOP_S, end_s, name)
                    elif (name, first) in going_on and number * HOP_S > last * HOP_S + WINDOW_S + 2:
                        ended.append(going_on.pop((name, first)))
                found += self.recorder.follow(tuple(going_on.values()), ended)
                number += 1
        return found + list(self.recorder.finish(going_on.values()))

    def samples(self, clip):
        """int32 (n,), and the rate."""
        samples, rate_hz = soundfile.read(self.home / clip.path, dtype="int16")
        return samples.astype(np.int32), rate_hz


@pytest.mark.parametrize("rate_hz", [16_000, 22_050, 44_100, 48_000])
@pytest.mark.parametrize("block_s", [0.01, 0.37, 5.0])
def test_a_clip_is_the_event_with_its_rolls_to_the_sample(tmp_path, rate_hz, block_s):
    """Oracle: the samples' own numbers."""
    field = Field(tmp_path, rate_hz)
    (clip,) = field.play(counted(rate_hz, 40), [("a dog barking", 6, 8)], block_s=block_s)
    samples, rate = field.samples(clip)
    first = round(6 * HOP_S * rate_hz) - 3 * rate_hz
    last = round((8 * HOP_S + WINDOW_S) * rate_hz) + 2 * rate_hz
    assert rate == rate_hz
    assert np.array_equal(samples, np.arange(first, last) % 65536 - 32768)
    assert clip.start_s == pytest.approx(STARTED_S + first / rate_hz, abs=1e-8), "nanoseconds of a float"
    assert clip.end_s == pytest.approx(STARTED_S + last / rate_hz, abs=1e-8)


def test_a_clip_begins_and_ends_with_its_stretch(tmp_path):
    field = Field(tmp_path)
    (clip,) = field.play(counted(48_000, 10), [("a dog barking", 0, 3)])
    assert np.array_equal(field.samples(clip)[0], np.arange(480_000) % 65536 - 32768)


def test_events_that_overlap_share_a_clip_and_others_have_their_own(tmp_path):
    spans = [("a dog barking", 4, 6), ("heavy rain", 5, 9), ("a church bell", 30, 31)]
    both, bell = Field(tmp_path).play(counted(48_000, 60), spans)
    assert [name for name, _ in both.events] == ["a dog barking", "heavy rain"]
    assert [name for name, _ in bell.events] == ["a church bell"]
    assert both.start_s == pytest.approx(STARTED_S + 4 * HOP_S - 3)
    assert both.end_s == pytest.approx(STARTED_S + 9 * HOP_S + WINDOW_S + 2)


def test_an_event_that_began_before_the_stretch_has_a_clip_of_what_it_has_in_it(tmp_path):
    """A gap of 4 s, within the hold time: nothing of the event is in this stretch yet when that begins."""
    recorder = Field(tmp_path).recorder
    recorder.push(counted(48_000, 20))
    assert list(recorder.follow([event(-9.0, -4.0)])) == []
    assert list(recorder.follow([event(-9.0, 5.12)])) == []
    (clip,) = recorder.finish([event(-9.0, 5.12)])
    assert (clip.start_s, clip.end_s) == (STARTED_S, pytest.approx(STARTED_S + 7.12))


def test_a_clip_of_what_lasts_ends_in_time_and_memory_stays_bounded(tmp_path):
    field = Field(tmp_path, longest_s=20.0)
    (clip,) = field.play(counted(48_000, 120), [("heavy rain", 4, 80)])
    assert clip.end_s - clip.start_s == pytest.approx(20)
    assert not field.recorder._clips
    assert len(field.recorder._known) <= 1


def test_a_clip_says_what_it_is(tmp_path):
    field = Field(tmp_path)
    (clip,) = field.play(counted(48_000, 30), [("a dog barking", 4, 6)])
    comments = comments_of((tmp_path / clip.path).read_bytes())
    assert comments["TITLE"] == "a dog barking"
    assert comments["ARTIST"] == "garden"
    assert comments["DATE"].startswith("2024-01-"), "1 705 000 002 s"
    assert "3.00-10.68 s: a dog barking (0.500, threshold 0.300)" in comments["DESCRIPTION"]
    assert clip.path.startswith("clips/2024-01-")
    assert clip.path.endswith("_garden-a-dog-barking.flac")
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == [tmp_path / clip.path], "no part is left"


def test_where_somebody_speaks_there_is_silence(tmp_path, gate_of):
    field = Field(tmp_path, gate=gate_of(speech={7}))
    (clip,) = field.play(counted(48_000, 40) * np.float32(0.5) + np.float32(0.25), [("a dog barking", 3, 14)])
    samples, _ = field.samples(clip)
    start_s = clip.start_s - STARTED_S
    silent = np.flatnonzero(samples == 0)
    gated_s = (7 * HOP_S - start_s, 7 * HOP_S + WINDOW_S - start_s)
    inside = np.zeros(len(samples), bool)
    inside[round(gated_s[0] * 48_000) : round(gated_s[1] * 48_000)] = True
    assert (samples[inside] == 0).all(), "all that any window with speech touches"
    assert np.count_nonzero(samples[~inside] == 0) < 100, "and nothing else; a ramp crosses zero now and then"
    assert len(silent) >= 5.12 * 48_000
    assert clip.gated_s == pytest.approx(WINDOW_S, abs=1e-4), "a sample either side"


def test_a_clip_that_is_speech_alone_is_not_written(tmp_path, gate_of):
    assert Field(tmp_path, gate=gate_of(speech=range(40))).play(counted(48_000, 30), [("a dog barking", 4, 6)]) == []
    assert not list(tmp_path.rglob("*.flac*"))


def test_the_gate_judges_a_second_only_when_all_windows_that_touch_it_have_come(tmp_path, gate_of):
    """Speech in the last window that touches the clip's end: it comes 5 s after the event's own windows."""
    field = Field(tmp_path, gate=gate_of(speech={11}))
    (clip,) = field.play(counted(48_000, 40), [("a dog barking", 4, 6)])
    end_s = clip.end_s - STARTED_S
    assert end_s > 11 * HOP_S, "that window touches the post-roll"
    assert clip.gated_s == pytest.approx(end_s - 11 * HOP_S, abs=1e-4)


def test_two_stretches_never_share_a_clip(tmp_path):
    for _ in range(2):
        assert len(Field(tmp_path).play(counted(48_000, 10), [("a dog barking", 0, 3)])) == 1
    names = sorted(path.name for path in tmp_path.rglob("*.flac"))
    assert len(names) == 2
    assert names[0].startswith(names[1].removesuffix(".flac")[:10]), "the same moment: numbered apart"


@pytest.fixture
def gate_of(bundle):
    """A gate that hears speech in the windows of these numbers."""

    def make(speech):
        gate = SpeechGate(bundle)
        numbers = iter(range(10_000))
        gate.score = lambda embedding: 1.0 if next(numbers) in speech else -1.0
        return gate

    return make


def test_the_gate_hears_speech_whatever_else_is_nearer(bundle):
    """A window that is much nearer to a dog and to rain than to speech: not among its ten best phrases, and gated."""
    gate = SpeechGate(bundle)
    dog, rain, speech = bundle.embed_text(["a dog barking", "heavy rain", SPEECH[0]])
    mixed = dog + rain + 0.9 * speech
    mixed /= np.linalg.norm(mixed)
    assert gate.push(Window(0, 5.12, mixed, True, 0))
    assert not gate.push(Window(1.28, 6.4, rain, True, 4))
    assert gate.push(Window(2.56, 7.68, np.full_like(rain, np.nan), True, 8)), "what cannot be judged is dropped"
    assert gate.gated(0, 100) == [(0, 7.68)], "the first and the third touch each other"
    assert gate.settled_s == pytest.approx(3.84)
    gate.reset()
    assert gate.gated(0, 100) == []


def test_a_full_disk_gives_clips_up_tells_once_and_goes_on(tmp_path, monkeypatch, caplog):
    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    field = Field(tmp_path)
    spans = [("a dog barking", 4, 5), ("a dog barking", 20, 21), ("a dog barking", 40, 41), ("a dog barking", 60, 61)]
    real, calls = ClipFolder.write, itertools.count()
    monkeypatch.setattr(ClipFolder, "write", lambda *a: full() if next(calls) < 2 else real(*a))
    clips = field.play(counted(48_000, 110), spans)
    assert len(clips) == 2, "written again once there is room"
    assert [record.message for record in caplog.records if "given up" in record.message] == [
        "clips are given up for now ([Errno 28] No space left on device); listening goes on"
    ]


def test_what_is_to_stay_free_stays_free(tmp_path, monkeypatch):
    usage = shutil.disk_usage(tmp_path)._replace(free=99)
    monkeypatch.setattr(clips_module.shutil, "disk_usage", lambda _: usage)
    assert Field(tmp_path, min_free_bytes=100).play(counted(48_000, 20), [("a dog barking", 2, 3)]) == []
    assert not (tmp_path / "clips").exists()


def test_nothing_is_left_of_a_clip_that_could_not_be_written(tmp_path, monkeypatch):
    monkeypatch.setattr("os.fsync", lambda _: (_ for _ in ()).throw(OSError(errno.EIO, "I/O error")))
    with pytest.raises(OSError, match="I/O"):
        ClipFolder(tmp_path).write(b"fLaC", 0.0, "x")
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]


@pytest.mark.parametrize(
    "path",
    [
        "clips/../earmark.sqlite",
        "earmark.sqlite",
        "clips/2026-01-01/../../x.flac",
        "clips/x.flac",
        "/etc/passwd",
        "clips/2026-01-01/link.flac",
        "clips/linked/there.flac",
        "clips/2026-01-01/deep/x.flac",
    ],
)
def test_nothing_outside_the_clips_is_ever_removed(tmp_path, path):
    home, outside = tmp_path / "home", tmp_path / "outside"
    for folder in (home / "clips/2026-01-01/deep", outside):
        folder.mkdir(parents=True)
    kept = [home / "earmark.sqlite", home / "x.flac", home / "clips/x.flac", outside / "there.flac"]
    kept.append(home / "clips/2026-01-01/deep/x.flac")
    for file in kept:
        file.write_bytes(b"keep")
    (home / "clips/2026-01-01/link.flac").symlink_to(outside / "there.flac")
    (home / "clips/linked").symlink_to(outside)
    folder = ClipFolder(home)
    with pytest.raises(HomeError, match="is no clip of"):
        folder.remove(path)
    assert all(file.read_bytes() == b"keep" for file in kept)
    assert list(folder.files()) == [], "nor is it listed"


def test_a_clip_folder_that_is_a_link_is_not_written_to(tmp_path):
    (tmp_path / "home").mkdir()
    (tmp_path / "outside").mkdir()
    (tmp_path / "home/clips").symlink_to(tmp_path / "outside")
    with pytest.raises(HomeError, match="no link leads there"):
        ClipFolder(tmp_path / "home").write(b"fLaC", 0.0, "x")
    assert not list((tmp_path / "outside").iterdir())


def test_a_name_from_outside_makes_no_path(tmp_path):
    path = ClipFolder(tmp_path).write(b"fLaC", 0.25, "../../etc/passwd\n\x00 Ünïcode " + "x" * 500)
    assert path == "clips/1970-01-01/000000.250_etc-passwd-n-code-" + "x" * 42 + ".flac"


def test_what_a_power_cut_left_half_written_is_cleared(tmp_path):
    folder = ClipFolder(tmp_path)
    path = folder.write(b"fLaC", 0.0, "x")
    (tmp_path / path).with_name("y.flac.part").write_bytes(b"half")
    folder.clear_parts()
    assert [file.path for file in folder.files()] == [path]
    assert [file.name for file in (tmp_path / path).parent.iterdir()] == [(tmp_path / path).name]
    assert folder.remove(path) == 4
    assert folder.remove(path) == 0, "somebody else was first"
    assert not (tmp_path / path).parent.exists(), "an empty day goes too"


@settings(max_examples=50, deadline=None)
@given(st.lists(st.integers(0, 25), max_size=12), st.integers(0, 120), st.integers(0, 40))
def test_a_ring_gives_back_the_samples_of_these_numbers(sizes, first, count):
    """Oracle: all samples, kept."""
    ring = SampleRing(10, seconds=2.0)
    sound = counted(1000, 1)[: sum(sizes)]
    done = 0
    for size in sizes:
        ring.push(sound[done : done + size])
        done += size
    whole = np.rint(sound * 32768).astype(np.int16)
    expected = whole[max(first, len(whole) - 20, 0) : first + count]
    assert np.array_equal(ring.read(first, first + count), expected if first + count > max(0, done - 20) else [])


def test_what_is_louder_than_full_scale_is_clipped_and_does_not_wrap():
    ring = SampleRing(10, seconds=1)
    ring.push(np.array([1.5, -1.5, 1.0, -1.0], np.float32))
    assert ring.read(0, 4).tolist() == [32767, -32768, 32767, -32768]


@settings(max_examples=50, deadline=None)
@given(st.dictionaries(st.from_regex(r"[A-Z_]{1,12}", fullmatch=True), st.text(max_size=40), max_size=6))
def test_comments_come_back_and_the_sound_stays_as_it_is(comments):
    sound = FlacBuffer(16_000)
    samples = np.arange(-500, 500, dtype=np.int16)
    sound.write(samples[:300])
    sound.write(samples[300:])
    data = sound.close(comments)
    plain = {key: value.encode(errors="backslashreplace").decode() for key, value in comments.items()}
    assert comments_of(data) == plain
    assert np.array_equal(soundfile.read(io.BytesIO(data), dtype="int16")[0], samples)


@settings(max_examples=200, deadline=None)
@given(st.data())
def test_a_damaged_file_has_no_comments_or_is_refused(data):
    sound = FlacBuffer(16_000)
    sound.write(np.zeros(10, np.int16))
    whole = bytearray(sound.close({"TITLE": "x" * 20}))
    for place in data.draw(st.lists(st.integers(0, len(whole) - 1), max_size=4)):
        whole[place] = data.draw(st.integers(0, 255))
    try:
        assert isinstance(comments_of(bytes(whole[: data.draw(st.integers(0, len(whole)))])), dict)
    except AudioError as error:
        assert ": " in str(error)
