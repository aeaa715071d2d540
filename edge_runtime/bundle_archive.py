"""A bundle that came as one file (.tar.gz or .zip), unpacked as if a stranger had packed it.

    unpack(Path("my-bundle.tar.gz"), target)     # target: an empty folder; the bundle's files lie flat in it

Only plain files are taken, all in one folder or at the top; a path that leaves it, a link, a device, a second file of
the same name, or more bytes or files than a bundle has refuse the whole. Sizes are counted as the bytes come: what the
archive says of them is not believed.
"""

import gzip
import stat
import tarfile
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import IO

from edge_runtime.errors import BundleError

__all__ = ["MAX_BYTES", "MAX_FILES", "unpack"]

MAX_BYTES = 2 << 30
"""A bundle of a whole CNN14 in four precisions has half of this."""
MAX_FILES = 256
MAX_READ = 1 << 24
"""In one go: a header that asks for more is no bundle's."""
CHUNK = 1 << 20


class _Bounded:
    """A gzip stream that gives no more than `MAX_READ` at a time: tarfile reads a header as long as it says it is."""

    def __init__(self, file: gzip.GzipFile) -> None:
        self._file = file
        self.tell, self.close = file.tell, file.close

    def read(self, size: int = -1) -> bytes:
        if not 0 <= size <= MAX_READ:
            raise BundleError(f"the archive has a header of {size} bytes: pack the bundle's folder again")
        return self._file.read(size)

    def seek(self, offset: int) -> int:
        if offset > 2 * MAX_BYTES:
            raise BundleError(f"the archive says it has over {MAX_BYTES} bytes: pack the bundle's folder again")
        return self._file.seek(offset)


def unpack(archive: Path, target: Path) -> None:
    """Raises BundleError where the archive is damaged or is not one bundle."""
    try:
        with archive.open("rb") as file:
            members = _of_zip(file) if file.read(2) == b"PK" else _of_tar(file)
            _write(members, archive, target)
    except (tarfile.TarError, zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError) as error:
        raise BundleError(f"{archive} cannot be unpacked ({error}): copy it again") from error
    except gzip.BadGzipFile as error:
        raise BundleError(f"{archive} is no .tar.gz and no .zip ({error}): give a bundle in one of these") from error


def _of_tar(file: IO[bytes]) -> Iterator[tuple[str, IO[bytes] | None]]:
    """Names and contents in order; None for a folder."""
    file.seek(0)
    with gzip.GzipFile(fileobj=file) as plain, tarfile.open(fileobj=_Bounded(plain), mode="r:") as tar:  # type: ignore[call-overload]
        for member in tar:
            if not (member.isreg() or member.isdir()):
                raise BundleError(f"the archive has {member.name!r}, which is no plain file: pack the folder again")
            yield member.name, tar.extractfile(member) if member.isreg() else None


def _of_zip(file: IO[bytes]) -> Iterator[tuple[str, IO[bytes] | None]]:
    with zipfile.ZipFile(file) as packed:
        for member in packed.infolist():
            mode = stat.S_IFMT(member.external_attr >> 16)
            if mode not in (0, stat.S_IFREG, stat.S_IFDIR):
                raise BundleError(f"the archive has {member.filename!r}, which is no plain file: pack the folder again")
            if member.is_dir():
                yield member.filename, None
            else:
                with packed.open(member) as content:
                    yield member.filename, content


def _write(members: Iterator[tuple[str, IO[bytes] | None]], archive: Path, target: Path) -> None:
    tops: set[tuple[str, ...]] = set()
    left, count = MAX_BYTES, 0
    for name, content in members:
        path = PurePosixPath(name)
        unsafe = path.is_absolute() or ".." in path.parts or "\\" in name or "\0" in name
        count += 1
        if unsafe or len(path.parts) > 2 or count > MAX_FILES:
            why = "leaves the folder" if unsafe else f"stands too deep, or after {MAX_FILES} others"
            raise BundleError(f"{archive} has {name!r}, which {why}: pack the bundle's folder alone")
        if content is None:
            continue
        tops.add(path.parts[:-1])
        if len(tops) > 1 or (target / path.name).exists():
            raise BundleError(f"{archive} has {name!r} beside other files of a bundle: pack one bundle's folder alone")
        with (target / path.name).open("xb") as out:
            while chunk := content.read(CHUNK):
                left -= len(chunk)
                if left < 0:
                    raise BundleError(f"{archive} holds more than {MAX_BYTES} bytes: that is no bundle: pack it again")
                out.write(chunk)
