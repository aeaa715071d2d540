"""A bundle: one exported model in a folder, loaded whole or refused.

    bundle = Bundle.open()                  # the bundle inside the package
    bundle = Bundle.open("my-bundle")
    bundle = Bundle.open("my-bundle", profile="small")      # one of its precisions
    bundle.embed_text(["a dog barks"])      # (1, E) unit vectors

Opening checks, in this order: the manifest, the sha256 of every file that is used, each graph's inputs and outputs,
and the self-test: a known signal must give the known answers of `golden.npz` on this very CPU.

With a home, a bundle opens with the profile and in the engine that `earmark doctor --tune` found best on this CPU, and
its heavy graphs come optimised and mapped from the home's cache.
"""

from collections.abc import Callable, Mapping, Sequence
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import numpy as np

from edge_runtime.background import FILE as BACKGROUND
from edge_runtime.background import Background
from edge_runtime.encoder import WindowedEncoder
from edge_runtime.errors import BundleError
from edge_runtime.experts import Experts
from edge_runtime.golden import Golden
from edge_runtime.graph import OpenGraph, Shape
from edge_runtime.graph_cache import GraphCache
from edge_runtime.graph_engine import DEFAULT_ENGINE, open_graph
from edge_runtime.heap import hand_back
from edge_runtime.manifest import ExpertSpec, Graph, Manifest, sha256_of
from edge_runtime.mel import LogMel, MelTables, log_mel
from edge_runtime.on_demand import OnDemand
from edge_runtime.profile_choice import settle
from edge_runtime.recall import FILE as MEMORY
from edge_runtime.recall import Recall
from edge_runtime.streaming import StreamingEncoder, streaming_graph_io, whole_clip
from edge_runtime.tokenizer import Tokenizer, batch_of

__all__ = ["DEFAULT_BUNDLE", "Bundle", "check_all_files"]

DEFAULT_BUNDLE = Path(__file__).parent / "default_bundle"

MIN_COSINE = 0.999
"""Self-test bound. int8 kernels of different CPUs round differently; over the export's own tests they stay above .9999,
and a damaged graph or a broken kernel falls far below .99."""
MAX_MEL_ERROR = 2e-3
"""Self-test bound on log-mel, absolute: FFT libraries differ by 1e-4 in the quietest bands."""
LOOK_AHEAD_SEGMENTS = 8
"""More than any encoder's here, the front end's block included."""
MIN_CACHED_BYTES = 16 << 20
"""Smaller graphs load in a tenth of a second as they are; optimising them first would take ten times that."""


class Bundle:
    """The model of one bundle, stateless: front end, encoder, head and text encoder. `open` is the way in."""

    def __init__(
        self,
        folder: Path,
        *,
        profile: str | None = None,
        engine: str = DEFAULT_ENGINE,
        threads: int = 1,
        cache: GraphCache | None = None,
        write: bool = True,
    ) -> None:
        """`engine` runs encoder and head. `cache` keeps onnxruntime's optimised graphs; with `write=False` it is only
        read. Graphs are opened when they are first run."""
        self.folder = folder
        self.manifest = manifest = Manifest.read(folder)
        parts = manifest.profile(profile)
        self.profile = profile or next(iter(manifest.profiles), None)
        """The name of the profile in use; None in a bundle of one precision."""
        self.engine = engine
        audio, text = (parts.encoder, parts.head), manifest.text.graph
        cached = (text,) if engine != DEFAULT_ENGINE else (*audio, text)
        optimised = {graph.file: self._optimised(graph, cache, write=write) for graph in cached}
        idle = {graph.file for each in manifest.profiles.values() for graph in (each.encoder, each.head)}
        idle -= {graph.file for graph in audio}
        idle |= {text.file} | {file for file, path in optimised.items() if path is not None}
        _check_files(folder, manifest, unread=idle)
        self.tables = MelTables.load(folder / "mel.npz", manifest.mel)
        self.tokenizer = Tokenizer.load(folder / "tokenizer.json", max_words=manifest.text.max_words)
        width, joint = manifest.encoder.width, manifest.head.width
        self._states = parts.states

        def opened(graph: Graph, engine: str, **io: Any) -> OpenGraph:
            source, form = folder / graph.file, optimised.get(graph.file)
            if graph is text and form is None:  # opened again and again: it may be another by now
                _check_file(source, manifest.files[graph.file])
            return open_graph(source, form, precision=graph.precision, engine=engine, threads=threads, **io)

        segments: dict[str, Shape] = {"segments": (None, width)}
        segments |= {expert.head_input: (None, expert.width) for expert in manifest.experts}
        self._head = OnDemand(partial(opened, parts.head, engine, inputs=segments, outputs={"embedding": (joint,)}))
        self._encoder = OnDemand(partial(opened, parts.encoder, engine, **self._encoder_io()))
        self._experts: list[tuple[ExpertSpec, OnDemand]] = []
        for each in manifest.experts:
            io: dict[str, Any] = {"inputs": {"samples": (None,)}, "outputs": {"segments": (None, each.width)}}
            self._experts.append((each, OnDemand(partial(opened, each.graph, engine, **io))))
        io = {"inputs": {"token_ids": (None, None)}, "outputs": {"embedding": (None, joint)}}
        self._text = OnDemand(partial(opened, text, DEFAULT_ENGINE, **io))

    @classmethod
    def open(
        cls,
        folder: str | Path | None = None,
        *,
        profile: str | None = None,
        engine: str | None = None,
        home: str | Path | None = None,
        threads: int = 1,
        write: bool = True,
    ) -> "Bundle":
        """Load and verify the bundle in `folder` (default: the one inside the package).

        `profile`: which of its precisions (default: the one that was chosen for this CPU and is told in `home`, else
        the bundle's first). `engine`: "onnxruntime" or "openvino" (default: the one that was chosen with the profile,
        else onnxruntime). `home` also keeps optimised graphs; with `write=False` it is only read.

        Raises BundleError, which says what was found, what was expected and what to do; EarmarkError where the engine
        is not installed.
        """
        folder = Path(folder) if folder is not None else DEFAULT_BUNDLE
        home = Path(home).expanduser() if home is not None else None
        choice = settle(home, Manifest.read(folder), profile=profile, engine=engine)
        cache = GraphCache(home / "graphs") if home is not None else None
        bundle = cls(folder, profile=choice.profile, engine=choice.engine, threads=threads, cache=cache, write=write)
        optional = [BACKGROUND] if (folder / BACKGROUND).exists() else []
        for name in ("golden.npz", "phrases.jsonl", *optional):
            if name not in bundle.manifest.files:
                raise BundleError(f"the manifest gives no sha256 for {name}: export the bundle again")
        bundle.self_test()
        _ = bundle.background  # refused now rather than at the first match
        hand_back()
        return bundle

    @cached_property
    def background(self) -> Background | None:
        """What phrases are held against (background.py); None in a bundle without one."""
        if BACKGROUND not in self.manifest.files:
            return None
        return Background.load(self.folder / BACKGROUND, width=self.manifest.head.width)

    @property
    def fingerprint(self) -> str:
        return self.manifest.fingerprint

    def log_mel(self) -> LogMel:
        """A new front end for one source."""
        return LogMel(self.manifest.mel, self.tables)

    @property
    def silence(self) -> np.ndarray:
        """The frame of digital silence, (M,) float32."""
        return self.tables.silence(self.manifest.mel)

    def encoder(self, *, hop: int | None = None) -> WindowedEncoder | StreamingEncoder:
        """A new encoder state for one source. `hop`: the segments that a streaming encoder computes at a time (default:
        what fits the manifest's hop); BundleError where it cannot take it. A windowed one has no such limit."""
        spec, keep = self.manifest.encoder, self.manifest.window.segments
        if spec.stream is None:
            return WindowedEncoder(self._encoder.open(), spec, silence=self.silence, keep_segments=keep)
        hop = hop if hop is not None else spec.stream.chunk_for(self.manifest.window.hop)
        return StreamingEncoder(
            self._encoder.open(), spec, self._states, silence=self.silence, keep_segments=keep, hop=hop
        )

    def whole_clip(self, frames: np.ndarray) -> np.ndarray:
        """A streaming bundle's encoder offline: frames (T, M) of one segment or more -> (T // segment_frames, D)."""
        return whole_clip(self._encoder.open(), self.manifest.encoder, self._states, frames)

    def experts(self) -> Experts:
        """A new state of the further encoders for one source."""
        # a window begins before what was last complete; a streaming encoder withholds a hop and its look-ahead
        keep = (2 * self.manifest.window.segments + LOOK_AHEAD_SEGMENTS) * self._segment_samples
        opened = [(spec, graph.open()) for spec, graph in self._experts]
        return Experts(opened, rate_hz=self.manifest.mel.rate_hz, keep_samples=keep)

    @property
    def _segment_samples(self) -> int:
        return self.manifest.encoder.segment_frames * self.manifest.mel.hop_samples

    def embed_segments(self, segments: np.ndarray, of_experts: Mapping[str, np.ndarray] | None = None) -> np.ndarray:
        """Segments (S, D) of one window, and what `Experts.between` has of it -> its embedding (E,), unit length."""
        return self._head(segments=segments, **(of_experts or {}))

    def embed_text(self, phrases: Sequence[str]) -> np.ndarray:
        """Phrases -> (B, E) unit vectors. Raises PhraseError where a phrase has no known word or is too long.

        Each phrase is embedded alone: the answer cannot depend on its neighbours.
        """
        rows = [self._text(token_ids=batch_of([self.tokenizer.encode(phrase)])) for phrase in phrases]
        return np.concatenate(rows) if rows else np.zeros((0, self.manifest.head.width), np.float32)

    def queries(self, texts: Sequence[str]) -> np.ndarray:
        """What a search asks with for texts: (B, E) unit vectors, moved towards sounds that the texts bring to mind
        where that was found to help this bundle (recall.py). Raises as `embed_text`."""
        embedded, share = self.embed_text(texts), self.manifest.match.recall
        return self.remembered.towards(embedded, share=share) if share and self.remembered else embedded

    @cached_property
    def remembered(self) -> Recall | None:
        """Sounds of its training, read when a search first asks; None in a bundle without a memory."""
        if MEMORY not in self.manifest.files:
            return None
        return Recall.load(self.folder / MEMORY, width=self.manifest.head.width)

    def close_text(self) -> None:
        """Let go of the text encoder, until `embed_text` opens it again, in milliseconds."""
        self._text.close()

    def thresholds(self, phrases: np.ndarray) -> np.ndarray:
        """Embeddings (P, E) of phrases -> how far above a window's `reference` each counts as heard, (P,)."""
        match = self.manifest.match
        if self.background is None:
            return np.full(len(phrases), match.heard, np.float32)
        return self.background.thresholds(phrases, match)

    def noise_floors(self, phrases: np.ndarray) -> np.ndarray:
        """Embeddings (P, E) of phrases -> what each of `thresholds` exceeds because noise reaches as much, (P,)."""
        if self.background is None:
            return np.full(len(phrases), -np.inf)
        return self.background.noise_floors(phrases)

    @property
    def least_threshold(self) -> float:
        """What none of `thresholds` is below."""
        match = self.manifest.match
        return match.margin if self.background and self.background.bank else match.heard

    def reference(self, windows: np.ndarray) -> np.ndarray:
        """Embeddings (W, E) of windows -> how near each is to sounds at large, (W,); zeros without a label bank."""
        if self.background is None:
            return np.zeros(len(windows), np.float32)
        return self.background.reference(windows)

    @property
    def popularity(self) -> Callable[[np.ndarray], np.ndarray] | None:
        """What a search takes off the scores of windows (W, E) that are nearer to every text than the background is
        (label_bank.py); None where that was not found to help this bundle."""
        sharpness = self.manifest.match.sharpness
        return self.background.popularity(sharpness) if self.background and sharpness else None

    def answers(self, signal: np.ndarray, token_ids: np.ndarray) -> Golden:
        """What this bundle says to a signal (n,) of at most one window and to token ids (L,)."""
        text = self._text(token_ids=batch_of([token_ids]))[0]
        self.close_text()  # the other graphs take its place in memory
        self._head.open()  # first: its one heavy weight is there twice while it is packed
        frames = log_mel(self.manifest.mel, self.tables, signal)
        encoder = self.encoder()
        encoder.push(frames)
        encoder.flush()
        experts = self.experts()
        experts.push(signal)
        embedding = self.embed_segments(encoder.segments(0, encoder.available), experts.between(0, len(signal)))
        return Golden(signal, frames, embedding, token_ids, text)

    def self_test(self) -> dict[str, float]:
        """Compare this CPU's answers with the export's; return the figures, or raise BundleError."""
        try:
            golden = Golden.load(self.folder / "golden.npz", profile=self.profile)
            found = self.answers(golden.signal, golden.token_ids)
            figures = {
                "log_mel_max_error": float(np.abs(found.log_mel - golden.log_mel).max()),
                "audio_cosine": float(found.embedding @ golden.embedding),
                "text_cosine": float(found.text_embedding @ golden.text_embedding),
            }
        except BundleError:
            raise
        except Exception as error:  # whatever zipfile, NumPy or onnxruntime raise on arrays that do not fit
            raise BundleError(f"golden.npz does not fit this bundle ({error}): export the bundle again") from error
        good = figures["log_mel_max_error"] <= MAX_MEL_ERROR
        # `not <` would let NaN through
        good &= figures["audio_cosine"] >= MIN_COSINE and figures["text_cosine"] >= MIN_COSINE
        if not good:
            raise BundleError(
                f"self-test of {self.folder} failed on this CPU in {self.engine}: {figures}, expected cosines of at "
                f"least {MIN_COSINE} and a log-mel error of at most {MAX_MEL_ERROR}: export the bundle again, or "
                "report this CPU"
                + (f"; another profile may serve ({', '.join(self.manifest.profiles)})" if self.profile else "")
            )
        return figures

    def _encoder_io(self) -> dict[str, Any]:
        bands, spec = self.manifest.mel.bands, self.manifest.encoder
        if spec.stream is not None:
            return streaming_graph_io(spec, self._states, bands=bands)
        return {"inputs": {"log_mel": (1, bands, None)}, "outputs": {"segments": (None, spec.width)}}

    def _optimised(self, graph: Graph, cache: GraphCache | None, *, write: bool) -> Path | None:
        """This CPU's form of a graph; None where there is none, as of a small one."""
        source = self.folder / graph.file
        if cache is None or not source.is_file() or source.stat().st_size < MIN_CACHED_BYTES:
            return None
        sha256 = self.manifest.files[graph.file]
        found = cache.find(sha256)
        if found is not None or not write:
            return found
        _check_file(source, sha256)
        return cache.build(source, sha256)


def check_all_files(folder: Path) -> None:
    """Compare every file of a bundle with its manifest, those of other profiles too. Raises BundleError."""
    _check_files(folder, Manifest.read(folder), unread=set())


def _check_files(folder: Path, manifest: Manifest, *, unread: set[str]) -> None:
    """All files must be there; those that are `unread` (other profiles, cached in another form, or hashed when they are
    opened) are not hashed here."""
    for name, expected in manifest.files.items():
        path = folder / name
        if not path.is_file():
            raise BundleError(f"{folder} lacks {name}, which its manifest lists: copy or export the bundle again")
        if name not in unread:
            _check_file(path, expected)


def _check_file(path: Path, expected: str) -> None:
    try:
        found = sha256_of(path)
    except OSError as error:
        raise BundleError(f"{path} cannot be read ({error.strerror}): copy or export the bundle again") from error
    if found != expected:
        raise BundleError(
            f"{path} is damaged: sha256 {found[:12]}…, the manifest says {expected[:12]}…: copy the bundle again"
        )
