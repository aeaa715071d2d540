"""A bundle: one exported model in a folder, loaded whole or refused.

    bundle = Bundle.open()                  # the bundle inside the package
    bundle = Bundle.open("my-bundle")
    bundle.embed_text(["a dog barks"])      # (1, E) unit vectors

Opening checks, in this order: the manifest, the sha256 of every file, each graph's input and output shapes, and the
self-test: a known signal must give the known answers of `golden.npz` on this very CPU.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from edge_runtime.encoder import WindowedEncoder
from edge_runtime.errors import BundleError
from edge_runtime.graph import OnnxGraph
from edge_runtime.manifest import Manifest, sha256_of
from edge_runtime.mel import LogMel, MelTables, log_mel
from edge_runtime.tokenizer import Tokenizer, batch_of

__all__ = ["DEFAULT_BUNDLE", "Bundle", "Golden"]

DEFAULT_BUNDLE = Path(__file__).parent / "default_bundle"

MIN_COSINE = 0.999
"""Self-test bound. int8 kernels of different CPUs round differently; over the export's own tests they stay above .9999,
and a damaged graph or a broken kernel falls far below .99."""
MAX_MEL_ERROR = 2e-3
"""Self-test bound on log-mel, absolute: FFT libraries differ by 1e-4 in the quietest bands."""


@dataclass(frozen=True)
class Golden:
    """A generated signal and what each stage answers: `signal (n,)`, `log_mel (T, M)`, `embedding (E,)`, all float32;
    `token_ids (L,)` int64 and `text_embedding (E,)` float32."""

    signal: np.ndarray
    log_mel: np.ndarray
    embedding: np.ndarray
    token_ids: np.ndarray
    text_embedding: np.ndarray

    def save(self, path: Path) -> None:
        np.savez_compressed(path, **vars(self))

    @classmethod
    def load(cls, path: Path) -> "Golden":
        with np.load(path, allow_pickle=False) as file:
            return cls(**{name: file[name] for name in cls.__dataclass_fields__})


class Bundle:
    """The model of one bundle, stateless: front end, encoder, head and text encoder. `open` is the way in."""

    def __init__(self, folder: Path, *, threads: int = 1) -> None:
        self.folder = folder
        self.manifest = manifest = Manifest.read(folder)
        _check_files(folder, manifest)
        self.tables = MelTables.load(folder / "mel.npz", manifest.mel)
        self.tokenizer = Tokenizer.load(folder / "tokenizer.json", max_words=manifest.text.max_words)
        width, joint = manifest.encoder.width, manifest.head.width
        self._encoder = OnnxGraph(
            folder / manifest.encoder.graph.file,
            inputs={"log_mel": (1, manifest.mel.bands, None)},
            outputs={"segments": (None, width)},
            threads=threads,
        )
        self._head = OnnxGraph(
            folder / manifest.head.graph.file,
            inputs={"segments": (None, width)},
            outputs={"embedding": (joint,)},
            threads=threads,
        )
        self._text = OnnxGraph(
            folder / manifest.text.graph.file,
            inputs={"token_ids": (None, None)},
            outputs={"embedding": (None, joint)},
            threads=threads,
        )

    @classmethod
    def open(cls, folder: str | Path | None = None, *, threads: int = 1) -> "Bundle":
        """Load and verify the bundle in `folder` (default: the one inside the package).

        Raises BundleError, which says what was found, what was expected and what to do.
        """
        bundle = cls(Path(folder) if folder is not None else DEFAULT_BUNDLE, threads=threads)
        for name in ("golden.npz", "phrases.jsonl"):
            if name not in bundle.manifest.files:
                raise BundleError(f"the manifest gives no sha256 for {name}: export the bundle again")
        bundle.self_test()
        return bundle

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

    def encoder(self) -> WindowedEncoder:
        """A new encoder state for one source."""
        keep = self.manifest.window.segments
        return WindowedEncoder(self._encoder, self.manifest.encoder, silence=self.silence, keep_segments=keep)

    def embed_segments(self, segments: np.ndarray) -> np.ndarray:
        """Segments (S, D) of one window -> its embedding (E,), unit length."""
        return self._head(segments=segments)

    def embed_text(self, phrases: Sequence[str]) -> np.ndarray:
        """Phrases -> (B, E) unit vectors. Raises PhraseError where a phrase has no known word or is too long.

        Each phrase is embedded alone: the answer cannot depend on its neighbours.
        """
        rows = [self._text(token_ids=batch_of([self.tokenizer.encode(phrase)])) for phrase in phrases]
        return np.concatenate(rows) if rows else np.zeros((0, self.manifest.head.width), np.float32)

    def answers(self, signal: np.ndarray, token_ids: np.ndarray) -> Golden:
        """What this bundle says to a signal (n,) of at most one window and to token ids (L,)."""
        frames = log_mel(self.manifest.mel, self.tables, signal)
        encoder = self.encoder()
        encoder.push(frames)
        encoder.flush()
        embedding = self.embed_segments(encoder.segments(0, encoder.available))
        text = self._text(token_ids=batch_of([token_ids]))[0]
        return Golden(signal, frames, embedding, token_ids, text)

    def self_test(self) -> dict[str, float]:
        """Compare this CPU's answers with the export's; return the figures, or raise BundleError."""
        try:
            golden = Golden.load(self.folder / "golden.npz")
        except (OSError, ValueError, KeyError) as error:
            raise BundleError(f"golden.npz cannot be read ({error}): copy or export the bundle again") from error
        found = self.answers(golden.signal, golden.token_ids)
        figures = {
            "log_mel_max_error": float(np.abs(found.log_mel - golden.log_mel).max()),
            "audio_cosine": float(found.embedding @ golden.embedding),
            "text_cosine": float(found.text_embedding @ golden.text_embedding),
        }
        good = figures["log_mel_max_error"] <= MAX_MEL_ERROR
        # `not <` would let NaN through
        good &= figures["audio_cosine"] >= MIN_COSINE and figures["text_cosine"] >= MIN_COSINE
        if not good:
            raise BundleError(
                f"self-test of {self.folder} failed on this CPU: {figures}, expected cosines of at least {MIN_COSINE} "
                f"and a log-mel error of at most {MAX_MEL_ERROR}: export the bundle again, or report this CPU"
            )
        return figures


def _check_files(folder: Path, manifest: Manifest) -> None:
    for name, expected in manifest.files.items():
        path = folder / name
        if not path.is_file():
            raise BundleError(f"{folder} lacks {name}, which its manifest lists: copy or export the bundle again")
        found = sha256_of(path)
        if found != expected:
            raise BundleError(
                f"{path} is damaged: sha256 {found[:12]}…, the manifest says {expected[:12]}…: copy the bundle again"
            )
