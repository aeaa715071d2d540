"""earmark listen, caption, demo: sound in, words out."""

import contextlib
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer

from edge_runtime.archive import RecordingWriter
from edge_runtime.audio_file import AudioFile
from edge_runtime.cli.options import (
    Bundle,
    GraphEngine,
    Home,
    Json,
    PhraseFile,
    Profile,
    TopK,
    clock,
    open_engine,
    print_json,
)
from edge_runtime.clock import Clock
from edge_runtime.engine import Engine, Heard
from edge_runtime.errors import AudioError, EarmarkError
from edge_runtime.gain import LEAST_DB, MOST_DB, Gain
from edge_runtime.ledger import Account, Ledger
from edge_runtime.phrases import Match
from edge_runtime.sources import LiveSource, Stretch, open_source

__all__ = ["caption", "demo", "listen"]

DEMO_SEARCHES = 2


def listen(
    source: Annotated[
        str, typer.Argument(help="mic, mic:NAME, a file, a folder, a URL, or - for PCM on stdin.")
    ] = "mic",
    top: TopK = 3,
    phrases: PhraseFile = None,
    bundle: Bundle = None,
    home: Home = None,
    seconds: Annotated[float | None, typer.Option("--seconds", min=0, help="Stop after so much sound.")] = None,
    as_json: Json = False,
    no_archive: Annotated[bool, typer.Option("--no-archive", help="Keep nothing.")] = False,
    rate: Annotated[int | None, typer.Option("--rate", help="Sample rate of PCM on stdin, in Hz.")] = None,
    gain_db: Annotated[
        float, typer.Option("--gain-db", min=LEAST_DB, max=MOST_DB, help="Make it so much louder: a quiet microphone.")
    ] = 0.0,
    profile: Profile = None,
    graph_engine: GraphEngine = None,
    provisional: Annotated[
        bool,
        typer.Option(
            "--provisional",
            help="With a streaming bundle: say at once what is heard, too, subject to change: on a terminal's newest "
            'line, with --json in lines of their own ("provisional": true). Never archived.',
        ),
    ] = False,
) -> None:
    """Say what is heard, as it is heard. Ctrl-C stops."""
    engine = open_engine(
        bundle=bundle, home=home, phrases=phrases, profile=profile, engine=graph_engine, write=not no_archive
    )
    report = JsonReport(name_files=Path(source).is_dir()) if as_json else PeopleReport(engine)
    refused: list[AudioError] = []

    def refuse(error: AudioError) -> None:
        refused.append(error)
        print(f"earmark: {error}", file=sys.stderr)

    sound = open_source(
        source, rate_hz=rate, refused=refuse, memory=engine.home.path / "microphones.json" if engine.home else None
    )
    session = Session(
        engine,
        keep=not no_archive,
        live_phrases=phrases is None,
        seconds=seconds,
        provisional=provisional,
        louder=Gain(gain_db),
    )
    try:
        for stretch in session.stretches(sound):
            try:
                for heard in session.run(stretch, k=top):
                    report.window(stretch, heard)
            except AudioError as error:
                refuse(error)
    except AudioError as error:
        refuse(error)
    report.coverage(session.heard_s, sound.lost_s)
    if refused:
        sys.exit(2)


def caption(
    files: Annotated[list[Path], typer.Argument(help="Recordings.")],
    phrases: PhraseFile = None,
    top: TopK = 3,
    bundle: Bundle = None,
    home: Home = None,
    as_json: Json = False,
    profile: Profile = None,
    graph_engine: GraphEngine = None,
) -> None:
    """The best captions of each recording."""
    engine = open_engine(bundle=bundle, home=home, phrases=phrases, profile=profile, engine=graph_engine, write=False)
    failed = 0
    for path in files:
        try:
            with AudioFile.open(path) as file:
                seconds = file.seconds
            matches = engine.caption(path, k=top)
        except AudioError as error:
            failed += 1
            print(f"earmark: {error}", file=sys.stderr)
            continue
        if as_json:
            print_json(file=str(path), seconds=round(seconds, 3), matches=[told(match) for match in matches])
        else:
            print(f"{path} ({clock(seconds)})")
            for match in matches:
                print(f"  {match.score:.2f}  {match.phrase}")
    if failed:
        sys.exit(2)


def demo(
    audio: Annotated[
        Path | None, typer.Argument(help="A recording of your own (default: a synthesised minute).")
    ] = None,
    bundle: Bundle = None,
) -> None:
    """Hear a minute of field sounds, then search it by text. Keeps nothing."""
    with tempfile.TemporaryDirectory(prefix="earmark-demo-") as folder:
        home = Path(folder)
        engine = Engine.open(bundle, home=home)
        manifest = engine.bundle.manifest
        print(f"{manifest.name}: {len(engine.phrases)} phrases, {manifest.window_s:.1f} s windows")
        path = audio or _write_demo_scene(home / "scene.wav")
        if audio is None:
            print("A minute of field sounds, synthesised on this machine. What follows is what the model says to it.\n")
        report = PeopleReport(engine, name_files=False)
        session = Session(engine, keep=True, live_phrases=False, seconds=None)
        started = time.monotonic()
        best: dict[str, float] = {}
        source = open_source(str(path))
        for stretch in session.stretches(source):
            for heard in session.run(stretch, k=3):
                report.window(stretch, heard)
                for match in heard.matches:
                    best[match.phrase] = max(match.score, best.get(match.phrase, -1.0))
        report.coverage(session.heard_s, source.lost_s)
        took = time.monotonic() - started
        print(f"That took {took:.1f} s, {session.heard_s / took:.0f} times faster than the sound itself.\n")
        queries = (
            ("an emergency vehicle passing by", "bad weather")
            if audio is None
            else sorted(best, key=best.__getitem__)[-2:]
        )
        for query in queries[:DEMO_SEARCHES]:
            print(f'search: "{query}"')
            for hit in engine.search(query, k=2):
                print(f"  {hit.score:.2f}  {clock(hit.start_s)}–{clock(hit.end_s)}")
    print(
        "\nNow your own sounds:\n"
        "  earmark listen                     the microphone\n"
        "  earmark caption FILE               what a recording sounds like\n"
        "  earmark index FOLDER               recordings into the archive, then:\n"
        '  earmark search "a dog barking"\n'
        '  earmark phrases add "an axe chopping wood"'
    )


class Session:
    """One source through the engine, archived unless told otherwise, for so many seconds or until Ctrl-C; counts what
    was heard."""

    def __init__(
        self,
        engine: Engine,
        *,
        keep: bool,
        live_phrases: bool,
        seconds: float | None,
        provisional: bool = False,
        louder: Gain | None = None,
    ) -> None:
        self._engine = engine
        self._keep = keep
        self._live_phrases = live_phrases
        self._seconds = seconds
        self._provisional = provisional
        self._louder = louder or Gain(0.0)
        self._changes = -1
        self._clock: Clock | None = None
        self._opened: Account | None = None
        self._ledger: Account | None = None
        self.stopped = False
        self.heard_s = 0.0

    def stretches(self, source: LiveSource) -> Iterator[Stretch]:
        """Those of the source until it ends or the session is over."""
        stretches = source.stretches()
        while not self._over():
            try:
                stretch = next(stretches, None)
            except KeyboardInterrupt:
                return
            if stretch is None:
                return
            yield stretch

    def run(self, stretch: Stretch, *, k: int) -> Iterator[Heard]:
        """Raises AudioError where the stretch breaks off.

        Provisional windows of what is live are kept for now, whether they are asked for or not: a kill costs less.
        """
        every = self._engine.bundle.manifest.window.archive_hop
        before_s = self.heard_s
        with self._writer(stretch) as writer, self._account(stretch) as self._ledger:
            provisional = self._provisional or (writer is not None and stretch.live)
            answers = self._engine.listen(
                self._blocks(stretch), rate_hz=stretch.rate_hz, k=k, early=True, provisional=provisional
            )
            try:
                for heard in answers:
                    if writer:
                        writer.add(heard.window, every=every)
                    if self._provisional or not heard.window.provisional:
                        yield heard
            finally:
                if writer:
                    writer.heard_s, writer.complete = self.heard_s - before_s, not self.stopped

    def _over(self) -> bool:
        return self.stopped or (self._seconds is not None and self.heard_s >= self._seconds)

    def _writer(self, stretch: Stretch) -> contextlib.AbstractContextManager[RecordingWriter | None]:
        if not self._keep or self._engine.archive is None:
            return contextlib.nullcontext()
        return self._engine.archive.recording(stretch.source, path=stretch.path, live=True)

    @contextlib.contextmanager
    def _account(self, stretch: Stretch) -> Iterator[Account | None]:
        """What becomes of a live source's seconds; one account for all its stretches."""
        home = self._engine.home
        if not self._keep or home is None or not stretch.live:
            yield None
            return
        if self._opened is None:
            self._clock = Clock()
            self._opened = Ledger(home.path / "ledger").account(stretch.source, self._clock)
        self._opened.begin(stretch)
        try:
            yield self._opened
        finally:
            self._opened.flush()

    def _blocks(self, stretch: Stretch) -> Iterator[np.ndarray]:
        """The stretch's blocks until it ends, `seconds` are over, or Ctrl-C: the tail is then still heard."""
        blocks = stretch.blocks()
        while True:
            try:
                block = next(blocks, None)
            except KeyboardInterrupt:
                block = None
                self.stopped = True
            if block is None:
                return
            if self._seconds is not None:
                left = round(min(len(block), (self._seconds - self.heard_s) * stretch.rate_hz))
                self.stopped = left < len(block)
                block = block[: max(0, left)]
            self.heard_s += len(block) / stretch.rate_hz
            if self._ledger and self._clock:
                self._clock.look()
                self._ledger.heard(block)
            self._take_new_phrases()
            yield self._louder(block)
            if self.stopped:
                return

    def _take_new_phrases(self) -> None:
        """What another process adds to the vocabulary is heard from the very next window on."""
        home = self._engine.home
        if self._live_phrases and home is not None and (changes := home.changes_elsewhere()) != self._changes:
            self._changes = changes
            self._engine.refresh_phrases()


def told(match: Match) -> dict[str, Any]:
    """A match as programs read it."""
    return {"phrase": match.phrase, "score": round(match.score, 4), "heard": match.heard}


class JsonReport:
    """JSON lines; `name_files`: say whose lines they are (of a folder's recordings)."""

    def __init__(self, *, name_files: bool) -> None:
        self._name_files = name_files

    def window(self, stretch: Stretch, heard: Heard) -> None:
        matches = [told(match) for match in heard.matches]
        name = {"file": str(stretch.path)} if self._name_files else {}
        print_json(
            type="window",
            start_s=round(heard.start_s, 2),
            end_s=round(heard.end_s, 2),
            matches=matches,
            **({"provisional": True} if heard.window.provisional else {}),
            **name,
        )

    def coverage(self, heard_s: float, lost_s: float) -> None:
        print_json(type="coverage", heard_s=round(heard_s, 3), lost_s=round(lost_s, 3))


class PeopleReport:
    """Lines for people; `name_files`: say whose lines they are."""

    def __init__(self, engine: Engine, *, name_files: bool = True) -> None:
        from rich.console import Console

        from edge_runtime.cli.timeline import Timeline

        self._console = Console(highlight=False, markup=False)
        manifest = engine.bundle.manifest
        self._timeline = Timeline(self._console, hop_s=manifest.hop_s)
        self._name_files = name_files
        self._name = ""

    def window(self, stretch: Stretch, heard: Heard) -> None:
        name = str(stretch.path or stretch.source)
        if name != self._name:
            self._timeline.close()
            self._name = name
            if stretch.path and self._name_files:
                self._console.print(name, style="bold")
        self._timeline.add(heard)

    def coverage(self, heard_s: float, lost_s: float) -> None:
        self._timeline.close()
        self._console.print(f"heard {clock(heard_s)}, lost {lost_s:.1f} s")


def _write_demo_scene(path: Path) -> Path:
    import soundfile

    from edge_runtime.scene import demo_scene

    samples, _ = demo_scene()
    try:
        soundfile.write(path, samples, 32_000, subtype="PCM_16")
    except OSError as error:
        raise EarmarkError(f"cannot write the demo's recording ({error})") from error
    return path
