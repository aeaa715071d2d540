"""Windows of recordings that nothing tells of any more: the catalogue and its journal are lost, the sound is not.

    adopt(db, home / "archive", told={1, 2})    # makes up the others: how many

Their name is lost, and when they began: they are called `unknown`, and what their first day has of them is taken to
have ended when its file was last written to, on that day.
"""

import calendar
import sqlite3
import time
from pathlib import Path

import numpy as np

from edge_runtime.archive.day_file import DayFiles, header_of
from edge_runtime.archive.recordings import COLUMNS, MAX_ID, insert

__all__ = ["NAME", "adopt"]

NAME = "unknown"
DAY_S = 86_400.0


def adopt(db: sqlite3.Connection, archive: Path, *, told: set[int]) -> int:
    """Put a row into the catalogue for each recording that has windows and is not among `told`."""
    found = set(told)
    for folder in sorted(archive.iterdir()) if archive.is_dir() else []:
        widths = {
            header[1] for path in folder.glob("*.emb") if (header := header_of(path)) and header[0] == folder.name
        }
        for days in [DayFiles(folder, folder.name, width=width) for width in widths]:
            for day in filter(days.is_ours, days.all()):
                written_at = min(day.path.stat().st_mtime, _end_of(day.path))
                for number, (_, last_s) in days.spans(day).items():
                    if not 0 < number <= MAX_ID or number in found or not np.isfinite(last_s):
                        continue
                    found.add(number)
                    row = dict.fromkeys(COLUMNS, 0.0) | {"id": number, "name": NAME, "fingerprint": folder.name}
                    row |= {"started_at": written_at - last_s, "heard_s": last_s, "boot": "", "trusted": False}
                    insert(db, row | {"size": None, "mtime_ns": None, "whole": True, "live": True})
    return len(found) - len(told)


def _end_of(path: Path) -> float:
    """When the day of a file was over, UTC seconds."""
    try:
        return calendar.timegm(time.strptime(path.name[:10], "%Y-%m-%d")) + DAY_S
    except ValueError:
        return np.inf
