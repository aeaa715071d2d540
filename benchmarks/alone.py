"""A benchmark that is a program of its own: `python -m benchmarks.NAME`."""

import sys
from collections.abc import Callable

import typer

from edge_runtime.errors import EarmarkError

__all__ = ["run_alone"]


def run_alone(command: Callable[..., None]) -> int:
    """Run a function with typer's annotations as the whole program; its exit code. A known error is one line and 2."""
    app = typer.Typer(add_completion=False, pretty_exceptions_enable=False, rich_markup_mode=None)
    app.command()(command)
    try:
        app(standalone_mode=True)
    except (EarmarkError, FileNotFoundError, ValueError) as error:
        print(f"benchmarks: {error}", file=sys.stderr)
        return 2
    except SystemExit as done:
        return int(done.code or 0)
    return 0
