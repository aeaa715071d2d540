"""A live microphone through PortAudio (sounddevice).

    with Microphone("USB") as microphone:
        for block in microphone.blocks(): …

The device's callback only copies its block into a bounded queue. What is lost is counted twice and the larger count
tells: frames that did not fit into the queue, and frames that the clock says should have come (PortAudio loses frames
without raising its overflow flag when a consumer stalls).
"""

import queue
import time
from collections.abc import Iterator
from types import TracebackType
from typing import Any, Self

import numpy as np

from edge_runtime.errors import AudioError

__all__ = ["Microphone", "input_devices"]

QUEUE_BLOCKS = 4096
SILENT_DEATH_S = 5.0
"""No block for this long means that the device is gone, whatever PortAudio says."""
CLOCK_SLACK_S = 0.5
"""Buffers between the device and us hold this much at most; only more than that counts as lost."""


class Microphone:
    """One input device, at its own rate, channels averaged. `name`: part of the device's name; None: the default."""

    path = None

    def __init__(self, device: str | None = None) -> None:
        self._wanted = device
        self.name = f"mic:{device}" if device else "mic"
        self._blocks: queue.Queue[np.ndarray] = queue.Queue(QUEUE_BLOCKS)
        self._overflowed = 0
        self._received = 0
        self._first_at = 0.0
        self._last_at = 0.0

    def __enter__(self) -> Self:
        sounddevice = _sounddevice()
        try:
            about = sounddevice.query_devices(self._wanted, "input")
            self.rate_hz = int(about["default_samplerate"])
            channels = min(2, int(about["max_input_channels"]))
            self._stream = sounddevice.InputStream(
                device=about["index"],
                samplerate=self.rate_hz,
                channels=channels,
                dtype="float32",
                blocksize=0,
                callback=self._take,
            )
            self._stream.start()
        except (sounddevice.PortAudioError, ValueError) as error:
            known = ", ".join(input_devices()) or "none"
            raise AudioError(
                f"no microphone {self._wanted or ''} can be opened ({error}); inputs here: {known}"
            ) from error
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._stream.close()

    def _take(self, block: np.ndarray, frames: int, moment: Any, status: Any) -> None:
        now = time.monotonic()
        if not self._received:
            self._first_at = now - frames / self.rate_hz
        self._received += frames
        self._last_at = now
        try:
            self._blocks.put_nowait(block.copy())
        except queue.Full:
            self._overflowed += frames

    @property
    def lost_s(self) -> float:
        missing = (self._last_at - self._first_at) - self._received / self.rate_hz - CLOCK_SLACK_S
        return self._overflowed / self.rate_hz + max(0.0, missing)

    def blocks(self) -> Iterator[np.ndarray]:
        while True:
            try:
                block = self._blocks.get(timeout=SILENT_DEATH_S)
            except queue.Empty:
                raise AudioError(
                    f"{self.name} has given no sound for {SILENT_DEATH_S:.0f} s: is it plugged in?"
                ) from None
            yield block[:, 0] if block.shape[1] == 1 else block.mean(axis=1, dtype=np.float32)


def input_devices() -> list[str]:
    """Names of the devices that can record."""
    return [str(d["name"]) for d in _sounddevice().query_devices() if d["max_input_channels"] > 0]


def _sounddevice() -> Any:
    try:
        import sounddevice  # raises OSError at import where the system library is absent
    except OSError as error:
        raise AudioError(
            "PortAudio is not installed, so no microphone can be opened: `sudo apt install libportaudio2`"
        ) from error
    return sounddevice
