"""What systemd is told (`Type=notify`), by its own protocol: datagrams to the socket that it names.

    notifier = Notifier.of_environment()
    notifier.ready()
    notifier.alive()        # WATCHDOG=1: call it only when sound has gone through, else the watchdog watches nothing

Not started by systemd, every call does nothing. See sd_notify(3).
"""

import contextlib
import os
import socket
import time
from typing import Self

__all__ = ["Notifier"]


class Notifier:
    """`watchdog_s`: systemd restarts the service after so long without `alive`; None: it does not watch."""

    def __init__(self, address: str | None, *, watchdog_s: float | None = None) -> None:
        self._address = address if address and address[0] in "/@" else None
        self.watchdog_s = watchdog_s if self._address else None

    @classmethod
    def of_environment(cls) -> Self:
        """What systemd said when it started this process."""
        ours = os.environ.get("WATCHDOG_PID", str(os.getpid())) == str(os.getpid())
        period_us = os.environ.get("WATCHDOG_USEC", "")
        watched = ours and period_us.isascii() and period_us.isdigit() and int(period_us) > 0
        return cls(os.environ.get("NOTIFY_SOCKET"), watchdog_s=int(period_us) / 1e6 if watched else None)

    def ready(self) -> None:
        """All sources have been started, or the new configuration is in force."""
        self._send("READY=1")

    def reloading(self) -> None:
        self._send(f"RELOADING=1\nMONOTONIC_USEC={time.monotonic_ns() // 1000}")

    def stopping(self) -> None:
        self._send("STOPPING=1")

    def status(self, text: str) -> None:
        """One line for `systemctl status`."""
        self._send("STATUS=" + " ".join(text.split()))

    def alive(self) -> None:
        self._send("WATCHDOG=1")

    def _send(self, message: str) -> None:
        if self._address is None:
            return
        address = "\0" + self._address[1:] if self._address[0] == "@" else self._address
        with (
            socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as out,
            contextlib.suppress(OSError),
        ):
            out.setblocking(False)  # a manager that does not read must not stop the sound
            out.sendto(message.encode(), address)
