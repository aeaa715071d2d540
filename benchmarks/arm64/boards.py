"""What is emulated: the systems that a Pi runs, the processors of the boards, and the tools that this machine needs.

SYSTEMS["bookworm"].python     # (3, 11)
require_tools(install=False)   # says what to install, or nothing
"""

import os
import shutil
import subprocess
from dataclasses import dataclass

__all__ = ["CPUS", "SYSTEMS", "MissingTools", "System", "missing_tools", "require_tools"]


@dataclass(frozen=True)
class System:
    """A Debian release under 64-bit Pi OS: its Python, and the C library that wheels must do with."""

    suite: str
    python: tuple[int, int]
    glibc: tuple[int, int]

    @property
    def python_version(self) -> str:
        return "{}.{}".format(*self.python)

    @property
    def tag(self) -> str:
        return "cp{}{}".format(*self.python)

    @property
    def platforms(self) -> list[str]:
        """Platform tags that its pip takes, newest first. No aarch64 wheel is older than manylinux 2.17."""
        names = [f"manylinux_2_{minor}_aarch64" for minor in range(self.glibc[1], 16, -1)]
        return [*names, "manylinux2014_aarch64", "linux_aarch64"]

    @property
    def packages(self) -> list[str]:
        """What the emulated board gets from Debian. libpython's headers are for the cross-compiler and are moved out;
        libc-bin has ldconfig, by which sounddevice finds PortAudio; pip comes as a wheel, and the newer one reads the
        certificates even offline."""
        python = f"python{self.python_version}"
        libraries = ["libstdc++6", "libgomp1", "libportaudio2", "libc-bin", "python3-pip-whl", "ca-certificates"]
        return [python, f"{python}-venv", f"lib{python}-dev", *libraries]


SYSTEMS = {
    "bookworm": System("bookworm", (3, 11), (2, 36)),
    "trixie": System("trixie", (3, 13), (2, 41)),
}

CPUS = {"cortex-a76": "Pi 5", "cortex-a72": "Pi 4", "cortex-a53": "Zero 2 W"}
"""QEMU_CPU -> the board that has it. Only the A76 has the dot product that int8 wants; the others lack it, and an
instruction that a processor lacks ends the program."""

TOOLS = {  # command -> Debian package
    "mmdebstrap": "mmdebstrap",
    "qemu-aarch64-static": "qemu-user-static",
    "aarch64-linux-gnu-g++": "g++-aarch64-linux-gnu",
    "setpriv": "util-linux",
}


class MissingTools(Exception):
    """A command of TOOLS is not there; the message says how to get it."""


def missing_tools() -> list[str]:
    """Debian packages of the commands that are not there."""
    return [package for command, package in TOOLS.items() if shutil.which(command) is None]


def require_tools(*, install: bool) -> None:
    """Raise MissingTools with the apt line, or run that line with `install`."""
    missing = missing_tools()
    if not missing:
        return
    line = f"apt-get install --no-install-recommends {' '.join(missing)}"
    if not install:
        raise MissingTools(f"not installed: {', '.join(missing)}. Give --install, or run: sudo {line}")
    sudo = [] if os.geteuid() == 0 else ["sudo"]
    environment = os.environ | {"DEBIAN_FRONTEND": "noninteractive"}
    print(line, flush=True)
    for command in (["apt-get", "update", "-qq"], [*line.split(), "-y", "-qq"]):
        # dpkg tells each step even so; what goes wrong is told on standard error
        done = subprocess.run([*sudo, *command], stdout=subprocess.DEVNULL, env=environment, check=False)
        if done.returncode:
            raise MissingTools(f"{' '.join(command)} ended with exit code {done.returncode}; try: sudo {line}")
