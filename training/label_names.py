"""The names of clips.csv as people would write them, and which of them name one sound.

tidy_label("close door (door wood)")    # "close door, door wood"
"""

import re

__all__ = ["SAME_SOUND", "tidy_label"]

FOLDERS = frozenset(
    {"action", "ambient", "animals", "disasters", "environment", "hits", "movement", "objects", "sound"}
    | {"structures", "tool", "weapons", "weather"}
)
"""Categories in parentheses that only say where a sound pack keeps the file."""

SPELLED = {
    "556 auto": "automatic",
    "blast3alt": "blast",
    "default": "",
    "fire gun": "gun",
    "furn": "furniture",
    "genericgun": "gun",
    "grass long": "long grass",
    "heavyrain": "heavy rain",
    "indoors rain": "rain indoors",
    "lasergun": "laser gun",
    "laserguns": "laser gun",
    "liquid3alt": "liquid",
    "loop": "",
    "machinegun": "machine gun",
    "machineguns": "machine gun",
    "oxytorch": "oxy torch",
    "pshshsh": "hissing",
    "rockfall": "rock fall",
    "smash fail": "hit",
    "smash success": "smash",
    "stereo": "",
    "t wall": "wall",
    "v": "v8",
    "water sh": "shallow water",
    "waterdrop": "water drop",
}
"""Words of file names, as a person writes them."""

FILE_WORDS = re.compile(rf"\b({'|'.join(SPELLED)})\b")

SAME_SOUND: tuple[frozenset[str], ...] = (
    frozenset({"dog", "dog bark"}),
    frozenset({"birds", "birds loop (environment)", "chirping birds"}),
    frozenset({"breathing", "breathing (action)"}),
    frozenset(
        {
            "crying baby",
            "baby crying (belly pain)",
            "baby crying (burping)",
            "baby crying (discomfort)",
            "baby crying (hungry)",
            "baby crying (tired)",
        }
    ),
    frozenset({"eat", "munch (action)"}),
    frozenset({"rain", "stereo rain (liquids)"}),
    frozenset({"indoors rain (weather)", "weather rainstorm inside"}),
    frozenset({"thunderstorm", "thunderstorm (weather)"}),
    frozenset({"thunder (lightning)", "thunder near (weather)"}),
    frozenset({"wind", "wind loop (environment)"}),
    frozenset({"sea waves", "waves"}),
    frozenset({"water drops", "waterdrop (liquids)"}),
    frozenset({"running tap", "water flowing"}),
    frozenset({"boiling (liquids)", "boiling water"}),
    frozenset({"sizzle (liquids)", "smoke sizzle (liquids)"}),
    frozenset({"crackling fire", "fire", "fireplace"}),
    frozenset({"fuse (fire)", "fuse loop (fire)", "fuse short (fire)"}),
    frozenset({"door wood creaks", "hinge creak (structures)"}),
    frozenset({"close door (door wood)", "door close (structures)"}),
    frozenset({"door open (structures)", "open door (door wood)"}),
    frozenset({"clean dishes", "doing the dishes"}),
    frozenset({"engine", "engine idling"}),
    # the pack gives one recording both names
    frozenset({"engine start combustion", "engine start v (v8)"}),
    frozenset({"engine stop combustion", "engine stop v (v8)"}),
    frozenset({"engine working external combustion", "engine working external v (v8)"}),
    frozenset({"engine working internal combustion", "engine working internal v (v8)"}),
    frozenset({"car horn", "horn medium"}),
    frozenset({"police siren (ambient)", "siren"}),
    frozenset({"church bells", "church bells (ambient)"}),
    frozenset({"blast firework", "fireworks"}),
    frozenset({"axe (tool)", "chop (tree)"}),
    frozenset({"clang (pickaxe)", "clang hard (pickaxe)"}),
    frozenset({"glass break", "glass breaking", "glass shatter", "smash glass", "smash success glass"}),
    frozenset({"gun shoot (blunderbuss)", "gun shot", "genericgun"}),
    frozenset({"bow (bows)", "shoot (arrow)", "shoot (bow)"}),
    frozenset({"blast (fire)", "blast3alt (fire)", "explosion default"}),
    frozenset({"blast liquid (fire)", "blast liquid3alt (fire)"}),
)
"""Labels that name the same sound, so that a clip of one is no negative for a caption of the other.

The groups are disjoint. A kind of a sound ("handgun" of "gun shot", a surface of "footsteps") is not in it.
"""


def tidy_label(label: str) -> str:
    """A label as readable text: "close door (door wood)" -> "close door, door wood"."""
    spelled = FILE_WORDS.sub(lambda found: SPELLED[found[0]], label.lower().replace("_", " "))
    name, _, category = (" ".join(part.split()) for part in spelled.rstrip(")").partition("("))
    known = name.split()
    says_nothing_new = all(word in known or word.rstrip("s") in known for word in category.split())
    if not name or says_nothing_new or category in FOLDERS:
        return name or category or label
    return f"{name}, {category}"
