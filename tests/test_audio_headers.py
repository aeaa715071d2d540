"""Recordings whose headers lie: each is heard as finite sound of the length that it promises, or refused by name, in
little time and memory, whatever the header says. Cut ones are refused in every format that tells how long it is."""

import io
import re
import struct
import time
import tracemalloc

import numpy as np
import pytest
import soundfile
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from edge_runtime.audio_file import MAX_BLOCK_SAMPLES, MAX_LEVEL, SHORT_BY_S, AudioFile
from edge_runtime.errors import AudioError

RATE_HZ = 48_000
FORMATS = [
    ("WAV", "PCM_16"),
    ("WAV", "PCM_24"),
    ("WAV", "FLOAT"),
    ("WAV", "PCM_U8"),
    ("WAV", "IMA_ADPCM"),
    ("WAV", "MS_ADPCM"),
    ("WAV", "ULAW"),
    ("WAVEX", "PCM_16"),
    ("RF64", "PCM_16"),
    ("W64", "PCM_16"),
    ("AIFF", "PCM_16"),
    ("AU", "PCM_16"),
    ("CAF", "PCM_16"),
    ("FLAC", "PCM_16"),
    ("OGG", "VORBIS"),
    ("OGG", "OPUS"),
    ("MP3", "MPEG_LAYER_III"),
]
MOST_S = 5.0
"""A file of a few kilobytes takes milliseconds; this is for a machine that does other things too."""
MOST_BYTES = 16 * MAX_BLOCK_SAMPLES
"""One block of all channels in float32, its mono sum, and what is made of that."""


def recording(kind, subtype, channels=1, frames=2000):
    """The file's bytes."""
    sound = np.random.default_rng(0).uniform(-0.5, 0.5, (frames, channels)).astype(np.float32)
    file = io.BytesIO()
    soundfile.write(file, sound, RATE_HZ, format=kind, subtype=subtype)
    return file.getvalue()


def hear(path):
    """Its seconds, or what refuses it; both checked."""
    started_s = time.monotonic()
    tracemalloc.start()
    try:
        with AudioFile.open(path) as file:
            samples = 0
            for block in file.blocks():
                assert block.dtype == np.float32 and block.ndim == 1
                assert np.abs(block).max(initial=0) <= MAX_LEVEL  # False for NaN
                samples += len(block)
            assert samples / file.rate_hz > file.seconds - SHORT_BY_S
            return samples / file.rate_hz
    except AudioError as error:
        what, _, next_step = str(error).rpartition(": ")
        assert str(path) in what and next_step
        return error
    finally:
        assert tracemalloc.get_traced_memory()[1] < MOST_BYTES
        tracemalloc.stop()
        assert time.monotonic() - started_s < MOST_S


NUMBERS = st.sampled_from([0, 1, 2, 255, 1024, 0x7FFF, 0xFFFF]) | st.integers(0, 2**16 - 1)
LONG_NUMBERS = st.sampled_from([0, 1, 2**16, 2**31 - 1, 2**31, 2**32 - 2, 2**32 - 1]) | st.integers(0, 2**32 - 1)
PLACES = st.integers(0, 160) | st.integers(0, 4000)
EDITS = st.lists(
    st.one_of(
        st.tuples(st.just("byte"), PLACES, st.integers(0, 255).map(lambda n: bytes([n]))),
        st.tuples(st.just("number"), PLACES, st.builds(struct.pack, st.sampled_from(["<H", ">H"]), NUMBERS)),
        st.tuples(st.just("number"), PLACES, st.builds(struct.pack, st.sampled_from(["<I", ">I"]), LONG_NUMBERS)),
        st.tuples(st.just("insert"), PLACES, st.sampled_from([b"LIST\0\0\0\0", b"data\0\0\0\0", b"fmt ", bytes(64)])),
        st.tuples(st.just("remove"), PLACES, st.integers(1, 64).map(bytes)),
        st.tuples(st.just("cut"), PLACES, st.just(b"")),
    ),
    min_size=1,
    max_size=6,
)


def edited(data, edits):
    for what, at, piece in edits:
        match what:
            case "byte" | "number":
                data = data[:at] + piece + data[at + len(piece) :]
            case "insert":
                data = data[:at] + piece + data[at:]
            case "remove":
                data = data[:at] + data[at + len(piece) :]
            case "cut":
                data = data[:at]
    return data


@pytest.mark.parametrize(("kind", "subtype"), FORMATS)
@given(channels=st.integers(1, 2), edits=EDITS)
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@example(channels=1, edits=[("number", 22, b"\0\4")])  # WAV: 1024 channels
@example(channels=1, edits=[("number", 20, b"\0\0\4\0")])  # AU: 1024 channels
@example(
    channels=1, edits=[("number", 40 + 16, b"\xff" * 4), ("number", 40 + 20, b"\xff" * 4)]
)  # Wave64: no such place
def test_a_header_that_lies_is_refused_by_name_or_heard_as_it_says(kind, subtype, channels, edits, tmp_path):
    path = tmp_path / "field.wav"
    path.write_bytes(edited(recording(kind, subtype, channels), edits))
    hear(path)


@given(
    data=st.binary(max_size=600),
    start=st.sampled_from([b"", b"RIFF....WAVE", b"RF64....WAVE", b"FORM....AIFF", b".snd"]),
)
@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_what_only_begins_like_a_recording_is_refused_by_name_or_heard(data, start, tmp_path):
    path = tmp_path / "field.wav"
    path.write_bytes(start + data)
    hear(path)


@pytest.mark.parametrize(("kind", "subtype"), [each for each in FORMATS if each[0] not in ("OGG", "FLAC", "MP3")])
def test_a_cut_recording_is_refused_and_a_whole_one_heard(kind, subtype, tmp_path):
    path = tmp_path / "field.wav"
    data = recording(kind, subtype, frames=RATE_HZ)
    path.write_bytes(data)
    # compressed ones end with a block of theirs, CAF's own padding is no sound
    assert hear(path) == pytest.approx(1, abs=0.1)
    for kept in (0.5, 0.9):
        path.write_bytes(data[: int(kept * len(data))])
        refused = hear(path)
        assert isinstance(refused, AudioError)
        assert re.search("cut short|no audio", str(refused))


@pytest.mark.parametrize("layout", ["<4sI", ">4sI"])
def test_a_header_without_an_end_is_refused_at_once(layout, tmp_path):
    path = tmp_path / "field.wav"
    head = b"RIFF\xff\xff\xff\x7fWAVE" if layout[0] == "<" else b"FORM\x7f\xff\xff\xffAIFF"
    path.write_bytes(head + struct.pack(layout, b"LIST", 0) * (1 << 21))  # 16 MiB
    assert "more than 10000 chunks" in str(hear(path))


def test_many_channels_are_averaged_in_little_memory(tmp_path):
    path = tmp_path / "array.wav"
    sound = np.random.default_rng(0).uniform(-0.5, 0.5, (3 * RATE_HZ // 10, 128)).astype(np.float32)
    soundfile.write(path, sound, RATE_HZ, subtype="FLOAT")
    assert hear(path) == pytest.approx(0.3)
    with AudioFile.open(path) as file:
        # the order of a sum of 128 float32 numbers moves it by a few units in the last place
        np.testing.assert_allclose(np.concatenate([*file.blocks()]), sound.mean(axis=1), atol=1e-6)
