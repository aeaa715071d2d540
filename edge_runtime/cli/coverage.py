"""earmark coverage: what each day's seconds were."""

import sys
import time
from datetime import date, datetime, timedelta
from typing import Annotated

import typer

from edge_runtime.cli.options import Home, Json, clock, print_json
from edge_runtime.errors import EarmarkError
from edge_runtime.home import default_home
from edge_runtime.ledger import STATES, Ledger
from edge_runtime.ledger.spans import seconds_of

__all__ = ["coverage"]


def coverage(
    source: Annotated[str | None, typer.Argument(help="One source (default: all).")] = None,
    days: Annotated[int, typer.Option("--days", min=1, max=3660, help="How many days, back from today.")] = 7,
    home: Home = None,
    as_json: Json = False,
) -> None:
    """How much of each day was heard, and what became of the rest: clipped, gated, dropped, lost.

    Clipped was heard, but beyond full scale; gated was thrown away as speech; dropped came while this machine was too
    slow; lost never came, or nobody listened. A source's first day begins with it, the last one ends now.
    """
    ledger = Ledger((home or default_home()) / "ledger")
    known = ledger.sources()
    if source is not None and source not in known:
        raise EarmarkError(f"there is no source {source} in the ledger; it has: {', '.join(known) or 'none'}")
    if not known:
        raise EarmarkError("no live source has been heard here yet: run `earmark listen` or `earmark run` first")
    today, now = date.today(), time.time()
    if not as_json:
        print(f"{'':10}  {'heard':>9} {'':>6}" + "".join(f"  {state:>9}" for state in STATES[1:]) + "  source")
    for each in [source] if source else known:
        spans = ledger.spans(each)
        began_at = spans[0].start_ms / 1000 if spans else now
        for back in range(days - 1, -1, -1):
            day = today - timedelta(days=back)
            start_at = max(began_at, _midnight(day))
            end_at = min(now, _midnight(day + timedelta(days=1)))
            if start_at >= end_at:
                continue
            found = seconds_of(spans, round(1000 * start_at), round(1000 * end_at))
            if as_json:
                seconds = {f"{state}_s": round(value, 3) for state, value in found.items()}
                print_json(source=each, day=str(day), start_at=start_at, end_at=end_at, **seconds)
            else:
                part = (found["heard"] + found["clipped"]) / (end_at - start_at)
                rest = "".join(f"  {clock(found[state]):>9}" for state in STATES[1:])
                print(f"{day}  {clock(found['heard']):>9} {100 * part:5.1f}%{rest}  {each}")
    for damage in ledger.damage.values():
        print(f"earmark: {damage}", file=sys.stderr)


def _midnight(day: date) -> float:
    """When a local day begins, UTC seconds."""
    return datetime.combine(day, datetime.min.time()).timestamp()
