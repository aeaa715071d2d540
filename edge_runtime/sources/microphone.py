"""A live microphone through PortAudio (sounddevice), opened again whatever happens to it.

    for stretch in microphone("USB").stretches(): …

The device's callback only copies its block into a ring (intake.py), which counts what is lost.
"""

import logging
import time
from contextlib import ExitStack, suppress
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from edge_runtime.errors import AudioError
from edge_runtime.sources.devices import Device, appeared, find_device
from edge_runtime.sources.errand import run_errand
from edge_runtime.sources.intake import Intake
from edge_runtime.sources.portaudio import in_use, portaudio, start_anew, using
from edge_runtime.sources.reopened import ReopenedSource
from edge_runtime.sources.stop import Stop

__all__ = ["MicrophoneFeed", "microphone"]

OPEN_S = 10.0
CLOSE_S = 2.0
STOP_S = 0.3
LOOK_EVERY_S = 30.0
"""Starting a process to look for devices costs a second of a small board."""
RATES_HZ = (48_000, 44_100, 32_000, 16_000, 96_000, 192_000)

log = logging.getLogger(__name__)
_looked_s = [float("-inf")]


def microphone(
    wanted: str | None, *, name: str | None = None, memory: Path | None = None, patient: bool = False
) -> ReopenedSource:
    """The input device whose name contains `wanted`; None: the default. `memory`: see find_device. `patient`: one that
    is not there yet is waited for; else its first opening raises AudioError."""
    given = f"mic:{wanted}" if wanted else "mic"
    return ReopenedSource(name or given, partial(MicrophoneFeed.open, wanted, memory), patient=patient)


class MicrophoneFeed:
    """One opening of one device, at a rate of its own, channels averaged."""

    @classmethod
    def open(cls, wanted: str | None, memory: Path | None, stop: Stop) -> "MicrophoneFeed":
        """Raises AudioError."""
        return run_errand(
            partial(cls._found, wanted, memory, stop), within_s=OPEN_S, stop=stop, late=MicrophoneFeed.close
        )

    @classmethod
    def _found(cls, wanted: str | None, memory: Path | None, stop: Stop) -> "MicrophoneFeed":
        try:
            return cls(wanted, memory, stop)
        except AudioError:
            if wanted and in_use() and _look_is_due() and appeared(wanted, memory):
                log.warning("%s was plugged in elsewhere: all microphones are closed for a moment to reach it", wanted)
                start_anew()
            raise

    def __init__(self, wanted: str | None, memory: Path | None, stop: Stop) -> None:
        """Raises AudioError where it cannot be opened."""
        self._stop = stop
        self._gives_way = False
        self._using = ExitStack()
        self._using.enter_context(using(self._give_way))
        with ExitStack() as undo:
            undo.callback(self._using.close)
            device = find_device(wanted, memory)
            try:
                self._stream = self._opened(device)
                self._stream.start()
            except (portaudio().PortAudioError, ValueError) as error:
                raise AudioError(f"{device.name} cannot be opened ({error}): is it plugged in?") from error
            undo.pop_all()
        if self._gives_way:
            self._give_way()

    def _opened(self, device: Device) -> Any:
        """At the first rate and number of channels that the device takes, its own first."""
        sounddevice = portaudio()
        rates = dict.fromkeys([device.rate_hz, *RATES_HZ])
        channels = dict.fromkeys([min(2, device.channels), 1, device.channels])
        refused: Exception | None = None
        for rate_hz, count in ((rate, count) for rate in rates for count in channels):
            self.intake = Intake(rate_hz, channels=count, stop=self._stop)
            try:
                return sounddevice.InputStream(
                    device=device.index,
                    samplerate=rate_hz,
                    channels=count,
                    dtype="float32",
                    blocksize=0,
                    callback=self._take,
                    finished_callback=self._finished,
                )
            except sounddevice.PortAudioError as error:
                refused = refused or error
        assert refused is not None
        raise refused

    def _take(self, block: np.ndarray, frames: int, moment: Any, status: Any) -> None:
        """The device's callback."""
        self.intake.take(block, flagged=bool(status and status.input_overflow))

    def _finished(self) -> None:
        self.intake.end("the microphone is gone: plug it in again")

    def _give_way(self) -> None:
        self._gives_way = True
        if hasattr(self, "_stream"):
            self.intake.end("all microphones are looked for anew")

    def close(self) -> None:
        """A device that hangs is left to itself, and closed when it no longer does."""
        with suppress(AudioError):
            run_errand(self._close, within_s=STOP_S if self._stop else CLOSE_S, stop=Stop(), late=lambda _: None)

    def _close(self) -> None:
        try:
            self._stream.close()
        finally:
            self._using.close()


def _look_is_due() -> bool:
    now_s = time.monotonic()
    if now_s - _looked_s[0] < LOOK_EVERY_S:
        return False
    _looked_s[0] = now_s
    return True
