"""The microphone, with PortAudio made up: what it gives is copied, averaged, and counted where it is lost."""

import json
import sys
import tracemalloc
import types

import numpy as np
import pytest

from edge_runtime.errors import AudioError
from edge_runtime.sources import devices
from edge_runtime.sources.devices import find_device, input_devices
from edge_runtime.sources.intake import RING_S
from edge_runtime.sources.microphone import microphone

RATE_HZ = 48_000


def test_without_portaudio_the_message_names_its_package(monkeypatch):
    monkeypatch.setitem(sys.modules, "sounddevice", None)  # makes the import fail
    monkeypatch.delitem(sys.modules, "sounddevice")
    monkeypatch.setattr("builtins.__import__", _without_portaudio(__import__))
    for refuse in (input_devices, lambda: next(microphone(None).stretches())):
        with pytest.raises(AudioError, match="sudo apt install libportaudio2"):
            refuse()


def _without_portaudio(plain):
    def load(name, *rest):
        if name == "sounddevice":
            raise OSError("PortAudio library not found")  # what sounddevice raises without the system library
        return plain(name, *rest)

    return load


class PortAudioError(Exception):
    pass


class FakePortAudio(types.SimpleNamespace):
    """A sounddevice whose streams give `blocks` as soon as they start, and then end or fall silent."""

    PortAudioError = PortAudioError

    def __init__(self, monkeypatch, *, blocks=(), names=("USB Microphone",), takes=None, ends=True):
        super().__init__(names=list(names), opened=[], blocks=blocks, takes=takes, ends=ends, started_anew=0)
        monkeypatch.setitem(sys.modules, "sounddevice", self)

    def InputStream(self, **settings):
        self.opened.append(settings)
        if self.takes and not self.takes(settings["samplerate"], settings["channels"]):
            raise PortAudioError("Invalid number of channels [PaErrorCode -9998]")
        return types.SimpleNamespace(start=lambda: self._play(settings), close=lambda: None)

    def _play(self, settings):
        for block in self.blocks:
            buffer = block.copy()
            settings["callback"](buffer, len(buffer), None, None)
            buffer[:] = 9  # PortAudio uses its buffer again
        if self.ends:
            settings["finished_callback"]()

    def query_devices(self, device=None, kind=None):
        about = [
            {"name": name, "index": i, "default_samplerate": float(RATE_HZ), "max_input_channels": 2}
            for i, name in enumerate(self.names)
        ]
        if kind is None:
            return about
        if not about:
            raise PortAudioError("Error querying device -1")
        return about[0]

    def _terminate(self):
        self.started_anew += 1

    def _initialize(self):
        pass


def test_an_unknown_microphone_is_refused_with_the_names_of_those_that_are_there(monkeypatch):
    FakePortAudio(monkeypatch)
    assert input_devices() == ["USB Microphone"]
    with pytest.raises(AudioError, match=r"no microphone Yeti can be opened.*USB Microphone"):
        next(microphone("Yeti").stretches())


def test_without_any_microphone_the_default_is_refused(monkeypatch):
    FakePortAudio(monkeypatch, names=())
    with pytest.raises(AudioError, match="inputs here: none"):
        next(microphone(None).stretches())


def _stereo(frames=480):
    return np.random.default_rng(0).uniform(-1, 1, (frames, 2)).astype(np.float32)


def test_a_microphones_channels_are_averaged_and_its_buffer_is_copied(monkeypatch):
    stereo = _stereo()
    FakePortAudio(monkeypatch, blocks=[stereo, 2 * stereo])
    source = microphone("USB")
    stretch = next(source.stretches())
    samples = np.concatenate([*_until(source, stretch, 960)])
    np.testing.assert_array_equal(samples, np.concatenate([stereo, 2 * stereo]).mean(axis=1))
    assert (stretch.rate_hz, stretch.source, stretch.path, stretch.missing) == (RATE_HZ, "mic:USB", None, None)
    assert source.lost_s == 0


def _until(source, stretch, samples):
    for block in stretch.blocks():
        yield block
        samples -= len(block)
        if samples <= 0:
            source.stop()


@pytest.mark.parametrize(("rate_hz", "channels"), [(48_000, 1), (44_100, 2), (16_000, 1)])
def test_a_device_is_opened_at_the_rate_and_channels_that_it_takes(monkeypatch, rate_hz, channels):
    fake = FakePortAudio(
        monkeypatch, blocks=[_stereo()[:, :channels]], takes=lambda r, c: (r, c) == (rate_hz, channels)
    )
    stretch = next(microphone(None).stretches())
    assert stretch.rate_hz == rate_hz
    assert fake.opened[-1]["channels"] == channels
    assert fake.opened[-1]["blocksize"] == 0


def test_a_device_that_takes_nothing_is_refused(monkeypatch):
    FakePortAudio(monkeypatch, takes=lambda *_: False)
    with pytest.raises(AudioError, match=r"-9998.*plugged in"):
        next(microphone(None).stretches())


def test_what_does_not_fit_into_the_ring_ends_the_stretch_and_is_counted(monkeypatch):
    """The consumer takes nothing while twice the ring comes: half is heard, half is dropped, all of it is counted."""
    second = np.zeros((RATE_HZ, 2), np.float32)
    fake = FakePortAudio(monkeypatch, blocks=[second] * int(2 * RING_S), ends=False)
    source = microphone("USB")
    stretches = source.stretches()
    first = next(stretches)
    heard = 0
    for block in first.blocks():
        heard += len(block)
        if heard == RING_S * RATE_HZ:
            fake.opened[0]["callback"](second, RATE_HZ, None, None)  # fits again
    assert heard == RING_S * RATE_HZ
    after = next(stretches)
    assert after.missing == "dropped"
    assert source.lost_s == pytest.approx(RING_S, rel=1e-6)
    assert after.started_s - first.started_s == pytest.approx(2 * RING_S, rel=1e-6)


def test_a_microphone_that_ends_or_falls_silent_is_opened_again(monkeypatch):
    monkeypatch.setattr("edge_runtime.sources.reopened.SILENT_DEATH_S", 0.2)
    fake = FakePortAudio(monkeypatch, blocks=[_stereo()])
    source = microphone("USB")
    stretches = source.stretches()
    heard = []
    for ends in (True, False, True):
        fake.ends = ends
        stretch = next(stretches)
        heard.append(sum(map(len, stretch.blocks())))
        assert source.state == "reopening"
        assert ("gone" if ends else "no sound") in source.trouble
        assert stretch.missing == ("lost" if len(heard) > 1 else None)
    assert heard == [480] * 3
    assert source.lost_s > 0.2
    assert fake.started_anew == 3, "PortAudio looks for devices each time"


def test_a_closed_microphone_lets_go_of_its_ring(monkeypatch):
    """Callback and stream hold each other: Python finds that out when it likes."""
    fake = FakePortAudio(monkeypatch, blocks=[_stereo()])
    tracemalloc.start()
    try:
        for number, stretch in enumerate(microphone("USB").stretches()):
            assert sum(map(len, stretch.blocks())) == 480
            if number == 3:
                break
        used = tracemalloc.get_traced_memory()[0]
    finally:
        tracemalloc.stop()
    assert len(fake.opened) == 4
    assert used < 1.5 * RING_S * RATE_HZ * 2 * 4, "one ring, of the microphone that is open"


def test_a_muted_microphone_is_told_and_opened_again_now_and_then(monkeypatch, caplog):
    """Five seconds of zeros, sound, then twelve of zeros where ten are borne."""
    monkeypatch.setattr("edge_runtime.sources.reopened.MUTE_REOPEN_S", 10.0)
    second = np.zeros((RATE_HZ, 2), np.float32)
    fake = FakePortAudio(monkeypatch, blocks=[second] * 5, ends=False)
    source = microphone("USB")
    stretches = source.stretches()
    heard, told = 0, []
    for block in next(stretches).blocks():
        heard += len(block)
        told.append((heard // RATE_HZ, source.trouble is not None))
        if heard >= 5 * RATE_HZ:
            sound = second + (0.1 if heard == 5 * RATE_HZ else 0)
            fake.opened[0]["callback"](sound, RATE_HZ, None, None)
    assert {at for at, trouble in told if trouble} == {5, *range(11, 17)}
    assert heard == 16 * RATE_HZ
    assert caplog.text.count("nothing but zeros") == 2
    next(stretches)
    assert len(fake.opened) == 2


def test_a_patient_source_waits_for_its_microphone(monkeypatch):
    fake = FakePortAudio(monkeypatch, blocks=[_stereo()], names=())
    monkeypatch.setattr(fake, "_initialize", lambda: fake.names.extend(["USB"] if fake.started_anew == 2 else []))
    source = microphone("usb", name="garden", patient=True)
    stretch = next(source.stretches())
    assert (stretch.source, stretch.missing) == ("garden", "lost")
    assert source.lost_s > 0


def test_a_renamed_microphone_is_found_by_its_hardware(monkeypatch, tmp_path):
    sound, memory = tmp_path / "sound", tmp_path / "microphones.json"
    for card, serial in ((1, "A7"), (2, "B9")):
        interface = tmp_path / "bus" / f"1-{card}" / f"1-{card}:1.0"
        interface.mkdir(parents=True)
        (interface.parent / "serial").write_text(serial + "\n")
        (sound / f"card{card}").mkdir(parents=True)
        (sound / f"card{card}" / "device").symlink_to(interface)
    monkeypatch.setattr(devices, "SOUND", sound)
    fake = FakePortAudio(monkeypatch, names=["USB PnP: Audio (hw:1,0)", "Yeti: Audio (hw:2,0)"])
    assert find_device("yeti", memory).name == "Yeti: Audio (hw:2,0)"
    assert json.loads(memory.read_text()) == {"yeti": "B9 pcm0"}
    fake.names = ["USB PnP: Audio (hw:1,0)", "Blue Microphones: Audio (hw:2,0)"]
    assert find_device("yeti", memory).name == "Blue Microphones: Audio (hw:2,0)"
    with pytest.raises(AudioError, match="Blue Microphones"):
        find_device("yeti", None)
    fake.names = ["Blue Microphones: Audio (hw:1,0)", "Yeti: other (hw:2,0)", "Yeti 2: other (hw:1,0)"]
    assert find_device("yeti", memory).name == "Yeti: other (hw:2,0)", "of two, the one that it was"
    memory.write_text("[" * 100_000)
    assert find_device("yeti", memory).name == "Yeti: other (hw:2,0)"
