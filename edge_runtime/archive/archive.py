"""The archive of one model under one home: recordings go in, moments come out."""

import logging
import sqlite3
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from edge_runtime.archive.day_file import HEADER_BYTES, Day, DayFiles
from edge_runtime.archive.moments import Hit, Moment, apart, merged
from edge_runtime.archive.old_layout import convert, is_old
from edge_runtime.archive.record import cosines, embeddings, intact
from edge_runtime.archive.recordings import Recordings, name_of
from edge_runtime.archive.scan import Part, above, nearest
from edge_runtime.archive.tail import Tail, left_behind
from edge_runtime.archive.wanted import Wanted
from edge_runtime.archive.writer import RecordingWriter
from edge_runtime.clock import Stamp, boot_id
from edge_runtime.errors import HomeError
from edge_runtime.home import Home

__all__ = ["Archive", "Popularity"]

log = logging.getLogger(__name__)

Popularity = Callable[[np.ndarray], np.ndarray]
"""Embeddings (n, E) float32 -> what their scores are lowered by (n,)."""

LOOKED_AT = 256
RERANKED = 1024
"""Windows that a search looks at closely, and that it ranks anew with a popularity, in some ms. More where k moments
need more."""
CHUNK_ROWS = 8192
CHECKED_AGAIN_S = 30 * 86400.0
"""A sealed day is read again after so long: a card forgets."""


class Archive:
    """With a home that is only read, nothing is written."""

    def __init__(self, home: Home, fingerprint: str, *, width: int) -> None:
        self._home = home
        self._folder = home.path / "archive" / fingerprint
        self._tails = self._folder / "tails"
        self._days = DayFiles(self._folder, fingerprint, width=width, sealed=self._was_sealed)
        self._sound: dict[Path, Day] = {}
        self._width = width
        self._recordings = Recordings(home, fingerprint)
        self.damaged: dict[Path, str] = {}
        """Days that the last look at them refused, and why."""
        if home.writable and self._folder.is_dir():
            convert(self._folder, fingerprint, width=width)
            self._take_back()
            self._days.seal_past()

    # --- what goes in

    @contextmanager
    def recording(
        self, name: str, *, path: Path | None = None, live: bool = False, began: Callable[[], Stamp] | None = None
    ) -> Iterator[RecordingWriter]:
        """Write one recording. It appears in searches when the block ends without an error, a `live` one at once.

        A file (`path`) replaces what the archive had of it, and `holds` knows it unless the writer's `complete` was
        set to False. `began` tells when it began, by the clock as it is when that is written; default: now.
        """
        try:
            number = self._recordings.begin(name_of(path) if path else name, began or _now, live=live)
            tail = Tail(self._tails, number) if live else None
        except (OSError, sqlite3.OperationalError) as error:
            raise HomeError(
                f"cannot write to {self._home.path} ({error}): choose another folder with --home"
            ) from error
        writer = RecordingWriter(number, self._days, tail, width=self._width)
        try:
            yield writer
        except BaseException:
            if live:
                writer.complete = False
                self._end(writer, number, path)
            raise
        self._end(writer, number, path)

    def _end(self, writer: RecordingWriter, number: int, path: Path | None) -> None:
        writer.finish()
        heard_s, lost_s = writer.heard_s, writer.lost_s
        self._recordings.end(number, heard_s=heard_s, lost_s=lost_s, file=path, complete=writer.complete)
        writer.drop_tail()

    def close(self) -> None:
        """What was appended is on the disk."""
        self._days.close()

    def _take_back(self) -> None:
        """The last window of recordings whose process was killed."""
        for number, record in left_behind(self._tails, record_bytes=self._days.type.itemsize):
            (found,) = np.frombuffer(record, self._days.type)
            if int(found["recording"]) != number:
                continue
            try:
                if found["end_s"] > self._kept_until(number):  # else it was killed between the two
                    self._days.append(record)
                self._recordings.end_killed(number, heard_s=float(found["end_s"]))
            except (OSError, HomeError) as error:
                log.warning("the last window of recording %d is lost (%s)", number, error)

    def _kept_until(self, number: int) -> float:
        """The last second of a recording that is in the days, from its start."""
        return max((self._days.spans(day).get(number, (0.0, -np.inf))[1] for day in self._days.all()), default=-np.inf)

    # --- what is there

    def holds(self, path: Path) -> bool:
        """Whether this very file (name, size, modification time) is in the archive, whole."""
        return self._recordings.holds(path)

    def windows(self) -> int:
        """How many windows a search of this archive looks at."""
        return sum(day.rows for day in self._sound_days())

    def other_models(self) -> int:
        """Recordings in this home that another model made; a search cannot see them."""
        return self._recordings.of_other_models()

    def windows_of(
        self, source: str, *, since: float | None = None, until: float | None = None
    ) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """The windows of one source that ended within [since, until) (UTC seconds), some thousands at a time, in the
        order in which they were kept: embeddings (n, E) float32, and when each ended (n,)."""
        since, until = -np.inf if since is None else since, np.inf if until is None else until
        wanted = Wanted(self._recordings.known([source]), since - 1, until + 1)  # overlapping; narrowed below
        for records in self._all_of(wanted):
            whole = records[intact(records)]
            at = wanted.ended_at(whole)
            within = (at >= since) & (at < until)
            if within.any():
                yield embeddings(whole[within]), at[within]

    def check(self) -> dict[Path, str]:
        """Read every sealed day again; return those that are not what was sealed, and why."""
        self._home.forget_checked()
        self._sound = {}
        for _ in self._sound_days():
            pass
        return dict(self.damaged)

    # --- what comes out

    def search(
        self,
        query: np.ndarray,
        *,
        k: int,
        popularity: Popularity | None = None,
        since: float | None = None,
        until: float | None = None,
        sources: Sequence[str] = (),
    ) -> list[Hit]:
        """The k moments nearest to `query (E,)`, best first. Exact: every window is compared.

        Windows of one recording that overlap are one moment, told by its best window. With a `popularity` the nearest
        windows (RERANKED or more) are ranked by their cosines less that (LabelBank.popularity: a window that answers
        to everything is held down); the others stay out. `since`, `until`: UTC seconds. `sources`: names of recordings.
        """
        wanted = Wanted(self._recordings.known(sources), since, until)
        parts = [self._part(day) for day in self._sound_days() if wanted.may_be_in(day)]
        query = np.asarray(query, np.float32)
        count = max(RERANKED if popularity else LOOKED_AT, 4 * k)
        while True:
            found = nearest(parts, query, count=count, wanted=wanted, record=self._days.type)
            good = intact(found.records)
            records, nearness = found.records[good], found.cosines[good]
            scores = nearness - popularity(embeddings(records)) if popularity and len(records) else nearness
            moments = apart(_ranked(records, scores, nearness), k)
            if len(moments) == k or found.all:
                return [wanted.hit(moment) for moment in moments]
            count *= 4

    def fired(
        self,
        phrase: np.ndarray,
        threshold: float,
        *,
        reference: Callable[[np.ndarray], np.ndarray],
        since: float | None = None,
        sources: Sequence[str] = (),
    ) -> list[Hit]:
        """When a phrase `(E,)` would have been heard, in the order of time: its cosine at least `threshold` above the
        `reference` of the window (Bundle.reference), which is 0 at least here. Runs of such windows are one."""
        wanted = Wanted(self._recordings.known(sources), since, None)
        moments: list[Moment] = []
        parts = [self._part(day) for day in self._sound_days() if wanted.may_be_in(day)]
        for records in above(parts, np.asarray(phrase, np.float32), threshold, wanted=wanted, record=self._days.type):
            near = records[intact(records)]
            nearness = cosines(near, phrase)
            heard = nearness - np.maximum(reference(embeddings(near)), 0) >= threshold
            moments += _ranked(near[heard], nearness[heard], nearness[heard])
        return sorted(map(wanted.hit, merged(moments)), key=lambda hit: hit.start_at)

    def _all_of(self, wanted: Wanted) -> Iterator[np.ndarray]:
        """Wanted records (n,), n > 0, some thousands at a time."""
        for day in self._sound_days():
            for first in range(0, day.rows if wanted.may_be_in(day) else 0, CHUNK_ROWS):
                records = self._days.records(day, first, CHUNK_ROWS)
                if (good := wanted(records)).any():
                    yield records[good]

    def _part(self, day: Day) -> Part:
        return Part(day.path, HEADER_BYTES, day.rows, sealed=day.seal is not None)

    def _sound_days(self) -> Iterator[Day]:
        """All days but those that are damaged, which are named."""
        self.damaged = {}
        for day in self._days.all():
            if self._sound.get(day.path) is day:
                yield day
                continue
            if is_old(day.path):
                why = "is of an older layout: run `earmark index` or `earmark run` once, which renews it"
            elif not self._days.is_ours(day):
                why = "is of another model or damaged"
            elif day.seal is None or self._is_whole(day):
                if day.seal is not None:
                    self._sound[day.path] = day
                yield day
                continue
            else:
                why = f"has changed since it was sealed ({day.rows} windows here, {day.seal.rows} sealed)"
            self.damaged[day.path] = why
            log.warning("%s %s: it is not searched; restore it, or move it out of the archive", day.path, why)

    def _is_whole(self, day: Day) -> bool:
        """By a look of some weeks ago, where the file's size and time are those of then; of any time where what is
        found now could not be kept. Records have checksums besides."""
        stat = day.path.stat()
        if self._home.was_checked(day.path, stat, within_s=CHECKED_AGAIN_S if self._home.writable else np.inf):
            return True
        if not self._days.is_whole(day):
            return False
        self._home.keep_checked(day.path, stat)
        return True

    def _was_sealed(self, path: Path) -> None:
        try:
            self._home.keep_checked(path, path.stat())
        except sqlite3.Error as error:
            log.info("%s is read again by the next search (%s)", path, error)


def _ranked(records: np.ndarray, scores: np.ndarray, nearness: np.ndarray) -> Iterator[Moment]:
    """Best first."""
    for row in np.argsort(-scores, kind="stable"):
        record = records[row]
        yield Moment(
            int(record["recording"]),
            float(record["start_s"]),
            float(record["end_s"]),
            float(scores[row]),
            float(nearness[row]),
        )


def _now() -> Stamp:
    return Stamp(boot_id(), time.monotonic(), time.time(), trusted=True)
