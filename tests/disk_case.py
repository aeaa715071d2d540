"""A disk so small that it is full at once."""

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

__all__ = ["fill", "small_disk"]


@contextmanager
def small_disk(folder: Path, *, megabytes: int) -> Iterator[Path]:
    """A file system of its own at `folder`, which is made; only root can mount one."""
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={megabytes}m", "none", folder]
    if os.geteuid() != 0 or subprocess.run(mount, check=False).returncode:
        pytest.skip("needs the right to mount a file system")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", folder], check=True)


def fill(folder: Path, *, leaving: int) -> None:
    """Take the disk's space but for so many bytes; 0: all of it. `folder/filler` has it."""
    with (folder / "filler").open("ab", buffering=0) as file:
        while (room := shutil.disk_usage(folder).free - leaving) > 0:
            try:
                file.write(bytes(min(room, 1 << 16)))
            except OSError:
                break
