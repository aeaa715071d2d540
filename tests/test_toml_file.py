"""A TOML file becomes dataclasses, or an error that names key and line; nothing that a stranger writes does worse."""

import re
import tomllib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Literal

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from edge_runtime.errors import ConfigError
from edge_runtime.service.toml_file import Between, TomlFile


@dataclass(frozen=True)
class Leaf:
    name: str
    rate_hz: Annotated[int, Between(8000, 96_000)] = 16_000
    kind: Literal["wav", "flac"] = "wav"

    def __post_init__(self) -> None:
        if self.name == "no":
            raise ValueError("name is 'no', expected anything else: change it")


@dataclass(frozen=True)
class Tree:
    home: Path | None = None
    share: Annotated[float, Between(0, 1)] = 0.5
    keep: bool = False
    leaves: tuple[Leaf, ...] = ()
    groups: dict[str, tuple[str, ...]] = field(default_factory=dict)


@pytest.fixture
def read(tmp_path):
    def read(text):
        path = tmp_path / "tree.toml"
        path.write_bytes(text.encode() if isinstance(text, str) else text)
        return TomlFile.read(path)

    return read


def test_a_file_becomes_dataclasses(read, tmp_path):
    tree = read(
        """
home = "field"          # a remark
share = 1
[groups]
vehicle = [
  "a car # not a remark",
  "a truck",
]
[[leaves]]
name = "a"
[[leaves]]
name = 'b'
rate_hz = 96_000
kind = "flac"
"""
    ).build(Tree)
    assert tree == Tree(
        home=tmp_path / "field",
        share=1.0,
        leaves=(Leaf("a"), Leaf("b", 96_000, "flac")),
        groups={"vehicle": ("a car # not a remark", "a truck")},
    )
    assert read("").build(Tree) == Tree()
    assert read('home = "/abs"').build(Tree).home == Path("/abs")
    assert read('home = "~/x"').build(Tree).home == Path.home() / "x"


WRONG = {
    "unknown": ("\nkeeps = true", 2, "keeps is no setting: did you mean 'keep'?"),
    "unknown, nothing near": ("zzz = 1", 1, "known here: home, share, keep"),
    "kind": ("\n\nkeep = 1", 3, "keep is 1, expected true or false"),
    "true is no number": ("share = true", 1, "share is true, expected a number from 0 to 1"),
    "bounds": ("# x\nshare = 1.5", 2, "share is 1.5, expected a number from 0 to 1"),
    "nan": ("share = nan", 1, "share is NaN, expected a number"),
    "infinity": ("share = inf", 1, "share is Infinity"),
    "beyond floats": ("share = " + "9" * 400, 1, "share is a number of many digits"),
    "no table": ("leaves = [1]", 1, "leaves[0] is 1, expected a table"),
    "no list": ("[leaves]\nname = 'a'", 1, "leaves is a table, expected a list"),
    "lacking": ("[[leaves]]\nname='a'\n\n[[leaves]]\nrate_hz = 8000", 4, "leaves[1] lacks 'name', which is text"),
    "second of two": ("[[leaves]]\nname='a'\n[[leaves]]\nname='b'\nrate_hz=1", 5, "leaves[1].rate_hz is 1"),
    "choice": ("[[leaves]]\nname = 'a'\nkind = 'mp3'", 3, "leaves[0].kind is \"mp3\", expected 'wav' or 'flac'"),
    "in a long list": ('share = 1\n[groups]\na = [\n  "x",\n  3,\n]', 3, "groups.a[1] is 3, expected text"),
    "after long texts": ("[groups]\na = [\"\"\"\n[x]\n\"\"\", '''\n''']\nb = 1", 6, "groups.b is 1, expected a list"),
    "inline": ("keep = true\nleaves = [{name = 'a', rate_hz = 'x'}]", 2, 'leaves[0].rate_hz is "x"'),
    "dotted": ("keep = true\ngroups.a = 1", 2, "groups.a is 1"),
    "own refusal": ("[[leaves]]\nrate_hz = 8000\nname = 'no'", 3, "leaves[0].name is 'no', expected anything else"),
    "date": ("keep = 2020-01-01", 1, "keep is the date 2020-01-01"),
    "path": ("home = ''", 1, 'home is "", expected a path'),
    "zero byte": ('home = "a\\u0000b"', 1, "expected a path"),
}


@pytest.mark.parametrize(("text", "line", "what"), WRONG.values(), ids=WRONG)
def test_what_does_not_fit_is_told_with_key_and_line(read, text, line, what):
    with pytest.raises(ConfigError) as refused:
        read(text).build(Tree)
    assert f"tree.toml, line {line}: " in str(refused.value)
    assert what in str(refused.value)


UNREADABLE = {
    "syntax": (b"a = 1\nb = \n", "line 2"),
    "twice": (b"a = 1\na = 2\n", "line 2"),
    "not UTF-8": (b"a = '\xff'", "not UTF-8 text (at byte 5)"),
    "depth": (b"a = " + b"[" * 100_000, "nested too deeply"),
    "digits": (b"a = " + b"1" * 5000, "digits"),
    "size": (b"#" * (300 << 10), "at most"),
}


@pytest.mark.parametrize(("content", "what"), UNREADABLE.values(), ids=UNREADABLE)
def test_what_is_no_toml_is_refused(read, content, what):
    with pytest.raises(ConfigError, match=re.escape(what)):
        read(content)


def test_a_file_that_is_not_there_is_refused(tmp_path):
    with pytest.raises(ConfigError, match="no configuration"):
        TomlFile.read(tmp_path / "nothing.toml")
    with pytest.raises(ConfigError, match="no configuration"):
        TomlFile.read(tmp_path)


def test_a_list_of_ten_thousand_phrases_is_told_by_its_line(read):
    file = read("[groups]\nall = [\n" + '"a dog barks",\n' * 10_000 + "]\nx = 1\n")
    assert file.line_of(("groups", "x")) == 10_004
    assert file.line_of(("groups", "all", 9_000)) == 2


names = st.sampled_from(["home", "share", "keep", "leaves", "groups", "name", "rate_hz", "kind", "a b", '"', "é"])
values = st.recursive(
    st.one_of(st.text(max_size=5), st.integers(), st.floats(), st.booleans()),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(names, inner, max_size=3)),
    max_leaves=8,
)


def written(value):
    """A value as TOML."""
    match value:
        case bool():
            return str(value).lower()
        case str():
            return '"' + "".join(f"\\U{ord(c):08x}" if ord(c) < 0xD800 else "?" for c in value) + '"'
        case list():
            return "[" + ",\n".join(map(written, value)) + "]"
        case dict():
            return "{" + ", ".join(f"{written(k)} = {written(v)}" for k, v in value.items()) + "}"
    return str(value)


@settings(suppress_health_check=[HealthCheck.too_slow])  # the first text of all loads hypothesis's tables
@given(st.dictionaries(names, values, max_size=5))
def test_any_table_is_built_or_refused_with_a_line(tmp_path_factory, table):
    text = "".join(f"{written(name)} = {written(value)}\n" for name, value in table.items())
    assert tomllib.loads(text) is not None
    path = tmp_path_factory.mktemp("any") / "tree.toml"
    path.write_text(text)
    try:
        assert isinstance(TomlFile.read(path).build(Tree), Tree)
    except ConfigError as error:
        line = int(re.search(r"tree\.toml, line (\d+): ", str(error))[1])
        assert 1 <= line <= text.count("\n") + 1


@given(
    st.one_of(st.binary(max_size=200), st.text(alphabet="[]{}=.\"'\n\\ab1-:#,tT_ \r\t", max_size=60).map(str.encode))
)
def test_any_bytes_are_read_or_refused(tmp_path_factory, content):
    path = tmp_path_factory.mktemp("any") / "tree.toml"
    path.write_bytes(content)
    try:
        assert isinstance(TomlFile.read(path).build(Tree), Tree)
    except ConfigError as error:
        assert "tree.toml" in str(error)
