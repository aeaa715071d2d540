"""Bad input is refused in one line that says what and what next, with exit code 2, and nothing is lost."""

import os
import subprocess
from pathlib import Path

import numpy as np
import pytest
import soundfile

from edge_runtime import Engine
from edge_runtime.errors import AudioError
from edge_runtime.resample import Resampler
from edge_runtime.sources import open_source

RATE_HZ = 32_000


# --- recordings


def _spoil(name, sound):
    """Write one bad recording into the folder of `name`."""
    wav = name.with_name("whole.wav")
    flac = name.with_name("whole.flac")
    broken = sound.copy()
    match name.name:
        case "empty.wav":
            name.touch()
        case "text.wav":
            name.write_text("Field notes: a dog, then rain.\n" * 50)
        case "cut.wav":
            name.write_bytes(wav.read_bytes()[: wav.stat().st_size // 2])
        case "cut-in-the-header.wav":
            name.write_bytes(wav.read_bytes()[:40])
        case "unfinished.wav":
            data = wav.read_bytes()
            at = data.index(b"data") + 4
            name.write_bytes(data[:at] + b"\0\0\0\0" + data[at + 4 :])
        case "reserved.wav":
            name.write_bytes(wav.read_bytes()[:12] + b"\0" * 100_000)
        case "cut.flac":
            name.write_bytes(flac.read_bytes()[: flac.stat().st_size // 2])
        case "endless.flac":
            data = bytearray(flac.read_bytes())
            data[21] &= 0xF0  # STREAMINFO: 36 bits of length, 0 = unknown
            data[22:26] = bytes(4)
            name.write_bytes(data)
        case "silent.wav":
            soundfile.write(name, np.zeros(0, np.float32), RATE_HZ)
        case "one.wav":
            soundfile.write(name, np.ones(1, np.float32), RATE_HZ)
        case "nan.wav" | "infinite.wav" | "huge.wav":
            broken[len(sound) // 2] = {"nan.wav": np.nan, "infinite.wav": np.inf, "huge.wav": 1e30}[name.name]
            soundfile.write(name, broken, RATE_HZ, subtype="FLOAT")
        case "folder.wav":
            name.mkdir()


BAD = {
    "missing.wav": "no file",
    "empty.wav": "0 bytes",
    "text.wav": "no audio",
    "cut.wav": "cut short",
    "cut-in-the-header.wav": "",
    "unfinished.wav": "unfinished header",
    "reserved.wav": "no audio",
    "cut.flac": "damaged",
    "endless.flac": "how long",
    "silent.wav": "0 samples",
    "one.wav": "too short",
    "nan.wav": "NaN",
    "infinite.wav": "infinite at 1.500 s",
    "huge.wav": "too large",
    "folder.wav": "no regular file",
}


@pytest.fixture(scope="module")
def bad_files(tmp_path_factory, noise):
    folder = tmp_path_factory.mktemp("bad")
    sound = noise(3)
    for name in ("whole.wav", "whole.flac"):
        soundfile.write(folder / name, sound, RATE_HZ, subtype="PCM_16")
    for name in BAD:
        _spoil(folder / name, sound)
    (folder / "whole.flac").unlink()
    return folder


@pytest.mark.parametrize("name", ["missing.wav", "empty.wav", "text.wav", "cut.wav", "silent.wav", "nan.wav"])
def test_bad_recording_is_refused_and_the_other_is_captioned(name, bad_files, earmark):
    ran = earmark("caption", "--json", bad_files / name, bad_files / "whole.wav")
    assert ran.refused(name, BAD[name])
    assert [row["file"] for row in ran.rows] == [str(bad_files / "whole.wav")]


def test_bad_recordings_are_refused_one_line_each_and_the_others_are_indexed(bad_files, earmark):
    good = bad_files / "whole.wav"
    names = [name for name in BAD if name != "folder.wav"]
    ran = earmark("index", *(bad_files / name for name in names), good)
    assert ran.code == 2
    assert f"{len(names)} of {len(names) + 1} recordings were refused" in ran.out
    assert len(ran.faults) == len(names)
    assert all(any(name in line and BAD[name] in line for line in ran.faults) for name in names)
    archive = Engine.open(home=earmark.home, write=False).archive
    assert archive.holds(good)
    assert not any(archive.holds(bad_files / name) for name in names if name != "missing.wav")


def test_bad_recordings_are_refused_one_line_each_and_the_others_are_captioned(bad_files, earmark):
    good = str(bad_files / "whole.wav")
    ran = earmark("caption", "--json", good, *(bad_files / name for name in BAD), good)
    assert ran.code == 2
    assert [row["file"] for row in ran.rows] == [good, good]
    assert len(ran.faults) == len(BAD)
    for (name, reason), line in zip(BAD.items(), ran.faults, strict=True):
        assert line.startswith("earmark: ")
        assert name in line and reason in line
    assert not earmark.home.exists()


def test_bad_recordings_of_a_folder_are_refused_one_line_each_and_the_others_are_heard(bad_files, earmark):
    ran = earmark("listen", bad_files, "--json")
    assert ran.code == 2
    heard = {row["file"] for row in ran.rows[:-1]}
    assert str(bad_files / "whole.wav") in heard
    assert ran.rows[-1]["type"] == "coverage"
    assert ran.rows[-1]["heard_s"] >= 3
    there = [name for name in BAD if name not in ("missing.wav", "folder.wav", "one.wav")]
    assert sorted(name for name in there if any(name in line for line in ran.faults)) == sorted(there)
    assert len(ran.faults) == len(there)


def test_a_recording_that_breaks_half_way_leaves_the_archive_as_it_was(bad_files, home):
    engine = Engine.open(home=home)
    engine.index(bad_files / "whole.wav")
    before = engine.search("rain", k=10)
    for name in ("nan.wav", "cut.flac", "endless.flac"):
        with pytest.raises(AudioError):
            engine.index(bad_files / name)
    assert engine.search("rain", k=10) == before


def test_an_unreadable_file_is_refused(tmp_path, monkeypatch):
    """Root may read anything, so the system's answer is made up here."""
    path = tmp_path / "locked.wav"
    path.write_bytes(b"RIFF")
    engine = Engine.open()

    def refuse(*_arguments, **_options):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "open", refuse)
    with pytest.raises(AudioError, match=r"locked.wav cannot be read \(Permission denied\)"):
        engine.caption(path)


@pytest.mark.parametrize("channels", [1, 2, 6])
@pytest.mark.parametrize("rate_hz", [8_000, 16_000, 22_050, 32_000, 44_100, 48_000, 96_000, 192_000])
def test_any_rate_and_any_number_of_channels_sound_alike(rate_hz, channels, tmp_path):
    """Oracle: the same sound at 32 kHz, mono. It lies below 3 kHz, which every rate carries, over noise of its own at
    each rate 60 dB below; what the resampler's edge at 4 kHz takes of that noise moves the cosine by 0.02 at most."""
    engine = Engine.open()
    reference = tmp_path / "reference.wav"
    soundfile.write(reference, _chord(RATE_HZ), RATE_HZ, subtype="FLOAT")
    path = tmp_path / f"{rate_hz}-{channels}.wav"
    soundfile.write(path, np.repeat(_chord(rate_hz)[:, None], channels, axis=1), rate_hz, subtype="FLOAT")
    cosine = float(engine.embed_audio(path)[0] @ engine.embed_audio(reference)[0])
    assert cosine > (0.98 if rate_hz > RATE_HZ / 2 else 0.9), "below 16 kHz the faint noise ends at half the rate"


def _chord(rate_hz):
    t = np.arange(4 * rate_hz) / rate_hz
    tones = sum(np.sin(2 * np.pi * f * t) * np.exp(-((t * f / 400) % 1)) for f in (220, 331, 700, 1234, 2500))
    return (0.1 * tones).astype(np.float32)


def test_rates_and_channels_are_accepted_by_the_command(earmark, tmp_path):
    paths = []
    for rate_hz, channels in ((8_000, 6), (22_050, 1), (44_100, 2), (192_000, 3)):
        paths.append(tmp_path / f"{rate_hz}.wav")
        soundfile.write(paths[-1], np.repeat(_chord(rate_hz)[:, None], channels, axis=1), rate_hz)
    ran = earmark("caption", "--json", *paths)
    assert (ran.code, ran.err) == (0, "")
    assert [row["seconds"] for row in ran.rows] == [4.0] * 4


def test_a_file_name_that_is_not_utf8_is_captioned_and_cannot_be_archived(earmark, tmp_path, noise):
    """Old recorders write Latin-1 names; on a file system that refuses them there is nothing to test."""
    path = os.fsencode(tmp_path) + b"/Ger\xe4usch.wav"
    soundfile.write(tmp_path / "plain.wav", noise(1), RATE_HZ)
    try:
        os.rename(tmp_path / "plain.wav", path)  # noqa: PTH104
    except OSError:
        pytest.skip("this file system takes UTF-8 names only")
    captioned = earmark("caption", "--json", path)
    assert captioned.code == 0
    assert captioned.rows[0]["file"] == os.fsdecode(path)
    with pytest.raises(AudioError, match="not UTF-8"):
        Engine.open(home=earmark.home).index(os.fsdecode(path))


# --- homes


@pytest.mark.parametrize("arguments", [("index",), ("listen",), ("phrases", "add", "a dog")], ids=lambda a: a[0])
def test_a_home_that_cannot_be_made_is_refused(arguments, earmark, tmp_path, bad_files):
    (tmp_path / "file").write_text("kept")
    sound = [] if arguments[0] == "phrases" else [bad_files / "whole.wav"]
    ran = earmark(*arguments, *sound, "--home", tmp_path / "file" / "home")
    assert ran.refused("file/home", "choose another folder with --home")
    assert (tmp_path / "file").read_text() == "kept"


def test_a_home_in_a_kernel_folder_is_refused(earmark):
    if not Path("/proc/self").is_dir():
        pytest.skip("needs /proc")
    assert earmark("phrases", "add", "a dog", "--home", "/proc/earmark").refused("/proc/earmark", "--home")


def test_what_only_reads_needs_no_home(earmark, tmp_path, bad_files):
    (tmp_path / "file").touch()
    nowhere = ("--home", tmp_path / "file" / "home")
    ran = earmark("listen", bad_files / "whole.wav", "--no-archive", *nowhere)
    assert (ran.code, ran.err) == (0, "")
    assert earmark("search", "rain", *nowhere).refused("nothing has been heard")


@pytest.fixture
def read_only_home(tmp_path, bad_files):
    """A home on a read-only file system, with a recording in it; only root can mount one."""
    home = tmp_path / "card"
    home.mkdir()
    mounted = os.geteuid() == 0 and subprocess.run(["mount", "-t", "tmpfs", "none", home], check=False).returncode == 0
    if not mounted:
        pytest.skip("needs the right to mount a file system")
    try:
        engine = Engine.open(home=home)
        engine.index(bad_files / "whole.wav")
        engine.home.close()
        subprocess.run(["mount", "-o", "remount,ro", home], check=True)
        yield home
    finally:
        subprocess.run(["umount", "--lazy", home], check=True)


def test_a_read_only_home_is_searched_and_takes_nothing_new(read_only_home, earmark, bad_files):
    at = ("--home", read_only_home)
    assert len(earmark("search", "rain", "--json", *at).rows) == 1
    for arguments in (("index", bad_files / "whole.wav"), ("phrases", "add", "a dog")):
        assert earmark(*arguments, *at).refused("writable", "--home")


def test_a_damaged_home_is_refused(earmark, bad_files):
    """Cut in the middle of its pages, as by a dying SD card."""
    engine = Engine.open(home=earmark.home)
    engine.index(bad_files / "whole.wav")
    engine.home.close()
    path = earmark.home / "earmark.sqlite"
    with path.open("r+b") as file:
        file.truncate(4096)
    assert earmark("search", "rain").refused()


def test_search_on_an_empty_archive_says_what_to_do(earmark):
    assert earmark("search", "rain").refused("nothing has been heard", "earmark index")
    assert not earmark.home.exists()


# --- sources


def test_pcm_without_a_rate_is_refused(earmark):
    assert earmark("listen", "-", "--json", stdin=b"\0" * 1000).refused("--rate 16000")


def test_pcm_of_an_impossible_rate_is_refused(earmark):
    assert earmark("listen", "-", "--json", "--no-archive", "--rate", 0, stdin=b"\0" * 1000).refused("0 Hz")


@pytest.mark.parametrize("rate_hz", [-1, 0, 100, 3_999, 768_001, 10_000_000])
def test_an_impossible_rate_is_refused(rate_hz):
    with pytest.raises(AudioError, match=f"{rate_hz} Hz"):
        Resampler(rate_hz, RATE_HZ)


def test_a_folder_without_recordings_is_refused(earmark, tmp_path):
    (tmp_path / "notes.txt").write_text("none")
    assert earmark("index", tmp_path).refused("holds no recording")
    with pytest.raises(AudioError, match="holds no recording"):
        list(open_source(str(tmp_path)).stretches())


def test_a_microphone_that_is_not_there_is_refused(earmark):
    ran = earmark("listen", "mic:no such microphone", "--json")
    assert ran.code == 2
    (line,) = ran.faults
    assert "libportaudio2" in line or "no such microphone" in line
    assert [row["type"] for row in ran.rows] == ["coverage"]


# --- another model


def test_an_archive_made_by_another_model_is_not_searched_and_search_says_so(earmark, bad_files):
    engine = Engine.open(home=earmark.home)
    engine.index(bad_files / "whole.wav")
    with engine.home.transaction():
        engine.home.db.execute("update recording set fingerprint = ?", ("0" * 16,))
    assert earmark("search", "rain").refused("1 recordings were heard by another model", "index them again")
    engine.index(bad_files / "whole.wav")
    found = earmark("search", "rain", "--json")
    assert found.code == 0
    assert len(found.rows) == 1
    assert "another model" in found.err
