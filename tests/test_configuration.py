"""A service's configuration: what it says is taken, what it cannot mean is told with key and line."""

import re
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from edge_runtime.errors import ConfigError, EarmarkError, PhraseError
from edge_runtime.phrases import read_phrase_file
from edge_runtime.service.configuration import Configuration, SourceSettings
from edge_runtime.service.sinks import Sink

WHOLE = """\
home = "field"
phrases = ["a dog barking", "a chainsaw"]
told_within = 0.3
[clock]
trust = "system"

[[sources]]
name = "garden"
input = "mic:USB"

[[sources]]
name = "gate"
input = "rtsp://camera/stream"
archive = false

[[sources]]
name = "folder"
input = "recordings"

[[sources]]
name = "pipe"
input = "-"
rate_hz = 16000

[groups]
vehicle = ["a motorcycle", "a heavy truck"]

[rules]
poacher = "a chainsaw NOT vehicle WITHIN 30 s"
night = "a dog barking BETWEEN 22:00 AND 06:00"

[thresholds]
"a dog  barking" = 0.2

[events]
hold_s = 5

[[sinks]]
to = "-"
tell = ["events"]
"""


@pytest.fixture
def read(tmp_path):
    def read(text):
        path = tmp_path / "field.toml"
        path.write_text(text)
        return Configuration.read(path)

    return read


def test_a_whole_configuration_is_read(read, tmp_path):
    found = read(WHOLE)
    assert found.home == tmp_path / "field"
    assert read(WHOLE.replace('"recordings"', '"~no-such-user/x"')).sources[2].input == str(
        tmp_path / "~no-such-user/x"
    )
    assert found.clock.trust == "system"
    assert found.sources == (
        SourceSettings("garden", "mic:USB"),
        SourceSettings("gate", "rtsp://camera/stream", archive=False),
        SourceSettings("folder", str(tmp_path / "recordings")),
        SourceSettings("pipe", "-", 16_000),
    )
    assert found.watchlist.phrases == ("a motorcycle", "a heavy truck", "a chainsaw", "a dog barking")
    assert found.limits == {"a dog barking": 0.2}
    assert found.watchlist.within == 0.3
    assert found.events.hold_s == 5.0
    assert found.sinks == (Sink(tmp_path / "-", ("events",)),)
    assert found.sinks[0].is_stdout


def test_the_readmes_configuration_is_sound(read):
    readme = (Path(__file__).parents[1] / "README.md").read_text()
    found = read(re.search(r"```toml\n(.*?)```", readme, re.DOTALL)[1])
    assert {source.name for source in found.sources} == {"garden", "yard"}


def test_a_source_alone_will_do(read):
    found = read('[[sources]]\nname = "garden"\ninput = "mic"\n')
    assert (found.home, found.bundle, found.phrases, found.sinks) == (None, None, (), ())


WRONG = {
    "no source": ("home = 'x'", None, "lacks 'sources'"),
    "empty": ("sources = []", 1, "sources is empty"),
    "name": (WHOLE.replace('"gate"', '"../gate"'), 12, "sources[1].name is '../gate', expected up to 40 small letters"),
    "names": (WHOLE.replace('"gate"', '"garden"'), 12, "sources[1].name is 'garden' again"),
    "two pipes": (WHOLE.replace('"recordings"', '"-"\nrate_hz = 8000'), 23, "sources[3].input is '-' again"),
    "no rate": (WHOLE.replace("rate_hz = 16000\n", ""), 22, "sources[3].input is '-' and lacks a rate_hz"),
    "a rate": (WHOLE.replace("archive = false", "rate_hz = 16000"), 13, "sources[1].input"),
    "a gain": (WHOLE.replace("archive = false", "gain_db = 99"), 14, "sources[1].gain_db"),
    "a file's URL": (
        WHOLE.replace('"mic:USB"', '"file:///etc/passwd"'),
        9,
        "sources[0].input does not serve: 'file:///",
    ),
    "no input": (WHOLE.replace('"mic:USB"', '""'), 9, "sources[0].input is ''"),
    "rule": (WHOLE.replace("WITHIN 30 s", "WITHIN"), 29, "rules.poacher does not serve: rule"),
    "group of nothing": (WHOLE.replace('["a motorcycle", "a heavy truck"]', "[]"), 26, "groups.vehicle does not serve"),
    "empty phrase": (
        WHOLE.replace('"a heavy truck"', '"  "'),
        26,
        "groups.vehicle[1] does not serve: the phrase is empty",
    ),
    "rule and group": (WHOLE.replace("night =", "vehicle ="), 28, "rules does not serve: rule 'vehicle' has the name"),
    "sink of nothing": (WHOLE.replace('["events"]', "[]"), 40, "sinks[0].tell is empty"),
    "trust": (WHOLE.replace('"system"', '"gps"'), 5, "clock.trust is \"gps\", expected 'ntp' or 'system'"),
    "hold": (WHOLE.replace("hold_s = 5", "hold_s = -1"), 36, "events.hold_s is -1, expected a number from 0 to 3600"),
}


@pytest.mark.parametrize(("text", "line", "what"), WRONG.values(), ids=WRONG)
def test_what_it_cannot_mean_is_told_with_key_and_line(read, text, line, what):
    with pytest.raises(ConfigError) as refused:
        read(text)
    where = f"field.toml, line {line}: " if line else "field.toml "
    assert f"{where}{what}" in str(refused.value)


LINES = WHOLE.splitlines(keepends=True)


@settings(suppress_health_check=[HealthCheck.too_slow])  # the first text of all loads hypothesis's tables
@given(st.lists(st.tuples(st.integers(0, len(WHOLE)), st.integers(0, 12), st.text(max_size=6)), max_size=4))
def test_a_configuration_that_was_scratched_is_read_or_refused(tmp_path_factory, scratches):
    text = WHOLE
    for place, cut, put in scratches:
        text = text[:place] + put + text[place + cut :]
    _is_read_or_refused(tmp_path_factory.mktemp("any"), text.encode(errors="replace"))


@given(st.permutations(LINES), st.integers(0, len(LINES)))
def test_a_configuration_of_these_lines_in_any_order_is_read_or_refused(tmp_path_factory, lines, count):
    _is_read_or_refused(tmp_path_factory.mktemp("any"), "".join(lines[:count]).encode())


def _is_read_or_refused(folder: Path, content: bytes) -> None:
    path = folder / "field.toml"
    path.write_bytes(content)
    try:
        assert Configuration.read(path).sources
    except ConfigError as error:
        assert re.search(r"field\.toml(, line \d+)?:? \S", str(error)), error


@given(st.binary(max_size=300))
def test_any_phrase_file_is_read_or_refused(tmp_path_factory, content):
    path = tmp_path_factory.mktemp("any") / "phrases.txt"
    path.write_bytes(content)
    try:
        assert all(phrase.strip() for phrase in read_phrase_file(path))
    except PhraseError as error:
        assert "phrases.txt" in str(error)


@given(st.lists(st.text(max_size=30), min_size=1, max_size=5))
def test_the_phrases_of_any_file_are_embedded_or_refused(tmp_path_factory, bundle, lines):
    path = tmp_path_factory.mktemp("any") / "phrases.txt"
    path.write_text("\n".join(lines), encoding="utf-8", errors="replace")
    try:
        texts = read_phrase_file(path)
        assert bundle.embed_text(texts).shape == (len(texts), bundle.manifest.head.width)
    except EarmarkError as error:
        assert isinstance(error, PhraseError)
