"""What happened in a home, one line after the other: the truth that its SQLite file is made from.

    journal = Journal(home / "journal")
    journal.note("phrase", {"text": "a dog barking", "kept": True, "changed_at": 1.7e9})
    for entry in journal.entries(): …       # Entry(kind, at, fields), oldest first

A line is the checksum of its text and that text, JSON: `1c291ca3 {"kind": …}`. It is written whole, by one append, so
that several processes may share a month's file; a line that a power failure cut, or of which a bit has turned, is
passed over and counted.
"""

import json
import logging
import os
import time
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edge_runtime.errors import HomeError

__all__ = ["Entry", "Journal"]

log = logging.getLogger(__name__)

SYNC_S = 5.0
"""A power cut costs what was noted since, at most; more often would wear an SD card."""
MAX_LINE_BYTES = 1 << 20


@dataclass(frozen=True)
class Entry:
    """One note, and when it was written (UTC seconds, by the clock of then)."""

    kind: str
    at: float
    fields: Mapping[str, Any]


class Journal:
    """The notes of one home, in files of a month each."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._synced_s = 0.0

    def note(self, kind: str, fields: Mapping[str, Any], *, sync: bool = False) -> None:
        """Append one. `sync`: it is on the disk when this returns. Raises HomeError where the disk is full."""
        now = time.time()
        text = json.dumps({"kind": kind, "at": now, "fields": dict(fields)}, ensure_ascii=True, separators=(",", ":"))
        line = f"{zlib.crc32(text.encode()):08x} {text}\n".encode()
        path = self._folder / time.strftime("%Y-%m.jsonl", time.gmtime(now))
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            with path.open("ab+", buffering=0) as file:
                if (size := file.seek(0, os.SEEK_END)) and os.pread(file.fileno(), 1, size - 1) != b"\n":
                    line = b"\n" + line  # after a line that was cut
                written = file.write(line)
                if written != len(line):
                    raise OSError("the disk is full")
                if sync or time.monotonic() - self._synced_s > SYNC_S:
                    os.fdatasync(file.fileno())
                    self._synced_s = time.monotonic()
        except OSError as error:
            raise HomeError(f"{path} cannot grow ({error.strerror or error}): free some disk") from error

    def entries(self) -> Iterator[Entry]:
        """All notes that are whole, in the order in which they were written."""
        damaged = 0
        for path in sorted(self._folder.glob("*.jsonl")) if self._folder.is_dir() else []:
            with path.open("rb") as file:
                while line := file.readline(MAX_LINE_BYTES):
                    entry = _entry(line)
                    if entry:
                        yield entry
                    elif line.strip():
                        damaged += 1
        if damaged:
            log.warning("%d lines of %s are damaged and were passed over", damaged, self._folder)

    def __bool__(self) -> bool:
        """Whether anything was ever noted."""
        return self._folder.is_dir() and any(self._folder.glob("*.jsonl"))


def _entry(line: bytes) -> Entry | None:
    """None where the line is not whole, or not one of ours."""
    checksum, _, text = line.rstrip(b"\n").partition(b" ")
    if checksum != b"%08x" % zlib.crc32(text):
        return None
    try:
        found = json.loads(text)
        return Entry(str(found["kind"]), float(found["at"]), dict(found["fields"]))
    except (ValueError, KeyError, TypeError, RecursionError):
        return None
