"""A TOML file read into frozen dataclasses; what does not fit is told with its key and its line.

    file = TomlFile.read(path)
    configuration = file.build(Configuration)
    raise file.error(("sources", 1, "input"), "is taken twice: give each source its own")

A field's type says what is expected: str, int, float, bool, Path (relative ones begin at the file's folder), Literal,
`X | None` (None: the key is left out), tuple[X, ...], dict[str, X], Annotated[number, Between(low, high)], a
dataclass. A dataclass may refuse more in `__post_init__` by ValueError; where its message begins with a field's name,
that key's line is told.

Python's TOML reader keeps no lines. A key stands in the first statement with which the text before it holds the key:
found by halving, and only when there is an error to tell.
"""

import json
import math
import re
import tomllib
import types
import typing
from bisect import bisect_left
from dataclasses import MISSING, Field, dataclass, fields, is_dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from edge_runtime.errors import ConfigError

__all__ = ["Between", "Key", "TomlFile", "expanded"]

MAX_BYTES = 256 << 10
"""Ten thousand phrases and their rules; longer lists stand in a phrase file."""
SHOWN = 60
NAMES = {str: "text", bool: "true or false", int: "a whole number", float: "a number", Path: "a path"}

TOKEN = re.compile(
    r'"""(?:\\.|[^\\])*?"{3,5}' r"|'''.*?'{3,5}" r'|"(?:\\.|[^"\\\n])*"' r"|'[^'\n]*'" r"|#[^\n]*|[\[\]{}]|\n",
    re.DOTALL,
)
"""What tells statements apart: a line ends one unless it is within a text, a comment or brackets."""

Key = tuple[str | int, ...]
"""Where a value stands: ("sources", 1, "input")."""


@dataclass(frozen=True)
class Between:
    """A number's bounds, both allowed."""

    low: float
    high: float


class TomlFile:
    """`data` is what the file holds, unchecked."""

    def __init__(self, path: Path, text: str) -> None:
        """Raises ValueError (tomllib's), RecursionError."""
        self.path = path
        self.data = tomllib.loads(text)
        self._text = text

    @classmethod
    def read(cls, path: Path) -> Self:
        """Raises ConfigError where the file is not there or no TOML."""
        try:
            if not path.is_file():
                raise ConfigError(f"there is no configuration {path}: give the path of a TOML file")
            if path.stat().st_size > MAX_BYTES:
                raise ConfigError(
                    f"{path} has {path.stat().st_size} bytes, at most {MAX_BYTES} are read: keep phrases in a file"
                )
            text = path.read_bytes().decode("utf-8-sig").replace("\r\n", "\n")
        except OSError as error:
            raise ConfigError(f"{path} cannot be read ({error.strerror}): check its permissions") from error
        except UnicodeDecodeError as error:
            raise ConfigError(f"{path} is not UTF-8 text (at byte {error.start}): save it as UTF-8") from error
        try:
            return cls(path, text)
        except RecursionError as error:
            raise ConfigError(f"{path} is nested too deeply: a configuration has tables of a few levels") from error
        except ValueError as error:
            place = re.search(r"\(at line (\d+), column \d+\)", str(error))
            line = f", line {place[1]}" if place else ""
            reason = str(error)[: place.start()].strip() if place else str(error)
            raise ConfigError(f"{path}{line}: {reason}: correct what TOML cannot read there") from error

    def error(self, key: Key, what: str) -> ConfigError:
        """An error about a key; where that is not in the file, the line is that of the table which lacks it."""
        return ConfigError(f"{self.path}, line {self.line_of(key)}: {told(key)} {what}")

    def line_of(self, key: Key) -> int:
        """The line (from 1) of the statement that gives this key, or else of what is around it."""
        while key and not _holds(self.data, key):
            key = key[:-1]
        if not key:
            return 1
        ends = _statement_ends(self._text)
        last = bisect_left(ends, True, key=lambda end: _holds(tomllib.loads(self._text[:end]), key))
        return 1 + self._text.count("\n", 0, ends[last - 1] if last else 0)

    def build(self, kind: type) -> Any:
        """The whole file as this dataclass. Raises ConfigError."""
        return self._build(kind, self.data, ())

    def _build(self, kind: Any, value: Any, key: Key) -> Any:
        origin, arguments = typing.get_origin(kind), typing.get_args(kind)
        if origin in (types.UnionType, typing.Union):  # X | None
            return self._build(arguments[0], value, key)
        if is_dataclass(kind):
            return self._dataclass(kind, value, key)
        if origin is tuple and isinstance(value, list):
            return tuple(self._build(arguments[0], item, (*key, i)) for i, item in enumerate(value))
        if origin is dict and isinstance(value, dict):
            return {name: self._build(arguments[1], item, (*key, name)) for name, item in value.items()}
        try:
            return self._scalar(kind, value)
        except ValueError as error:
            raise self.error(key, f"is {shown(value)}, expected {expected(kind)}: correct it") from error

    def _scalar(self, kind: Any, value: Any) -> Any:
        """Raises ValueError where the value is not of this kind."""
        origin, arguments = typing.get_origin(kind), typing.get_args(kind)
        if origin is Annotated:
            number = self._scalar(arguments[0], value)
            fits, found = arguments[1].low <= number <= arguments[1].high, number
        elif origin is Literal:
            fits, found = type(value) is str and value in arguments, value
        elif kind is float:
            fits = type(value) in (int, float) and _is_finite(value)
            found = float(value) if fits else value
        elif kind is Path:
            fits = type(value) is str and bool(value) and value.isprintable()
            found = self.path.parent / expanded(value) if fits else value
        else:
            fits, found = type(value) is kind, value
        if not fits:
            raise ValueError
        return found

    def _dataclass(self, kind: Any, value: Any, key: Key) -> Any:
        if not isinstance(value, dict):
            raise self.error(key, f"is {shown(value)}, expected a table: write it as [{told(key)}]")
        hints = typing.get_type_hints(kind, include_extras=True)
        names = [each.name for each in fields(kind)]
        for name in value:
            if name not in names:
                near = get_close_matches(name, names, n=1)
                advice = f"did you mean {near[0]!r}?" if near else f"known here: {', '.join(names)}"
                raise self.error((*key, name), f"is no setting: {advice}")
        for each in fields(kind):
            if each.name not in value and _is_required(each):
                what = f"lacks {each.name!r}, which is {expected(hints[each.name])}: add it"
                raise self.error(key, what) if key else ConfigError(f"{self.path} {what}")
        built = {name: self._build(hints[name], item, (*key, name)) for name, item in value.items()}
        try:
            return kind(**built)
        except ValueError as error:
            first, _, rest = str(error).partition(" ")
            where, what = ((*key, first), rest) if first in names else (key, str(error))
            raise self.error(where, what) from error


def told(key: Key) -> str:
    """("sources", 1, "input") -> 'sources[1].input', as Python counts; an empty one is the file."""
    text = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in key)
    return text.removeprefix(".") or "the configuration"


def shown(value: Any) -> str:
    """What arrived, on one short line."""
    match value:
        case dict():
            return "a table"
        case list():
            return "a list"
        case str() | bool() | int() | float():
            text = json.dumps(value, ensure_ascii=False) if not isinstance(value, int) else _short(value)
            return text if len(text) <= SHOWN else text[: SHOWN - 1] + "…"
    return f"the {type(value).__name__} {value}"


def expected(kind: Any) -> str:
    """A type in words."""
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if origin is Annotated:
        return f"{expected(arguments[0])} from {arguments[1].low:g} to {arguments[1].high:g}"
    if origin in (types.UnionType, typing.Union):
        return expected(arguments[0])
    if origin is Literal:
        return " or ".join(map(repr, arguments))
    if origin is tuple:
        return f"a list, each {expected(arguments[0])}"
    if origin is dict:
        return f"a table, each {expected(arguments[1])}"
    return NAMES.get(kind, "a table")


def _short(number: int) -> str:
    """Python refuses to print whole numbers of thousands of digits."""
    return json.dumps(number) if abs(number) < 10**SHOWN else "a number of many digits"


def _is_finite(value: float) -> bool:
    try:
        return math.isfinite(value)
    except OverflowError:  # a whole number beyond any float
        return False


def expanded(value: str) -> Path:
    """~ is the user's folder."""
    try:
        return Path(value).expanduser()
    except RuntimeError:  # ~nobody: a name like any other
        return Path(value)


def _is_required(each: Field[Any]) -> bool:
    return each.default is MISSING and each.default_factory is MISSING


def _holds(data: Any, key: Key) -> bool:
    for part in key:
        if isinstance(part, int):
            if not isinstance(data, list) or part >= len(data):
                return False
        elif not isinstance(data, dict) or part not in data:
            return False
        data = data[part]
    return True


def _statement_ends(text: str) -> list[int]:
    """Where each statement of a sound TOML text ends, its line break included; empty and remark lines are their own."""
    ends, depth = [], 0
    for token in TOKEN.finditer(text):
        match token[0]:
            case "[" | "{":
                depth += 1
            case "]" | "}":
                depth -= 1
            case "\n" if depth == 0:
                ends.append(token.end())
    return ends if ends and ends[-1] == len(text) else [*ends, len(text)]
