"""PortAudio, which all microphones of a process share.

    with using(give_way):               # find, open, hear, close
        portaudio().query_devices()

It looks for devices when it starts, and can only start anew when nobody has a stream open. So whoever comes first has
it look; and when a microphone was plugged in again elsewhere while others sound, those give way for a moment.
"""

import contextlib
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from edge_runtime.errors import AudioError

__all__ = ["in_use", "portaudio", "start_anew", "using"]

GIVE_WAY_S = 3.0

_changed = threading.Condition()
_users: dict[object, Callable[[], None]] = {}
_stale: list[bool] = []
"""Not empty: what PortAudio knows of devices is old."""


def portaudio() -> Any:
    """The module sounddevice. Raises AudioError where PortAudio is not installed."""
    try:
        import sounddevice  # raises OSError at import where the system library is absent
    except OSError as error:
        raise AudioError(
            "PortAudio is not installed, so no microphone can be opened: `sudo apt install libportaudio2`"
        ) from error
    return sounddevice


@contextmanager
def using(give_way: Callable[[], None]) -> Iterator[None]:
    """Nobody else starts it anew meanwhile. `give_way` may be called from any thread: leave soon, and come again."""
    user = object()
    sounddevice = portaudio()
    with _changed:
        _changed.wait_for(lambda: not (_stale and _users), GIVE_WAY_S)
        if not _users:
            with contextlib.suppress(AttributeError, sounddevice.PortAudioError):
                sounddevice._terminate()
                sounddevice._initialize()
            _stale.clear()
        _users[user] = give_way
    try:
        yield
    finally:
        with _changed:
            del _users[user]
            _changed.notify_all()


def in_use() -> bool:
    """Whether anybody uses it now."""
    return bool(_users)


def start_anew() -> None:
    """Ask all users to leave; the first to come again has it look for devices."""
    with _changed:
        _stale.append(True)
        users = list(_users.values())
    for give_way in users:
        give_way()
