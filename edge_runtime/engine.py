"""Earmark in one object: a bundle, its vocabulary, and (when a home is given) the archive.

engine = Engine.open(home="~/field")
for heard in engine.listen(blocks, rate_hz=48_000):
    print(heard.start_s, heard.matches[0])
engine.phrases.add("an axe chopping wood")
engine.search("somebody chopping wood")
"""

import logging
import queue
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from edge_runtime.archive import Archive, Hit, RecordingWriter
from edge_runtime.audio_file import AudioFile
from edge_runtime.bundle import Bundle
from edge_runtime.bundle_store import chosen_bundle, telling_the_way_back
from edge_runtime.errors import AudioError, HomeError, PhraseError
from edge_runtime.home import Home
from edge_runtime.listener import Listener, Window
from edge_runtime.matching.matcher import WITHIN
from edge_runtime.phrases import Match, Phrases, default_phrases, tidy
from edge_runtime.resample import Resampler

__all__ = ["Engine", "Heard"]

log = logging.getLogger(__name__)

READ_AHEAD_BLOCKS = 8


@dataclass(frozen=True)
class Heard:
    """A window and the phrases nearest to it, best first."""

    start_s: float
    end_s: float
    matches: tuple[Match, ...]
    window: Window


class Engine:
    """`open` is the way in. Without a home it keeps nothing and writes nothing."""

    def __init__(self, bundle: Bundle, phrases: Phrases, home: Home | None) -> None:
        self.bundle = bundle
        self.phrases = phrases
        self.home = home
        self.archive = Archive(home, bundle.fingerprint, width=bundle.manifest.head.width) if home else None

    @classmethod
    def open(
        cls,
        bundle: str | Path | None = None,
        *,
        home: str | Path | None = None,
        phrases: Iterable[str] | None = None,
        also: Iterable[str] = (),
        profile: str | None = None,
        engine: str | None = None,
        write: bool = True,
        threads: int = 1,
    ) -> "Engine":
        """Open a bundle (default: the home's active one, else the package's), a home (default: none) and a vocabulary.

        `phrases` replaces the vocabulary, which else is the bundle's with the home's changes; `also` these are in it.
        With `write=False` the home is only read, and may be absent. `profile`, `engine`: see Bundle.open.
        """
        chosen = chosen_bundle(bundle, home)
        with telling_the_way_back(chosen):
            model = Bundle.open(chosen.folder, profile=profile, engine=engine, home=home, threads=threads, write=write)
        kept = Home.open(Path(home).expanduser(), write=write) if home is not None else None
        return cls(model, _phrases(model, kept, phrases, also=also, write=write), kept)

    def with_phrases(self, phrases: Iterable[str] | None, *, also: Iterable[str] = ()) -> "Engine":
        """The same model and home with another vocabulary: these phrases, or (None) the bundle's with the home's
        changes; `also` these."""
        vocabulary = _phrases(self.bundle, self.home, phrases, also=also, write=False)
        return Engine(self.bundle, vocabulary, self.home)

    def listen(
        self,
        blocks: Iterable[np.ndarray],
        *,
        rate_hz: int,
        k: int = 5,
        early: bool = False,
        provisional: bool = False,
        hop: int | None = None,
    ) -> Iterator[Heard]:
        """Match a stream of float32 mono blocks (n,), as they come, until it ends.

        `early`: before the first window is full, too. `provisional`: with a streaming bundle, each window also at once,
        without the look-ahead of its last segments (`heard.window.provisional`). The other answers stay as they are.

        The text encoder is closed meanwhile: a phrase that is added opens it until the next window.
        """
        self.bundle.close_text()
        listener = Listener(self.bundle, early=early, provisional=provisional, hop=hop)
        for window in stream(listener, blocks, rate_hz=rate_hz, to_hz=self.bundle.manifest.mel.rate_hz):
            self.bundle.close_text()
            yield Heard(window.start_s, window.end_s, self.phrases.match(window.embedding, k=k), window)

    def caption(self, path: str | Path, *, k: int = 5) -> tuple[Match, ...]:
        """The k best phrases of a recording: each phrase counts with its best window. As in a search, windows that are
        near to every text (hiss between two sounds) are held down: scores and thresholds are less what they are near
        to all (Bundle.popularity)."""
        embeddings = self.embed_audio(path)
        popularity = self.bundle.popularity
        held_down = popularity(embeddings) if popularity else np.zeros(len(embeddings), np.float32)
        best: dict[str, Match] = {}
        for embedding, less in zip(embeddings, held_down.tolist(), strict=True):
            for match in self.phrases.match(embedding, k=k):
                score = match.score - less
                if match.phrase not in best or score > best[match.phrase].score:
                    best[match.phrase] = Match(match.phrase, score, match.threshold - less)
        return tuple(sorted(best.values(), key=lambda match: -match.score)[:k])

    def embed_audio(self, path: str | Path) -> np.ndarray:
        """The embeddings of a recording's windows, (W, E): one where it is no longer than a window, else one each
        half window or so (the manifest's archive hop), the tail included."""
        with AudioFile.open(path) as file:
            windows = stream(
                Listener(self.bundle, hop=self.bundle.manifest.window.archive_hop),
                file.blocks(),
                rate_hz=file.rate_hz,
                to_hz=self.bundle.manifest.mel.rate_hz,
            )
            embeddings = [window.embedding for window in windows]
        if not embeddings:
            raise _too_short(path)
        return np.stack(embeddings)

    def embed_text(self, text: str) -> np.ndarray:
        """A phrase's embedding (E,), unit length."""
        return self.bundle.embed_text([text])[0]

    def index(self, path: str | Path, *, progress: Callable[[float], None] | None = None) -> float:
        """Put a recording into the archive; return its seconds. `progress` is called with the seconds done."""
        path = Path(path)
        with AudioFile.open(path) as file, self._archive().recording(str(path), path=path) as writer:
            hop = self.bundle.manifest.window.archive_hop
            blocks = _read_ahead(_counted(file.blocks(), writer, file.rate_hz, progress))
            to_hz = self.bundle.manifest.mel.rate_hz
            empty = True
            for window in stream(Listener(self.bundle, hop=hop), blocks, rate_hz=file.rate_hz, to_hz=to_hz):
                writer.add(window)
                empty = False
            if empty:
                raise _too_short(path)
            return writer.heard_s

    def search(
        self,
        text: str | None = None,
        *,
        sound: str | Path | None = None,
        k: int = 5,
        plain: bool = False,
        since: float | None = None,
        until: float | None = None,
        sources: Sequence[str] = (),
    ) -> list[Hit]:
        """The k moments of the archive that sound most like the text, like a recording (`sound`), or like both, best
        first. Where the bundle was found to search better so, moments that answer to every text are held down, and the
        text is moved towards sounds that it brings to mind; by a sound, or `plain`: by cosines alone. `since`, `until`,
        `sources`: see Archive.search."""
        if text is not None and not plain and not sound:
            query, popularity = self.bundle.queries([text])[0], self.bundle.popularity
        else:
            query, popularity = self._query(text, sound), None
        return self._archive().search(query, k=k, popularity=popularity, since=since, until=until, sources=sources)

    def _query(self, text: str | None, sound: str | Path | None) -> np.ndarray:
        """(E,), unit length: of a text, of a recording (the mean of its windows), or of both. Windows differ more in
        their cosines with sounds than with texts: each counts by how far the bundle's background spreads about it."""
        parts = [] if text is None else [self.embed_text(text)]
        if sound is not None:
            parts.append(_unit(self.embed_audio(sound).mean(axis=0)))
        if not parts:
            raise PhraseError("there is nothing to search for: give a text, a sound, or both")
        if len(parts) == 2 and self.bundle.background is not None:
            spreads = self.bundle.background.rows.cosines(np.stack(parts)).std(axis=1)
            parts = [part / spread for part, spread in zip(parts, spreads, strict=True)]
        return _unit(np.sum(parts, axis=0))

    def would_have_fired(
        self, text: str, *, since: float | None = None, sources: Sequence[str] = (), within: float = WITHIN
    ) -> list[Hit]:
        """When the archive's windows would have had a phrase at its threshold and `within` so much of the best phrase
        of the vocabulary, as a service with that `told_within` tells it (matching/matcher.py), in the order of time."""
        phrase = self.embed_text(text)
        threshold = float(self.bundle.thresholds(phrase[None])[0])

        def reference(windows: np.ndarray) -> np.ndarray:
            return np.maximum(self.bundle.reference(windows), self.phrases.best_heard(windows) - within - threshold)

        return self._archive().fired(phrase, threshold, reference=reference, since=since, sources=sources)

    def refresh_phrases(self, *, also: Iterable[str] = ()) -> None:
        """Take over what another process has changed in the home's vocabulary; `also` these phrases are in it."""
        if self.home is None:
            return
        wanted = [*_vocabulary(self.bundle, self.home), *map(tidy, also)]
        known = set(self.phrases)
        if gone := known.difference(wanted):
            self.phrases.remove(*gone)
        for text in wanted:
            if text not in known:
                self.phrases.add(text)

    def keep_phrase_index(self) -> None:
        """Save the phrase index in the home: the next start embeds no phrase again."""
        if self.home is not None:
            self.phrases.save(self.home.index_file(self.bundle.fingerprint))

    def _archive(self) -> Archive:
        if self.archive is None:
            raise HomeError("this engine was opened without a home, so it has no archive: Engine.open(home=…)")
        return self.archive


def _phrases(
    bundle: Bundle, home: Home | None, texts: Iterable[str] | None, *, also: Iterable[str], write: bool
) -> Phrases:
    """`texts`, or the vocabulary; with `write` an index that has to be made of that is kept."""
    phrases = Phrases.of(bundle, list(texts)) if texts is not None else _known(bundle, home, write=write)
    for text in also:
        phrases.add(text)
    return phrases


def _known(bundle: Bundle, home: Home | None, *, write: bool) -> Phrases:
    """The vocabulary; with `write` an index that has to be made of it is kept."""
    texts = _vocabulary(bundle, home)
    if home and (unread := [text for text in home.vocabulary(()) if text not in texts]):
        log.warning("this model knows no word of the phrases %s: they are kept, but not heard", unread)
    if home is None or texts == _vocabulary(bundle, None):
        cache = bundle.folder / "phrases.hnsw"
    else:
        cache = home.index_file(bundle.fingerprint)
    return Phrases.of(bundle, texts, cache=cache, keep=write and cache.parent != bundle.folder)


def _vocabulary(bundle: Bundle, home: Home | None) -> list[str]:
    """The bundle's phrases with the home's changes, less those that this model cannot read (another took them)."""
    texts = list(dict.fromkeys(map(tidy, default_phrases(bundle))))
    if home is None:
        return texts
    own = set(texts)
    return [t for t in dict.fromkeys(home.vocabulary(texts)) if t in own or bundle.tokenizer.reads(t)]


def stream(listener: Listener, blocks: Iterable[np.ndarray], *, rate_hz: int, to_hz: int) -> Iterator[Window]:
    """Resample blocks, push them, flush the tail: all windows of one recording."""
    resampler = Resampler(rate_hz, to_hz)
    for block in blocks:
        yield from listener.push(resampler.push(block))
    yield from listener.push(resampler.flush())
    yield from listener.flush()


def _unit(vector: np.ndarray) -> np.ndarray:
    return vector / max(float(np.linalg.norm(vector)), 1e-12)


def _too_short(path: str | Path) -> AudioError:
    return AudioError(f"{path} is too short, a few samples at most: record it again")


def _counted(
    blocks: Iterable[np.ndarray],
    writer: RecordingWriter,
    rate_hz: int,
    progress: Callable[[float], None] | None,
) -> Iterator[np.ndarray]:
    for block in blocks:
        writer.heard_s += len(block) / rate_hz
        if progress:
            progress(writer.heard_s)
        yield block


def _read_ahead(items: Iterator[Any]) -> Iterator[Any]:
    """Run an iterator in a thread, a few items ahead: decoding goes on while the model works. Errors come through."""
    ready: queue.Queue[tuple[bool, Any]] = queue.Queue(READ_AHEAD_BLOCKS)
    stop = threading.Event()

    def offer(ok: bool, item: Any) -> None:
        while not stop.is_set():
            try:
                return ready.put((ok, item), timeout=0.1)
            except queue.Full:
                continue

    def produce() -> None:
        try:
            for item in items:
                offer(True, item)
                if stop.is_set():
                    return
            offer(True, None)
        except BaseException as error:
            offer(False, error)

    thread = threading.Thread(target=produce, name="read-ahead", daemon=True)
    thread.start()
    try:
        while True:
            ok, item = ready.get()
            if not ok:
                raise item
            if item is None:
                return
            yield item
    finally:
        stop.set()
        thread.join()
