"""What a running service is doing, for `earmark status`: one small file, and a lock that says whether it is so still.

with StatusFile.claim(home) as status:      # refused where another service has this home
    status.write(report)                    # replaced whole
found = read_status(home)                   # None: no service has been here

home/service.lock       held as long as the service lives, however it ends
home/status.json        the newest report; a link into systemd's runtime folder where there is one: memory, not disk
"""

import fcntl
import json
import os
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from edge_runtime.clock import boot_id
from edge_runtime.errors import HomeError

__all__ = ["Found", "Report", "SourceReport", "StatusFile", "read_status"]

MAX_BYTES = 1 << 20


@dataclass(frozen=True)
class SourceReport:
    """One source: what it is doing (`state`), what keeps it from sounding (`trouble`), how long ago sound went through
    (None: never), how loud it came in its last hour, what it has heard and what it knows to be lost, and what it could
    not keep."""

    name: str
    input: str
    state: str
    trouble: str | None
    quiet_s: float | None
    peak_dbfs: float | None
    heard_s: float
    lost_s: float
    windows: int
    unkept_windows: int
    unkept_events: int
    restarts: int


@dataclass(frozen=True)
class Report:
    """A service at one moment. `clock_trusted`: wall times are the world's; else only their order is right."""

    pid: int
    boot: str
    at_monotonic_s: float
    at: float
    running_s: float
    configuration: str
    bundle: str
    phrases: int
    clock_trusted: bool
    sources: tuple[SourceReport, ...] = ()


@dataclass(frozen=True)
class Found:
    """The newest report of a home's service as JSON has it, whether that service lives, and the report's age (None:
    it is of an earlier boot)."""

    report: dict[str, Any]
    running: bool
    age_s: float | None


class StatusFile:
    """Belongs to the one service of a home."""

    def __init__(self, home: Path, lock: int, file: Path) -> None:
        self._home = home
        self._lock = lock
        self._file = file

    @classmethod
    def claim(cls, home: Path) -> Self:
        """Raises HomeError where another service runs on this home, or it cannot be written."""
        try:
            home.mkdir(parents=True, exist_ok=True)
            lock = os.open(home / "service.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
            if not _locked(lock):
                os.close(lock)
                raise HomeError(f"a service is running on {home} already: stop it, or give another home")
            return cls(home, lock, _place(home))
        except OSError as error:
            raise HomeError(f"cannot write to {home} ({error.strerror}): choose another home") from error

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        os.close(self._lock)

    def write(self, report: Report) -> None:
        """Raises OSError: the disk is full, say."""
        part = self._file.with_name(self._file.name + ".part")
        part.write_text(json.dumps(asdict(report)) + "\n", encoding="utf-8")
        part.replace(self._file)


def read_status(home: Path) -> Found | None:
    """What the home's service said last. Raises HomeError where that is no report."""
    file = home / "status.json"
    try:
        with file.open("rb") as opened:
            report = json.loads(opened.read(MAX_BYTES).decode())
        age_s = time.monotonic() - float(report["at_monotonic_s"]) if report["boot"] == boot_id() else None
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise HomeError(f"{file} cannot be read ({error}): restart the service") from error
    return Found(report, _is_locked(home / "service.lock"), age_s)


def _locked(handle: int) -> bool:
    """Whether the lock is ours now; `earmark status` holds it for a moment."""
    for _ in range(5):
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            time.sleep(0.05)
        else:
            return True
    return False


def _is_locked(path: Path) -> bool:
    try:
        handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(handle)
    return False


def _place(home: Path) -> Path:
    """Where reports are written: systemd's RuntimeDirectory, to which the home then has a link, else the home."""
    file = home / "status.json"
    runtime = os.environ.get("RUNTIME_DIRECTORY", "").partition(":")[0]
    file.unlink(missing_ok=True)
    if not runtime or not Path(runtime).is_dir():
        return file
    there = Path(runtime) / "status.json"
    file.symlink_to(there)
    return there
