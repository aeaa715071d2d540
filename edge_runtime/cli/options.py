"""Options that several commands share, and the engine that they lead to."""

import json
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from edge_runtime.engine import Engine
from edge_runtime.home import default_home
from edge_runtime.phrases import read_phrase_file

__all__ = [
    "Bundle",
    "GraphEngine",
    "Home",
    "Json",
    "PhraseFile",
    "Profile",
    "TopK",
    "clock",
    "open_engine",
    "print_json",
]

TopK = Annotated[int, typer.Option("--top", min=1, help="How many to show.")]
PhraseFile = Annotated[Path | None, typer.Option("--phrases", help="Use these phrases, one a line, for this call.")]
Bundle = Annotated[
    Path | None, typer.Option("--bundle", help="A model's folder (default: the installed one, else the package's).")
]
Home = Annotated[
    Path | None,
    typer.Option("--home", help="Vocabulary and archive (default: $EARMARK_HOME or the XDG data folder)."),
]
Profile = Annotated[
    str | None,
    typer.Option("--profile", help="A precision that the bundle has (default: what `doctor --tune` chose)."),
]
GraphEngine = Annotated[
    str | None,
    typer.Option("--engine", help="onnxruntime or openvino (default: what `doctor --tune` chose)."),
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON lines, for programs.")]


def open_engine(
    *,
    bundle: Path | None,
    home: Path | None,
    phrases: Path | None = None,
    profile: str | None = None,
    engine: str | None = None,
    write: bool,
) -> Engine:
    """The engine of one command; with `write=False` nothing is created on disk."""
    texts = read_phrase_file(phrases) if phrases else None
    return Engine.open(bundle, home=home or default_home(), phrases=texts, profile=profile, engine=engine, write=write)


def print_json(**fields: Any) -> None:
    """One JSON line, at once: a reader of a live stream must not wait for a buffer to fill."""
    sys.stdout.write(json.dumps(fields, ensure_ascii=False) + "\n")
    sys.stdout.flush()


def clock(seconds: float) -> str:
    """75.3 -> '1:15', 4000 -> '1:06:40'."""
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
