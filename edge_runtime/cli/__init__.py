"""The command `earmark`: what a person at the device types.

JSON lines go to standard output, people's output too (through rich); logs and errors go to standard error. An error
that the user can mend is one line and exit code 2; Ctrl-C is a clean stop.
"""

import io
import logging
import os
import sqlite3
import sys
from collections.abc import Iterator
from typing import Annotated

import typer

from edge_runtime.cli import archive, bundle, coverage, device, events, listen, phrases, service
from edge_runtime.errors import EarmarkError

__all__ = ["app", "main"]

app = typer.Typer(
    name="earmark",
    help="Listens at the edge and answers in words.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
app.command("listen")(listen.listen)
app.command("caption")(listen.caption)
app.command("index")(archive.index)
app.command("search")(archive.search)
app.add_typer(events.app, name="events")
app.add_typer(phrases.app, name="phrases")
app.add_typer(device.embed_app, name="embed")
app.command("doctor")(device.doctor)
app.add_typer(bundle.app, name="bundle")
app.command("devices")(device.devices)
app.command("coverage")(coverage.coverage)
app.command("run")(service.run)
app.command("status")(service.status)
app.command("demo")(listen.demo)


@app.callback()
def options(
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Say on standard error what is being done.")] = False,
) -> None:
    logging.basicConfig(
        stream=sys.stderr,
        format="earmark: %(message)s",
        level=logging.INFO if verbose else logging.WARNING,
        force=True,
    )


def main() -> None:
    """Run the command line; the process ends here."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # a file name need not be UTF-8; in JSON \udcff is right
    try:
        try:
            app()
        finally:
            print(end="", flush=True)
    except EarmarkError as error:
        print(f"earmark: {error}", file=sys.stderr)
        sys.exit(2)
    except sqlite3.Error as error:
        print(f"earmark: the home cannot be used ({error}): free some disk, or choose another --home", file=sys.stderr)
        sys.exit(2)
    except (SystemExit, BrokenPipeError) as stop:
        causes = list(_causes(stop))  # typer and rich give these two an exit code of their own
        if any(isinstance(cause, BrokenPipeError) for cause in causes):  # `earmark listen --json | head`
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            sys.exit(0)
        if any(isinstance(cause, KeyboardInterrupt) for cause in causes):
            print("earmark: stopped; what was finished is kept", file=sys.stderr)
            sys.exit(130)
        raise


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__
