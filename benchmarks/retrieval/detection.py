"""Detection over long scenes: hits, false alerts an hour and delay, at the phrases' own thresholds and around them.

Each scene of `scenes.py` runs through the listener as a live stream, in blocks of 0.1 s, with the vocabulary that the
bundle ships. A phrase is *on* in a window when it is the best one and reaches its threshold, moved by an *offset* that
is the same for all phrases: 0 is the bundle as it is.
- An event is a *hit* when a phrase that answers its label is on in a window that holds some of it; its *delay* is the
  time from the event's beginning to the moment at which that window's answer is known (encoder look-ahead included).
- An *alert* begins when a phrase is on that was not on within the window's length before. It is *false* when it
  answers nothing that the window holds: no event, nor the background (answers.py). "silence" and its kin alert nobody
  falsely: between events there is nothing but a faint background.
Hits have intervals over recordings, false alerts over the minutes of the scenes.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from benchmarks.plots import COLOURS
from benchmarks.report import Table
from benchmarks.retrieval.answers import AMBIENCES, NOTHING, answers
from benchmarks.retrieval.bootstrap import Draws, Interval
from benchmarks.retrieval.contender import Contender, watched
from benchmarks.retrieval.scenes import SNRS_DB, Event, Scene, backgrounds_of, plan_scenes, sound_of
from edge_runtime.audio_file import AudioFile
from edge_runtime.errors import EarmarkError
from training.augment import RATE_HZ
from training.sounds import Clip

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["Answer", "Scored", "Truth", "detection", "detection_tables", "draw_detection", "scored"]

SHOWN = 8
"""Phrases that are told of those that were heard falsely, the most frequent first."""
OFFSETS = tuple(round(-0.2 + 0.05 * i, 2) for i in range(11))
"""Added to every phrase's threshold, so that a curve can be drawn."""


@dataclass(frozen=True)
class Answer:
    """A window, its best phrase, how far its score is above its threshold, and when (seconds of sound pushed) that was
    known."""

    start_s: float
    end_s: float
    known_s: float
    phrase: str
    score: float


@dataclass(frozen=True)
class Truth:
    """What is right in one scene: its events, the phrases that answer a label, those that answer the background."""

    events: Sequence[Event]
    right: dict[str, frozenset[str]]
    always: frozenset[str]

    def held_by(self, answer: Answer) -> list[Event]:
        """The events of which the window holds some."""
        return [event for event in self.events if event.start_s < answer.end_s and answer.start_s < event.end_s]


@dataclass(frozen=True)
class Scored:
    """`delays_s`: of each event, None where it was missed; `alerts`, and those of them that are `false`, by the answer
    that each began with."""

    delays_s: list[float | None]
    alerts: list[Answer]
    false: list[Answer]


def scored(heard: Sequence[Answer], truth: Truth, *, threshold: float, memory_s: float) -> Scored:
    """Judge one scene's answers, in order. `memory_s`: a phrase that was on so shortly before raises no new alert."""
    delays: dict[int, float] = {}
    last_on: dict[str, float] = {}
    alerts, false = [], []
    for answer in heard:
        if answer.score < threshold:
            continue
        held = [event for event in truth.held_by(answer) if answer.phrase in truth.right[event.clip.label]]
        for event in held:
            delays.setdefault(id(event), answer.known_s - event.start_s)
        if answer.known_s - last_on.get(answer.phrase, -np.inf) > memory_s:
            alerts.append(answer)
            if not held and answer.phrase not in truth.always:
                false.append(answer)
        last_on[answer.phrase] = answer.known_s
    return Scored([delays.get(id(event)) for event in truth.events], alerts, false)


def detection(contender: Contender, clips: Sequence[Clip], *, hours: float, seed: int) -> dict[str, Any]:
    """Scenes of `hours` at each SNR. `clips`: of all splits; events are test clips."""
    if contender.rate_hz != RATE_HZ:
        raise EarmarkError(f"{contender.name} hears {contender.rate_hz} Hz, scenes are made at {RATE_HZ} Hz")
    test = [clip for clip in clips if clip.split == "test"]
    aside = [clip for clip in clips if clip.split != "train" and clip.label in AMBIENCES]
    right = answers(contender.engine.phrases)
    beds = backgrounds_of(aside, [_seconds(clip) for clip in aside])
    scenes = plan_scenes(test, [_seconds(clip) for clip in test], right, beds, hours=hours, seed=seed)
    if not any(scene.events for scene in scenes):
        raise EarmarkError(
            f"no test clip fits into scenes of {hours * 60:.1f} minutes with the vocabulary of {contender.name}: "
            "give more --hours, or a bundle whose phrases answers.py knows"
        )
    truths = [Truth(scene.events, right, frozenset((*AMBIENCES[scene.ambience], *NOTHING))) for scene in scenes]
    heard = [_listen(contender, scene) for scene in watched(scenes, f"{contender.name}, {len(scenes)} scenes")]
    memory_s = contender.engine.bundle.manifest.window_s
    by_snr: dict[str, Any] = {}
    for snr_db in (*SNRS_DB, None):
        rows = [i for i, scene in enumerate(scenes) if snr_db in (scene.snr_db, None)]
        by_snr["all" if snr_db is None else f"{snr_db:g} dB"] = {
            "hours": sum(scenes[i].seconds for i in rows) / 3600,
            "events": sum(len(scenes[i].events) for i in rows),
            "curve": [
                _judged([(scenes[i], truths[i], heard[i]) for i in rows], offset, memory_s, seed) for offset in OFFSETS
            ],
        }
    return {
        "placeable_labels": len(right),
        "backgrounds": sorted({scene.ambience for scene in scenes}),
        "by_snr": by_snr,
    }


def _listen(contender: Contender, scene: Scene) -> list[Answer]:
    """The scene as a live stream; the clock is the sound that was pushed."""
    clock_s = 0.0

    def blocks() -> Iterator[np.ndarray]:
        nonlocal clock_s
        for block in sound_of(scene):
            clock_s += len(block) / RATE_HZ
            yield block

    found = []
    for heard in contender.engine.listen(blocks(), rate_hz=RATE_HZ, k=1, early=True):
        best = heard.matches[0]
        found.append(Answer(heard.start_s, heard.end_s, clock_s, best.phrase, best.score - best.threshold))
    return found


def _judged(
    parts: Sequence[tuple[Scene, Truth, Sequence[Answer]]], offset: float, memory_s: float, seed: int
) -> dict[str, Any]:
    """One point of the curve, over several scenes."""
    outcomes = [scored(heard, truth, threshold=offset, memory_s=memory_s) for _, truth, heard in parts]
    delays = [delay for outcome in outcomes for delay in outcome.delays_s]
    recordings = [event.clip.recording for scene, _, _ in parts for event in scene.events]
    hit = np.array([delay is not None for delay in delays])
    of_hits = [recording for recording, delay in zip(recordings, delays, strict=True) if delay is not None]
    late = np.array([delay for delay in delays if delay is not None])
    minutes = [
        _by_minute([each.known_s for each in outcome.false], scene.seconds)
        for outcome, (scene, _, _) in zip(outcomes, parts, strict=True)
    ]
    false, lasting_h = (np.concatenate(each) for each in zip(*minutes, strict=True))
    return {
        "offset": offset,
        "hits": Draws(recordings, seed=seed).mean(hit),
        "false_alerts_per_hour": Draws(range(len(false)), seed=seed).ratio(false, lasting_h),
        "alerts_per_hour": sum(len(outcome.alerts) for outcome in outcomes) / float(lasting_h.sum()),
        "delay_median_s": Draws(of_hits, seed=seed).median(late) if of_hits else None,
        "delay_p90_s": float(np.percentile(late, 90)) if of_hits else None,
        "false_phrases": Counter(each.phrase for outcome in outcomes for each in outcome.false).most_common(SHOWN),
    }


def _by_minute(times_s: Sequence[float], seconds: float) -> tuple[np.ndarray, np.ndarray]:
    """Counts in each minute of a scene, and the hours that each minute has (the last one may be shorter)."""
    count = max(1, int(np.ceil(seconds / 60)))
    edges = np.minimum(60.0 * np.arange(count + 1), seconds)
    index = np.minimum((np.array(times_s, float) // 60).astype(int), count - 1)  # an answer may come at the very end
    return np.bincount(index, minlength=count), np.diff(edges) / 3600


def _seconds(clip: Clip) -> float:
    with AudioFile.open(clip.path) as file:
        return file.seconds


def detection_tables(name: str, found: dict[str, Any]) -> list[Table]:
    """For people: each SNR at the bundle's own thresholds, and the curve over all scenes."""
    columns = ("hits %", "false alerts an hour", "alerts an hour", "median delay s", "90 % within s")

    def cells(point: dict[str, Any]) -> tuple:
        return tuple(str(each) if isinstance(each, Interval) else each for each in list(point.values())[1:6])

    at_heard = [
        (snr, part["hours"], part["events"], *cells(point))
        for snr, part in found["by_snr"].items()
        for point in part["curve"]
        if point["offset"] == 0
    ]
    return [
        Table(
            f"{name}: scenes as a live stream, the bundle's own thresholds (95 % interval)",
            ("SNR", "hours", "events", *columns),
            at_heard,
        ),
        Table(
            f"{name}: all thresholds moved alike, all scenes",
            ("offset", *columns),
            [(f"{point['offset']:+.2f}", *cells(point)) for point in found["by_snr"]["all"]["curve"]],
        ),
        Table(
            f"{name}: what was heard falsely, all scenes, the bundle's own thresholds",
            ("phrase", "false alerts"),
            next(point["false_phrases"] for point in found["by_snr"]["all"]["curve"] if point["offset"] == 0),
        ),
    ]


def draw_detection(figure: "Figure", found: dict[str, dict[str, Any]]) -> None:
    """Hits over false alerts an hour; `found` by contender, a line an SNR, a ring at the bundle's own thresholds."""
    panels = figure.subplots(1, len(found), squeeze=False, sharey=True)[0]
    for axes, (name, each) in zip(panels, found.items(), strict=True):
        for (snr, part), colour in zip(each["by_snr"].items(), COLOURS, strict=False):
            points = [(p["false_alerts_per_hour"].value, p["hits"].value, p["offset"]) for p in part["curve"]]
            axes.plot(*list(zip(*points, strict=True))[:2], marker=".", color=colour, label=snr)
            axes.plot(*next(p[:2] for p in points if p[2] == 0), "o", ms=10, mfc="none", color=colour)
        axes.set_xlabel("false alerts an hour")
        axes.set_title(name, loc="left", fontsize=11)
        axes.grid(alpha=0.3)
    panels[0].set_ylabel("events heard, %")
    panels[0].legend(title="SNR")
