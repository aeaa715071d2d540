"""Compound phrases: the parser and what a rule says of a timeline, against an oracle that looks at all of the past."""

from dataclasses import dataclass

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_runtime.errors import PhraseError
from edge_runtime.matching.firing import Firing
from edge_runtime.matching.rule import LONGEST_S, Rule

NAMES = ("chainsaw", "birds", "heavy rain", "a dog's bark")
HOP_S = 0.5


@dataclass(frozen=True)
class Tree:
    """A rule as it was meant: `of` what, over `parts`, or a name, or minutes of the day, or seconds."""

    of: str
    parts: tuple["Tree", ...] = ()
    name: str = ""
    numbers: tuple[float, ...] = ()

    def text(self) -> str:
        if self.of == "name":
            return f'"{self.name}"'
        texts = [part.text() for part in self.parts]
        if self.of == "not":
            return f"NOT ({texts[0]})"
        if self.of == "within":
            return f"({texts[0]}) WITHIN {self.numbers[0]:g} s"
        if self.of == "between":
            first, last = (f"{int(minute) // 60:02}:{int(minute) % 60:02}" for minute in self.numbers)
            return f"({texts[0]}) BETWEEN {first} AND {last}"
        return f" {self.of} ".join(f"({text})" for text in texts)

    def holds(self, past, at, minute, within_s=0.0):
        """past: (moment, names heard) of every window so far."""
        if self.of == "name":
            return any(self.name in names and at - within_s <= moment <= at for moment, names in past)
        if self.of == "not":
            return not self.parts[0].holds(past, at, minute, within_s)
        if self.of == "within":
            return self.parts[0].holds(past, at, minute, self.numbers[0])
        if self.of == "between":
            first, last = self.numbers
            inside = first <= minute < last if first < last else minute >= first or minute < last
            return inside and self.parts[0].holds(past, at, minute, within_s)
        found = [part.holds(past, at, minute, within_s) for part in self.parts]
        return all(found) if self.of == "AND" else any(found)

    def wanted(self, absent=False):
        """The names that have to be heard, not those that must not."""
        if self.of == "name":
            return set() if absent else {self.name}
        return set().union(*(part.wanted(absent != (self.of == "not")) for part in self.parts))


def tree_of(children):
    minutes = st.tuples(st.integers(0, 1439), st.integers(0, 1439)).filter(lambda pair: pair[0] != pair[1])
    return st.one_of(
        st.builds(Tree, st.sampled_from(["AND", "OR"]), st.lists(children, min_size=2, max_size=3).map(tuple)),
        st.builds(Tree, st.just("not"), st.tuples(children)),
        st.builds(
            Tree, st.just("within"), st.tuples(children), numbers=st.tuples(st.sampled_from([0.5, 1.0, 2.5, 30.0]))
        ),
        st.builds(Tree, st.just("between"), st.tuples(children), numbers=minutes),
    )


TREES = st.recursive(st.builds(Tree, st.just("name"), name=st.sampled_from(NAMES)), tree_of, max_leaves=7)
TIMELINES = st.lists(st.frozensets(st.sampled_from(NAMES)), max_size=20)


def firing(name, excess=0.1):
    return Firing(name, "phrase", 0.4 + excess, 0.4, (name,))


@settings(max_examples=300, deadline=None)
@given(TREES.filter(lambda tree: tree.wanted()), TIMELINES, st.integers(0, 1439))
def test_a_rule_says_what_a_look_at_the_whole_past_says(tree, timeline, minute):
    rule = Rule.parse(tree.text())
    past, latest = [], {}
    for number, names in enumerate(timeline):
        at = number * HOP_S
        past.append((at, names))
        latest |= {name: (at, firing(name)) for name in names}
        expected = bool(tree.wanted() & names) and tree.holds(past, at, minute)
        assert (rule.evidence(latest, at, minute) is not None) == expected, (rule.text, past)


@settings(max_examples=100, deadline=None)
@given(TREES.filter(lambda tree: not tree.wanted()))
def test_a_rule_that_asks_for_no_sound_is_refused(tree):
    with pytest.raises(PhraseError, match="asks for nothing to be heard"):
        Rule.parse(tree.text())


@settings(max_examples=300, deadline=None)
@given(
    st.one_of(
        st.text(max_size=60),
        st.lists(
            st.sampled_from(
                ["AND", "OR", "NOT", "WITHIN", "BETWEEN", "(", ")", "30 s", "22:00", "06:00", "rain", "'", '"', "5"]
            ),
            max_size=12,
        ).map(" ".join),
    )
)
def test_any_text_is_a_rule_or_refused_by_name(text):
    try:
        rule = Rule.parse(text)
    except PhraseError as error:
        assert ": " in str(error)
    else:
        assert rule.wanted
        assert all(name.strip() == name and name for name in rule.names)


def test_the_rule_of_the_design_reads_as_people_write_it():
    rule = Rule.parse("chainsaw AND birds NOT heavy rain WITHIN 30 s")
    assert rule.names == ("chainsaw", "birds", "heavy rain")
    assert rule.wanted == {"chainsaw", "birds"}
    birds = {"birds": (0.0, firing("birds"))}
    assert rule.evidence({**birds, "chainsaw": (30.0, firing("chainsaw"))}, 30.0, 0)
    assert rule.evidence({**birds, "chainsaw": (30.5, firing("chainsaw"))}, 30.5, 0) is None
    rain = {"heavy rain": (10.0, firing("heavy rain"))}
    assert rule.evidence({**birds, **rain, "chainsaw": (30.0, firing("chainsaw"))}, 30.0, 0) is None


def test_and_binds_closer_than_or_and_within_is_of_all_before_it():
    plain = Rule.parse("a AND b OR c WITHIN 5 s")
    assert plain.node == Rule.parse("((a AND b) OR c) WITHIN 5 s").node
    assert plain.node != Rule.parse("a AND (b OR c) WITHIN 5 s").node
    assert plain.node != Rule.parse("a AND b OR (c WITHIN 5 s)").node


def test_times_may_be_in_minutes_and_hours_and_written_together():
    nodes = {Rule.parse(f"a WITHIN {text}").node for text in ("120 s", "120s", "2 min", "2min", "2.0 min")}
    assert len(nodes) == 1
    assert Rule.parse("a WITHIN 24 h").node == Rule.parse(f"a WITHIN {LONGEST_S:g} s").node


def test_hours_over_midnight_hold_on_both_sides_of_it():
    rule = Rule.parse("owl BETWEEN 22:00 AND 06:00")
    latest = {"owl": (1.0, firing("owl"))}
    held = [minute for minute in range(1440) if rule.evidence(latest, 1.0, minute)]
    assert held == [*range(6 * 60), *range(22 * 60, 1440)]


def test_evidence_of_or_is_the_branch_that_is_furthest_above():
    rule = Rule.parse("(a AND b) OR c OR NOT d")
    latest = {"a": (1.0, firing("a", 0.3)), "b": (1.0, firing("b", 0.1)), "c": (1.0, firing("c", 0.2))}
    assert rule.evidence(latest, 1.0, 0) == (latest["c"][1],)


@pytest.mark.parametrize(
    ("text", "place", "words"),
    [
        ("", 1, "its end"),
        ("chainsaw AND", 13, "its end"),
        ("chainsaw AND OR birds", 14, "'OR'"),
        ("chainsaw (birds)", 10, "parentheses around"),
        ("(chainsaw AND birds", 20, "closing parenthesis"),
        ("chainsaw AND birds)", 19, "the end"),
        ("chainsaw WITHIN", 16, "at most a day"),
        ("chainsaw WITHIN soon", 17, "'soon'"),
        ("chainsaw WITHIN 0 s", 17, "at most a day"),
        ("chainsaw WITHIN 25 h", 17, "at most a day"),
        ("chainsaw WITHIN 30 s WITHIN 40 s", 22, "WITHIN once"),
        ("chainsaw WITHIN 30 s OR birds", 22, "parentheses around"),
        ("owl BETWEEN 22:00 AND 24:00", 23, "'24:00'"),
        ("owl BETWEEN 22:00 UNTIL 06:00", 19, "'UNTIL'"),
        ("owl BETWEEN 6:00 AND 06:00", 27, "two different times"),
        ("owl AND ''", 9, "words between the quotes"),
        ('owl AND "barn', 9, "not closed"),
        ("(" * 21 + "a" + ")" * 21, 22, "at most 20"),
    ],
)
def test_a_mistake_is_told_with_its_place(text, place, words):
    with pytest.raises(PhraseError, match=f"character {place}:") as caught:
        Rule.parse(text)
    assert words in str(caught.value)


def test_a_rule_without_end_is_refused():
    with pytest.raises(PhraseError, match="at most 1000"):
        Rule.parse(" OR ".join(["a"] * 400))
