"""Microphones as PortAudio and the system know them, and the one that is meant by a name.

    input_devices()                         # names
    device = find_device("USB", memory)     # raises AudioError and tells what is there

A card's number, and so its name, may change when the board starts anew. What the hardware says of itself does not: it
is remembered beside the name that led to it, and leads back when the name does not.
"""

import json
import logging
import re
import sys
from dataclasses import asdict, dataclass
from pathlib import Path

from edge_runtime.errors import AudioError
from edge_runtime.sources.portaudio import portaudio

__all__ = ["Device", "appeared", "find_device", "input_devices", "print_devices"]

log = logging.getLogger(__name__)

CARD = re.compile(r"\(hw:(\d+),(\d+)\)")
SOUND = Path("/sys/class/sound")
MAX_MEMORY_BYTES = 1 << 16
LIST_S = 10.0


@dataclass(frozen=True)
class Device:
    """`hardware`: what the card says of itself; "" where the system does not tell (a sound server's device)."""

    index: int
    name: str
    channels: int
    rate_hz: int
    hardware: str = ""


def input_devices() -> list[str]:
    """Names of the devices that can record."""
    return [device.name for device in _devices()]


def find_device(wanted: str | None, memory: Path | None = None) -> Device:
    """The device whose name contains `wanted` (capitals do not count; None: the system's default), else the one whose
    hardware had that name before (`memory`, a JSON file that is kept up). Raises AudioError."""
    devices = _devices()
    if wanted is None:
        index = _default_index()
        found = [device for device in devices if device.index == index] or devices[:1]
    else:
        found = [device for device in devices if wanted.lower() in device.name.lower()]
        found.sort(key=lambda device: device.name.lower() != wanted.lower())  # the same name first, then as they come
    known = _remembered(memory)
    if wanted is not None and (hardware := known.get(wanted)):
        same = [device for device in devices if device.hardware == hardware]
        if same and not found:
            log.warning("no microphone is called %s any more: %s is the same hardware", wanted, same[0].name)
        found = [device for device in found if device in same] or found or same
    if not found:
        names = ", ".join(device.name for device in devices) or "none"
        raise AudioError(f"no microphone {wanted or ''} can be opened (there is none); inputs here: {names}")
    if wanted is not None and found[0].hardware and known.get(wanted) != found[0].hardware:
        _remember(memory, {**known, wanted: found[0].hardware})
    return found[0]


def appeared(wanted: str, memory: Path | None = None) -> bool:
    """Whether a process that starts now sees the device that is meant, under a name that this one's PortAudio does not
    know: it was plugged in since."""
    import subprocess  # nobody else who listens to a microphone needs it

    command = [sys.executable, "-c", f"from {__name__} import print_devices; print_devices()"]
    try:
        found = subprocess.run(command, capture_output=True, timeout=LIST_S, check=True)  # noqa: S603 - our own code
        devices = [Device(**row) for row in json.loads(found.stdout)]
    except (OSError, subprocess.SubprocessError, ValueError, TypeError) as error:
        log.info("no other process could look for microphones (%s)", error)
        return False
    known = {device.name for device in _devices()}
    hardware = _remembered(memory).get(wanted)
    return any(
        device.name not in known and (wanted.lower() in device.name.lower() or (hardware or None) == device.hardware)
        for device in devices
    )


def print_devices() -> None:
    """For `appeared`."""
    print(json.dumps([asdict(device) for device in _devices()]))


def _devices() -> list[Device]:
    found = []
    for index, about in enumerate(portaudio().query_devices()):
        if about["max_input_channels"] > 0:
            name, rate = str(about["name"]), int(about["default_samplerate"])
            found.append(Device(index, name, int(about["max_input_channels"]), rate, _hardware(name)))
    return found


def _default_index() -> int | None:
    try:
        return int(portaudio().query_devices(None, "input")["index"])
    except (portaudio().PortAudioError, ValueError):  # there is no default
        return None


def _hardware(name: str) -> str:
    """What an ALSA card is: its maker's numbers, and where it has no serial number its place on the bus."""
    card = CARD.search(name)
    if not card:
        return ""
    try:
        device = (SOUND / f"card{card[1]}" / "device").resolve(strict=True)
        told = {}
        for each in ("idVendor", "idProduct", "serial"):
            file = device.parent / each
            if file.is_file():
                told[each] = file.read_text(encoding="utf-8", errors="replace").strip()
    except OSError:
        return ""
    place = [] if told.get("serial") else [device.name]
    return " ".join([*told.values(), *place, f"pcm{card[2]}"])


def _remembered(memory: Path | None) -> dict[str, str]:
    """What is damaged was never known."""
    if memory is None:
        return {}
    try:
        with memory.open("rb") as file:
            found = json.loads(file.read(MAX_MEMORY_BYTES))
    except (OSError, ValueError, RecursionError):
        return {}
    return {str(k): v for k, v in found.items() if isinstance(v, str)} if isinstance(found, dict) else {}


def _remember(memory: Path | None, known: dict[str, str]) -> None:
    if memory is None:
        return
    part = memory.with_name(memory.name + ".part")
    try:
        part.write_text(json.dumps(known, indent=1) + "\n", encoding="utf-8")
        part.replace(memory)
    except OSError as error:
        log.info("the microphone's hardware cannot be remembered in %s (%s)", memory, error.strerror)
