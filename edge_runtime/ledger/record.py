"""One entry of a ledger's file: 32 bytes with a checksum of their own.

    data = span("heard", start_ms, end_ms)
    entries, damaged = read_entries(data)

Entries of a log tell monotonic milliseconds of one boot. A log also holds *anchors*, which tie what follows to wall
time, and *repairs*: by how much all anchors of that boot before were wrong, once the clock knows. Runs, which remain of
a day that is over, are in wall time.
"""

import hashlib
import struct
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Literal, get_args

__all__ = [
    "ENTRY_BYTES",
    "STATES",
    "Anchor",
    "Entry",
    "Repair",
    "Span",
    "State",
    "boot_key",
    "in_wall_time",
    "pack",
    "read_entries",
]

State = Literal["heard", "clipped", "gated", "dropped", "lost"]
"""`clipped`: heard, but beyond what the device can tell; `gated`: thrown away on purpose, as speech; `dropped`: we were
too slow; `lost`: nothing came, or nobody listened."""
STATES: tuple[State, ...] = get_args(State)

LAYOUT = struct.Struct("<4sBB2x8sqq")
"""Checksum of what follows, kind, state, boot, and two numbers."""
ENTRY_BYTES = LAYOUT.size
SPAN, ANCHOR, REPAIR = 1, 2, 3
NO_BOOT = bytes(8)


@dataclass(frozen=True)
class Span:
    """`state` from `start_ms` to `end_ms`: of an anchor's boot in a log, UTC in runs."""

    state: State
    start_ms: int
    end_ms: int
    boot: bytes = NO_BOOT


@dataclass(frozen=True)
class Anchor:
    """From here on, wall time is monotonic time and `offset_ms`. Told `at_ns` monotonic, by a clock that was `trusted`
    or not."""

    boot: bytes
    at_ns: int
    offset_ms: int
    trusted: bool


@dataclass(frozen=True)
class Repair:
    """All anchors of this boot that were told before `at_ns` were `shift_ms` too early."""

    boot: bytes
    at_ns: int
    shift_ms: int

    def mends(self, anchor: Anchor) -> bool:
        return anchor.boot == self.boot and anchor.at_ns < self.at_ns


Entry = Span | Anchor | Repair


def boot_key(boot_id: str) -> bytes:
    return hashlib.sha256(boot_id.encode()).digest()[:8]


def pack(entry: Entry) -> bytes:
    """The entry's 32 bytes."""
    match entry:
        case Span(state, start_ms, end_ms, boot):
            fields = (SPAN, STATES.index(state), boot, start_ms, end_ms)
        case Anchor(boot, at_ns, offset_ms, trusted):
            fields = (ANCHOR, int(trusted), boot, at_ns, offset_ms)
        case Repair(boot, at_ns, shift_ms):
            fields = (REPAIR, 0, boot, at_ns, shift_ms)
    rest = LAYOUT.pack(bytes(4), *fields)[4:]
    return struct.pack("<I", zlib.crc32(rest)) + rest


def read_entries(data: bytes) -> tuple[list[Entry], int]:
    """What can be read of a file's bytes, and how many entries are damaged. Spans of one state that follow on are
    joined at once: a day has 86 400."""
    entries: list[Entry] = []
    damaged = 0
    state: State | None = None
    boot, start_ms, end_ms = NO_BOOT, 0, 0

    def close() -> None:
        if state:
            entries.append(Span(state, start_ms, end_ms, boot))

    for at in range(0, len(data), ENTRY_BYTES):
        one = data[at : at + ENTRY_BYTES]
        if len(one) < ENTRY_BYTES or int.from_bytes(one[:4], "little") != zlib.crc32(one[4:]):
            damaged += 1
            continue
        _, kind, which, whose, first, second = LAYOUT.unpack(one)
        if kind == SPAN and which < len(STATES) and first <= second:
            if (STATES[which], whose, first) != (state, boot, end_ms):
                close()
                state, boot, start_ms = STATES[which], whose, first
            end_ms = second
            continue
        close()
        state = None
        if kind == ANCHOR:
            entries.append(Anchor(whose, first, second, bool(which)))
        elif kind == REPAIR:
            entries.append(Repair(whose, first, second))
        else:
            damaged += 1
    close()
    return entries, damaged


def mended(anchor: Anchor, repairs: list[Repair]) -> Anchor:
    """As the clock knew it later."""
    shift_ms = sum(repair.shift_ms for repair in repairs if repair.mends(anchor))
    return replace(anchor, offset_ms=anchor.offset_ms + shift_ms)


def in_wall_time(files: Iterable[list[Entry]], repairs: list[Repair]) -> Iterator[Span]:
    """The spans of logs, as UTC milliseconds. A repair may lie in another file than what it mends."""
    for file in files:
        anchor: Anchor | None = None
        for entry in file:
            if isinstance(entry, Anchor):
                anchor = mended(entry, repairs)
            elif isinstance(entry, Span) and anchor and entry.boot == anchor.boot:
                yield Span(entry.state, entry.start_ms + anchor.offset_ms, entry.end_ms + anchor.offset_ms)
