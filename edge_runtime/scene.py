"""A made-up field recording of about a minute, for `earmark demo`: seven sounds in turn, out of doors.

    sound, events = demo_scene(rate_hz=32_000, seed=0)
    events[0]  # SceneEvent(label='birds chirping in the morning', start_s=0.8, end_s=8.8)

No recording is shipped: every sound is synthesised (see `synthesis`), each from a chance of its own, so that one
can be changed without the others. An event fills most of the 10 s window at its middle, as an encoder hears it.
"""

from dataclasses import dataclass

import numpy as np

from edge_runtime import synthesis
from edge_runtime.synthesis import Studio

__all__ = ["SceneEvent", "demo_scene"]

PROGRAMME = (  # label, sound, peak level
    ("birds chirping in the morning", synthesis.birds, 0.8),
    ("a church bell ringing", synthesis.church_bell, 0.9),
    ("a dog barking", synthesis.dog, 0.9),
    ("keyboard typing", synthesis.keyboard, 0.6),
    ("a siren", synthesis.siren, 0.5),
    ("a thunderstorm with pouring rain", synthesis.thunderstorm, 0.7),
    ("crickets chirping", synthesis.crickets, 0.7),
)
EVENT_S = 8.0
GAP_S = 0.8
FADE_S = 0.3
AIR_LEVEL = 0.006
"""RMS of the faint wind under everything: -44 dB of full scale, the floor of a quiet field recording."""


@dataclass(frozen=True)
class SceneEvent:
    """What is to be heard from `start_s` to `end_s` of the scene."""

    label: str
    start_s: float
    end_s: float


def demo_scene(rate_hz: int = 32_000, seed: int = 0) -> tuple[np.ndarray, list[SceneEvent]]:
    """The scene, float32 mono (n,) in [-1, 1], and its events in order; fixed by rate and seed."""
    total_s = GAP_S + len(PROGRAMME) * (EVENT_S + GAP_S)
    scene = AIR_LEVEL * synthesis.air(Studio(rate_hz, (seed, 0)), total_s)
    events = []
    start_s = GAP_S
    for number, (label, make_sound, level) in enumerate(PROGRAMME, start=1):
        studio = Studio(rate_hz, (seed, number))
        t = studio.time(EVENT_S)
        sound = make_sound(studio, EVENT_S) * np.clip(np.minimum(t, EVENT_S - t) / FADE_S, 0, 1)
        studio.add(scene, start_s, level * sound / np.abs(sound).max())
        events.append(SceneEvent(label, round(start_s, 3), round(start_s + EVENT_S, 3)))
        start_s += EVENT_S + GAP_S
    return np.clip(scene, -1, 1).astype(np.float32), events
