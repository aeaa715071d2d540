"""The microphone, with PortAudio made up: what it gives is copied, averaged, and counted where it is lost."""

import sys
import types

import numpy as np
import pytest

from edge_runtime.errors import AudioError
from edge_runtime.microphone import Microphone, input_devices


def test_without_portaudio_the_message_names_its_package(monkeypatch):
    monkeypatch.setitem(sys.modules, "sounddevice", None)  # makes the import fail
    monkeypatch.delitem(sys.modules, "sounddevice")
    monkeypatch.setattr("builtins.__import__", _without_portaudio(__import__))
    for refuse in (input_devices, Microphone().__enter__):
        with pytest.raises(AudioError, match="sudo apt install libportaudio2"):
            refuse()


def _without_portaudio(plain):
    def load(name, *rest):
        if name == "sounddevice":
            raise OSError("PortAudio library not found")  # what sounddevice raises without the system library
        return plain(name, *rest)

    return load


def _fake_portaudio(monkeypatch, *, blocks=(), names=("USB Microphone",)):
    """A sounddevice whose stream gives these blocks as soon as it starts."""

    class PortAudioError(Exception):
        pass

    class InputStream:
        def __init__(self, *, callback, channels, **_settings):
            self.callback, self.channels = callback, channels

        def start(self):
            buffer = np.empty((0, self.channels), np.float32)
            for block in blocks:
                buffer = block.copy()
                self.callback(buffer, len(buffer), None, None)
                buffer[:] = 9  # PortAudio uses its buffer again

        def close(self):
            pass

    def query_devices(device=None, kind=None):
        about = [
            {"name": name, "index": i, "default_samplerate": 48_000.0, "max_input_channels": 2}
            for i, name in enumerate(names)
        ]
        if kind is None:
            return about
        found = [one for one in about if device is None or device in one["name"]]
        if not found:
            raise ValueError(f"No input device matching {device!r}")
        return found[0]

    fake = types.SimpleNamespace(PortAudioError=PortAudioError, InputStream=InputStream, query_devices=query_devices)
    monkeypatch.setitem(sys.modules, "sounddevice", fake)


def test_an_unknown_microphone_is_refused_with_the_names_of_those_that_are_there(monkeypatch):
    _fake_portaudio(monkeypatch)
    assert input_devices() == ["USB Microphone"]
    with pytest.raises(AudioError, match=r"no microphone Yeti can be opened.*USB Microphone"):
        Microphone("Yeti").__enter__()


def test_a_microphones_channels_are_averaged_and_its_buffer_is_copied(monkeypatch):
    stereo = np.random.default_rng(0).uniform(-1, 1, (480, 2)).astype(np.float32)
    _fake_portaudio(monkeypatch, blocks=[stereo, 2 * stereo])
    with Microphone("USB") as microphone:
        blocks = microphone.blocks()
        np.testing.assert_array_equal(next(blocks), stereo.mean(axis=1))
        np.testing.assert_array_equal(next(blocks), 2 * stereo.mean(axis=1))
        assert microphone.rate_hz == 48_000
        assert microphone.lost_s == 0


def test_what_does_not_fit_into_the_microphones_queue_is_counted_as_lost(monkeypatch):
    monkeypatch.setattr("edge_runtime.microphone.QUEUE_BLOCKS", 3)
    _fake_portaudio(monkeypatch, blocks=[np.zeros((480, 2), np.float32)] * 10)
    with Microphone() as microphone:
        assert microphone.lost_s == pytest.approx(7 * 0.01)


def test_a_microphone_that_falls_silent_is_refused(monkeypatch):
    monkeypatch.setattr("edge_runtime.microphone.SILENT_DEATH_S", 0.01)
    _fake_portaudio(monkeypatch)
    with Microphone() as microphone, pytest.raises(AudioError, match="plugged in"):
        next(microphone.blocks())
