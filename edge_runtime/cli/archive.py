"""earmark index, earmark search: recordings into the archive, and questions to it."""

import sys
import time
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from edge_runtime.audio_file import AudioFile, recordings_in
from edge_runtime.cli.events import Since, Until, moment
from edge_runtime.cli.hits import show, show_heard
from edge_runtime.cli.options import Bundle, GraphEngine, Home, Json, Profile, TopK, clock, open_engine
from edge_runtime.errors import AudioError, EarmarkError

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

__all__ = ["index", "search"]


def index(
    paths: Annotated[list[Path], typer.Argument(help="Recordings, or folders of them.")],
    home: Home = None,
    bundle: Bundle = None,
    profile: Profile = None,
    graph_engine: GraphEngine = None,
) -> None:
    """Embed recordings into the archive. Run it again to go on: what is there already is passed over."""
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

    engine = open_engine(bundle=bundle, home=home, profile=profile, engine=graph_engine, write=True)
    assert engine.archive is not None
    files, failed = [], 0
    lengths: dict[Path, float] = {}
    todo: list[Path] = []
    for path in paths:
        files += recordings_in(path) if path.is_dir() else [path]
    if not files:
        raise AudioError(f"{', '.join(map(str, paths))} holds no recording: put WAV, FLAC, OGG or MP3 files there")
    for path in dict.fromkeys(files):
        try:
            with AudioFile.open(path) as file:
                seconds = file.seconds
            if not engine.archive.holds(path):
                todo.append(path)
            lengths[path] = seconds
        except AudioError as error:
            failed += 1
            print(f"earmark: {error}", file=sys.stderr)
    columns = (TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), TimeRemainingColumn())
    started, done = time.monotonic(), 0.0
    console = Console(stderr=True)
    with Progress(*columns, console=console, disable=not console.is_terminal) as progress:
        bar = progress.add_task("indexing", total=sum(lengths[path] for path in todo))
        for path in todo:
            progress.update(bar, description=path.name)
            base = done
            try:
                done += engine.index(path, progress=partial(_advance, progress, bar, base))
            except AudioError as error:
                failed += 1
                print(f"earmark: {error}", file=sys.stderr)
    took = time.monotonic() - started
    speed = f", {done / took:.0f} times real time" if done else ""
    known = len(lengths) - len(todo)
    again = f"; {known} were there already" if known else ""
    refused = f"; {failed} of {len(files)} recordings were refused" if failed else ""
    print(f"indexed {clock(done)} of sound in {took:.1f} s{speed}{again}{refused}")
    if failed:
        sys.exit(2)


def _advance(progress: "Progress", bar: "TaskID", base: float, seconds: float) -> None:
    progress.update(bar, completed=base + seconds)


def search(
    text: Annotated[str | None, typer.Argument(help="What it sounded like, in words.")] = None,
    sound: Annotated[
        Path | None, typer.Option("--sound", help="A recording of something like it; with a text, like both.")
    ] = None,
    since: Since = None,
    until: Until = None,
    source: Annotated[
        list[str] | None, typer.Option("--source", help="Only this source, file or folder; repeatable.")
    ] = None,
    home: Home = None,
    bundle: Bundle = None,
    top: TopK = 5,
    plain: Annotated[
        bool, typer.Option("--plain", help="Rank by cosines with the text itself; hold no moment down.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Find the moments of the archive that sound like the text, like a recording, or like both.

    A file counts for --since and --until by when it was put into the archive.
    """
    start, end = moment(since, "--since"), moment(until, "--until")
    engine = open_engine(bundle=bundle, home=home, phrases=None, write=False)
    if engine.archive is None:
        raise EarmarkError("nothing has been heard here yet: run `earmark index PATH` or `earmark listen` first")
    sources = [_as_archived(each) for each in source or ()]
    hits = engine.search(text, sound=sound, k=top, plain=plain, since=start, until=end, sources=sources)
    for guess in engine.bundle.tokenizer.guesses(text) if text else ():
        print(f"earmark: {guess}", file=sys.stderr)
    others = engine.archive.other_models()
    unsearched = f"{others} recordings were heard by another model and cannot be searched with this one: "
    unsearched += "index them again, or give that model with --bundle"
    if not hits:
        narrowed = start is not None or end is not None or sources
        if narrowed and engine.archive.windows():
            raise EarmarkError("nothing that is in the archive was asked for: leave out --since, --until or --source")
        reason = unsearched if others else "nothing has been heard here yet: run `earmark index PATH` first"
        raise EarmarkError(f"the archive of this model is empty; {reason}")
    if others:
        print(f"earmark: {unsearched}", file=sys.stderr)
    show(hits, home, as_json=as_json)
    if start is not None and not as_json:
        show_heard(home, sources, start, end)


def _as_archived(source: str) -> str:
    """A file or folder by the name that the archive has of it."""
    return str(Path(source).absolute()) if Path(source).exists() else source
