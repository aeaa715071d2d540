"""What the commands of `python -m training` have in common: folders, options, and flags made of settings' fields."""

from dataclasses import MISSING, fields
from pathlib import Path
from typing import Annotated, Any

import typer

__all__ = ["RUNS", "SETTINGS", "SHARED", "Sounds", "Texts", "Weights", "defaults_of", "parsed"]

SHARED = Path(__file__).parents[2] / "shared"
RUNS = Path("runs")
SETTINGS = {"allow_extra_args": True, "ignore_unknown_options": True}
"""Of a command whose further flags are a configuration's fields."""

WORDS = {"true": True, "false": False}
"""How a flag says yes and no."""

Sounds = Annotated[Path, typer.Option(help="The folder with clips.csv.")]
Texts = Annotated[Path, typer.Option(help="The folder with the caption corpora.")]
Weights = Annotated[Path, typer.Option(help="The folder with the encoder's published weights.")]


def defaults_of(config: type) -> dict[str, Any]:
    """The flags that a configuration brings: its fields and their defaults, of those that have one."""
    found = {field.name: field.default for field in fields(config)}
    return {name: default for name, default in found.items() if default is not MISSING and default is not None}


def parsed(arguments: list[str], defaults: dict[str, Any]) -> dict[str, Any]:
    """['--epochs', '4'] -> {'epochs': 4}, typed as the defaults are."""
    chosen: dict[str, Any] = {}
    for flag, value in zip(arguments[::2], [*arguments[1::2], None][: (len(arguments) + 1) // 2], strict=True):
        name = flag.removeprefix("--").replace("-", "_")
        if name not in defaults or value is None:
            raise typer.BadParameter(f"{flag} {value or ''}: settings are {', '.join(defaults)}")
        try:
            kind = type(defaults[name])
            chosen[name] = WORDS[value] if kind is bool else kind(value)
        except (ValueError, KeyError):
            raise typer.BadParameter(
                f"{flag} {value}: expected {' or '.join(WORDS) if kind is bool else kind.__name__}"
            ) from None
    return chosen
