"""earmark phrases: the live vocabulary, embedded on the device."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from edge_runtime.cli.options import Bundle, Home, Json, open_engine, print_json
from edge_runtime.engine import Engine
from edge_runtime.errors import PhraseError
from edge_runtime.phrases import read_phrase_file, tidy

__all__ = ["app"]

app = typer.Typer(help="The vocabulary: what can be heard by name.", no_args_is_help=True)


@app.command("add")
def add(
    phrases: Annotated[list[str], typer.Argument(help="Captions, each in quotes.")],
    home: Home = None,
    bundle: Bundle = None,
) -> None:
    """Add phrases. A running `earmark listen` hears them from its next window on."""
    _keep(open_engine(bundle=bundle, home=home, write=True), phrases)


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
