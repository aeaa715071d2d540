"""What the shipped vocabulary says to nothing: digital silence, white and pink noise.

That should be called so (answers.py) or be nothing: the best phrase and its score stand beside its threshold, and a
wrong phrase from there on is a false alert.
"""

from typing import Any

import numpy as np

from benchmarks.report import Table
from benchmarks.retrieval.answers import NOTHING
from benchmarks.retrieval.contender import Contender
from benchmarks.retrieval.variants import pink

__all__ = ["no_sound", "no_sound_tables"]

SECONDS = 10.0
LEVELS_DBFS = (-60.0, -40.0, -20.0)


def no_sound(contender: Contender, *, seed: int) -> dict[str, Any]:
    """The best phrase of each sound, and its score beside its threshold."""
    count = round(SECONDS * contender.rate_hz)
    rng = np.random.default_rng(seed)
    sounds = {"silence": np.zeros(count, np.float32)}
    for dbfs in LEVELS_DBFS:
        gain = np.float32(10 ** (dbfs / 20))
        sounds[f"white noise {dbfs:g} dBFS"] = gain * rng.standard_normal(count).astype(np.float32)
        sounds[f"pink noise {dbfs:g} dBFS"] = gain * pink(count, rng)
    found = {}
    for name, sound in sounds.items():
        best = contender.engine.phrases.match(contender.sound(sound)[0], k=1)[0]
        wrong = best.heard and best.phrase not in NOTHING
        found[name] = {"phrase": best.phrase, "score": best.score, "threshold": best.threshold, "false_alert": wrong}
    return found


def no_sound_tables(name: str, found: dict[str, Any]) -> list[Table]:
    """For people."""
    return [
        Table(
            f"{name}: no sound, and whether a phrase counts as heard",
            ("sound", "best phrase", "score", "its threshold", "false alert"),
            [
                (key, row["phrase"], row["score"], row["threshold"], "yes" if row["false_alert"] else "no")
                for key, row in found.items()
            ],
        ),
    ]
