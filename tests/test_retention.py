"""Which clips go: by age, by number, by room on the disk, the best last; for any clips, and on a real folder."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_runtime.events.clip_folder import ClipFile, ClipFolder
from edge_runtime.events.retention import KnownClip, Retention, to_remove

DAY_S = 86_400.0
NOW = 1_700_000_000.0
OPEN = Retention(max_age_days=None, max_clips=None, min_free_bytes=0, keep_best=0)


def clips_of(rows):
    """(name or None, excess, age in days, size) -> the files, and what is known of them."""
    files = [ClipFile(f"clips/d/{n}.flac", size, NOW - age * DAY_S) for n, (_, _, age, size) in enumerate(rows)]
    known = {
        file.path: KnownClip(name, excess, file.written_at)
        for file, (name, excess, _, _) in zip(files, rows, strict=True)
        if name is not None
    }
    return files, known


def gone(rows, free_bytes=10**9, now=NOW, **bounds):
    files, known = clips_of(rows)
    paths = to_remove(files, known, Retention(**{**vars(OPEN), **bounds}), now=now, free_bytes=free_bytes)
    return [int(path.removeprefix("clips/d/").removesuffix(".flac")) for path in paths]


ROWS = st.lists(
    st.tuples(st.sampled_from(["dog", "bell", None]), st.floats(0, 1), st.integers(0, 100), st.integers(1, 50)),
    max_size=30,
)


@settings(max_examples=200, deadline=None)
@given(
    ROWS,
    st.integers(0, 40),
    st.integers(0, 300),
    st.integers(0, 100),
    st.integers(0, 4),
    st.integers(0, 100).map(lambda age: age + 0.5),
)
def test_after_it_every_bound_holds_and_no_clip_went_for_nothing(rows, most, least_free, free, best, age):
    found = gone(rows, free, max_clips=most, min_free_bytes=least_free, keep_best=best, max_age_days=age)
    assert len(set(found)) == len(found)
    left = [n for n in range(len(rows)) if n not in found]
    freed = sum(rows[n][3] for n in found)
    assert len(left) <= most
    assert free + freed >= least_free or not left
    best_of = {
        n
        for name in ("dog", "bell")
        for n in sorted((i for i, row in enumerate(rows) if row[0] == name), key=lambda i: (-rows[i][1], rows[i][2]))[
            :best
        ]
    }
    old = {n for n in left if rows[n][2] > age}
    assert all(rows[n][0] and rows[n][1] >= min(rows[m][1] for m in best_of) for n in old), "only the best may be old"
    by_room = [n for n in found if rows[n][2] < age]
    if by_room:  # the last that went for room was needed
        last = by_room[-1]
        assert len(left) + 1 > most or free + freed - rows[last][3] < least_free


def test_the_old_go_and_the_best_of_each_name_stay():
    rows = [("dog", 0.3, 50, 1), ("dog", 0.1, 50, 1), ("bell", 0.05, 50, 1), ("dog", 0.2, 5, 1), (None, 0, 50, 1)]
    assert sorted(gone(rows, max_age_days=30, keep_best=1)) == [1, 4]


def test_an_untrusted_clock_makes_nothing_old():
    assert gone([("dog", 0.3, 50, 1)], max_age_days=30, now=None) == []


def test_the_least_go_when_there_are_too_many():
    rows = [("dog", 0.3, 1, 1), ("dog", 0.1, 1, 1), (None, 0.9, 1, 1), ("dog", 0.2, 2, 1), ("dog", 0.2, 1, 1)]
    assert gone(rows, max_clips=2) == [2, 1, 3], "the unknown, the least, and of two alike the older"


def test_the_best_go_last_and_only_where_the_others_do_not_make_room():
    rows = [("dog", 0.3, 1, 10), ("dog", 0.1, 1, 10), ("bell", 0.01, 1, 10)]
    assert gone(rows, free_bytes=0, min_free_bytes=10, keep_best=1) == [1]
    assert gone(rows, free_bytes=0, min_free_bytes=20, keep_best=1) == [1, 2]
    assert gone(rows, free_bytes=0, min_free_bytes=10**6, keep_best=1) == [1, 2, 0]


def test_no_bound_removes_nothing():
    assert gone([("dog", 0.3, 10_000, 1)], free_bytes=0) == []


@pytest.mark.parametrize("name", ["max_age_days", "max_clips", "min_free_bytes", "keep_best"])
def test_a_bound_below_zero_or_no_number_is_refused(name):
    with pytest.raises(ValueError, match=f"{name} is -1"):
        Retention(**{name: -1})
    with pytest.raises(ValueError, match=f"{name} is nan"):
        Retention(**{name: float("nan")})


def test_a_folder_is_cleared_down_to_its_bound(tmp_path):
    folder = ClipFolder(tmp_path)
    paths = [folder.write(b"fLaC" + bytes(n), NOW + n, f"clip {n}") for n in range(10)]
    known = {path: KnownClip("dog", n / 10, NOW + n) for n, path in enumerate(paths)}
    settings_ = Retention(max_age_days=None, max_clips=4, min_free_bytes=0, keep_best=2)
    for path in to_remove(folder.files(), known, settings_, now=NOW, free_bytes=0):
        folder.remove(path)
    assert [file.path for file in folder.files()] == paths[6:]
