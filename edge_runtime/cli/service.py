"""earmark run, earmark status: listening for months, and how that goes."""

import logging
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import typer

from edge_runtime.cli.options import Home, Json, clock, print_json
from edge_runtime.errors import EarmarkError
from edge_runtime.home import default_home

__all__ = ["run", "status"]


def run(
    configuration: Annotated[Path, typer.Argument(help="A TOML file: sources, phrases, sinks (see README).")],
    check: Annotated[bool, typer.Option("--check", help="Only say whether the configuration is sound.")] = False,
) -> None:
    """Listen to several sources for months. SIGTERM or Ctrl-C stops, SIGHUP reads the configuration again."""
    from edge_runtime.service.configuration import Configuration
    from edge_runtime.service.runner import Runner

    if check:
        sources = Configuration.read(configuration).sources
        print(f"{configuration} is sound: {', '.join(f'{source.name} ({source.input})' for source in sources)}")
        return
    logging.getLogger("edge_runtime.service").setLevel(logging.INFO)
    sys.exit(Runner(configuration).run())


def status(home: Home = None, as_json: Json = False) -> None:
    """Say what the service on this home is doing. Exit code 0: it listens, 1: it does not, 2: there never was one."""
    from edge_runtime.service.status import read_status

    found = read_status(home or default_home())
    if found is None:
        raise EarmarkError(
            "no service has run on this home: start one with `earmark run CONFIG.toml`, or give its --home"
        )
    if as_json:
        print_json(running=found.running, age_s=found.age_s, **found.report)
    else:
        _tell(found.report, running=found.running, age_s=found.age_s)
    sys.exit(0 if found.running else 1)


def _tell(report: dict[str, Any], *, running: bool, age_s: float | None) -> None:
    at = datetime.fromtimestamp(report["at"], UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
    age = f"{age_s:.0f} s ago" if age_s is not None else "before this boot"
    trusted = "" if report["clock_trusted"] else " (no time server has confirmed the clock)"
    print(f"{'running' if running else 'not running'}, last report {at}{trusted}, {age}")
    print(
        f"{report['configuration']}: {report['bundle']}, {report['phrases']} phrases, for {clock(report['running_s'])}"
    )
    for source in report["sources"]:
        quiet = "no sound yet" if source["quiet_s"] is None else f"sound {source['quiet_s']:.1f} s before"
        peak = f", peak {source['peak_dbfs']:.0f} dBFS" if source.get("peak_dbfs") is not None else ""
        lost = {"windows": source["unkept_windows"], "events": source["unkept_events"]}
        unkept = "".join(f", {count} {what} not kept" for what, count in lost.items() if count)
        heard = f"heard {clock(source['heard_s'])}, lost {source['lost_s']:.1f} s"
        print(f"  {source['name']}: {source['state']}, {quiet}{peak}, {heard}{unkept}")
        if source["trouble"]:
            print(f"    {source['trouble']}")
