"""Captions of two sounds in one recording: at once, one behind the other, or one after the other.

    at_once("dog", "rain", 3.0, rng)        # "a dog barking while falling rain is heard": the rain is 3 dB below
    at_once("dog", "rain", 15.0, rng)       # "barking with rainfall in the background"
    in_turn("dog", "rain", rng)             # "a dog barking, then falling rain"

Each label stands there in one of its phrasings that read like a noun.
"""

import random

from training.phrasings import phrasings_of

__all__ = ["AT_ONCE", "BACKGROUND_DB", "BEHIND", "IN_TURN", "at_once", "in_turn"]

AT_ONCE = ("{} and {}", "{} while {} is heard", "{} with {}", "{} and {} at the same time", "{} over {}")
BEHIND = ("{} with {} in the background", "{}, {} in the background", "{} in front of faint {}", "{} over quiet {}")
IN_TURN = ("{}, then {}", "{} followed by {}", "first {}, then {}", "{} and afterwards {}")
BACKGROUND_DB = 8.0
"""From this far below the first one on, the second sound is said to be in the background."""


def at_once(first: str, second: str, below_db: float, rng: random.Random) -> str:
    """Of two labels whose sounds overlap; the second's power is `below_db` below the first's."""
    if below_db >= BACKGROUND_DB:
        return rng.choice(BEHIND).format(_noun(first, rng), _noun(second, rng))
    pair = [_noun(first, rng), _noun(second, rng)]
    rng.shuffle(pair)
    return rng.choice(AT_ONCE).format(*pair)


def in_turn(first: str, second: str, rng: random.Random) -> str:
    return rng.choice(IN_TURN).format(_noun(first, rng), _noun(second, rng))


def _noun(label: str, rng: random.Random) -> str:
    """The tidied label, or a phrasing that is no sentence."""
    return rng.choice([text for text in phrasings_of(label) if not text.endswith(".")])
