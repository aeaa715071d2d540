"""manifest.json: every number that the runtime needs, the sha256 of every other file of the bundle, and its own.

manifest = Manifest.read(folder)        # checked: unknown keys, missing keys and wrong types are errors
manifest.fingerprint                    # names the joint space; embeddings of two fingerprints never meet
"""

import dataclasses
import hashlib
import json
import sys
import types
import typing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

from edge_runtime.errors import BundleError
from edge_runtime.mel import MelSpec

__all__ = [
    "FILE",
    "SCHEMA",
    "EncoderSpec",
    "ExpertSpec",
    "Graph",
    "HeadSpec",
    "IndexSpec",
    "Manifest",
    "MatchSpec",
    "Profile",
    "StateSpec",
    "StreamSpec",
    "TextSpec",
    "WindowSpec",
    "digests_of",
    "sha256_of",
]

FILE = "manifest.json"
SCHEMA = 1
"""Version of the bundle's layout. A runtime reads the one that it was written for and refuses the others."""

MAX_MANIFEST_BYTES = 1 << 20
MAX_NAME_BYTES = 255
MAX_INT = 1 << 31
SHA256_HEX = 64


@dataclass(frozen=True)
class Graph:
    """One ONNX file, its precision, and why it has that precision (as measured at export)."""

    file: str
    precision: str
    why: str


@dataclass(frozen=True)
class StreamSpec:
    """How a streaming encoder is driven: frames of the first chunk, columns of silence at either edge of a recording
    (`pad`; twice as many are carried), and the chunks that it takes afterwards (`hops`, in segments)."""

    prime_frames: int
    pad: int
    hops: list[int]

    def __post_init__(self) -> None:
        _positive(self, "prime_frames", "pad")
        if not self.hops or min(self.hops) < 1:
            raise BundleError(f"manifest: a streaming encoder has the hops {self.hops}, expected 1 segment or more")

    def chunk_for(self, hop: int) -> int:
        """The longest chunk, in segments, of which `hop` segments are a multiple. BundleError where there is none."""
        if fitting := [chunk for chunk in self.hops if hop > 0 and hop % chunk == 0]:
            return max(fitting)
        raise BundleError(
            f"this encoder cannot take a hop of {hop} segments: choose a multiple of one of {sorted(self.hops)}"
        )


@dataclass(frozen=True)
class StateSpec:
    """What one layer carries from chunk to chunk: (1, channels, bands, columns) of `dtype`. The graph's input is
    `name`, its output `name_next`. `columns`: how many there are before a recording's first chunk (zeros) and after any
    chunk; where that is not said, the stream's `pad` and twice as many."""

    name: str
    channels: int
    bands: int
    dtype: str
    columns: list[int] = field(default_factory=list)

    def __post_init__(self) -> None:
        _positive(self, "channels", "bands")
        if self.dtype not in ("float32", "uint8"):
            raise BundleError(f"state {self.name} has dtype {self.dtype!r}; this runtime knows float32 and uint8")
        if self.columns and (len(self.columns) != 2 or min(self.columns) < 0):
            raise BundleError(f"state {self.name} has the columns {self.columns}, expected two numbers, none below 0")

    def shape(self, pad: int, *, beginning: bool) -> tuple[int, int, int, int]:
        """Before a recording's first chunk, or after one."""
        columns = self.columns or [pad, 2 * pad]
        return 1, self.channels, self.bands, columns[0 if beginning else 1]


@dataclass(frozen=True)
class Profile:
    """One precision of the audio side: its graphs, the encoder's states, and what was measured at export."""

    encoder: Graph
    head: Graph
    states: list[StateSpec]
    figures: dict[str, float]


@dataclass(frozen=True)
class EncoderSpec:
    """Log-mel -> segments. `width` is D; a clip shorter than `min_frames` is padded with the frames of silence.
    `kind` is "windowed", or "streaming", which has a `stream`."""

    graph: Graph
    kind: str
    width: int
    segment_frames: int
    min_frames: int
    stream: StreamSpec | None = None

    def __post_init__(self) -> None:
        if self.kind not in ("windowed", "streaming"):
            raise BundleError(
                f"encoder kind {self.kind!r}; this runtime knows 'windowed' and 'streaming': update earmark"
            )
        if (self.kind == "streaming") != (self.stream is not None):
            raise BundleError(f"manifest: a {self.kind} encoder with stream {self.stream}: export the bundle again")
        _positive(self, "width", "segment_frames", "min_frames")


@dataclass(frozen=True)
class ExpertSpec:
    """A further encoder: samples (n,) at `rate_hz`, `min_samples` or more (fewer are followed by silence), -> segments
    (S, `width`), which the head takes as `head_input`. Its front end is in its graph."""

    name: str
    graph: Graph
    width: int
    rate_hz: int
    min_samples: int

    def __post_init__(self) -> None:
        _positive(self, "width", "rate_hz", "min_samples")
        if not self.name.isidentifier():
            raise BundleError(f"manifest: an expert is named {self.name!r}, expected letters, digits and underscores")

    @property
    def head_input(self) -> str:
        return f"segments_{self.name}"


@dataclass(frozen=True)
class HeadSpec:
    """Segments (S, D) -> embedding (E,); `width` is E. Where there are experts, it takes theirs as well."""

    graph: Graph
    width: int
    pooling: str


@dataclass(frozen=True)
class TextSpec:
    """Token ids (B, L) -> embeddings (B, E); a phrase has at most `max_words` words."""

    graph: Graph
    max_words: int

    def __post_init__(self) -> None:
        _positive(self, "max_words")


@dataclass(frozen=True)
class WindowSpec:
    """Windows in segments: their length, and how often one is matched (`hop`) and archived (`archive_hop`)."""

    segments: int
    hop: int
    archive_hop: int

    def __post_init__(self) -> None:
        _positive(self, "segments", "hop", "archive_hop")
        if max(self.hop, self.archive_hop) > self.segments:
            raise BundleError(
                f"hops of {self.hop} and {self.archive_hop} pass over sound: a window has {self.segments}"
            )
        if self.archive_hop % self.hop:
            raise BundleError(f"archive hop {self.archive_hop} is no multiple of the hop {self.hop}")


@dataclass(frozen=True)
class IndexSpec:
    """HNSW settings: links a node (m), beam while building, beam while searching (hnswlib does not save the last)."""

    m: int
    ef_construction: int
    ef: int

    def __post_init__(self) -> None:
        _positive(self, "m", "ef_construction", "ef")


@dataclass(frozen=True)
class MatchSpec:
    """From which score a phrase counts as heard (edge_runtime/background.py), chosen on the validation split.

    With a label bank: `margin` above the window's reference; a search holds down hubs with `sharpness`, if above 0.
    With a memory a search's text goes the share `recall` towards sounds that it brings to mind (recall.py).
    Without one: the cosine `heard` at least, and so many `deviations` above what the phrase scores on the bundle's
    background, where it has one."""

    heard: float
    deviations: float = 0.0
    margin: float = 0.0
    sharpness: float = 0.0
    recall: float = 0.0


@dataclass(frozen=True)
class Manifest:
    schema: int
    name: str
    version: str
    licence: str
    notices: list[str]
    mel: MelSpec
    encoder: EncoderSpec
    head: HeadSpec
    text: TextSpec
    window: WindowSpec
    index: IndexSpec
    match: MatchSpec
    quality: dict[str, float]
    files: dict[str, str] = field(repr=False)
    profiles: dict[str, Profile] = field(default_factory=dict)
    """By name; the first one is the default, whose graphs `encoder` and `head` name too. Windowed bundles have none."""
    experts: list[ExpertSpec] = field(default_factory=list)
    """Encoders beside `encoder` (edge_runtime/experts.py); most bundles have none."""

    def __post_init__(self) -> None:
        for name, digest in self.files.items():
            plain = Path(name).name == name and name.isprintable() and len(name.encode()) <= MAX_NAME_BYTES
            if not plain or name in ("", ".", "..", FILE):
                raise BundleError(f"the manifest names the file {name!r}; only plain names inside the bundle are read")
            if len(digest) != SHA256_HEX:
                raise BundleError(f"the manifest's sha256 of {name} has {len(digest)} characters, expected 64")
        audio = [graph for profile in self.profiles.values() for graph in (profile.encoder, profile.head)]
        experts = [expert.graph for expert in self.experts]
        graphs = [graph.file for graph in (self.encoder.graph, self.head.graph, self.text.graph, *audio, *experts)]
        for name in ("mel.npz", "tokenizer.json", *graphs):
            if name not in self.files:
                raise BundleError(f"the manifest gives no sha256 for {name}: export the bundle again")
        if self.encoder.stream and not self.profiles:
            raise BundleError("the manifest has a streaming encoder without profiles: export the bundle again")
        if len({expert.name for expert in self.experts}) < len(self.experts):
            raise BundleError("the manifest names an expert twice: export the bundle again")
        if audio and [graph.file for graph in audio[:2]] != [self.encoder.graph.file, self.head.graph.file]:
            raise BundleError("the manifest's encoder and head are not those of its first profile: export it again")

    @property
    def fingerprint(self) -> str:
        """16 hex digits over all that shapes an embedding: front end, graphs, tokeniser.

        The profiles of a bundle share it: they answer alike within the bounds of its export, so an archive outlives
        a change of profile.
        """
        parts = [json.dumps(dataclasses.asdict(self.mel), sort_keys=True), str(self.encoder.min_frames)]
        graphs = [self.encoder.graph.file, self.head.graph.file, self.text.graph.file]
        graphs += [expert.graph.file for expert in self.experts]
        for profile in self.profiles.values():
            graphs += [graph.file for graph in (profile.encoder, profile.head) if graph.file not in graphs]
        parts += [self.files[name] for name in ("mel.npz", "tokenizer.json", *graphs)]
        return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:16]

    def profile(self, name: str | None = None) -> Profile:
        """The named profile, or the default one. BundleError: the bundle lacks it."""
        if name is None:
            return next(iter(self.profiles.values()), Profile(self.encoder.graph, self.head.graph, [], {}))
        if name not in self.profiles:
            held = ", ".join(self.profiles) or "none: it has one precision only"
            raise BundleError(
                f"bundle {self.name} has no profile {name!r}, it has {held}: choose another, or export it with {name}"
            )
        return self.profiles[name]

    @property
    def segment_s(self) -> float:
        return self.encoder.segment_frames * self.mel.hop_s

    @property
    def hop_s(self) -> float:
        return self.window.hop * self.segment_s

    @property
    def window_s(self) -> float:
        return self.window.segments * self.segment_s

    @classmethod
    def read(cls, folder: Path) -> "Manifest":
        path = folder / FILE
        if not path.is_file():
            raise BundleError(f"{folder} is no bundle: it has no {FILE}. Give a folder that `export` wrote")
        if path.stat().st_size > MAX_MANIFEST_BYTES:
            raise BundleError(f"{path} has {path.stat().st_size} bytes; a manifest has at most {MAX_MANIFEST_BYTES}")
        try:
            data = json.loads(path.read_text(encoding="utf-8"))
            seal = data.pop("sha256", None) if isinstance(data, dict) else None
            sound = seal is None or seal == _sha256_of_json(data)
        except (OSError, ValueError, RecursionError) as error:
            raise BundleError(f"{path} cannot be read as JSON ({error}): copy or export the bundle again") from error
        found = data.get("schema") if isinstance(data, dict) else None
        if found != SCHEMA:
            raise BundleError(
                f"{folder} has bundle schema {found!r}, this earmark reads {SCHEMA}: "
                "update earmark, or export the bundle again with this version"
            )
        if not sound:
            raise BundleError(f"{path} is damaged: its sha256 is not the one that it names: copy the bundle again")
        return _build(cls, data, "manifest")

    def write(self, folder: Path) -> None:
        data = _plain(self)
        data["sha256"] = _sha256_of_json(data)
        (folder / FILE).write_text(json.dumps(data, indent=2) + "\n", encoding="utf-8")


def sha256_of(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def digests_of(folder: Path) -> dict[str, str]:
    """`files` of a bundle's folder: everything in it but the manifest."""
    return {path.name: sha256_of(path) for path in sorted(folder.iterdir()) if path.name != FILE}


def _plain(value: Any) -> Any:
    """A dataclass as JSON has it; what equals its default is left out, so that older runtimes can read the rest."""
    if dataclasses.is_dataclass(value):
        return {
            each.name: _plain(getattr(value, each.name)) for each in dataclasses.fields(value) if _told(value, each)
        }
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    return [_plain(item) for item in value] if isinstance(value, list) else value


def _told(spec: Any, each: dataclasses.Field) -> bool:
    return _is_required(each) or bool(getattr(spec, each.name))


def _is_required(each: dataclasses.Field) -> bool:
    return each.default is dataclasses.MISSING and each.default_factory is dataclasses.MISSING


def _sha256_of_json(data: dict[str, Any]) -> str:
    """The digest of what a manifest says, however it is laid out."""
    return hashlib.sha256(json.dumps(data, sort_keys=True).encode()).hexdigest()


def _positive(spec: Any, *names: str) -> None:
    for name in names:
        if getattr(spec, name) <= 0:
            raise BundleError(f"manifest: {type(spec).__name__}.{name} is {getattr(spec, name)}, expected above 0")


def _build(kind: Any, value: Any, where: str) -> Any:
    """Turn parsed JSON into `kind`, naming the key that does not fit."""
    if dataclasses.is_dataclass(kind):
        if not isinstance(value, dict):
            raise BundleError(f"{where} is {type(value).__name__}, expected an object")
        hints = typing.get_type_hints(kind)
        required = {each.name for each in dataclasses.fields(kind) if _is_required(each)}
        unknown, missing = sorted(value.keys() - hints.keys()), sorted(required - value.keys())
        if unknown or missing:
            raise BundleError(f"{where}: unknown keys {unknown}, missing keys {missing}")
        return cast(Any, kind)(**{name: _build(hints[name], value[name], f"{where}.{name}") for name in value})
    if isinstance(kind, types.UnionType):  # `X | None`; None is said by leaving the key out
        return _build(typing.get_args(kind)[0], value, where)
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if origin is list and isinstance(value, list):
        return [_build(arguments[0], item, f"{where}[{i}]") for i, item in enumerate(value)]
    if origin is dict and isinstance(value, dict):
        return {key: _build(arguments[1], item, f"{where}.{key}") for key, item in value.items()}
    if kind is float and type(value) in (int, float) and abs(value) <= sys.float_info.max:  # no NaN, no infinity
        return float(value)
    if (kind is int and type(value) is int and abs(value) < MAX_INT) or (kind is str and type(value) is str):
        return value
    found = type(value).__name__ if isinstance(value, list | dict) else json.dumps(value)[:60]
    raise BundleError(f"{where} is {found}, expected {getattr(kind, '__name__', kind)}")
