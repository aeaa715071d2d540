"""Thresholds of a site: at most so many false alerts a day, by its own sounds, whoever they belong to."""

import numpy as np
import pytest

from edge_runtime import Phrases
from edge_runtime.archive import Archive
from edge_runtime.errors import EarmarkError
from edge_runtime.home import Home
from edge_runtime.listener import Window
from edge_runtime.matching.site import (
    BIN,
    BINS,
    BLOCK_S,
    LOWEST,
    SiteLimit,
    SiteScores,
    at_or_above,
    drifted,
    keep_limits,
    limits_of,
    quantile,
    reached,
)

TEXTS = ["a dog barking", "heavy rain", "a church bell ringing", "a siren", "crickets chirping", "an owl hooting"]
HOP_S = 5.0
DAY_WINDOWS = round(86_400 / HOP_S)
START = 1_700_000_000.0


@pytest.fixture(scope="module")
def phrases(bundle):
    return Phrases.of(bundle, TEXTS)


def site(bundle, windows, *, seed=0, spread=1.0):
    """So many windows of a place that sounds like itself: a fixed direction, and chance as wide as `spread`."""
    rng = np.random.default_rng(seed)
    place = np.random.default_rng(99).standard_normal(512)
    rows = place / np.linalg.norm(place) + spread * rng.standard_normal((windows, 512)) / np.sqrt(512)
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


def scores_of(phrases, bundle, windows, first=0):
    scores = SiteScores(phrases, bundle)
    for start in range(0, len(windows), 1000):
        at = START + HOP_S * (first + start + np.arange(len(windows[start : start + 1000])))
        scores.add(windows[start : start + 1000], at)
    return scores


def alerts_a_day(bundle, phrases, windows, limits):
    """Oracle: half minutes with a window at or above, by plain arithmetic."""
    excess = windows @ phrases.embeddings().T - bundle.reference(windows)[:, None]
    per_block = round(BLOCK_S / HOP_S)
    best = excess[: len(excess) // per_block * per_block].reshape(-1, per_block, len(TEXTS)).max(axis=1)
    above = np.array([limit.above for limit in limits])
    return (best >= above).sum(axis=0) / (len(windows) / DAY_WINDOWS)


@pytest.fixture
def free(bundle, monkeypatch):
    """The bundle without noise floors: what the site alone says."""
    monkeypatch.setattr(type(bundle), "noise_floors", lambda self, rows: np.full(len(rows), -1.0))
    return bundle


def test_a_quiet_day_brings_no_more_false_alerts_than_asked_for(free, phrases):
    """Thresholds of one day, tried on the next two: over all phrases, the rate has no more than asked for."""
    limits = scores_of(phrases, free, site(free, DAY_WINDOWS)).limits(a_day=20)
    found = alerts_a_day(free, phrases, site(free, 2 * DAY_WINDOWS, seed=1), limits)
    assert found.mean() <= 20
    assert (found <= 2 * 20).all(), found


def test_fewer_alerts_take_a_higher_threshold_and_a_loud_site_too(free, phrases):
    quiet = scores_of(phrases, free, site(free, 3000, spread=0.5))
    busy = scores_of(phrases, free, site(free, 3000, spread=2.0))
    one, ten = (np.array([limit.above for limit in quiet.limits(a_day=a_day)]) for a_day in (1, 10))
    assert (one > ten).all()
    assert (np.array([limit.above for limit in busy.limits(a_day=1)]) > one).all()


def test_a_threshold_is_never_below_what_noise_reaches(bundle, phrases):
    silent = np.repeat(site(bundle, 1), 2000, axis=0)
    limits = scores_of(phrases, bundle, silent).limits(a_day=100)
    floors = bundle.noise_floors(phrases.embeddings())
    assert all(limit.above >= floor - 1e-6 for limit, floor in zip(limits, floors, strict=True))


def test_real_events_now_and_then_do_not_move_it_and_are_told(free, phrases):
    """A dog barks in one half minute of a hundred."""
    windows = site(free, DAY_WINDOWS)
    before = scores_of(phrases, free, windows).limits(a_day=1)[0]
    dog = phrases.embeddings()[0]
    with_dog = windows.copy()
    for start in range(0, len(windows), 600):
        with_dog[start] = dog
    scores = scores_of(phrases, free, with_dog)
    after = scores.limits(a_day=1)[0]
    assert after.above == pytest.approx(before.above, abs=0.02), "a twentieth of the excess of a bark"
    assert after.alerts >= DAY_WINDOWS // 600
    assert after.busy
    assert not before.busy
    strict = scores.limits(a_day=1, strict=True)[0]
    assert strict.alerts <= 1, "all of them counted as false"


def test_an_hour_is_the_least(bundle, phrases):
    with pytest.raises(EarmarkError, match=r"58 minutes .* need 60 at least"):
        scores_of(phrases, bundle, site(bundle, 58 * 12)).limits(a_day=1)
    hour = scores_of(phrases, bundle, site(bundle, 61 * 12)).limits(a_day=1)
    assert [limit.phrase for limit in hour] == TEXTS
    for a_day in (0, -1, float("nan"), 10_000):
        with pytest.raises(EarmarkError, match="false alerts a day"):
            scores_of(phrases, bundle, site(bundle, 61 * 12)).limits(a_day=a_day)


def test_a_window_that_is_no_number_is_left_out(bundle, phrases):
    windows = site(bundle, 2000)
    scores = SiteScores(phrases, bundle)
    with np.errstate(invalid="ignore"):
        scores.add(np.full((6, 512), np.nan, np.float32), START - 60 + HOP_S * np.arange(6))
    scores.add(windows, START + HOP_S * np.arange(2000))
    assert scores.limits(a_day=1) == scores_of(phrases, bundle, windows).limits(a_day=1)


def test_how_sure_a_threshold_is_grows_with_what_was_heard(free, phrases):
    few, many = (scores_of(phrases, free, site(free, count)).limits(a_day=1) for count in (900, DAY_WINDOWS))
    assert np.mean([limit.high - limit.low for limit in many]) < np.mean([limit.high - limit.low for limit in few])
    assert all(limit.low <= limit.above <= limit.high for limit in (*few, *many))


def test_chunks_and_their_edges_change_nothing(bundle, phrases):
    windows = site(bundle, 2000)
    at = START + HOP_S * np.arange(2000)
    one = SiteScores(phrases, bundle)
    one.add(windows, at)
    many = SiteScores(phrases, bundle)
    for start in range(0, 2000, 7):
        many.add(windows[start : start + 7], at[start : start + 7])
    a, b = one.limits(a_day=1), many.limits(a_day=1)
    assert [limit.above for limit in a] == pytest.approx([limit.above for limit in b], abs=BIN), "float32 sums"


def test_histograms_answer_as_sorted_numbers_do():
    rng = np.random.default_rng(0)
    scores = rng.normal(0, 0.1, (3, 5000))
    counts = np.stack([np.histogram(row, BINS, (LOWEST, LOWEST + BIN * BINS))[0] for row in scores])
    for share in (0.5, 0.8, 0.95):
        assert quantile(counts, share) == pytest.approx(np.quantile(scores, share, axis=1), abs=BIN)
    for chance in (0.0, 0.001, 0.01):
        limit = reached(counts, chance)
        assert ((scores >= limit[:, None]).sum(axis=1) <= chance * 5000).all()
        assert ((scores >= limit[:, None] - BIN).sum(axis=1) > chance * 5000).all(), "and no bin lower"
    limits = np.array([0.1, 0.2, 0.3])
    least, most = ((scores >= edge[:, None]).sum(axis=1) for edge in (limits, limits - BIN))
    assert ((least <= at_or_above(counts, limits)) & (at_or_above(counts, limits) <= most)).all()


def limit(phrase="a dog barking", above=0.3, spread=0.05):
    return SiteLimit(phrase, above, round(above - spread, 4), round(above + spread, 4), 1.0, 3, 7.0)


def test_drift_is_named_where_the_new_is_not_what_was_believed():
    before = {"dog": limit("dog"), "rain": limit("rain"), "bell": limit("bell")}
    now = [limit("dog", 0.34), limit("rain", 0.4), limit("bell", 0.1), limit("new", 0.9)]
    assert [(old.above, new.phrase) for old, new in drifted(before, now)] == [(0.3, "bell"), (0.3, "rain")]


def test_limits_are_kept_per_source_and_model(home):
    store = Home.open(home)
    keep_limits(store, "model", "garden", [limit(), limit("rain")])
    keep_limits(store, "model", "street", [limit(above=0.5)])
    keep_limits(store, "other", "garden", [limit(above=0.7)])
    keep_limits(store, "model", "garden", [limit(above=0.4)])
    assert limits_of(store, "model", "garden") == {"a dog barking": limit(above=0.4)}
    assert limits_of(store, "model", "street")["a dog barking"].above == 0.5
    assert limits_of(store, "model", "nowhere") == {}


def test_the_archive_gives_the_windows_of_a_source_and_time(home, bundle):
    store = Home.open(home)
    archive = Archive(store, "a" * 16, width=512)
    rows = site(bundle, 20)
    for name in ("garden", "street"):
        with archive.recording(name, live=True) as writer:
            for number, row in enumerate(rows):
                writer.add(Window(number * HOP_S, number * HOP_S + HOP_S, row, True, number))
    (started,) = store.db.execute("select started_at from recording where name = 'garden'").fetchone()
    ((windows, at),) = archive.windows_of("garden", since=started + 50, until=started + 80)
    assert at == pytest.approx(started + np.arange(50, 80, HOP_S))
    assert np.allclose(windows, rows[9:15], atol=np.abs(rows).max() / 200), "half a step of int8"
    assert list(archive.windows_of("nowhere")) == []
