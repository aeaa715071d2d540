"""Long scenes with known contents: clips at known times over a background, at a stated SNR.

    scenes = plan_scenes(clips, placeable, backgrounds_of(clips), hours=0.5, seed=0)    # plans: nothing is decoded
    for block in sound_of(scenes[0]): …         # float32 (n,) at RATE_HZ, as a microphone would give it

A scene lasts `SCENE_S` and has one background (a long recording, repeated, or the synthesised air of
edge_runtime/synthesis.py) at `BACKGROUND_DBFS`. Clips of one split come one after another, each of another label than
those still in the window, with pauses of chance between them. A clip's level is that of its sounding part (within 40 dB
of its loudest 50 ms): the zeros that pad many clips would else make it too loud. Clips that are near silence as
recorded are not placed.
"""

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from benchmarks.retrieval.answers import AMBIENCES
from edge_runtime.synthesis import Studio, air
from training.augment import RATE_HZ, rms
from training.beds import sounding_rms
from training.sounds import Clip, load_samples

__all__ = ["SNRS_DB", "Event", "Scene", "backgrounds_of", "plan_scenes", "sound_of"]

SNRS_DB = (20.0, 10.0, 0.0)
SCENE_S = 600.0
BACKGROUND_DBFS = -40.0
LONG_S = 20.0
"""A background recording lasts this long at least."""
PAUSE_S = (5.0, 35.0)
RECENT_LABELS = 3
"""Longest clips and shortest pauses: a 10 s window never holds more labels than these."""
QUIET_DBFS = -60.0
BLOCK_S = 0.1


@dataclass(frozen=True)
class Event:
    clip: Clip
    start_s: float
    end_s: float


@dataclass(frozen=True)
class Scene:
    """`background` is a clip, or None for synthesised air; `seed` is the air's."""

    snr_db: float
    background: Clip | None
    events: tuple[Event, ...]
    seconds: float
    seed: int

    @property
    def ambience(self) -> str:
        return self.background.label if self.background else "air"


def backgrounds_of(clips: Sequence[Clip], seconds: Sequence[float]) -> list[Clip | None]:
    """Air, and the ambiences among the clips that are long enough; `seconds[i]` of clip i."""
    long = [clip for clip, length in zip(clips, seconds, strict=True) if clip.label in AMBIENCES and length >= LONG_S]
    return [None, *long]


def plan_scenes(
    clips: Sequence[Clip],
    seconds: Sequence[float],
    placeable: Collection[str],
    backgrounds: Sequence[Clip | None],
    *,
    hours: float,
    seed: int,
) -> list[Scene]:
    """Scenes of `hours` at each SNR; `seconds[i]` of clip i, which is placed where its label is among `placeable`."""
    rng = np.random.default_rng(seed)
    count, chosen = max(1, round(hours * 3600 / SCENE_S)), []
    length_s = min(SCENE_S, hours * 3600)
    usable = [
        i for i, clip in enumerate(clips) if clip.label in placeable and clip.rms_dbfs > QUIET_DBFS and seconds[i] < 10
    ]
    for snr_db in SNRS_DB:
        for number in range(count):
            events: list[Event] = []
            at_s = float(rng.uniform(*PAUSE_S))
            for i in rng.permutation(usable):
                recent = {event.clip.label for event in events[-RECENT_LABELS:]}
                if clips[i].label in recent:
                    continue
                if at_s + seconds[i] > length_s:
                    break
                events.append(Event(clips[i], at_s, at_s + seconds[i]))
                at_s += seconds[i] + float(rng.uniform(*PAUSE_S))
            background = backgrounds[number % len(backgrounds)]
            chosen.append(Scene(snr_db, background, tuple(events), length_s, int(rng.integers(2**31))))
    return chosen


def sound_of(scene: Scene) -> Iterator[np.ndarray]:
    """The scene in blocks of `BLOCK_S`."""
    count = round(scene.seconds * RATE_HZ)
    if scene.background is None:
        bed = air(Studio(RATE_HZ, scene.seed), scene.seconds).astype(np.float32)
    else:
        bed = np.resize(load_samples(scene.background.path, RATE_HZ), count)
    sound = bed * (np.float32(10 ** (BACKGROUND_DBFS / 20)) / max(rms(bed), np.float32(1e-9)))
    for event in scene.events:
        clip = load_samples(event.clip.path, RATE_HZ)
        start = round(event.start_s * RATE_HZ)
        clip = clip[: count - start]
        gain = 10 ** ((BACKGROUND_DBFS + scene.snr_db) / 20) / max(sounding_rms(clip), 1e-6)
        sound[start : start + len(clip)] += np.float32(gain) * clip
    sound = sound.clip(-1, 1)
    block = round(BLOCK_S * RATE_HZ)
    for start in range(0, count, block):
        yield sound[start : start + block]
