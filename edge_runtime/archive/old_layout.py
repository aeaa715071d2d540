"""Archives of the first layout, whose records had no checksums: made new once, when a home is opened for writing.

convert(folder, fingerprint, width=512)
"""

import logging
from pathlib import Path

import numpy as np

from edge_runtime.archive.day_file import DayFiles
from edge_runtime.archive.record import FINER, put_steps, record_type
from edge_runtime.errors import HomeError

__all__ = ["convert", "is_old"]

log = logging.getLogger(__name__)

MAGIC = b"EARMARK1"
HEADER_BYTES = 32


def is_old(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(len(MAGIC)) == MAGIC


def convert(folder: Path, fingerprint: str, *, width: int) -> None:
    """Replace the files of the first layout in an archive's folder. What a power failure interrupts is done again."""
    header = MAGIC + fingerprint.encode().ljust(16) + width.to_bytes(8, "little")
    old_type = np.dtype(
        [
            ("recording", "<u4"),
            ("scale", "<f4"),
            ("start_s", "<f8"),
            ("end_s", "<f8"),
            ("embedding", "i1", (width,)),
        ]
    )
    for path in sorted(folder.glob("*.emb")):
        with path.open("rb") as file:
            if file.read(HEADER_BYTES) != header:
                continue
            data = file.read()
        old = np.frombuffer(data[: len(data) // old_type.itemsize * old_type.itemsize], old_type)
        new = np.zeros(len(old), record_type(width))
        for name in ("recording", "scale", "start_s", "end_s"):
            new[name] = old[name]
        put_steps(new, old["embedding"].astype(np.int16) * FINER)
        part = path.with_suffix(".part")
        try:
            DayFiles(folder, fingerprint, width=width).write_whole(part, new)
            part.replace(path)
        except OSError as error:
            raise HomeError(
                f"{path} cannot be brought into the new layout ({error.strerror}): free some disk"
            ) from error
        log.info("%s: %d windows brought into the new layout", path.name, len(new))
