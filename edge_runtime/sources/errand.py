"""A call into a driver, which may hang, in a thread of its own: whoever sent it goes on.

    feed = run_errand(open_device, within_s=10, stop=stop, late=close_device)

A sound server that is frozen keeps whoever opens or closes its devices for ever; the source has to say so meanwhile,
and to stop when it is told to.
"""

import threading
import time
from collections.abc import Callable
from typing import TypeVar

from edge_runtime.errors import AudioError
from edge_runtime.sources.stop import Stop

__all__ = ["run_errand"]

T = TypeVar("T")
LOOK_S = 0.02


def run_errand(call: Callable[[], T], *, within_s: float, stop: Stop, late: Callable[[T], None]) -> T:
    """What the call returns or raises. Raises AudioError where it takes longer, or `stop` is set meanwhile; what it
    returns later goes to `late`, in its thread."""
    lock = threading.Lock()
    results: list[T] = []
    errors: list[BaseException] = []
    waiting = True

    def run() -> None:
        try:
            result = call()
        except BaseException as error:
            errors.append(error)
            return
        with lock:
            if waiting:
                results.append(result)
                return
        late(result)

    thread = threading.Thread(target=run, name="errand", daemon=True)
    thread.start()
    until_s = time.monotonic() + within_s
    while thread.is_alive() and time.monotonic() < until_s and not stop:
        thread.join(LOOK_S)
    with lock:
        waiting = False
    if errors:
        raise errors[0]
    if results:
        return results[0]
    raise AudioError(f"the sound system has not answered for {within_s:.0f} s: it hangs, or is very slow")
