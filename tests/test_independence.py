"""What is heard does not depend on who else asks: embeddings and thresholds are the same to the last bit whatever else
an engine does before, in between or at the same time. The oracle is an engine that does one thing alone."""

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from conftest import ROOT, WINDOWED_BUNDLE
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_runtime.bundle import DEFAULT_BUNDLE
from edge_runtime.engine import Engine
from edge_runtime.errors import PhraseError
from edge_runtime.listener import Listener, Window
from edge_runtime.mel import log_mel
from edge_runtime.scene import demo_scene

BUNDLES = {
    "mn04": DEFAULT_BUNDLE,
    "cnn14 in int8": ROOT / "export/bundles/earmark-cnn14-slim",
    "windowed": WINDOWED_BUNDLE,
}
HOPS = (1, 2, 4)
RATE_HZ = 32_000
LONGEST_S = 7.0
TEXTS = (
    "a dog barks",
    "a very loud engine that idles for a long time in a narrow street, far away from here",
    "rain",
    "somebody chops wood with an axe",
    "church bells",
    "water drips into a metal bucket",
)
INTERRUPTIONS = (
    "a bad block",
    "an unknown phrase",
    "a new phrase",
    "texts",
    "a clip",
    "a half window",
    "an early look",
)


@dataclass(frozen=True)
class Part:
    """One listener's recording: a stretch of the scene, cut into blocks at `cuts` (shares of its length)."""

    start_s: float
    seconds: float
    hop: int
    provisional: bool
    cuts: tuple[float, ...]

    def blocks(self, scene: np.ndarray) -> list[np.ndarray]:
        first, count = (round(each * RATE_HZ) for each in (self.start_s, self.seconds))
        at = sorted(round(cut * count) for cut in self.cuts)
        return np.split(scene[first : first + count], at)


PARTS = st.builds(
    Part,
    start_s=st.floats(0, 50),
    seconds=st.floats(0.05, LONGEST_S),
    hop=st.sampled_from(HOPS),
    provisional=st.booleans(),
    cuts=st.lists(st.floats(0, 1), max_size=6).map(tuple),
)


@pytest.fixture(scope="module")
def scene() -> np.ndarray:
    return demo_scene(RATE_HZ)[0]


@pytest.fixture(scope="module", params=BUNDLES.values(), ids=BUNDLES)
def folder(request: pytest.FixtureRequest) -> Path:
    return request.param


@pytest.fixture(scope="module")
def busy(folder: Path) -> Engine:
    """The one engine that all examples share, and that is ever busier."""
    return Engine.open(folder)


def alone(folder: Path, part: Part, scene: np.ndarray) -> list[Window]:
    """What a fresh engine hears, in one block."""
    listener = Listener(Engine.open(folder).bundle, hop=part.hop, early=True, provisional=part.provisional)
    (whole,) = Part(part.start_s, part.seconds, part.hop, part.provisional, ()).blocks(scene)
    return [*listener.push(whole), *listener.flush()]


def same(found: Sequence[Window], wanted: Sequence[Window]) -> bool:
    """All of it, embeddings to the last bit."""

    def told(window: Window) -> tuple:
        return (window.start_s, window.end_s, window.settled, window.provisional, window.embedding.tobytes())

    return list(map(told, found)) == list(map(told, wanted))


def interrupt(engine: Engine, what: str, scene: np.ndarray) -> None:
    """Something else that the engine does, or fails to do."""
    bundle = engine.bundle
    if what == "a bad block":
        with pytest.raises(ValueError, match="expected float32"):
            list(Listener(bundle, hop=1).push(np.zeros(640)))
    elif what == "an unknown phrase":
        with pytest.raises(PhraseError):
            engine.phrases.add("qxzv")
    elif what == "a new phrase":
        engine.phrases.add(f"{TEXTS[len(engine.phrases) % len(TEXTS)]} and a bell")
    elif what == "texts":
        bundle.embed_text(TEXTS)
    elif what == "a clip":
        list(Listener(bundle).push(scene[: 2 * RATE_HZ]))
    elif what == "a half window":
        bundle.embed_segments(
            np.zeros((bundle.manifest.window.segments // 2, bundle.manifest.encoder.width), np.float32)
        )
    else:
        listener = Listener(bundle, hop=1)
        list(listener.push(scene[:RATE_HZ]))
        listener.provisional()


@settings(max_examples=10, deadline=None)
@given(parts=st.lists(PARTS, min_size=2, max_size=3), data=st.data())
def test_listeners_on_one_engine_hear_what_each_would_hear_alone(folder, busy, scene, parts, data):
    """Interleaved in any order, in blocks of any size, with anything in between."""
    listeners = [Listener(busy.bundle, hop=each.hop, early=True, provisional=each.provisional) for each in parts]
    waiting = [(i, block) for i, part in enumerate(parts) for block in part.blocks(scene)]
    turns = data.draw(st.permutations([i for i, _ in waiting]), label="turns")
    queues: list[Iterator[np.ndarray]] = [iter(part.blocks(scene)) for part in parts]
    heard: list[list[Window]] = [[] for _ in parts]
    for turn in turns:
        for what in data.draw(st.lists(st.sampled_from(INTERRUPTIONS), max_size=1), label="in between"):
            interrupt(busy, what, scene)
        for window in listeners[turn].push(next(queues[turn])):
            busy.phrases.match(window.embedding, k=3)
            heard[turn].append(window)
    for part, listener, found in zip(parts, listeners, heard, strict=True):
        assert same([*found, *listener.flush()], alone(folder, part, scene))


def test_listeners_in_threads_of_their_own_hear_what_each_would_hear_alone(folder, busy, scene):
    parts = [Part(start_s, 6.0, 1, False, (0.2, 0.5, 0.51)) for start_s in (2.0, 11.0, 20.0)]

    def listen(part: Part) -> list[Window]:
        listener = Listener(busy.bundle, hop=part.hop, early=True)
        return [*(window for block in part.blocks(scene) for window in listener.push(block)), *listener.flush()]

    with ThreadPoolExecutor(len(parts)) as pool:
        for part, found in zip(parts, pool.map(listen, parts), strict=True):
            assert same(found, alone(folder, part, scene))


@settings(max_examples=15, deadline=None)
@given(asked=st.lists(st.tuples(st.integers(0, 9), st.integers(1, 16)), min_size=2, max_size=8))
def test_a_window_has_one_embedding_whichever_windows_came_before_it(folder, busy, scene, asked):
    """Windows of any length in any order through the head, against a fresh one for each."""
    bundle = busy.bundle
    encoder = bundle.encoder()
    encoder.push(log_mel(bundle.manifest.mel, bundle.tables, scene[: 10 * RATE_HZ]))
    encoder.flush()
    last = encoder.available
    rows = encoder.segments(max(0, last - bundle.manifest.window.segments), last)
    windows = [rows[start : start + length] for start, length in asked if start < len(rows)]
    found = [bundle.embed_segments(window) for window in windows]
    fresh = Engine.open(folder).bundle
    again = [fresh.embed_segments(window.copy()) for window in reversed(windows)]
    assert all(map(np.array_equal, found, reversed(again)))


@settings(max_examples=25, deadline=None)
@given(batch=st.lists(st.sampled_from(TEXTS), min_size=1, max_size=8))
def test_a_text_has_one_embedding_in_any_batch_and_order(folder, busy, batch):
    found = busy.bundle.embed_text(batch)
    for text, row in zip(batch, found, strict=True):
        assert np.array_equal(row, busy.bundle.embed_text([text])[0])
        assert np.array_equal(row, busy.embed_text(text))


def test_a_fresh_engine_reads_texts_as_a_busy_one(folder, busy):
    assert np.array_equal(busy.bundle.embed_text(TEXTS), Engine.open(folder).bundle.embed_text(TEXTS[::-1])[::-1])


@settings(max_examples=25, deadline=None)
@given(data=st.data())
def test_a_phrase_has_one_threshold_whichever_phrases_it_is_asked_with(busy, data):
    vectors = busy.phrases.embeddings()[:60]
    wanted = np.array([busy.bundle.thresholds(row[None])[0] for row in vectors])
    some = data.draw(st.lists(st.integers(0, len(vectors) - 1), min_size=1, max_size=20))
    assert np.array_equal(busy.bundle.thresholds(vectors[some]), wanted[some])
