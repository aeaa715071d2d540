"""What a service is to do, as one TOML file says it; README.md, "Listening for months", shows one.

    configuration = Configuration.read(Path("field.toml"))      # ConfigError names key and line

Nothing but the sources has to be said. Each table is a dataclass, and its fields are what the table may hold.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Annotated, Literal, Self

from edge_runtime.clock import Trust
from edge_runtime.errors import AudioError, PhraseError
from edge_runtime.events.clips import ClipSettings
from edge_runtime.events.retention import Retention
from edge_runtime.gain import LEAST_DB, MOST_DB
from edge_runtime.matching.matcher import WITHIN, Watchlist
from edge_runtime.matching.rule import Rule
from edge_runtime.phrases import tidy
from edge_runtime.resample import MAX_RATE_HZ, MIN_RATE_HZ
from edge_runtime.service.calibrator import CalibrationSettings
from edge_runtime.service.sinks import Sink
from edge_runtime.service.toml_file import Between, Key, TomlFile, expanded
from edge_runtime.sources.stream import check_url

__all__ = ["ClockSettings", "Configuration", "EventSettings", "SourceSettings"]

Speech = Literal["silence", "drop", "keep"]
NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,39}")


@dataclass(frozen=True)
class ClockSettings:
    """`trust`: "ntp" believes the system's clock while a time server holds it, "system" always (clock.py)."""

    trust: Trust = "ntp"


@dataclass(frozen=True)
class SourceSettings:
    """Where sound comes from, by a `name` of its own; `input` as in `earmark listen SOURCE`. `rate_hz`: of the PCM on
    standard input, which has no header. `watch`: a folder's new files too, for ever. `archive`: whether its windows are
    kept. `gain_db`: how much louder the model hears it than it comes, for a quiet microphone; clips stay as it came."""

    name: str
    input: str
    rate_hz: Annotated[int, Between(MIN_RATE_HZ, MAX_RATE_HZ)] | None = None
    watch: bool = False
    archive: bool = True
    gain_db: Annotated[float, Between(LEAST_DB, MOST_DB)] = 0.0

    def __post_init__(self) -> None:
        if not NAME.fullmatch(self.name):
            raise ValueError(
                f"name is {self.name!r}, expected up to 40 small letters, digits, - and _: rename the source"
            )
        if not self.input or not self.input.isprintable():
            raise ValueError(
                f"input is {self.input!r}, expected mic, mic:NAME, a file, a folder, a URL or -: say which"
            )
        if (self.rate_hz is None) == (self.input == "-"):
            said = "lacks" if self.rate_hz is None else "has"
            raise ValueError(f"input is {self.input!r} and {said} a rate_hz, which PCM on standard input has: mend one")


@dataclass(frozen=True)
class EventSettings:
    """How firing windows become events (events/builder.py)."""

    hold_s: Annotated[float, Between(0, 3600)] = 2.0
    refractory_s: Annotated[float, Between(0, 86_400)] = 0.0
    longest_s: Annotated[float, Between(10, 86_400)] = 600.0


@dataclass(frozen=True)
class Configuration:
    """`home`, `bundle`: default as for every command. `phrases`: the only ones that are heard; default: the home's, in
    which those that are added from outside are heard at the next hop. `groups`: phrases under one name. `rules`: by
    name, what has to be heard together (matching/rule.py). `thresholds`: how far above a window's reference a phrase
    has to be, where that is not to be the bundle's. `told_within`: how far below the best one of a window another
    phrase is told (matching/matcher.py).

    Without a table `clips` no sound is ever written. `speech`, where somebody may speak: "silence" in clips, "drop" the
    embeddings as well, or "keep" all. With a table `calibration` thresholds are found by each source's own sounds.
    """

    sources: tuple[SourceSettings, ...]
    home: Path | None = None
    bundle: Path | None = None
    profile: str | None = None
    engine: str | None = None
    phrases: tuple[str, ...] = ()
    groups: dict[str, tuple[str, ...]] = field(default_factory=dict)
    rules: dict[str, str] = field(default_factory=dict)
    thresholds: dict[str, Annotated[float, Between(-2, 2)]] = field(default_factory=dict)
    told_within: Annotated[float, Between(0, 2)] = WITHIN
    speech: Speech = "silence"
    clips: ClipSettings | None = None
    retention: Retention = field(default_factory=Retention)
    clock: ClockSettings = field(default_factory=ClockSettings)
    events: EventSettings = field(default_factory=EventSettings)
    calibration: CalibrationSettings | None = None
    sinks: tuple[Sink, ...] = ()

    @classmethod
    def read(cls, path: Path) -> Self:
        """Raises ConfigError."""
        file = TomlFile.read(path)
        built: Self = file.build(cls)
        built._check(file)
        return replace(built, sources=tuple(_resolved(source, path.parent) for source in built.sources))

    @property
    def watchlist(self) -> Watchlist:
        """Groups and rules as matching has them. Raises PhraseError."""
        return Watchlist(self.groups, {name: Rule.parse(text) for name, text in self.rules.items()}, self.told_within)

    @property
    def gates_speech(self) -> bool:
        """Whether there is anything that speech is kept out of."""
        return self.speech == "drop" or (self.speech == "silence" and self.clips is not None)

    @property
    def limits(self) -> dict[str, float]:
        """`thresholds` by phrases as the vocabulary has them."""
        return {tidy(text): limit for text, limit in self.thresholds.items()}

    def _check(self, file: TomlFile) -> None:
        """What no table shows by itself."""
        if not self.sources:
            raise file.error(("sources",), "is empty: add a [[sources]] table with name and input")
        for where, source in enumerate(self.sources):
            before = self.sources[:where]
            if source.name in {each.name for each in before}:
                advice = "give each source a name of its own"
                raise file.error(("sources", where, "name"), f"is {source.name!r} again: {advice}")
            if source.input == "-" and "-" in {each.input for each in before}:
                raise file.error(("sources", where, "input"), "is '-' again: standard input is one source")
            if "://" in source.input:
                _refusing(file, ("sources", where, "input"), partial(check_url, source.input))
        for table in ("groups", "rules", "thresholds"):
            for name in getattr(self, table):
                _refusing(file, (table, name), partial(tidy, name))
        for group, texts in self.groups.items():
            for number, text in enumerate(texts):
                _refusing(file, ("groups", group, number), partial(tidy, text))
        for number, text in enumerate(self.phrases):
            _refusing(file, ("phrases", number), partial(tidy, text))
        for name, text in self.rules.items():
            _refusing(file, ("rules", name), partial(Rule.parse, text))
        for name in self.groups:
            _refusing(file, ("groups", name), partial(Watchlist, {name: self.groups[name]}))
        _refusing(file, ("rules",), lambda: self.watchlist)


def _refusing(file: TomlFile, key: Key, check: Callable[[], object]) -> None:
    """What a check says against a value, with key and line."""
    try:
        check()
    except (AudioError, PhraseError) as error:
        raise file.error(key, f"does not serve: {error}") from error


def _resolved(source: SourceSettings, folder: Path) -> SourceSettings:
    """Files and folders begin at the configuration's folder."""
    if source.input in {"-", "mic"} or source.input.startswith("mic:") or "://" in source.input:
        return source
    return replace(source, input=str(folder / expanded(source.input)))
