"""Moments of the archive as a person or a program reads them, each with how much of it was heard.

    show(hits, home, as_json=False)
    show_heard(home, ("garden",), since, until)     # "garden: 6:58:10 heard of 7:00:00"

A file was heard whole. What became of a live source's seconds stands in its ledger (`earmark coverage`).
"""

import time
from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from pathlib import Path

from edge_runtime.archive import Hit
from edge_runtime.cli.options import clock, print_json
from edge_runtime.home import default_home
from edge_runtime.ledger import Ledger
from edge_runtime.ledger.record import Span
from edge_runtime.ledger.spans import seconds_of

__all__ = ["show", "show_heard"]

WHOLE = 0.995
"""What is told as all of it."""


def show(hits: Iterable[Hit], home: Path | None, *, as_json: bool) -> None:
    """A line each. A file's moment is told by its seconds in it, that of a source by local date and time."""
    heard = _Heard(home)
    for hit in hits:
        seconds = hit.end_s - hit.start_s
        coverage = None
        if hit.file in heard.sources and not hit.of_a_file:
            coverage = min(1.0, heard.of(hit.file, hit.start_at, hit.start_at + seconds)[0] / seconds)
        if as_json:
            print_json(
                file=hit.file,
                start_s=round(hit.start_s, 2),
                end_s=round(hit.end_s, 2),
                start_at=None if hit.of_a_file else round(hit.start_at, 2),
                coverage=None if coverage is None else round(coverage, 3),
                score=round(hit.score, 4),
                cosine=round(hit.cosine, 4),
            )
            continue
        span = f"{clock(hit.start_s)}–{clock(hit.end_s)}"
        if not hit.of_a_file:
            start = datetime.fromtimestamp(hit.start_at)
            span = f"{start:%Y-%m-%d %H:%M:%S}–{start + timedelta(seconds=seconds):%H:%M:%S}"
        gaps = f"  {coverage:.0%} heard" if coverage is not None and coverage < WHOLE else ""
        print(f"{hit.score:.2f}  {span}  {hit.file}{gaps}")


def show_heard(home: Path | None, sources: Sequence[str], since: float, until: float | None = None) -> None:
    """For each live source, or each of `sources`, how much of the time since it began was heard: what is not in the
    archive was not, or was not there."""
    heard = _Heard(home)
    for source in heard.sources:
        if not sources or source in sources:
            heard_s, of_s = heard.of(source, since, time.time() if until is None else until)
            if of_s:
                print(f"{source}: {clock(heard_s)} heard of {clock(of_s)}")


class _Heard:
    """What the ledgers of a home tell; each is read once."""

    def __init__(self, home: Path | None) -> None:
        self._ledger = Ledger((home or default_home()) / "ledger")
        self.sources = self._ledger.sources()
        self._spans: dict[str, list[Span]] = {}

    def of(self, source: str, start_at: float, end_at: float) -> tuple[float, float]:
        """Seconds that were heard, and those since the source began, of [start, end) (UTC)."""
        if source not in self._spans:
            self._spans[source] = self._ledger.spans(source)
        spans = self._spans[source]
        start_ms = max(round(1000 * start_at), spans[0].start_ms) if spans else round(1000 * end_at)
        end_ms = max(start_ms, round(1000 * end_at))
        found = seconds_of(spans, start_ms, end_ms)
        return found["heard"] + found["clipped"], (end_ms - start_ms) / 1000
