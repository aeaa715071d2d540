"""The linter names what will not do what somebody expects, and nothing of a vocabulary that will."""

import numpy as np
import pytest

from edge_runtime import Engine, Phrases
from edge_runtime.home import Home
from edge_runtime.listener import Window
from edge_runtime.matching.linter import lint, reach
from edge_runtime.matching.site import SiteLimit

SOUND = ["a dog barking", "a church bell ringing", "a siren"]


def found(bundle, texts, **options):
    return [(finding.kind, finding.phrases) for finding in lint(bundle, Phrases.of(bundle, texts), **options)]


def test_phrases_that_are_plain_and_far_apart_are_left_alone(bundle):
    assert found(bundle, SOUND) == []
    assert found(bundle, []) == []


def test_two_phrases_for_one_sound_are_named(bundle):
    assert found(bundle, [*SOUND, "dogs bark"]) == [("alike", ("a dog barking", "dogs bark"))]
    assert found(bundle, ["a sheep bleating", "a goat bleating"]) == []


def test_a_phrase_that_noise_drowns_is_named(bundle):
    """Oracle: silence scores it as high as any sound scores what it is."""
    assert found(bundle, [*SOUND, "silence"]) == [("drowned", ("silence",))]
    limit = float(bundle.thresholds(bundle.embed_text(["silence"]))[0])
    assert limit > reach(bundle) > 0


def test_a_phrase_below_the_sites_own_sounds_is_named(bundle):
    limits = {"a siren": SiteLimit("a siren", 0.6, 0.5, 0.7, 1.0, 3, 7.0)}
    (finding,) = lint(bundle, Phrases.of(bundle, SOUND), limits=limits)
    assert (finding.kind, finding.phrases) == ("drowned", ("a siren",))
    assert "this site's sounds" in finding.told


def test_a_word_that_the_model_lacks_is_named(bundle):
    assert found(bundle, [*SOUND, "a zzqxv hooting"]) == [("misread", ("a zzqxv hooting",))]


def test_a_bundle_without_a_bank_is_linted_too(windowed):
    assert reach(windowed) is None or reach(windowed) > 0
    assert ("alike", ("a dog barking", "dogs bark")) in found(windowed, ["a dog barking", "dogs bark"])


def test_lint_on_the_command_line(earmark):
    assert earmark("phrases", "add", "dogs bark").code == 0
    rows = earmark("phrases", "lint", "--json").rows
    assert {"kind": "alike", "phrases": ["a dog barking", "dogs bark"]}.items() <= next(
        row for row in rows if "dogs bark" in row["phrases"]
    ).items()
    assert "silence: plain noise come" in earmark("phrases", "lint").out
    assert earmark("phrases", "lint", "--source", "garden").refused("'garden'", "earmark phrases calibrate garden")


@pytest.fixture
def listened(home):
    """Two hours of one place in the archive, in which somebody rings a bell three times."""
    engine = Engine.open(home=home)
    bell = engine.embed_text("a church bell ringing")
    rng = np.random.default_rng(0)
    place = rng.standard_normal(512)
    with engine.archive.recording("garden", live=True) as writer:
        for number in range(2 * 720):
            vector = place + rng.standard_normal(512)
            vector = bell if number in (300, 600, 900) else (vector / np.linalg.norm(vector)).astype(np.float32)
            writer.add(Window(5.0 * number, 5.0 * number + 5, vector, True, number))
    engine.home.db.execute("update recording set started_at = (cast(started_at as integer) - 7300) / 30 * 30")
    engine.home.close()
    return home


def test_a_site_is_calibrated_on_the_command_line(listened, earmark):
    done = earmark("phrases", "calibrate", "garden", "--false-alerts-a-day", 2)
    assert done.code == 0, done.err
    first, *others = done.out.splitlines()
    assert first.startswith("366 thresholds of garden, from 0.08 days of sound: 2 false alerts a day of each")
    assert any(line.startswith("often: ") and "35.9 a day (7.4 to 104.8)" in line for line in others), done.out
    rows = earmark("phrases", "calibrate", "garden", "--json", "--false-alerts-a-day", 2).rows
    assert len(rows) == 366
    (bell,) = (row for row in rows if row["phrase"] == "a church bell ringing")
    assert bell["busy"]
    assert bell["alerts"] == 3
    store = Home.open(listened, write=False)
    assert store.db.execute("select count(*) from site_limit where source = 'garden'").fetchone() == (366,)
    assert earmark("phrases", "calibrate", "street").refused("0 minutes of this source")
    assert earmark("phrases", "lint", "--source", "garden").code == 0
