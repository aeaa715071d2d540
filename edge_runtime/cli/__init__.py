"""The command `earmark`: what a person at the device types.

JSON lines go to standard output, people's output too (through rich); logs and errors go to standard error. An error
that the user can mend is one line and exit code 2; Ctrl-C is a clean stop.
"""

import logging
import os
import sys
from typing import Annotated

import typer

from edge_runtime.cli import archive, device, listen, phrases
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
app.add_typer(phrases.app, name="phrases")
app.add_typer(device.embed_app, name="embed")
app.command("doctor")(device.doctor)
app.add_typer(device.bundle_app, name="bundle")
app.command("devices")(device.devices)
app.command("demo")(listen.demo)


@app.callback()
def options(
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Say on standard error what is being done.")] = False,
) -> None:
    logging.basicConfig(
        stream=sys.stderr,
        format="%(message)s",
        level=logging.INFO if verbose else logging.WARNING,
        force=True,
    )


def main() -> None:
    """Run the command line; the process ends here."""
    try:
        app(standalone_mode=True)
    except EarmarkError as error:
        print(f"earmark: {error}", file=sys.stderr)
        sys.exit(2)
    except KeyboardInterrupt:
        print("earmark: stopped; what was finished is kept", file=sys.stderr)
        sys.exit(130)
    except BrokenPipeError:  # `earmark listen --json | head`: nobody reads on
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(0)
