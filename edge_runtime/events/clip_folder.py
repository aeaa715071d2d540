"""Where clips lie: home/clips/DATE/TIME_what.flac, and nowhere else.

    folder = ClipFolder(home.path)
    path = folder.write(data, wall_s, "garden a dog")       # "clips/2026-05-01/043015.250_garden-a-dog.flac"
    folder.remove(path)

A file appears whole or not at all. A path that leads out of the folder, by dots or by a link, is refused, whoever wrote
it into the catalogue.
"""

import contextlib
import os
import re
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from edge_runtime.errors import HomeError

__all__ = ["ClipFile", "ClipFolder"]

NAME = "clips"
PART = ".part"
LONGEST_NAME = 60
MAX_SAME_NAME = 1000


@dataclass(frozen=True)
class ClipFile:
    """`path` within the home; `written_at`: UTC seconds."""

    path: str
    size: int
    written_at: float


class ClipFolder:
    """The clips of one home."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self._folder = home / NAME

    def write(self, data: bytes, wall_s: float, what: str) -> str:
        """Keep a file; its path within the home. Raises OSError where there is no room, and leaves nothing then."""
        moment = time.gmtime(wall_s)
        day = self._folder / time.strftime("%Y-%m-%d", moment)
        slug = re.sub(r"[^a-z0-9]+", "-", what.lower()).strip("-")[:LONGEST_NAME].strip("-") or "clip"
        stem = f"{time.strftime('%H%M%S', moment)}.{int(wall_s % 1 * 1000):03}_{slug}"
        for number in range(1, MAX_SAME_NAME):
            path = day / f"{stem}{f'-{number}' if number > 1 else ''}.flac"
            if not path.exists():
                break
        self._inside(path).parent.mkdir(parents=True, exist_ok=True)
        part = path.with_name(path.name + PART)
        try:
            with part.open("wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            part.replace(path)
        except OSError:
            with contextlib.suppress(OSError):
                part.unlink(missing_ok=True)
            raise
        return path.relative_to(self.home).as_posix()

    def remove(self, path: str) -> int:
        """Delete a clip; the bytes that this freed, 0 where it is gone already. Raises HomeError where the path is none
        of a clip."""
        file = self._inside(self.home / path)
        try:
            size = file.stat().st_size
            file.unlink()
        except FileNotFoundError:
            return 0
        with contextlib.suppress(OSError):  # the last one of its day
            file.parent.rmdir()
        return size

    def files(self) -> Iterator[ClipFile]:
        """All clips that are on the disk, whoever wrote them, and nothing that a link leads to."""
        for day in sorted(_folders_in(self._folder)):
            for entry in sorted(os.scandir(day), key=lambda entry: entry.name):
                if entry.name.endswith(".flac") and entry.is_file(follow_symlinks=False):
                    stat = entry.stat(follow_symlinks=False)
                    yield ClipFile(f"{NAME}/{day.name}/{entry.name}", stat.st_size, stat.st_mtime)

    def clear_parts(self) -> None:
        """Delete what a power cut left half written."""
        for day in _folders_in(self._folder):
            for entry in os.scandir(day):
                if entry.name.endswith(PART) and entry.is_file(follow_symlinks=False):
                    Path(entry.path).unlink(missing_ok=True)

    def _inside(self, path: Path) -> Path:
        """The same path, if it is a file of a day's folder here, and no link on the way leads out."""
        real = self._folder.resolve()
        home = self.home.resolve()
        known = (
            real == home / NAME
            and path.parent.parent == self._folder
            and path.parent.resolve() == real / path.parent.name
        )
        if not known or path.suffix != ".flac" or path.is_symlink():
            raise HomeError(
                f"{str(path)!r} is no clip of {self.home}: clips lie in {NAME}/DATE/*.flac, and no link leads there: "
                "move it away"
            )
        return path


def _folders_in(folder: Path) -> list[Path]:
    if not folder.is_dir() or folder.is_symlink():
        return []
    return [Path(entry.path) for entry in os.scandir(folder) if entry.is_dir(follow_symlinks=False)]
