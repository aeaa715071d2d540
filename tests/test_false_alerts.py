"""Expected false alerts an hour: counted on the held background, with the exact Poisson interval."""

import dataclasses

import numpy as np
import pytest

from edge_runtime.background import NO_LABEL, Background
from edge_runtime.bundle import Bundle
from edge_runtime.false_alerts import Rate, false_alerts, poisson_interval
from edge_runtime.label_bank import LabelBank
from edge_runtime.manifest import MatchSpec
from edge_runtime.phrases import Phrases
from edge_runtime.unit_rows import UnitRows


@pytest.mark.parametrize(
    ("count", "low", "high"),
    [(0, 0.0, 3.6889), (1, 0.0253, 5.5716), (5, 1.6235, 11.6683), (20, 12.2165, 30.8884), (100, 81.3640, 121.6268)],
)
def test_the_interval_is_that_of_garwoods_tables(count, low, high):
    """As chi-squared quantiles give it: qchisq(.025, 2 k) / 2 and qchisq(.975, 2 k + 2) / 2."""
    assert poisson_interval(count) == pytest.approx((low, high), abs=1e-4)


def test_the_interval_holds_the_truth_as_often_as_it_says():
    """Exact means at least 95 %, whatever the mean; 4000 draws have a standard error of .35 %."""
    rng = np.random.default_rng(0)
    for mean in (0.3, 2.0, 9.0):
        counts = rng.poisson(mean, 4000)
        ends = {count: poisson_interval(int(count)) for count in np.unique(counts)}
        assert np.mean([ends[count][0] <= mean <= ends[count][1] for count in counts]) > 0.94


def test_a_rate_is_per_hour():
    assert Rate.of(4, 2.0).per_hour == 2
    assert Rate.of(0, 0.5).high == pytest.approx(2 * 3.6889, abs=1e-3)


@pytest.fixture
def rain(bundle: Bundle) -> Bundle:
    """The shipped model with a background made by hand: its held rows sound exactly as "rain" reads, or as nothing."""
    made = Bundle.open()
    rain, dog = made.embed_text(["rain", "a dog barking"])
    rows = UnitRows.of(np.stack([-dog, rain, rain, rain, dog, -rain - dog, dog]))
    held = np.array([False, True, True, True, True, True, True])
    generated = np.array([True, True, False, False, False, True, True])
    label_of = np.array([NO_LABEL, NO_LABEL, 0, 1, NO_LABEL, NO_LABEL, NO_LABEL], np.int16)
    bank = LabelBank(("rain", "a church bell ringing"), UnitRows.of(made.embed_text(["rain", "a church bell ringing"])))
    made.background = Background(rows, generated, held, label_of, bank)
    made.manifest = dataclasses.replace(made.manifest, match=MatchSpec(heard=0.0, margin=0.1))
    return made


def test_alerts_are_false_in_noise_and_in_recordings_of_something_else(rain: Bundle):
    """Heard as rain: noise (false), rain (right), a bell (false); as a dog: noise (false), a recording of nobody knows
    what (not counted)."""
    found = false_alerts(rain, Phrases.of(rain, ["rain", "a dog barking"]))
    assert found is not None
    hours = 5 * rain.manifest.window_s / 3600
    assert (found.hours, found.recorded_hours) == (pytest.approx(hours), pytest.approx(2 / 5 * hours))
    assert (found.rate.alerts, found.rate.per_hour) == (3, pytest.approx(3 / hours))
    assert [(phrase, rate.alerts) for phrase, rate in found.worst] == [("rain", 2), ("a dog barking", 1)]


def test_the_vocabulary_in_force_is_what_counts(rain: Bundle):
    found = false_alerts(rain, Phrases.of(rain, ["a dog barking"]))
    assert found is not None and [phrase for phrase, _ in found.worst] == ["a dog barking"]
    rain.manifest = dataclasses.replace(rain.manifest, match=MatchSpec(heard=0.0, margin=2.0))
    none = false_alerts(rain, Phrases.of(rain, ["a dog barking", "rain"]))
    assert none is not None and none.rate.alerts == 0 and none.rate.high > 0 and none.worst == ()


def test_there_is_nothing_to_count_on_without_background_or_phrases(rain: Bundle):
    assert false_alerts(rain, Phrases.of(rain, [])) is None
    rain.background = None
    assert false_alerts(rain, Phrases.of(rain, ["rain"])) is None
