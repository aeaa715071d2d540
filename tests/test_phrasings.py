"""Every label has captions a person might write, and captions tell the labels apart."""

import csv
import random
from collections import defaultdict
from pathlib import Path

import pytest

from training.label_names import SAME_SOUND, tidy_label
from training.phrasings import PHRASINGS, TEMPLATES, phrasings_of, varied

PACKS = {"cdda_cc_sounds", "openclonk"}
"""Their labels come from file names; every label of all other sources is phrased by hand."""


@pytest.fixture(scope="module")
def sources_by_label(shared: Path) -> dict[str, set[str]]:
    """Which sources of clips.csv use each label."""
    sources = defaultdict(set)
    with (shared / "data/sounds/clips.csv").open(newline="", encoding="utf-8") as file:
        for row in csv.DictReader(file):
            sources[row["label"]].add(row["source"])
    return dict(sources)


@pytest.mark.shared
def test_every_label_has_a_phrasing_and_those_of_the_main_sources_have_four(sources_by_label):
    for label, sources in sources_by_label.items():
        assert all(phrasings_of(label)), label
        if sources - PACKS:
            assert 4 <= len(PHRASINGS.get(label, ())) <= 8, label
        else:
            assert len(PHRASINGS.get(label, ())) <= 4, label


@pytest.mark.shared
def test_every_entry_and_every_group_names_a_label_that_exists(sources_by_label):
    assert set(PHRASINGS) <= set(sources_by_label)
    assert set().union(*SAME_SOUND) <= set(sources_by_label)


def test_phrasings_are_short_plain_and_unique_within_their_label():
    for label, phrasings in PHRASINGS.items():
        assert len(set(phrasings)) == len(phrasings), label
        for text in phrasings:
            assert text.isascii() and text == " ".join(text.split()), text
            assert 1 <= len(text.split()) <= 12, text
            # a sentence has its capital and its full stop, anything else has neither
            assert text[0].isupper() == text.endswith("."), text
            rest = text[1:].replace("V8", "v8")
            assert rest == rest.lower(), text


@pytest.mark.shared
def test_labels_that_name_different_sounds_share_no_phrasing(sources_by_label):
    groups = {label: number for number, group in enumerate(SAME_SOUND) for label in group}
    labels_by_text = defaultdict(set)
    for label in sources_by_label:
        for text in phrasings_of(label):
            labels_by_text[text.lower().rstrip(".")].add(label)
    shared_wrongly = {
        text: labels
        for text, labels in labels_by_text.items()
        if len(labels) > 1 and len({groups.get(label, label) for label in labels}) > 1
    }
    assert not shared_wrongly


def test_groups_of_the_same_sound_are_disjoint_and_have_two_labels_or_more():
    assert sum(map(len, SAME_SOUND)) == len(set().union(*SAME_SOUND))
    assert all(len(group) >= 2 for group in SAME_SOUND)


@pytest.mark.parametrize(
    ("label", "tidy"),
    [
        ("dog", "dog"),
        ("close door (door wood)", "close door, door wood"),
        ("heavyrain (weather)", "heavy rain"),
        ("handgun (handguns)", "handgun"),
        ("machinegun (machineguns)", "machine gun"),
        ("engine start v (v8)", "engine start v8"),
        ("footsteps walking on water sh", "footsteps walking on shallow water"),
        ("556 auto rifle shot (outdoor gunfire)", "automatic rifle shot, outdoor gunfire"),
        ("default (reload)", "reload"),
        ("loop (furnace)", "furnace"),
        ("birds loop (environment)", "birds"),
        ("smash fail wall (t wall)", "hit wall"),
        ("baby crying (hungry)", "baby crying, hungry"),
        ("a label nobody knows", "a label nobody knows"),
        ("loop", "loop"),
    ],
)
def test_a_tidied_label_reads_like_text(label, tidy):
    assert tidy_label(label) == tidy
    assert phrasings_of(label)[0] == tidy


@pytest.mark.shared
def test_tidied_labels_have_no_brackets_and_no_stray_spaces(sources_by_label):
    for label in sources_by_label:
        assert not set("()_") & set(tidy_label(label)), label
        assert tidy_label(label) == " ".join(tidy_label(label).split()), label


def test_varied_repeats_with_its_seed_reaches_every_phrasing_and_uses_templates_sparingly():
    label = "dog"
    draws = [varied(label, random.Random(seed)) for seed in range(2000)]
    assert draws == [varied(label, random.Random(seed)) for seed in range(2000)]
    assert set(phrasings_of(label)) <= set(draws)
    templated = [text for text in draws if text not in phrasings_of(label)]
    nouns = [text for text in phrasings_of(label)[1:] if not text.endswith(".")]
    assert set(templated) == {template.format(noun) for template in TEMPLATES for noun in nouns}
    # a fifth of the draws that fall on noun-like phrasings: 229, standard deviation 14; five of them allowed
    assert abs(len(templated) - 2000 * 0.2 * len(nouns) / len(phrasings_of(label))) < 70


def test_a_template_adds_no_more_than_three_words():
    assert all(template.count("{}") == 1 and len(template.split()) <= 4 for template in TEMPLATES)
