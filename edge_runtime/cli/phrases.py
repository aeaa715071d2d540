"""earmark phrases: the live vocabulary, embedded on the device."""

import sys
import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from edge_runtime.archive import Hit
from edge_runtime.cli.events import moment
from edge_runtime.cli.hits import show, show_heard
from edge_runtime.cli.options import Bundle, Home, Json, TopK, open_engine, print_json
from edge_runtime.engine import Engine
from edge_runtime.errors import EarmarkError, PhraseError
from edge_runtime.home import Home as Store
from edge_runtime.home import default_home
from edge_runtime.matching.linter import lint
from edge_runtime.matching.matcher import WITHIN
from edge_runtime.matching.site import SiteScores, drifted, keep_limits, limits_of
from edge_runtime.phrases import read_phrase_file, tidy

__all__ = ["app"]

SHOWN = 10

app = typer.Typer(help="The vocabulary: what can be heard by name.", no_args_is_help=True)


@app.command("add")
def add(
    phrases: Annotated[list[str], typer.Argument(help="Captions, each in quotes.")],
    home: Home = None,
    bundle: Bundle = None,
) -> None:
    """Add phrases. A running `earmark listen` or `earmark run` hears them from its next window on.

    Told is how often each would have been heard in the last week (`earmark phrases try` shows when).
    """
    engine = open_engine(bundle=bundle, home=home, write=True)
    _keep(engine, phrases)
    for text in dict.fromkeys(map(tidy, phrases)):
        _told_of_the_past(engine, text, since="7d")


@app.command("try")
def try_(
    phrase: Annotated[str, typer.Argument(help="A caption; it need not be in the vocabulary.")],
    since: Annotated[str, typer.Option("--since", help="From then on; as in `earmark events`.")] = "7d",
    source: Annotated[list[str] | None, typer.Option("--source", help="Only this source; repeatable.")] = None,
    within: Annotated[float, typer.Option(min=0, max=2, help="A configuration's told_within, if it has another.")] = (
        WITHIN
    ),
    top: TopK = 5,
    home: Home = None,
    bundle: Bundle = None,
    as_json: Json = False,
) -> None:
    """Show when a phrase would have been told, by the sounds in the archive: where it is above its threshold and no
    phrase of the vocabulary far better. It changes nothing."""
    engine = open_engine(bundle=bundle, home=home, write=False)
    if engine.archive is None:
        raise EarmarkError("nothing has been heard here yet: run `earmark run` or `earmark listen` first")
    hits = _told_of_the_past(engine, tidy(phrase), since=since, sources=source or (), within=within, silent=as_json)
    best = sorted(hits, key=lambda hit: -hit.score)[:top]
    show(hits if as_json else best, home, as_json=as_json)
    if not as_json:
        show_heard(home, source or (), moment(since, "--since") or 0.0)


@app.command("import")
def import_(
    file: Annotated[Path, typer.Argument(help="A text file, one phrase a line.")],
    home: Home = None,
    bundle: Bundle = None,
) -> None:
    """Add every phrase of a file, or none of them if one cannot be read."""
    _keep(open_engine(bundle=bundle, home=home, write=True), read_phrase_file(file))


@app.command("remove")
def remove(
    phrases: Annotated[list[str], typer.Argument(help="Phrases as `earmark phrases list` prints them.")],
    home: Home = None,
    bundle: Bundle = None,
) -> None:
    """Remove phrases, the bundle's own ones included."""
    engine = open_engine(bundle=bundle, home=home, write=True)
    texts = [tidy(text) for text in phrases]
    assert engine.home is not None
    known = {*engine.phrases, *engine.home.vocabulary(())}  # also those that only another model can read
    for text in texts:
        if text not in known:
            raise PhraseError(f"the vocabulary has no phrase {text!r}: see `earmark phrases list`")
    engine.home.keep_phrases(texts, kept=False)
    engine.refresh_phrases()
    engine.keep_phrase_index()
    print(f"removed {len(set(texts))}; the vocabulary has {len(engine.phrases)} phrases")


@app.command("list")
def list_(home: Home = None, bundle: Bundle = None, as_json: Json = False) -> None:
    """Print the vocabulary, one phrase a line."""
    for text in open_engine(bundle=bundle, home=home, write=False).phrases:
        if as_json:
            print_json(phrase=text)
        else:
            print(text)


@app.command("lint")
def lint_(
    home: Home = None,
    bundle: Bundle = None,
    source: Annotated[
        str | None, typer.Option("--source", help="By the thresholds that `calibrate` found for this source.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Name phrases that the model cannot tell apart, that noise drowns, or of which it does not know a word."""
    engine = open_engine(bundle=bundle, home=home, write=False)
    limits = None
    if source is not None:
        limits = limits_of(engine.home, engine.bundle.fingerprint, source) if engine.home else {}
        if not limits:
            raise PhraseError(
                f"no thresholds were found for a source {source!r}: run `earmark phrases calibrate {source}` first"
            )
    findings = list(lint(engine.bundle, engine.phrases, limits=limits))
    for finding in findings:
        if as_json:
            print_json(kind=finding.kind, phrases=list(finding.phrases), told=finding.told)
        else:
            print(f"{' | '.join(finding.phrases)}: {finding.told}")
    if not findings and not as_json:
        print(f"nothing to say against {len(engine.phrases)} phrases")


@app.command("calibrate")
def calibrate(
    source: Annotated[str, typer.Argument(help="A source, by the name that the archive has of it.")],
    a_day: Annotated[
        float, typer.Option("--false-alerts-a-day", min=0.001, help="How many of each phrase to accept.")
    ] = 1.0,
    since: Annotated[str, typer.Option("--since", help="Of the sounds since then; as in `earmark events`.")] = "30d",
    until: Annotated[str | None, typer.Option("--until", help="Of those before then.")] = None,
    recordings: Annotated[
        Path | None,
        typer.Option("--recordings", help="The folder that the source's recordings come from, if it is one."),
    ] = None,
    also: Annotated[
        list[str] | None, typer.Option("--also", help="A phrase that is not in the vocabulary; repeatable.")
    ] = None,
    strict: Annotated[
        bool, typer.Option("--strict", help="There was nothing to hear then: count every alert as a false one.")
    ] = False,
    home: Home = None,
    bundle: Bundle = None,
    as_json: Json = False,
) -> None:
    """Find thresholds by a site's own sounds: at most so many false alerts a day of each phrase."""
    engine = open_engine(bundle=bundle, home=home, write=False)  # a service may be writing its archive
    if engine.archive is None:
        raise EarmarkError(
            "nothing has been heard here yet: run `earmark run` or `earmark listen` for some hours first"
        )
    fingerprint = engine.bundle.fingerprint
    scores = SiteScores(engine.with_phrases(None, also=also or ()).phrases, engine.bundle)
    name = str(recordings.absolute()) if recordings else source
    since_at, until_at = moment(since, "--since"), moment(until, "--until")
    for windows, at in engine.archive.windows_of(name, since=since_at, until=until_at):
        scores.add(windows, at)
    limits = scores.limits(a_day=a_day, strict=strict)
    store = Store.open(home or default_home())
    assert store is not None
    drift = drifted(limits_of(store, fingerprint, source), limits)
    keep_limits(store, fingerprint, source, limits)
    store.close()
    if as_json:
        for limit in limits:
            print_json(**asdict(limit), busy=limit.busy)
        return
    days = limits[0].days if limits else 0.0
    print(f"{len(limits)} thresholds of {source}, from {days:.2f} days of sound: {a_day:g} false alerts a day of each")
    for old, new in drift[:SHOWN]:
        print(f"drift: {new.phrase}: {new.above:.2f} above the reference, it was {old.low:.2f} to {old.high:.2f}")
    busy = sorted((limit for limit in limits if limit.busy), key=lambda limit: -limit.alerts)
    for limit in busy[:SHOWN]:
        low, high = (24 * each for each in (limit.rate.low, limit.rate.high))
        print(
            f"often: {limit.phrase}: {24 * limit.rate.per_hour:.1f} a day ({low:.1f} to {high:.1f}): it is there, or "
            "something that sounds like it: listen, then raise it or use --strict"
        )


def _told_of_the_past(
    engine: Engine,
    phrase: str,
    *,
    since: str,
    sources: Sequence[str] = (),
    within: float = WITHIN,
    silent: bool = False,
) -> list[Hit]:
    """When the phrase would have been heard; told in a line unless there is nothing in the archive."""
    assert engine.archive is not None
    start_at = moment(since, "--since")
    hits = engine.would_have_fired(phrase, since=start_at, sources=sources, within=within)
    if engine.archive.windows() and not silent:
        times = "once" if len(hits) == 1 else f"{len(hits)} times"
        day = time.strftime("%Y-%m-%d %H:%M", time.localtime(start_at))
        print(f"{phrase}: would have been heard {times} since {day}")
    return hits


def _keep(engine: Engine, phrases: list[str]) -> None:
    texts = list(dict.fromkeys(map(tidy, phrases)))
    engine.bundle.embed_text(texts)  # refuses what the model cannot read, before anything is written
    for text in texts:
        for guess in engine.bundle.tokenizer.guesses(text):
            print(f"earmark: {text!r}: {guess}", file=sys.stderr)
    assert engine.home is not None
    engine.home.keep_phrases(texts, kept=True)
    engine.refresh_phrases()
    engine.keep_phrase_index()
    print(f"added {len(texts)}; the vocabulary has {len(engine.phrases)} phrases")
