"""Which phrases of the shipped vocabulary answer which label: the truth that detection is held against.

    answers(vocabulary)["dog"]      # {"a dog barking", "a small dog yapping", ...}, those that the vocabulary has

Written by hand for the labels of the named collections. A phrase answers when a person who heard the label's clips
would let it pass: every kind of dog for "dog", every instrument for "street music". Labels without an entry are
placed in no scene.
"""

from collections.abc import Iterable

__all__ = ["AMBIENCES", "ANSWERS", "NOTHING", "answers"]

# fmt: off
_DOGS = (
    "a dog barking", "a dog whining", "a small dog yapping", "a dog growling", "a dog howling", "a dog panting",
)
_BABIES = (
    "a baby crying", "a hungry baby crying", "a tired baby whining", "a baby crying in discomfort",
    "a baby crying with belly pain", "someone sobbing", "a baby babbling",
)
_BIRDS = (
    "birds chirping in the morning", "a single bird singing", "forest ambience with bird calls", "sparrows chirping",
    "a blackbird singing", "a nightingale singing at night", "a skylark singing high above a field",
    "chicks peeping",
)
_CRICKETS = (
    "crickets chirping", "cicadas buzzing in the heat", "grasshoppers in a meadow",
    "a calm summer night with insects", "insects humming",
)
_ENGINES = (
    "an engine running", "a car idling at the kerb", "a diesel generator", "a powerful engine revving",
    "a car engine starting", "a heavy truck", "a motorcycle", "a tractor in a field",
)
_FOOTSTEPS = (
    "footsteps on a hard floor", "footsteps on gravel", "footsteps on grass", "footsteps on dry leaves",
    "footsteps on wooden boards", "footsteps on a metal grating", "footsteps in shallow water", "someone running",
    "high heels walking",
)
_GUNS = (
    "a gunshot", "a shotgun blast", "a machine gun firing", "an explosion",
)
_MUSIC = (
    "music playing", "street musicians playing", "an acoustic guitar", "an electric guitar with distortion",
    "a harp", "a piano", "a church organ", "an accordion", "a harmonica", "a violin", "a flute", "a saxophone",
    "a trumpet", "a brass band", "bagpipes", "a didgeridoo", "drums", "a drum roll", "a cymbal crash",
    "a tambourine", "maracas shaking", "a xylophone", "a music box", "a synthesizer", "a rock band", "jazz music",
    "electronic dance music", "hip hop music", "classical orchestra music", "a man singing", "a woman singing",
    "a choir singing", "someone rapping",
)
_PLANES = (
    "a propeller plane", "a jet airplane overhead",
)
_RAIN = (
    "light rain falling", "heavy rain pouring down", "rain on a window", "rain drumming on a metal roof",
    "a thunderstorm with pouring rain",
)
_SEA = (
    "waves breaking on a beach", "the sea on a rocky shore", "waves lapping against a boat",
)
_SIRENS = (
    "a siren", "a police siren passing", "an ambulance siren", "a civil defence siren wailing",
)
_TAP = (
    "water running from a tap", "water pouring into a glass", "a sink draining with a gurgle",
)
_WIND = (
    "wind in the trees", "strong wind howling", "a snowstorm with howling wind", "wind noise on a microphone",
)
# fmt: on

ANSWERS: dict[str, tuple[str, ...]] = {
    "air conditioner": ("an air conditioner", "a ceiling fan", "an air compressor"),
    "airplane": _PLANES,
    "baby crying (discomfort)": _BABIES,
    "baby crying (hungry)": _BABIES,
    "blender": ("a blender", "a juicer squeezing fruit", "a coffee grinder"),
    "boiling water": ("water boiling in a pot", "bubbles rising in water"),
    "book": ("turning the pages of a book", "crumpling paper", "tearing paper"),
    "breathing": ("someone breathing", "someone sighing", "someone snoring", "someone sniffing"),
    "brushing teeth": ("brushing teeth", "an electric toothbrush"),
    "can opening": ("opening a can of drink",),
    "car horn": ("a car horn", "a car alarm"),
    "cat": ("a cat meowing", "cats fighting", "a cat purring"),
    "chainsaw": ("a chainsaw in the forest", "a hedge trimmer", "a leaf blower"),
    "children playing": ("children playing", "a child speaking", "someone shouting", "someone screaming"),
    "chirping birds": _BIRDS,
    "chopping": ("chopping vegetables on a board",),
    "church bells": ("a church bell ringing",),
    "clapping": ("people clapping their hands", "applause in a hall", "a crowd cheering"),
    "clean dishes": ("washing the dishes", "plates clattering", "cutlery clinking", *_TAP),
    "clock alarm": ("an alarm clock beeping", "a smoke alarm beeping", "an electric buzzer"),
    "clock tick": ("a clock ticking",),
    "coughing": ("someone coughing", "someone clearing their throat"),
    "cow": ("a cow mooing",),
    "crackling fire": ("a crackling fire",),
    "crickets": _CRICKETS,
    "crow": ("a crow cawing", "a magpie chattering"),
    "crying baby": _BABIES,
    "cupboard": ("a cupboard door opening", "a drawer opening and closing", "a wooden door opening and closing"),
    "cutlery": ("cutlery clinking", "plates clattering", "washing the dishes"),
    "dishwasher": ("a dishwasher running", "a washing machine"),
    "dog": _DOGS,
    "dog bark": _DOGS,
    "doing the dishes": ("washing the dishes", "plates clattering", "cutlery clinking", *_TAP),
    "door wood creaks": ("a door creaking", "a garden gate squeaking", "a wooden door opening and closing"),
    "door wood knock": ("someone knocking at a wooden door",),
    "drawer": ("a drawer opening and closing", "a cupboard door opening", "a sliding door"),
    "drilling": ("an electric drill", "a jackhammer", "an angle grinder"),
    "drinking sipping": ("someone drinking and sipping", "gargling"),
    "eat": ("someone eating and chewing", "biting into an apple"),
    "engine": _ENGINES,
    "engine idling": _ENGINES,
    "exercise bike": ("an exercise bike", "a bicycle freewheeling"),
    "fireworks": ("fireworks", "firecrackers", "an explosion"),
    "footsteps": _FOOTSTEPS,
    "fridge": ("a refrigerator humming", "mains hum from an electrical device", "a quiet room with a low hum"),
    "frog": ("a frog croaking", "a chorus of frogs at a pond"),
    "frying pan": ("something sizzling in a frying pan",),
    "glass breaking": ("glass breaking", "a ceramic pot breaking"),
    "gun shot": _GUNS,
    "hand saw": ("sawing wood by hand", "filing metal", "sanding wood"),
    "helicopter": ("a helicopter",),
    "hen": ("a hen clucking", "chicks peeping"),
    "insects": ("insects humming", "a fly buzzing", "a mosquito buzzing near the ear", "bees humming around a hive"),
    "jackhammer": ("a jackhammer", "an electric drill"),
    "juicer": ("a juicer squeezing fruit", "a blender"),
    "keyboard typing": ("keyboard typing", "an old typewriter"),
    "laughing": ("someone laughing", "a baby laughing"),
    "microwave": ("a microwave oven running",),
    "mouse click": ("a mouse clicking",),
    "peel": ("peeling vegetables",),
    "pig": ("a pig oinking",),
    "plates": ("plates clattering", "cutlery clinking", "washing the dishes"),
    "pouring water": _TAP,
    "rain": _RAIN,
    "rooster": ("a rooster crowing",),
    "running tap": _TAP,
    "sea waves": _SEA,
    "sheep": ("a sheep bleating", "a goat bleating"),
    "siren": _SIRENS,
    "sneezing": ("someone sneezing",),
    "snoring": ("someone snoring", "someone breathing"),
    "stove burner": ("a gas stove burner lighting",),
    "stove fan": ("a kitchen extractor fan",),
    "street music": _MUSIC,
    "sweep": ("sweeping with a broom",),
    "thunderstorm": (*_RAIN, "thunder rumbling in the distance", "a loud crack of thunder"),
    "toilet flush": ("a toilet flushing",),
    "train": ("a train passing", "a train horn", "train wheels squealing on the rails", "a steam locomotive"),
    "vacuum cleaner": ("a vacuum cleaner",),
    "washing machine": ("a washing machine", "a dishwasher running"),
    "water drops": ("water dripping", "drops falling into a pool of water"),
    "water flowing": _TAP,
    "wind": _WIND,
}

AMBIENCES: dict[str, tuple[str, ...]] = {
    "air": (*_WIND, "leaves rustling"),
    "clear night": (*_CRICKETS, *_WIND, "leaves rustling", "a frog croaking", "a chorus of frogs at a pond"),
    "rowing boat on water": ("a rowing boat on water", *_SEA, "someone splashing and swimming in water"),
    "summer night": (*_CRICKETS, *_WIND, "leaves rustling", "a frog croaking", "a chorus of frogs at a pond"),
}
"""What may be heard all through a scene, by its background; "air" is synthesised."""

NOTHING = ("silence", "a quiet room with a low hum", "mains hum from an electrical device", "static noise from a radio")
"""What may be heard in digital silence and in noise without any sound."""


def answers(vocabulary: Iterable[str]) -> dict[str, frozenset[str]]:
    """For each label the phrases of this vocabulary that answer it; labels that it cannot name are left out."""
    known = set(vocabulary)
    found = {label: frozenset(known.intersection(phrases)) for label, phrases in ANSWERS.items()}
    return {label: phrases for label, phrases in found.items() if phrases}
