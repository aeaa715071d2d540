"""The published tables of collections, read with care: CSV rows with their line numbers, lists of ids, checksums.

for line, row in csv_rows(folder / "test.csv", ("youtube_id", "caption")): …

Every error names the file, and the line and the field where there is one.
"""

import csv
import hashlib
from collections.abc import Iterator, Sequence
from pathlib import Path

from training.datasets.collection import Skipped

__all__ = ["csv_rows", "id_list", "md5_of", "needed", "recordings_by_stem", "said"]

SUFFIXES = (".wav", ".flac", ".ogg", ".opus", ".mp3")


def needed(folder: Path, places: Sequence[str], what: str) -> Path:
    """The first of `places` inside `folder` that is there. Raises FileNotFoundError, which lists them all."""
    if not folder.is_dir():
        raise FileNotFoundError(f"there is no folder {folder}: expected {what}, as {places[0]} in it")
    for place in places:
        if (folder / place).is_file():
            return folder / place
    raise FileNotFoundError(f"{what}: {' or '.join(str(folder / place) for place in places)} is missing: put it there")


def csv_rows(
    path: Path, columns: Sequence[str], *, encoding: str = "utf-8-sig"
) -> Iterator[tuple[int, dict[str, str]]]:
    """(line, row) of a CSV that has these columns; no row may be short. Fields come stripped."""
    try:
        with path.open(encoding=encoding, newline="") as file:
            rows = csv.DictReader(file)
            absent = [name for name in columns if name not in (rows.fieldnames or ())]
            if absent:
                raise ValueError(f"{path}, line 1 lacks the columns {absent}: it has {list(rows.fieldnames or ())}")
            for row in rows:
                short = [name for name in columns if row[name] is None]
                if short:
                    raise ValueError(f"{path}, line {rows.line_num} ends before {short[0]}: is the file cut short?")
                yield rows.line_num, {name: row[name].strip() for name in columns}
    except UnicodeDecodeError as error:
        raise ValueError(
            f"{path} is not {encoding} text ({error.reason} at byte {error.start}): fetch it again"
        ) from error
    except csv.Error as error:
        raise ValueError(f"{path} is no CSV ({error}): fetch it again") from error


def said(texts: Sequence[str], *, id: str, split: str, where: str) -> tuple[tuple[str, ...], list[Skipped]]:
    """The captions that say something, and the empty ones as what was left out; `where` names file, line and field."""
    kept = tuple(text.strip() for text in texts if text.strip())
    empty = len(texts) - len(kept)
    if not kept:
        return (), [Skipped(id, split, f"{where}: no caption")]
    return kept, [
        Skipped(id, split, f"{where}: {empty} of {len(texts)} captions empty, the others stay")
    ] if empty else []


def id_list(path: Path) -> list[str]:
    """One id a line. Raises ValueError where one stands twice or there is none."""
    ids = [line.strip() for line in path.read_text(encoding="utf-8-sig").splitlines() if line.strip()]
    if not ids:
        raise ValueError(f"{path} lists no id: one a line is expected")
    seen: dict[str, int] = {}
    for line, name in enumerate(ids, start=1):
        if name in seen:
            raise ValueError(f"{path}, line {line}: {name!r} stands in line {seen[name]} too: fetch the file again")
        seen[name] = line
    return ids


def recordings_by_stem(folder: Path) -> dict[str, Path] | None:
    """The recordings right in a folder by their names without suffix, or None where there is no such folder."""
    if not folder.is_dir():
        return None
    return {path.stem: path for path in sorted(folder.iterdir()) if path.suffix.lower() in SUFFIXES}


def md5_of(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "md5").hexdigest()
