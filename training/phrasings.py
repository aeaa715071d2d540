"""Natural phrasings of the terse labels in clips.csv: the text side learns captions, not file names.

    phrasings_of("door wood creaks")    # ("door wood creaks", "a creaking door", ..., "A door creaks.")
    varied("door wood creaks", rng)     # one of them at random, now and then inside a template

They stand in phrasings.txt, a label a line. All are ours, none is taken from a corpus. They say what the label's
clips sound like; a typical detail may stand there (a drill goes into a wall), one that tells clips apart may not (a
man, far away). A phrasing that ends with a full stop is a sentence; the others read like a noun ("a dog barking",
"washing dishes"), and only those go into a template. A label without an entry, the name of a game's sound that nobody
would ask for, has its tidied self alone.
"""

import random
from pathlib import Path

from training.label_names import tidy_label

__all__ = ["PHRASINGS", "TEMPLATES", "phrasings_of", "varied"]

TEMPLATES = ("the sound of {}", "sounds of {}", "a recording of {}", "{} in the background", "hearing {}")
"""No "nearby" and no "far away": those would contradict phrasings such as "distant thunder"."""

TEMPLATE_SHARE = 0.2
"""How often `varied` puts a noun-like phrasing into a template."""


def phrasings_of(label: str) -> tuple[str, ...]:
    """The tidied label, then its phrasings; for any text, never empty unless the text is."""
    return tuple(dict.fromkeys((tidy_label(label), *PHRASINGS.get(label, ()))))


def varied(label: str, rng: random.Random) -> str:
    """One phrasing of the label at random; a noun-like one stands in a template about one time in five."""
    tidy, *natural = phrasings_of(label)
    text = rng.choice([tidy, *natural])
    if text == tidy or text.endswith(".") or rng.random() >= TEMPLATE_SHARE:
        return text
    return rng.choice(TEMPLATES).format(text)


def read_phrasings(path: Path) -> dict[str, tuple[str, ...]]:
    """Lines of `label: phrasing | phrasing`; empty ones and those that begin with # are passed over."""
    lines = (line for line in path.read_text(encoding="utf-8").splitlines() if line and not line.startswith("#"))
    pairs = (line.split(": ", maxsplit=1) for line in lines)
    return {label: tuple(phrasings.split(" | ")) for label, phrasings in pairs}


PHRASINGS = read_phrasings(Path(__file__).with_suffix(".txt"))
