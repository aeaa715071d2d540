"""`python -m benchmarks listener`: what the whole listener takes of this machine, stage by stage.

One hop of 0.32 s in a recording that has long been running: front end, encoder, head, matching, and the whole of it, as
`engine.listen(…, hop=1)` runs it; in turn, on one thread. Memory is that of fresh processes that hear half a minute
with the same vocabulary, kept in a home as users keep theirs: `library` calls `engine.listen`
(benchmarks/listening.py), `command` is `earmark listen`.
"""

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from functools import partial
from itertools import cycle
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from benchmarks.captions import made_up_captions
from benchmarks.plots import bars
from benchmarks.report import Report, Table, say
from benchmarks.resident import HEARD_S, memory_mib
from benchmarks.timing import Contender, Timing, interleaved
from edge_runtime.bundle import Bundle
from edge_runtime.engine import Engine
from edge_runtime.errors import EarmarkError
from edge_runtime.home import Home
from edge_runtime.listener import Listener
from edge_runtime.phrases import Phrases, default_phrases

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["listener"]

GOALS_MS = {"encoder": 0.6, "whole": 1.5}
GOALS_MIB = {"library": 90.0}
"""What the design promises for the default bundle and 1000 phrases on one thread, nothing else running."""
CALLS = 8
BEST = 5
ROOT = Path(__file__).parents[1]
WAIT_S = 120


def listener(folder: Path, sound: np.ndarray, *, phrases: int, rounds: int, repeats: int) -> Report:
    """`sound (n,)` at the bundle's rate, a minute or so; so many `phrases`, the bundle's own joined into captions."""
    bundle = Bundle.open(folder)
    texts = made_up_captions(default_phrases(bundle), phrases)
    say(f"embedding {phrases} phrases …")
    engine = Engine(bundle, Phrases.of(bundle, texts), None)
    say("listener …")
    timings = interleaved(_stages(engine, sound), rounds=rounds)
    memory = _memory(engine, texts, sound, repeats)
    hop_ms = 1000 * bundle.manifest.segment_s
    return Report(
        "listener",
        {
            "bundle": bundle.manifest.name,
            "profile": bundle.profile,
            "phrases": phrases,
            "hop_ms": hop_ms,
            "stages": {name: vars(timing) for name, timing in timings.items()},
            "memory": memory,
            "goals_ms": GOALS_MS,
            "goals_resident_mib": GOALS_MIB,
        },
        [_time_table(bundle, phrases, timings, hop_ms), _memory_table(phrases, memory)],
        draw={"listener": partial(_draw, bundle, timings)},
    )


def _stages(engine: Engine, sound: np.ndarray) -> list[Contender]:
    """Each stage by itself, and all of them; every one hears the same sound, hop after hop."""
    bundle, window = engine.bundle, engine.bundle.manifest.window.segments
    spec, segment_s = bundle.manifest.encoder, bundle.manifest.segment_s
    samples = spec.segment_frames * bundle.manifest.mel.hop_samples
    hops = np.split(sound[: len(sound) // samples * samples], len(sound) // samples)
    front_end = bundle.log_mel()
    frames = np.concatenate([front_end.push(hop) for hop in hops])
    chunks = np.split(frames, range(spec.segment_frames, len(frames), spec.segment_frames))[:-1]
    encoder, whole = bundle.encoder(hop=1), Listener(bundle, hop=1, early=True)
    while encoder.available < window:
        encoder.push(chunks[encoder.available % len(chunks)])
    segments = encoder.segments(encoder.available - window, encoder.available)
    embedding = bundle.embed_segments(segments)
    for hop in hops:
        list(whole.push(hop))
    heard, encoded, listened = cycle(hops), cycle(chunks), cycle(hops)

    def encode() -> None:
        encoder.push(next(encoded))
        encoder.segments(encoder.available - window, encoder.available)

    def listen() -> None:
        for found in whole.push(next(listened)):
            engine.phrases.match(found.embedding, k=BEST)

    stages = {
        "front end": lambda: front_end.push(next(heard)),
        "encoder": encode,
        "head": lambda: bundle.embed_segments(segments),
        "matching": lambda: engine.phrases.match(embedding, k=BEST),
        "whole": listen,
    }
    return [Contender(name, call, segment_s, calls=CALLS) for name, call in stages.items()]


def _memory(engine: Engine, texts: Sequence[str], sound: np.ndarray, repeats: int) -> dict[str, dict[str, float]]:
    """MiB of listening processes, medians over the repeats."""
    found: dict[str, list[dict[str, float]]] = {"library": [], "command": []}
    with tempfile.TemporaryDirectory(prefix="earmark-listener-") as folder:
        home = Path(folder) / "home"
        _vocabulary(engine, texts, home)
        for number in range(repeats):
            say(f"memory, {number + 1} of {repeats} …")
            found["library"].append(_library(engine.bundle.folder, home))
            found["command"].append(_command(engine, home, sound))
    return {
        name: {field: float(np.median([each[field] for each in rows])) for field in rows[0]}
        for name, rows in found.items()
    }


def _vocabulary(engine: Engine, texts: Sequence[str], home: Path) -> None:
    """A home whose vocabulary is `texts`, embedded."""
    store = Home.open(home)
    assert store is not None
    store.keep_phrases(default_phrases(engine.bundle), kept=False)
    store.keep_phrases(list(texts), kept=True)
    Engine.open(engine.bundle.folder, home=home).keep_phrase_index()


def _library(folder: Path, home: Path) -> dict[str, float]:
    command = [sys.executable, "-m", "benchmarks.listening", str(folder.absolute()), str(home)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT)
    if done.returncode:
        raise EarmarkError(f"`{' '.join(command[1:])}` failed: {(done.stderr.splitlines() or ['no reason given'])[-1]}")
    found: dict[str, float] = json.loads(done.stdout)
    return found


def _command(engine: Engine, home: Path, sound: np.ndarray) -> dict[str, float]:
    """`earmark listen -`, looked at when it has answered all of what it was given and waits for more."""
    mel, window_s = engine.bundle.manifest.mel, engine.bundle.manifest.window_s
    given = (np.clip(sound[: round(HEARD_S * mel.rate_hz)], -1, 1) * 32767).astype("<i2").tobytes()
    command = [sys.executable, "-m", "edge_runtime", "listen", "-", "--rate", str(mel.rate_hz), "--json"]
    command += ["--home", str(home), "--bundle", str(engine.bundle.folder.absolute())]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment) as process:
        assert process.stdin and process.stdout
        process.stdin.write(given)
        process.stdin.flush()
        for line in process.stdout:
            if json.loads(line)["end_s"] > HEARD_S - window_s / 2:
                break
        found = memory_mib(Path(f"/proc/{process.pid}/status"))
        process.communicate(timeout=WAIT_S)
    return found


def _time_table(bundle: Bundle, phrases: int, timings: dict[str, Timing], hop_ms: float) -> Table:
    rows = [
        (
            name,
            timing.median_ms,
            f"{timing.q1_ms:.3f} to {timing.q3_ms:.3f}",
            timing.fastest_ms,
            timing.cpu_ms,
            f"{100 * timing.median_ms / hop_ms:.2f} %",
            GOALS_MS.get(name),
        )
        for name, timing in timings.items()
    ]
    title = f"{bundle.manifest.name}: a hop of {hop_ms / 1000:.2f} s, {phrases} phrases, one thread"
    return Table(title, ("stage", "ms", "quartiles", "fastest", "processor ms", "of one core", "goal"), rows)


def _memory_table(phrases: int, memory: dict[str, dict[str, float]]) -> Table:
    fields = ("resident", "anonymous", "mapped", "peak")
    rows = [(name, *(row[field] for field in fields), GOALS_MIB.get(name)) for name, row in memory.items()]
    return Table(f"MiB of a process that listens, {phrases} phrases", ("process", *fields, "resident goal"), rows)


def _draw(bundle: Bundle, timings: dict[str, Timing], figure: "Figure") -> None:
    title = f"A hop of {bundle.manifest.segment_s:.2f} s: {bundle.manifest.name}"
    bars(figure, list(timings), {"1 thread": list(timings.values())}, title=title)
