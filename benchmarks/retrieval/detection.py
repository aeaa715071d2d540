"""Detection over long scenes: hits, false alerts an hour and delay, at the phrases' own thresholds and around them.

Each scene of `scenes.py` runs through the listener as a live stream, in blocks of 0.1 s, with the vocabulary that the
bundle ships. What the best phrase of each window scores is held against its threshold, moved by an *offset* that is
the same for all phrases: 0 is the bundle as it is. Hits, delays and false alerts are those of `alerts.py`; "silence"
and its kin alert nobody falsely: between events there is nothing but a faint background. Hits have intervals over
recordings, false alerts over the minutes of the scenes.

A service tells more than the best phrase: `as_told` is what `earmark run` would have told (matching/matcher.py), and
beside it every phrase above its threshold.

Two rules are compared on the same windows, at equal numbers of false alerts an hour: the threshold above the window's
reference, and a threshold that is a cosine (edge_runtime/background.py; a bundle without a label bank has that alone).
"""

import dataclasses
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from benchmarks.retrieval.alerts import Answer, Scored, Truth, loosest, scored
from benchmarks.retrieval.answers import AMBIENCES, NOTHING, answers
from benchmarks.retrieval.contender import Contender, watched
from benchmarks.retrieval.scenes import SNRS_DB, Scene, backgrounds_of, plan_scenes, sound_of
from edge_runtime.audio_file import AudioFile
from edge_runtime.errors import EarmarkError
from edge_runtime.matching.matcher import WITHIN, Matcher, Watchlist
from training.augment import RATE_HZ
from training.bootstrap import Draws
from training.sounds import Clip

__all__ = ["ABOVE_REFERENCE", "COSINE", "Heard", "detection", "hear_scenes", "scenes_of"]

SHOWN = 8
"""Phrases that are told of those that were heard falsely, the most frequent first."""
OFFSETS = tuple(round(-0.2 + 0.05 * i, 2) for i in range(11))
"""Added to every phrase's threshold, so that a curve can be drawn."""
RATES = (5.0, 10.0, 20.0, 40.0)
"""False alerts an hour at which the rules are compared."""
TOLD = (WITHIN, 2.0)
"""How far below the best phrase of a window another is told: as a service does it, and however far."""
SWEPT = (-0.3, 0.4)
"""Offsets among which those rates are looked for."""
ABOVE_REFERENCE, COSINE = "above the reference", "plain cosine"


@dataclass(frozen=True)
class Heard:
    """A scene, the truth of it, and the answers to it: of each window the best, by each rule; and all that are told, by
    how far below the best one they may be."""

    scene: Scene
    truth: Truth
    by_rule: dict[str, list[Answer]]
    told: dict[float, list[Answer]] = dataclasses.field(default_factory=dict)


def scenes_of(contender: Contender, clips: Sequence[Clip], *, split: str, hours: float, seed: int) -> list[Scene]:
    """Scenes of `hours` at each SNR. `clips`: of all splits; events are clips of `split`. Backgrounds of the test's
    scenes are no training clips, those of others no test clips."""
    if contender.rate_hz != RATE_HZ:
        raise EarmarkError(f"{contender.name} hears {contender.rate_hz} Hz, scenes are made at {RATE_HZ} Hz")
    events = [clip for clip in clips if clip.split == split]
    barred = "train" if split == "test" else "test"
    aside = [clip for clip in clips if clip.split != barred and clip.label in AMBIENCES]
    beds = backgrounds_of(aside, [_seconds(clip) for clip in aside])
    placeable = answers(contender.engine.phrases)
    scenes = plan_scenes(events, [_seconds(clip) for clip in events], placeable, beds, hours=hours, seed=seed)
    if not any(scene.events for scene in scenes):
        raise EarmarkError(
            f"no clip of the {split} split fits into scenes of {hours * 60:.1f} minutes with the vocabulary of "
            f"{contender.name}: give more --hours, or a bundle whose phrases answers.py knows"
        )
    return scenes


def hear_scenes(contender: Contender, scenes: Sequence[Scene]) -> list[Heard]:
    """Each scene as a live stream."""
    right = answers(contender.engine.phrases)
    limits = _cosine_limits(contender)
    found = []
    for scene in watched(scenes, f"{contender.name}, {len(scenes)} scenes"):
        truth = Truth(scene.events, right, frozenset((*AMBIENCES[scene.ambience], *NOTHING)))
        found.append(Heard(scene, truth, *_listen(contender, scene, limits)))
    return found


def detection(contender: Contender, clips: Sequence[Clip], *, hours: float, seed: int) -> dict[str, Any]:
    """Scenes of `hours` at each SNR. `clips`: of all splits; events are test clips."""
    heard = hear_scenes(contender, scenes_of(contender, clips, split="test", hours=hours, seed=seed))
    memory_s = contender.engine.bundle.manifest.window_s
    rules = list(heard[0].by_rule)
    by_snr: dict[str, Any] = {}
    for snr_db in (*SNRS_DB, None):
        some = [each for each in heard if snr_db in (each.scene.snr_db, None)]
        by_snr["all" if snr_db is None else f"{snr_db:g} dB"] = {
            "hours": sum(each.scene.seconds for each in some) / 3600,
            "events": sum(len(each.scene.events) for each in some),
            "curve": [
                _judged(some, [each.by_rule[rules[0]] for each in some], offset, memory_s, seed)[0]
                for offset in OFFSETS
            ],
        }
    return {
        "placeable_labels": len(answers(contender.engine.phrases)),
        "backgrounds": sorted({each.scene.ambience for each in heard}),
        "rule": rules[0],
        "by_snr": by_snr,
        "at_rates": [_compared(heard, rules, rate, memory_s, seed) for rate in RATES],
        "as_told": [
            {"within": within} | _judged(heard, [each.told[within] for each in heard], 0.0, memory_s, seed)[0]
            for within in TOLD
        ],
    }


def _cosine_limits(contender: Contender) -> dict[str, float]:
    """The cosine from which each phrase would be heard without the label bank."""
    bundle, phrases = contender.engine.bundle, contender.engine.phrases
    if bundle.background is None:
        return dict.fromkeys(phrases, bundle.manifest.match.heard)
    plain = dataclasses.replace(bundle.background, bank=None)
    limits = plain.thresholds(phrases.embeddings(), bundle.manifest.match)
    return dict(zip(phrases, limits.tolist(), strict=True))


def _listen(
    contender: Contender, scene: Scene, limits: dict[str, float]
) -> tuple[dict[str, list[Answer]], dict[float, list[Answer]]]:
    """The scene as a live stream: `Heard.by_rule` and `Heard.told`. The clock is the sound that was pushed."""
    clock_s = 0.0

    def blocks() -> Iterator[np.ndarray]:
        nonlocal clock_s
        for block in sound_of(scene):
            clock_s += len(block) / RATE_HZ
            yield block

    background = contender.engine.bundle.background
    found: dict[str, list[Answer]] = {ABOVE_REFERENCE: []} if background and background.bank else {}
    found[COSINE] = []
    matchers = {within: Matcher(contender.engine.phrases, Watchlist(within=within)) for within in TOLD}
    told: dict[float, list[Answer]] = {within: [] for within in TOLD}
    for heard in contender.engine.listen(blocks(), rate_hz=RATE_HZ, k=1, early=True):
        best = heard.matches[0]
        above = {ABOVE_REFERENCE: best.score - best.threshold, COSINE: best.score - limits[best.phrase]}
        for rule, answers_of in found.items():
            answers_of.append(Answer(heard.start_s, heard.end_s, clock_s, best.phrase, above[rule]))
        for within, matcher in matchers.items():
            told[within] += [
                Answer(heard.start_s, heard.end_s, clock_s, firing.name, firing.excess)
                for firing in matcher.firings(heard.window, at=heard.end_s)
            ]
    return found, told


def _compared(heard: Sequence[Heard], rules: Sequence[str], rate: float, memory_s: float, seed: int) -> dict[str, Any]:
    """Each rule at the offset at which no more than `rate` alerts an hour are false, and how many hits more the first
    one has than the last."""
    allowed = rate * sum(each.scene.seconds for each in heard) / 3600
    low, high = SWEPT
    points, hits = {}, []
    for rule in rules:
        parts = [(each.by_rule[rule], each.truth) for each in heard]
        offset = loosest(parts, allowed, memory_s=memory_s, low=low, high=high)
        points[rule], hit = _judged(heard, [each.by_rule[rule] for each in heard], offset, memory_s, seed)
        hits.append(hit.astype(float))
    more = Draws(_recordings(heard), seed=seed).mean(hits[0] - hits[-1])
    return {"rate": rate, "rules": points, "more_hits": more}


def _judged(
    heard: Sequence[Heard], answered: Sequence[Sequence[Answer]], offset: float, memory_s: float, seed: int
) -> tuple[dict[str, Any], np.ndarray]:
    """One point of a curve over several scenes, each `answered` in some way, and which events were hit (N,) bool."""
    outcomes: list[Scored] = [
        scored(some, each.truth, threshold=offset, memory_s=memory_s)
        for each, some in zip(heard, answered, strict=True)
    ]
    delays = [delay for outcome in outcomes for delay in outcome.delays_s]
    recordings = _recordings(heard)
    hit = np.array([delay is not None for delay in delays])
    of_hits = [recording for recording, delay in zip(recordings, delays, strict=True) if delay is not None]
    late = np.array([delay for delay in delays if delay is not None])
    minutes = [
        _by_minute([answer.known_s for answer in outcome.false], each.scene.seconds)
        for outcome, each in zip(outcomes, heard, strict=True)
    ]
    false, lasting_h = (np.concatenate(each) for each in zip(*minutes, strict=True))
    point = {
        "offset": offset,
        "hits": Draws(recordings, seed=seed).mean(hit),
        "false_alerts_per_hour": Draws(range(len(false)), seed=seed).ratio(false, lasting_h),
        "alerts_per_hour": sum(len(outcome.alerts) for outcome in outcomes) / float(lasting_h.sum()),
        "delay_median_s": Draws(of_hits, seed=seed).median(late) if of_hits else None,
        "delay_p90_s": float(np.percentile(late, 90)) if of_hits else None,
        "false_phrases": Counter(each.phrase for outcome in outcomes for each in outcome.false).most_common(SHOWN),
    }
    return point, hit


def _recordings(heard: Sequence[Heard]) -> list[str]:
    return [event.clip.recording for each in heard for event in each.scene.events]


def _by_minute(times_s: Sequence[float], seconds: float) -> tuple[np.ndarray, np.ndarray]:
    """Counts in each minute of a scene, and the hours that each minute has (the last one may be shorter)."""
    count = max(1, int(np.ceil(seconds / 60)))
    edges = np.minimum(60.0 * np.arange(count + 1), seconds)
    index = np.minimum((np.array(times_s, float) // 60).astype(int), count - 1)  # an answer may come at the very end
    return np.bincount(index, minlength=count), np.diff(edges) / 3600


def _seconds(clip: Clip) -> float:
    with AudioFile.open(clip.path) as file:
        return file.seconds
