"""A bundle under test: sound in, window embeddings out, by the runtime's own path.

contender = Contender.open(Path("edge_runtime/default_bundle"), profile=None)
contender.recording(path)       # (W, E): the file as `earmark caption` hears it
contender.sound(samples)        # (W, E): samples (n,) at the bundle's rate, as a file of them would be heard
"""

import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

import numpy as np

from benchmarks.report import say
from edge_runtime.engine import Engine, stream
from edge_runtime.listener import Listener
from export.background import best_scores

__all__ = ["Contender", "clip_scores", "watched"]

T = TypeVar("T")

TELL_EVERY_S = 30.0


@dataclass(frozen=True)
class Contender:
    """`name`: the bundle's, with the profile where it has several."""

    name: str
    engine: Engine
    _recordings: dict[Path, np.ndarray] = field(default_factory=dict, repr=False)

    @classmethod
    def open(cls, folder: Path | None, *, profile: str | None) -> "Contender":
        """`folder` None: the bundle in the package."""
        engine = Engine.open(folder, profile=profile)
        used = engine.bundle.profile
        return cls(engine.bundle.manifest.name + (f"/{used}" if used else ""), engine)

    @property
    def rate_hz(self) -> int:
        return self.engine.bundle.manifest.mel.rate_hz

    def recording(self, path: Path) -> np.ndarray:
        """Heard once: the suites share the clips as they are."""
        if path not in self._recordings:
            self._recordings[path] = self.engine.embed_audio(path)
        return self._recordings[path]

    def sound(self, samples: np.ndarray) -> np.ndarray:
        listener = Listener(self.engine.bundle, hop=self.engine.bundle.manifest.window.archive_hop)
        windows = stream(listener, [samples], rate_hz=self.rate_hz, to_hz=self.rate_hz)
        return np.stack([window.embedding for window in windows])

    def texts(self, texts: Sequence[str]) -> np.ndarray:
        """(n, E)."""
        return self.engine.bundle.embed_text(texts)

    def queries(self, texts: Sequence[str]) -> np.ndarray:
        """(n, E): what a search asks with."""
        return self.engine.bundle.queries(texts)

    def held_down(self, windows: Sequence[np.ndarray]) -> list[np.ndarray] | None:
        """How much a search and a caption lower each clip's windows (W_i, E), (W_i,); None where the bundle is set to
        cosines."""
        popularity = self.engine.bundle.popularity
        return [popularity(each) for each in windows] if popularity else None


def clip_scores(
    texts: np.ndarray, windows: Sequence[np.ndarray], held_down: Sequence[np.ndarray] | None = None
) -> np.ndarray:
    """Texts (L, E) against the windows (W_i, E) of each clip -> (L, N): a clip's score is that of its best window,
    by cosines alone or less what each window is `held_down` by (W_i,)."""
    return best_scores(texts, windows, held_down or [np.zeros(len(each), np.float32) for each in windows])


def watched(items: Iterable[T], what: str, *, total: int | None = None) -> Iterator[T]:
    """The items, with progress and the time left on standard error: a bar on a terminal, else a line now and then.
    `total`: how many there are, of what has no length."""
    if sys.stderr.isatty():
        from rich.console import Console
        from rich.progress import track

        yield from track(items, what, total=total, console=Console(stderr=True))
        return
    count = len(items) if isinstance(items, Sequence) else total
    started = told = time.monotonic()
    for done, item in enumerate(items):
        if (now := time.monotonic()) - told >= TELL_EVERY_S and count and done:
            told = now
            say(f"{what}: {done} of {count}, {(now - started) / done * (count - done):.0f} s left")
        yield item
