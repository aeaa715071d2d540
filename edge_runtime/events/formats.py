"""Events as other programs read them: CSV, JSON, Parquet, Raven selection tables, Audacity labels.

    FORMATS["raven"](events, file)          # KeptEvents into a binary file

A selection table and a label track are beside a sound: times in them are seconds of the recording, for an event of a
live source seconds since its stretch began, or with `clips=True` of the event's own clip, which the table then names.
Texts are made of one line each, and no cell of a table begins as a formula does.
"""

import csv
import datetime
import io
import json
from collections.abc import Callable, Iterable
from typing import Any, BinaryIO

from edge_runtime.errors import EarmarkError
from edge_runtime.events.catalogue import KeptEvent

__all__ = ["FORMATS", "to_audacity", "to_csv", "to_json", "to_parquet", "to_raven"]

HIGHEST_HZ = 14_000
"""A selection has a band; ours is all that the models hear."""


def to_json(events: Iterable[KeptEvent], file: BinaryIO) -> None:
    """One object a line."""
    for event in events:
        file.write(json.dumps(_row(event), ensure_ascii=False).encode(errors="backslashreplace") + b"\n")


def to_csv(events: Iterable[KeptEvent], file: BinaryIO) -> None:
    """With a header; several phrases are parted by semicolons. RFC 4180."""
    text = io.TextIOWrapper(file, "utf-8", "backslashreplace", newline="", write_through=True)
    writer = csv.DictWriter(text, COLUMNS, lineterminator="\r\n")
    writer.writeheader()
    for event in events:
        row = _row(event) | {"phrases": "; ".join(event.phrases)}
        writer.writerow({name: _cell(value) if isinstance(value, str) else value for name, value in row.items()})
    text.detach()


def to_parquet(events: Iterable[KeptEvent], file: BinaryIO) -> None:
    """Times as UTC timestamps, phrases as a list. Raises EarmarkError without pyarrow."""
    try:
        import pyarrow
        from pyarrow import parquet
    except ImportError as error:
        raise EarmarkError(
            "Parquet needs pyarrow, which is not installed: pip install 'earmark[parquet]', or export as csv"
        ) from error
    number, text, moment = pyarrow.float64(), pyarrow.string(), pyarrow.timestamp("us", tz="UTC")
    types = dict.fromkeys(COLUMNS, number) | dict.fromkeys(("source", "name", "kind", "file", "clip"), text)
    types |= dict.fromkeys(("start", "end", "peak"), moment)
    types |= {"phrases": pyarrow.list_(text), "trusted": pyarrow.bool_(), "windows": pyarrow.int64()}
    rows = []
    for event in events:
        moments = {"start": event.start_at, "end": event.end_at, "peak": event.peak_at}
        rows.append(_row(event) | {name: _utc(at) for name, at in moments.items()})
    schema = pyarrow.schema(list(types.items()))
    parquet.write_table(pyarrow.Table.from_pylist(rows, schema=schema), file)


def to_raven(events: Iterable[KeptEvent], file: BinaryIO, *, clips: bool = False) -> None:
    """A selection table of Raven Pro and Raven Lite: tabs, a view and a channel, seconds and hertz."""
    columns = ["Selection", "View", "Channel", "Begin Time (s)", "End Time (s)", "Low Freq (Hz)", "High Freq (Hz)"]
    columns += ["Begin File", "Begin Date Time", "Species", "Score", "Threshold"]
    lines = [columns]
    for number, (event, start_s, end_s, sound) in enumerate(_beside_sound(events, clips=clips), start=1):
        lines.append(
            [
                *(str(number), "Spectrogram 1", "1", f"{start_s:.3f}", f"{end_s:.3f}", "0", str(HIGHEST_HZ)),
                *(sound, _utc(event.start_at).strftime("%Y/%m/%d %H:%M:%S.%f")[:-3], _line(event.name)),
                *(f"{event.score:.4f}", f"{event.threshold:.4f}"),
            ]
        )
    file.write("".join("\t".join(line) + "\n" for line in lines).encode(errors="backslashreplace"))


def to_audacity(events: Iterable[KeptEvent], file: BinaryIO, *, clips: bool = False) -> None:
    """A label track: start, end and text, parted by tabs."""
    for event, start_s, end_s, _ in _beside_sound(events, clips=clips):
        line = f"{start_s:.6f}\t{end_s:.6f}\t{_line(event.name)} ({event.score:.2f})\n"
        file.write(line.encode(errors="backslashreplace"))


FORMATS: dict[str, Callable[..., None]] = {
    "csv": to_csv,
    "json": to_json,
    "parquet": to_parquet,
    "raven": to_raven,
    "audacity": to_audacity,
}
COLUMNS = (
    *("source", "name", "kind", "start", "end", "peak", "trusted", "score", "threshold", "coverage", "windows"),
    *("phrases", "start_s", "end_s", "file", "clip"),
)


def _row(event: KeptEvent) -> dict[str, Any]:
    """By COLUMNS, in their order."""
    return {
        "source": event.source,
        "name": event.name,
        "kind": event.kind,
        "start": _iso(event.start_at),
        "end": _iso(event.end_at),
        "peak": _iso(event.peak_at),
        "trusted": event.trusted,
        "score": round(event.score, 4),
        "threshold": round(event.threshold, 4),
        "coverage": round(event.coverage, 4),
        "windows": event.windows,
        "phrases": list(event.phrases),
        "start_s": round(event.start_s, 3),
        "end_s": round(event.end_s, 3),
        "file": event.file,
        "clip": event.clip,
    }


def _beside_sound(events: Iterable[KeptEvent], *, clips: bool) -> Iterable[tuple[KeptEvent, float, float, str]]:
    """Each event, its start and end in a sound, and that sound's name; with `clips` those alone that have one."""
    for event in events:
        if not clips:
            yield event, event.start_s, event.end_s, _line(event.file or event.source)
        elif event.clip is not None and event.clip_start_at is not None:
            start_s = max(0.0, event.start_at - event.clip_start_at)
            yield event, start_s, event.end_at - event.clip_start_at, _line(event.clip)


def _utc(at: float) -> datetime.datetime:
    return datetime.datetime.fromtimestamp(at, datetime.UTC)


def _iso(at: float) -> str:
    return _utc(at).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _line(text: str) -> str:
    return " ".join(text.split())


def _cell(text: str) -> str:
    """As a spreadsheet takes it for text (OWASP, "CSV Injection")."""
    text = _line(text)
    return f"'{text}" if text[:1] in "=+-@" and text else text
