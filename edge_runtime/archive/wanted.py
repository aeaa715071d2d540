"""Which windows a search may answer with: those of some recordings, within a time.

wanted = Wanted(recordings.known(sources), since, until)
wanted.may_be_in(day)                   # False where its seal rules that out
wanted(records)                         # (n,) -> (n,) bool
"""

from collections.abc import Sequence

import numpy as np

from edge_runtime.archive.day_file import Day
from edge_runtime.archive.moments import Hit, Moment
from edge_runtime.archive.recordings import Known

__all__ = ["Wanted"]


class Wanted:
    """Of these recordings, within [since, until) (UTC seconds; None: no bound)."""

    def __init__(self, recordings: Sequence[Known], since: float | None, until: float | None) -> None:
        self._recordings = {each.id: each for each in recordings}
        self._began_at = np.full(max(self._recordings, default=0) + 1, np.nan)
        self._began_at[list(self._recordings)] = [each.started_at for each in recordings]
        self._since = -np.inf if since is None else since
        self._until = np.inf if until is None else until

    def __call__(self, records: np.ndarray) -> np.ndarray:
        known = records["recording"] < len(self._began_at)
        began_at = self._began_at[np.where(known, records["recording"], 0)]
        within = (began_at + records["end_s"] > self._since) & (began_at + records["start_s"] < self._until)
        good = (records["scale"] > 0) & (records["scale"] < np.inf)
        return known & within & good  # False for NaN: not one of these recordings

    def ended_at(self, records: np.ndarray) -> np.ndarray:
        """UTC seconds (n,) of wanted records (n,)."""
        return self._began_at[records["recording"]] + records["end_s"]

    def may_be_in(self, day: Day) -> bool:
        """False where the seal tells that nothing of it is wanted."""
        if day.seal is None:
            return True
        known = (
            (self._recordings[number].started_at, first_s, last_s)
            for number, (first_s, last_s) in day.seal.spans.items()
            if number in self._recordings
        )
        return any(at + last_s > self._since and at + first_s < self._until for at, first_s, last_s in known)

    def hit(self, moment: Moment) -> Hit:
        known = self._recordings[moment.recording]
        return Hit(known.name, moment.start_s, moment.end_s, moment.score, moment.cosine, known.started_at)
