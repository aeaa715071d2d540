"""earmark events: what was heard, listed and exported."""

import datetime
import re
import sys
import time
from pathlib import Path
from typing import Annotated

import typer

from edge_runtime.cli.options import Home, Json, clock
from edge_runtime.errors import EarmarkError
from edge_runtime.events.catalogue import KeptEvent, events_of
from edge_runtime.events.formats import FORMATS, to_json
from edge_runtime.home import Home as Store
from edge_runtime.home import default_home

__all__ = ["Since", "Until", "app", "moment"]

app = typer.Typer(help="What was heard: events, listed and exported.", no_args_is_help=True)

Since = Annotated[
    str | None,
    typer.Option("--since", help="From then on: 2026-05-01, '2026-05-01 22:30' (local time), 7d, 12h, 30min."),
]
Until = Annotated[str | None, typer.Option("--until", help="Before then; as --since.")]
Names = Annotated[list[str] | None, typer.Option("--name", help="Only this phrase, group or rule; repeatable.")]
Sources = Annotated[list[str] | None, typer.Option("--source", help="Only this source; repeatable.")]
AGO = re.compile(r"(\d{1,6})\s*(min|h|d)")
UNITS_S = {"min": 60, "h": 3600, "d": 86_400}


@app.command("list")
def list_(
    since: Since = None,
    until: Until = None,
    name: Names = None,
    source: Sources = None,
    top: Annotated[int, typer.Option("--top", min=1, help="How many of the newest to show.")] = 50,
    home: Home = None,
    as_json: Json = False,
) -> None:
    """Print the newest events, oldest first."""
    events = _events(home, since, until, name, source, newest=top)
    if as_json:
        to_json(events, sys.stdout.buffer)
        return
    for event in events:
        at = datetime.datetime.fromtimestamp(event.start_at).strftime("%Y-%m-%d %H:%M:%S")
        known = " " if event.trusted else "?"
        also = f" ({', '.join(event.phrases)})" if event.phrases != (event.name,) else ""
        gaps = f"  {event.coverage:.0%} heard" if event.coverage < 0.995 else ""
        clip = f"  {event.clip}" if event.clip else ""
        seconds = clock(event.end_s - event.start_s)
        print(f"{at}{known} {seconds:>7}  {event.score:.2f}  {event.source}  {event.name}{also}{gaps}{clip}")


@app.command("export")
def export(
    file: Annotated[Path, typer.Argument(help="Where to; - is standard output.")],
    format: Annotated[
        str | None,
        typer.Option("--format", help=f"{', '.join(FORMATS)} (default: by the file's ending; .txt is audacity)."),
    ] = None,
    clips: Annotated[
        bool, typer.Option("--clips", help="raven, audacity: times within each event's own clip.")
    ] = False,
    since: Since = None,
    until: Until = None,
    name: Names = None,
    source: Sources = None,
    home: Home = None,
) -> None:
    """Write events for other programs: spreadsheets, Raven, Audacity, data frames."""
    kind = format or ENDINGS.get(file.suffix.lower(), "")
    write = FORMATS.get(kind)
    if write is None:
        raise EarmarkError(f"no format is called {kind or file.name!r}: say --format with {', '.join(FORMATS)}")
    if clips and kind not in ("raven", "audacity"):
        raise EarmarkError(f"--clips is of raven and audacity, not of {kind}: leave it out")
    events = _events(home, since, until, name, source)
    options = {"clips": True} if clips else {}
    if str(file) == "-":
        write(events, sys.stdout.buffer, **options)
        return
    part = file.with_name(file.name + ".part")
    try:
        with part.open("wb") as out:
            write(events, out, **options)
        part.replace(file)
    except OSError as error:
        raise EarmarkError(f"cannot write {file} ({error.strerror}): choose another place") from error
    finally:
        part.unlink(missing_ok=True)
    print(f"wrote {len(events)} events to {file}")


ENDINGS = {".csv": "csv", ".json": "json", ".jsonl": "json", ".parquet": "parquet", ".txt": "audacity"}


def _events(
    home: Path | None,
    since: str | None,
    until: str | None,
    names: list[str] | None,
    sources: list[str] | None,
    newest: int | None = None,
) -> list[KeptEvent]:
    path = home or default_home()
    store = Store.open(path, write=False)
    if store is None:
        raise EarmarkError(f"nothing has been heard in {path}: run `earmark run` first, or choose another --home")
    start, end = moment(since, "--since"), moment(until, "--until")
    found = events_of(store, since=start, until=end, names=names or (), sources=sources or (), newest=newest)
    return list(found)


def moment(text: str | None, option: str) -> float | None:
    """UTC seconds of a date, a date and time (local unless it says otherwise), or a time ago."""
    if text is None:
        return None
    if ago := AGO.fullmatch(text.strip()):
        return time.time() - int(ago[1]) * UNITS_S[ago[2]]
    try:
        return datetime.datetime.fromisoformat(text.strip()).timestamp()
    except (ValueError, OverflowError, OSError) as error:
        raise EarmarkError(
            f"{option} is {text!r}: write 2026-05-01, '2026-05-01 22:30', or a time ago as 7d, 12h, 30min"
        ) from error
