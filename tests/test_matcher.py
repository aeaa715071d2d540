"""What a window says: all phrases above their thresholds, by hand and by site too, groups, and rules over time."""

import time

import numpy as np
import pytest

from edge_runtime import Engine, Phrases
from edge_runtime.errors import PhraseError
from edge_runtime.listener import Window
from edge_runtime.matching.matcher import Matcher, Watchlist
from edge_runtime.matching.rule import Rule
from edge_runtime.scene import demo_scene

TEXTS = ["a dog barking", "a dog growling", "heavy rain", "a church bell", "somebody laughing"]
SURE = 0.2
"""A threshold above the reference that a window made of the phrase itself passes, and no other phrase of TEXTS does
that shares no word with it."""


@pytest.fixture(scope="module")
def phrases(bundle):
    return Phrases.of(bundle, TEXTS)


@pytest.fixture
def window(bundle):
    def make(*texts):
        """A window that sounds as these texts read."""
        vector = bundle.embed_text(texts).sum(axis=0)
        return Window(0.0, 5.0, vector / np.linalg.norm(vector), True, 0)

    return make


def names(firings):
    return [firing.name for firing in firings]


def test_every_phrase_above_its_threshold_fires_and_no_other(bundle, windowed):
    """Oracle: all cosines against all thresholds, over a scene; with a label bank and without one."""
    rng = np.random.default_rng(0)
    for model in (bundle, windowed):
        phrases = Phrases.of(model, ["a siren", *TEXTS])
        mixes = np.abs(rng.standard_normal((50, len(phrases)))) ** 3
        windows = mixes @ phrases.embeddings()
        windows = (windows / np.linalg.norm(windows, axis=1, keepdims=True)).astype(np.float32)
        scores = windows @ phrases.embeddings().T
        limits = model.reference(windows)[:, None] + phrases.thresholds()
        certain = np.abs(scores - limits) > 1e-5  # sums of float32 in another order
        several = 0
        for number, embedding in enumerate(windows):
            found = phrases.heard(embedding)
            heard = {match.phrase for match in found}
            for row, text in enumerate(phrases):
                if certain[number, row]:
                    assert (text in heard) == (scores[number, row] >= limits[number, row])
            assert [match.score for match in found] == sorted((match.score for match in found), reverse=True)
            several += len(heard) > 1
        assert several, "the oracle saw no window that says two things"


def test_no_number_passes_no_threshold(phrases):
    matcher = Matcher(phrases, limits={"heavy rain": -1.0})
    for embedding in (np.full(512, np.nan, np.float32), np.full(512, np.inf, np.float32)):
        with np.errstate(invalid="ignore"):
            assert matcher.firings(Window(0, 5, embedding, True, 0), at=5.0) == ()


def test_a_limit_of_the_site_or_by_hand_replaces_the_bundles(phrases, window):
    heard = window("heavy rain")
    assert names(Matcher(phrases).firings(heard, at=5.0)) == ["heavy rain"]
    assert Matcher(phrases, limits={"heavy rain": 1.0}).firings(heard, at=5.0) == ()
    low = Matcher(phrases, limits={"a church bell": -1.0, "not in the vocabulary": -1.0})
    assert set(names(low.firings(heard, at=5.0))) == {"heavy rain", "a church bell"}, "it is told, however far below"


def test_what_comes_near_the_best_phrase_is_told_beside_it(bundle, window):
    texts = ["heavy rain", "a dog barking", "a church bell"]
    phrases = Phrases.of(bundle, texts)
    both = window(*["heavy rain"] * 6, *["a dog barking"] * 5)
    found = {match.phrase: match for match in phrases.heard(both.embedding)}
    assert set(found) == {"heavy rain", "a dog barking"}
    apart = found["heavy rain"].score - found["a dog barking"].score
    assert apart > 0.02
    for within, told in ((apart - 0.01, {"heavy rain"}), (apart + 0.01, set(found))):
        assert set(names(Matcher(phrases, Watchlist(within=within)).firings(both, at=5.0))) == told
    groups = {"dog": ("a dog barking",), "weather": ("heavy rain",)}
    rules = {"wet dog": Rule.parse("dog AND weather")}
    narrow = Matcher(phrases, Watchlist(groups, rules, within=apart - 0.01))
    assert names(narrow.firings(both, at=5.0)) == ["weather", "wet dog"], "a rule is asked about all that was heard"


def test_a_phrase_that_is_added_or_removed_counts_at_the_next_window(bundle, window):
    phrases = Phrases.of(bundle, ["heavy rain"])
    matcher = Matcher(phrases)
    bell = window("a church bell")
    assert matcher.firings(bell, at=5.0) == ()
    phrases.add("a church bell")
    assert names(matcher.firings(bell, at=6.0)) == ["a church bell"]
    phrases.remove("a church bell")
    assert matcher.firings(bell, at=7.0) == ()


def test_a_group_tells_its_phrases_under_its_name(phrases, window):
    watch = Watchlist(groups={"dog": ("a dog barking", " a dog  growling")})
    matcher = Matcher(phrases, watch, limits=dict.fromkeys(TEXTS, SURE))
    (found,) = matcher.firings(window("a dog growling", "a dog growling", "a dog barking"), at=5.0)
    assert (found.name, found.kind) == ("dog", "group")
    assert found.phrases == ("a dog growling", "a dog barking"), "the nearest one first"
    assert found.score >= found.threshold


def test_a_rule_fires_while_what_it_asks_for_is_near_in_time(phrases, window):
    watch = Watchlist(
        groups={"dog": ("a dog barking", "a dog growling")},
        rules={"wet dog": Rule.parse("dog AND heavy rain NOT a church bell WITHIN 10 s")},
    )
    assert set(watch.phrases) == {"a dog barking", "a dog growling", "heavy rain", "a church bell"}
    matcher = Matcher(phrases, watch, limits=dict.fromkeys(TEXTS, SURE))
    rain, dog, bell = window("heavy rain"), window("a dog barking"), window("a church bell")
    assert names(matcher.firings(rain, at=0.0)) == ["heavy rain"]
    plain, rule = matcher.firings(dog, at=10.0)
    assert (plain.name, rule.name, rule.kind) == ("dog", "wet dog", "rule")
    assert {"a dog barking", "heavy rain"} <= set(rule.phrases)
    assert rule.score >= rule.threshold
    assert names(matcher.firings(dog, at=10.5)) == ["dog"], "the rain is too long ago"
    assert names(matcher.firings(bell, at=11.0)) == ["a church bell"]
    assert names(matcher.firings(rain, at=12.0)) == ["heavy rain"], "a bell rang"
    assert names(matcher.firings(dog, at=21.5)) == ["dog", "wet dog"], "the bell is too long ago"


def test_a_rule_forgets_what_another_recording_had(phrases, window):
    watch = Watchlist(rules={"wet dog": Rule.parse("a dog barking AND heavy rain WITHIN 1 h")})
    matcher = Matcher(phrases, watch, limits=dict.fromkeys(TEXTS, SURE))
    matcher.firings(window("heavy rain"), at=0.0)
    matcher.reset()
    assert "wet dog" not in names(matcher.firings(window("a dog barking"), at=1.0))
    assert "wet dog" in names(matcher.firings(window("heavy rain"), at=2.0))


def test_hours_are_local_ones_of_the_given_clock(phrases, window, monkeypatch):
    monkeypatch.setenv("TZ", "XXX-02:00")  # two hours east of Greenwich
    time.tzset()
    try:
        watch = Watchlist(rules={"night bell": Rule.parse("a church bell BETWEEN 22:00 AND 06:00")})
        matcher = Matcher(phrases, watch, wall=lambda at: 1_700_000_000 // 86_400 * 86_400 + at)
        bell = window("a church bell")
        for utc_hour, night in ((19.9, False), (20, True), (23, True), (3.9, True), (4, False)):
            assert ("night bell" in names(matcher.firings(bell, at=utc_hour * 3600))) == night, utc_hour
    finally:
        monkeypatch.undo()
        time.tzset()


def test_names_that_stand_for_two_things_are_refused():
    rule = Rule.parse("a AND b")
    with pytest.raises(PhraseError, match="rule 'dog' has the name"):
        Watchlist(groups={"dog": ("a dog barking",)}, rules={"dog": rule})
    with pytest.raises(PhraseError, match="rule 'a' has the name"):
        Watchlist(rules={"a": rule})
    with pytest.raises(PhraseError, match="group 'dog' holds no phrase"):
        Watchlist(groups={"dog": ()})
    with pytest.raises(PhraseError, match="holds 'dog', the name of a group"):
        Watchlist(groups={"dog": ("a dog barking",), "animal": ("dog",)})


def test_a_compound_phrase_is_heard_in_a_recorded_scene():
    """The demo's scene has a bell from 9.6 s, a dog from 18.4 to 26.4 s, a siren from 36 s: a bell within 15 s of a dog
    there is, and a dog within 5 s of a siren there is not."""
    engine = Engine.open(phrases=["a dog barking", "a church bell ringing", "a siren", "crickets chirping"])
    watch = Watchlist(
        rules={
            "dog and bell": Rule.parse("a dog barking AND a church bell ringing NOT a siren WITHIN 15 s"),
            "siren and dog": Rule.parse("a siren AND a dog barking WITHIN 5 s"),
        }
    )
    matcher = Matcher(engine.phrases, watch)
    scene, events = demo_scene()
    fired = {}
    for heard in engine.listen([scene], rate_hz=32_000):
        for firing in matcher.firings(heard.window, at=heard.end_s):
            fired.setdefault(firing.name, []).append(heard.end_s)
    assert {"a siren", "a dog barking"} <= set(fired) and "siren and dog" not in fired
    dog = next(event for event in events if event.label == "a dog barking")
    assert dog.start_s <= min(fired["dog and bell"]) <= dog.end_s + engine.bundle.manifest.window_s
