"""A voice that says nothing: pulses of a larynx through formants that move, syllable after syllable, with hisses."""

import numpy as np

from edge_runtime.synthesis import Studio, resonance

VOWELS_HZ = ((730, 1090, 2440), (270, 2290, 3010), (300, 870, 2240), (530, 1840, 2480), (570, 840, 2410))
"""First formants of men (Peterson and Barney 1952): father, heed, who'd, head, hawed."""
WIDTHS_HZ = (90, 110, 170)
LEVELS = (1.0, 0.6, 0.3)
PITCH_HZ = 118.0
OPEN = 0.6
"""Of each cycle the larynx is open so long."""


def babble(studio: Studio, seconds: float) -> np.ndarray:
    """Phrases of four to eight syllables, float64 (n,)."""
    rng = studio.rng
    sound = np.zeros(len(studio.time(seconds)))
    at_s = 0.1
    while at_s < seconds - 0.4:
        for _ in range(rng.integers(4, 9)):
            syllable = _syllable(studio, rng.uniform(0.13, 0.24))
            studio.add(sound, at_s, syllable / np.abs(syllable).max() * rng.uniform(0.5, 1))
            if rng.random() < 0.5:
                studio.add(sound, max(0.0, at_s - 0.06), 0.12 * _hiss(studio, rng.uniform(0.05, 0.11)))
            at_s += len(syllable) / studio.rate_hz + rng.uniform(0, 0.04)
            if at_s > seconds - 0.4:
                break
        at_s += rng.uniform(0.2, 0.6)
    return studio.echoing(sound, 0.4, 0.25)


def _syllable(studio: Studio, seconds: float) -> np.ndarray:
    """From one vowel to another, at a falling pitch."""
    rng = studio.rng
    u = studio.time(seconds) / seconds
    cycle = np.cumsum(PITCH_HZ * rng.uniform(0.9, 1.2) * (1.1 - 0.2 * u)) / studio.rate_hz % 1
    flow = np.where(cycle < OPEN, np.sin(np.pi * cycle / OPEN) ** 2, 0)
    pulses = np.diff(flow, prepend=0) + 6e-4 * rng.standard_normal(len(u))
    first, last = (_through(studio, pulses, VOWELS_HZ[i]) for i in rng.choice(len(VOWELS_HZ), 2))
    return (first * (1 - u) + last * u) * np.minimum(1, np.minimum(u / 0.12, (1 - u) / 0.2))


def _through(studio: Studio, pulses: np.ndarray, formants_hz: tuple[int, ...]) -> np.ndarray:
    def mouth(f: np.ndarray) -> np.ndarray:
        parts = zip(LEVELS, formants_hz, WIDTHS_HZ, strict=True)
        return sum(level * resonance(f, centre, width) for level, centre, width in parts) + 0.05 * resonance(
            f, 3500, 250
        )

    return studio.filtered(pulses, mouth)


def _hiss(studio: Studio, seconds: float) -> np.ndarray:
    centre_hz = studio.rng.uniform(3500, 6500)
    noise = studio.noise(seconds, lambda f: resonance(f, centre_hz, 2500))
    return noise * np.sin(np.pi * studio.time(seconds) / seconds)
