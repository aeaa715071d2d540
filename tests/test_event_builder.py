"""Firings become events: against an oracle that merges intervals, and case by case what hold, rest and length do."""

import itertools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_runtime.events.builder import EventBuilder
from edge_runtime.matching.firing import Firing

WINDOW_S, HOP_S = 5.0, 1.25


def firing(name, excess=0.1):
    return Firing(name, "phrase", 0.4 + excess, 0.4, (name,))


def spans(count):
    return [(number * HOP_S, number * HOP_S + WINDOW_S) for number in range(count)]


def run(builder, windows):
    """windows: (span, {name: excess}) -> all events."""
    found = []
    for span, names in windows:
        found += builder.push([firing(*item) for item in names.items()], span)
    return found + list(builder.flush())


def at(*numbers, count=60, name="dog"):
    return [(span, {name: 0.1} if number in numbers else {}) for number, span in enumerate(spans(count))]


TIMELINES = st.lists(st.dictionaries(st.sampled_from("abc"), st.floats(0, 0.5), max_size=3), max_size=40)


@settings(max_examples=200, deadline=None)
@given(TIMELINES, st.sampled_from([0.0, 1.0, 2.5, 20.0]))
def test_events_are_the_merged_intervals_of_the_firing_windows(timeline, hold_s):
    windows = list(zip(spans(len(timeline)), timeline, strict=True))
    events = run(EventBuilder("garden", hold_s=hold_s, longest_s=1e9), windows)
    expected = []
    for name in "abc":
        fired = [(span, names[name]) for span, names in windows if name in names]
        while fired:
            merged = [fired.pop(0)]
            while fired and fired[0][0][0] <= merged[-1][0][1] + hold_s:
                merged.append(fired.pop(0))
            best = max(merged, key=lambda item: firing(name, item[1]).excess)
            expected.append((name, merged[0][0][0], merged[-1][0][1], sum(best[0]) / 2, len(merged)))
    found = [(event.name, event.start_s, event.end_s, event.peak_s, event.windows) for event in events]
    assert sorted(found) == sorted(expected)
    assert all(event.coverage == pytest.approx(1) for event in events), "nothing was lost"


@settings(max_examples=100, deadline=None)
@given(TIMELINES, st.sampled_from([0.0, 7.0, 30.0]), st.sampled_from([5.0, 12.0, 1e9]))
def test_events_of_a_name_never_overlap_and_no_firing_window_is_left_out_without_a_rest(timeline, rest_s, longest_s):
    windows = list(zip(spans(len(timeline)), timeline, strict=True))
    events = run(EventBuilder("garden", refractory_s=rest_s, longest_s=longest_s), windows)
    for name in "abc":
        mine = sorted((event for event in events if event.name == name), key=lambda event: event.start_s)
        assert all(a.end_s <= b.start_s for a, b in itertools.pairwise(mine))
        fired = sum(name in names for _, names in windows)
        told = sum(event.windows for event in mine)
        assert told == fired if not rest_s else told <= fired
        assert all(event.end_s - event.start_s <= longest_s + WINDOW_S for event in mine)


def test_an_event_is_told_at_the_first_window_that_cannot_be_of_it():
    builder = EventBuilder("garden", hold_s=2.0)
    ended = {}
    for number, (span, names) in enumerate(at(0, 1)):
        for event in builder.push([firing(*item) for item in names.items()], span):
            ended[number] = event
    assert list(ended) == [7], "1.25 + 5 + 2 = 8.25 s is before the start of window 7, at 8.75 s"
    assert (ended[7].start_s, ended[7].end_s, ended[7].windows) == (0.0, 6.25, 2)


def test_what_goes_on_is_known_before_it_is_over():
    builder = EventBuilder("garden")
    assert builder.open == ()
    list(builder.push([firing("dog")], (0.0, 5.0)))
    list(builder.push([firing("dog", 0.3), firing("rain")], (1.25, 6.25)))
    dog, rain = builder.open
    assert (dog.name, dog.start_s, dog.end_s, dog.score) == ("dog", 0.0, 6.25, 0.7)
    assert (rain.name, rain.start_s) == ("rain", 1.25)


def test_peak_is_the_window_that_was_furthest_above_its_threshold():
    builder = EventBuilder("garden")
    list(builder.push([Firing("dog", "phrase", 0.6, 0.5, ("dog",))], (0.0, 5.0)))
    list(builder.push([Firing("dog", "phrase", 0.5, 0.2, ("dog",))], (1.25, 6.25)))
    (event,) = builder.flush()
    assert (event.score, event.threshold, event.peak_s) == (0.5, 0.2, 3.75)


def test_after_an_event_its_name_rests_and_others_do_not():
    events = run(EventBuilder("garden", hold_s=0, refractory_s=20), at(0, 10, 30))
    assert [event.start_s for event in events] == [0.0, 37.5], "the one at 12.5 s began within 20 s of 5 s"
    other = [(span, {**names, **({"cat": 0.1} if n == 10 else {})}) for n, (span, names) in enumerate(at(0, 10))]
    events = run(EventBuilder("garden", hold_s=0, refractory_s=20), other)
    assert [(event.name, event.start_s) for event in events] == [("dog", 0.0), ("cat", 12.5)]


def test_what_lasts_is_cut_and_goes_on_without_a_rest():
    events = run(EventBuilder("garden", refractory_s=1000, longest_s=20), at(*range(60)))
    assert len(events) == 4
    assert all(a.end_s == b.start_s for a, b in itertools.pairwise(events)), "no second between them is left out"
    assert sum(event.windows for event in events) == 60
    assert events[-1].end_s == spans(60)[-1][1]


def test_coverage_tells_of_a_gap_within_an_event():
    builder = EventBuilder("garden", hold_s=20)
    windows = [((0.0, 5.0), {"dog": 0.1}), ((1.25, 6.25), {}), ((16.25, 21.25), {"dog": 0.1})]
    (event,) = run(builder, windows)
    assert (event.start_s, event.end_s) == (0.0, 21.25)
    assert event.heard_s == pytest.approx(11.25)
    assert event.coverage == pytest.approx(11.25 / 21.25)


def test_another_recording_ends_all_events_and_the_rest():
    builder = EventBuilder("folder", refractory_s=1000)
    assert list(builder.push([firing("dog")], (100.0, 105.0))) == []
    (event,) = builder.push([firing("dog")], (50.0, 55.0))
    assert (event.start_s, event.end_s) == (100.0, 105.0)
    (event,) = builder.flush()
    assert (event.start_s, event.end_s, event.coverage) == (50.0, 55.0, 1.0)
    assert builder.open == ()


def test_early_windows_that_grow_are_one_event():
    """A live listener's first windows all begin at 0."""
    builder = EventBuilder("garden")
    events = run(builder, [((0.0, end_s), {"dog": 0.1}) for end_s in (1.28, 2.56, 3.84, 5.12)])
    assert [(event.start_s, event.end_s, event.coverage) for event in events] == [(0.0, 5.12, pytest.approx(1))]


@pytest.mark.parametrize("span", [(1.0, 1.0), (2.0, 1.0), (float("nan"), 1.0), (0.0, float("inf"))])
def test_a_window_that_is_none_is_a_defect(span):
    with pytest.raises(ValueError, match="a window from"):
        list(EventBuilder("garden").push([], span))
