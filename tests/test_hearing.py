"""What a running service listens for changes while it runs: phrases, and the thresholds of each source's site."""

import pytest

from edge_runtime import Engine
from edge_runtime.home import Home
from edge_runtime.listener import Window
from edge_runtime.matching.matcher import Watchlist
from edge_runtime.matching.site import SiteLimit, keep_limits
from edge_runtime.service.hearing import Hearing


@pytest.fixture
def engine(home):
    return Engine.open(home=home)


def heard(hearing, matcher, embedding):
    with hearing.current():
        found = matcher.firings(Window(0, 5, embedding, True, 0), at=5.0)
    return {firing.name for firing in found}


def limit(phrase, above):
    return SiteLimit(phrase, above, above - 0.05, above + 0.05, 1.0, 3, 7.0)


def test_thresholds_of_a_site_count_from_the_next_window_on_and_what_is_set_by_hand_before_them(engine, home):
    bell, dog = (engine.embed_text(text) for text in ("a church bell ringing", "a dog barking"))
    hearing = Hearing(engine, Watchlist(), limits={"a dog barking": 0.2}, live=True)
    garden, street = (hearing.matcher(name, lambda at: at) for name in ("garden", "street"))
    for matcher in (garden, street):
        assert "a church bell ringing" in heard(hearing, matcher, bell)
    elsewhere = Home.open(home)
    limits = [limit("a church bell ringing", 2.0), limit("a dog barking", 2.0)]
    keep_limits(elsewhere, engine.bundle.fingerprint, "garden", limits)
    assert "a church bell ringing" not in heard(hearing, garden, bell)
    assert "a church bell ringing" in heard(hearing, street, bell), "another site"
    assert "a dog barking" in heard(hearing, garden, dog), "set by hand"
    assert "a church bell ringing" not in heard(hearing, hearing.matcher("garden", lambda at: at), bell)
    keep_limits(elsewhere, "another model", "street", limits)
    assert "a church bell ringing" in heard(hearing, street, bell)
