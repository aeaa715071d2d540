"""One process that searches a year and says what that takes: `python -m benchmarks.archive_search CACHE DAYS ROUNDS`.

It imports what a search needs, opens the home as `earmark search` does, and prints one JSON line: the seconds of each
search, what it found, and its memory.
"""

import json
import sys
import time
from pathlib import Path

from benchmarks.archive_year import DAY_S, K, Year
from benchmarks.resident import memory_mib
from edge_runtime.archive import Archive
from edge_runtime.home import Home

__all__: list[str] = []


def main(cache: str, days: str, rounds: str) -> None:
    year = Year.made(Path(cache), days=int(days))
    home = Home.open(year.home, write=False)
    assert home is not None
    archive = Archive(home, year.fingerprint, width=year.width)
    imported = memory_mib()
    archive.search(year.queries[0], k=K)  # the pages are in memory, the days are known to be whole
    whole_s, whole_cpu_s, day_s, found = [], [], [], []
    for query in year.queries:
        started, cpu_started = time.perf_counter(), time.process_time()
        hits = archive.search(query, k=K)
        whole_s.append(time.perf_counter() - started)
        whole_cpu_s.append(time.process_time() - cpu_started)
        found.append([year.row_of(hit.started_at, hit.start_s) for hit in hits])
    for number in range(int(rounds)):
        query, day = year.queries[number % len(year.queries)], number * 7 % year.days
        since = year.first_at + day * DAY_S
        started = time.perf_counter()
        archive.search(query, k=K, since=since, until=since + DAY_S)
        day_s.append(time.perf_counter() - started)
    told = {
        "whole_s": whole_s,
        "whole_cpu_s": whole_cpu_s,
        "day_s": day_s,
        "found": found,
        "damaged": len(archive.damaged),
    }
    print(json.dumps(told | {"imported_mib": imported["resident"], "peak_mib": memory_mib()["peak"]}))


if __name__ == "__main__":
    main(*sys.argv[1:])
