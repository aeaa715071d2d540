"""Natural phrasings of the terse labels in clips.csv: the text side learns captions, not file names.

    phrasings_of("door wood creaks")    # ("door wood creaks", "a creaking door", ..., "A door creaks.")
    varied("door wood creaks", rng)     # one of them at random, now and then inside a template

All of them are ours, none is taken from a corpus. They say what the label's clips sound like; a typical
detail may stand there (a drill goes into a wall), one that tells clips apart may not (a man, far away). A
phrasing that ends with a full stop is a sentence; the others read like a noun ("a dog barking", "washing
dishes"), and only those go into a template. A label without an entry, the name of a game's sound that nobody
would ask for, has its tidied self alone.
"""

import random

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


# fmt: off
PHRASINGS: dict[str, tuple[str, ...]] = {
    # animals
    "dog": (
        "a dog barking", "the bark of a dog", "dogs barking", "a barking dog", "A dog barks.",
        "A dog is barking again and again.",
    ),
    "dog bark": (
        "a dog barking", "a barking dog", "woofs of a dog", "loud barking", "A dog barks.",
        "A dog is barking outdoors.",
    ),
    "dog pibble barking and whining": (
        "a dog barking and whining", "a whining dog", "a pit bull that barks and whines",
        "A dog whines and barks.",
    ),
    "cat": (
        "a cat meowing", "the meow of a cat", "meowing", "a cat's meow", "A cat meows.",
        "A cat is meowing for attention.",
    ),
    "cow": (
        "a cow mooing", "the moo of a cow", "cattle lowing", "a mooing cow", "A cow moos.",
        "A cow is mooing on a farm.",
    ),
    "pig": (
        "a pig grunting", "pigs oinking", "grunts and snorts of a pig", "an oinking pig", "squealing pigs",
        "A pig grunts.",
    ),
    "sheep": (
        "a sheep bleating", "the bleat of a sheep", "sheep baaing", "a flock of bleating sheep",
        "A lamb bleats.", "The sheep are bleating.",
    ),
    "hen": (
        "a hen clucking", "clucking chickens", "the cluck of a hen", "chickens in a coop", "A hen clucks.",
        "A chicken is cackling.",
    ),
    "rooster": (
        "a rooster crowing", "the crow of a rooster", "a cock-a-doodle-doo", "a cockerel at dawn",
        "A rooster crows.", "A rooster is crowing in the morning.",
    ),
    "crow": (
        "a crow cawing", "the caw of a crow", "cawing crows", "a raven calling hoarsely", "A crow caws.",
        "Crows are cawing in the trees.",
    ),
    "frog": (
        "a frog croaking", "the croak of a frog", "croaking frogs", "frogs calling in a pond",
        "A frog croaks.", "Frogs are croaking at night.",
    ),
    "crickets": (
        "crickets chirping", "the chirp of a cricket", "a chirping cricket", "crickets at night",
        "stridulating crickets", "Crickets are chirping in the grass.",
    ),
    "insects": (
        "insects buzzing", "a buzzing fly", "the buzz of a bee", "a swarm of flies",
        "an insect flying around", "A fly buzzes past.",
    ),
    "chirping birds": (
        "birds chirping", "birdsong", "a bird singing", "tweeting birds", "the song of a bird",
        "Small birds are chirping.",
    ),
    "birds": (
        "birds singing", "bird song", "a chorus of birds", "chirps and twitters of birds",
        "Birds are singing outdoors.",
    ),
    "birds loop (environment)": ("birds chirping", "birds tweeting", "Birds are singing."),
    "forest soundscape with bird calls": (
        "birds calling in a forest", "bird calls in the woods", "a forest full of birds",
        "woodland ambience with birds", "a dawn chorus in a forest", "Birds are calling among the trees.",
    ),
    "mosquito buzz (animals)": (
        "a mosquito buzzing", "the whine of a mosquito", "A mosquito flies close to the ear.",
    ),
    "chirp (bat)": ("a bat chirping", "the squeak of a bat", "a bat's high chirp"),
    "flutter (bat)": ("a bat flapping its wings", "fluttering wings", "the flutter of a bat"),
    "noise (bat)": ("a bat screeching", "squeals of a bat"),
    "munch (fish)": ("a fish nibbling", "a fish eating"),
    # people
    "breathing": (
        "a person breathing", "heavy breathing", "someone breathing in and out", "deep breaths",
        "the breath of a person", "Someone is breathing heavily.",
    ),
    "breathing (action)": ("a person breathing", "panting", "someone catching their breath"),
    "brushing teeth": (
        "someone brushing their teeth", "tooth brushing", "scrubbing teeth with a toothbrush",
        "a toothbrush at work", "Someone is brushing their teeth.", "A person brushes their teeth.",
    ),
    "clapping": (
        "people clapping", "applause", "hand claps", "an audience applauding", "a round of applause",
        "People are clapping their hands.",
    ),
    "coughing": (
        "a person coughing", "a cough", "someone with a bad cough", "a fit of coughing", "Someone coughs.",
        "A sick person is coughing.",
    ),
    "crying baby": (
        "a baby crying", "an infant wailing", "the cry of a baby", "a crying infant", "A baby is crying.",
        "A baby cries loudly.",
    ),
    "baby crying (belly pain)": (
        "a baby crying", "a baby with belly pain crying", "an infant screaming with a tummy ache",
        "A baby is crying in pain.",
    ),
    "baby crying (burping)": (
        "a baby crying", "a baby that needs to burp", "a fussy baby crying before a burp",
        "A baby is crying and needs burping.",
    ),
    "baby crying (discomfort)": (
        "a baby crying", "an uncomfortable baby fussing", "the cry of a baby in discomfort",
        "A baby is crying because it feels uncomfortable.",
    ),
    "baby crying (hungry)": (
        "a baby crying", "a hungry baby crying", "an infant crying for milk", "A baby is crying from hunger.",
    ),
    "baby crying (tired)": (
        "a baby crying", "a tired baby crying", "a sleepy infant fussing",
        "A baby is crying because it is tired.",
    ),
    "laughing": (
        "a person laughing", "laughter", "people laughing out loud", "giggles", "hearty laughter",
        "Someone is laughing.", "A person laughs.",
    ),
    "sneezing": (
        "a person sneezing", "a sneeze", "someone sneezing loudly", "achoo", "Someone sneezes.",
        "A person is sneezing.",
    ),
    "snoring": (
        "a person snoring", "the snore of a sleeper", "loud snoring", "someone asleep and snoring",
        "A sleeper snores.", "Someone is snoring in bed.",
    ),
    "drinking sipping": (
        "someone drinking", "sipping a drink", "slurping from a cup", "gulps of a person drinking",
        "A person takes a sip.", "Someone is drinking from a glass.",
    ),
    "footsteps": (
        "someone walking", "a person's footsteps", "steps on a floor", "walking feet",
        "A person walks along.", "Someone is walking steadily.",
    ),
    "eat": (
        "someone eating", "crunching food", "munching", "chewing crunchy food", "bites of something crisp",
        "Someone is eating crunchy food.", "A person chews noisily.",
    ),
    "munch (action)": ("munching", "someone munching on food", "bites and chewing"),
    "children playing": (
        "children playing", "kids shouting and laughing", "a school playground", "children's voices outdoors",
        "playing kids", "Children are playing outside.", "Kids yell on a playground.",
    ),
    "chatting": (
        "people talking", "a conversation", "people having a chat", "voices of people in conversation",
        "Some people are chatting together.", "People talk to each other.",
    ),
    "coffee shop": (
        "a busy coffee shop", "chatter in a cafe", "cafe ambience", "people talking in a coffee house",
        "the murmur of a cafe", "People are talking in a cafe.",
    ),
    "street music": (
        "music in the street", "a street musician playing", "a band playing outdoors", "a busker's song",
        "live music on a street", "Someone is playing music in the street.", "A street band plays.",
    ),
    "exercise bike": (
        "someone riding an exercise bike", "pedalling on a stationary bike", "the whirr of an exercise bike",
        "indoor cycling", "Someone is pedalling a stationary bicycle.",
    ),
    "inaudible chatter (radio)": (
        "chatter on a radio", "garbled voices over a walkie-talkie", "mumbled speech on a two-way radio",
        "Someone talks unintelligibly over the radio.",
    ),
    "group attack (action)": ("a crowd shouting a battle cry", "people yelling as they attack"),
    # weather, water and fire
    "rain": (
        "falling rain", "rain coming down", "rainfall", "raindrops falling", "the patter of rain",
        "It is raining.", "Rain falls steadily.",
    ),
    "stereo rain (liquids)": ("falling rain", "raindrops", "Rain is falling."),
    "heavyrain (weather)": ("a downpour", "heavy rain pouring down", "pouring rain", "It is raining hard."),
    "drizzle (weather)": ("light rain", "a gentle drizzle", "It is drizzling."),
    "weather rainstorm": ("a rainstorm", "rain in a storm", "Rain lashes down in a storm."),
    "indoors rain (weather)": (
        "rain heard from indoors", "muffled rain on the roof", "It is raining outside the house.",
    ),
    "weather rainstorm inside": ("rain heard from indoors", "a rainstorm outside, heard from inside"),
    "night rain": ("rain at night", "a rainy night", "Rain falls in the night."),
    "thunderstorm": (
        "a thunderstorm", "thunder and lightning", "thunder rumbling", "a storm with thunder",
        "rolling thunder", "Thunder rumbles in a storm.", "A thunderstorm is passing.",
    ),
    "thunderstorm (weather)": ("a thunderstorm", "thunder and rain", "A thunderstorm rages."),
    "thunder far (weather)": (
        "distant thunder", "thunder rumbling far away", "Thunder rolls in the distance.",
    ),
    "thunder near (weather)": (
        "a loud clap of thunder", "a crack of thunder close by", "Lightning strikes close by.",
    ),
    "thunder (lightning)": (
        "a thunderclap", "a lightning strike", "a loud clap of thunder", "Thunder cracks.",
    ),
    "weather snowstorm": ("a snowstorm", "a blizzard", "howling wind in a snowstorm"),
    "snowing (weather)": ("falling snow", "snowfall", "It is snowing."),
    "flurries (weather)": ("snow flurries", "a light snowfall in the wind"),
    "wind": (
        "wind blowing", "howling wind", "a gust of wind", "strong wind", "the whistle of the wind",
        "The wind blows hard.", "Wind is howling.",
    ),
    "wind loop (environment)": ("blowing wind", "a steady wind", "The wind is blowing."),
    "gust (windbag)": ("a rush of air", "a sudden gust", "a whoosh of air"),
    "sea waves": (
        "waves breaking on a beach", "ocean waves", "the surf of the sea", "waves at the seaside",
        "Waves crash on the shore.", "The sea is washing over the sand.",
    ),
    "waves": (
        "waves on the shore", "waves of the ocean", "crashing waves", "the sea washing ashore",
        "Waves roll onto a beach.",
    ),
    "rowing boat on water": (
        "someone rowing a boat", "oars dipping in the water", "a rowing boat on a lake", "paddling with oars",
        "Someone is rowing across the water.", "Oars splash in the water.",
    ),
    "water drops": (
        "dripping water", "drops of water falling", "a dripping tap", "a drip", "Water drips.",
        "Water drips from a leaky tap.",
    ),
    "waterdrop (liquids)": ("a drop of water", "dripping water", "A single drop falls into water."),
    "pouring water": (
        "water being poured", "water poured into a glass", "filling a glass with water",
        "the pouring of a drink", "Someone pours water.", "Water is poured from a jug.",
    ),
    "water flowing": (
        "running water", "water flowing from a tap", "a kitchen faucet running", "water running into a sink",
        "The tap is running.", "Water flows from the faucet.",
    ),
    "running tap": (
        "a running tap", "water running from a tap", "a faucet left on", "tap water splashing in a basin",
        "The tap is running.", "The faucet has been left running.",
    ),
    "waterfall (environment)": (
        "a waterfall", "falling water", "rushing water of a waterfall", "Water roars down a waterfall.",
    ),
    "splash (liquids)": (
        "a splash of water", "something splashing into water", "Something falls into the water.",
    ),
    "swim (liquids)": ("someone swimming", "a swimmer's strokes", "splashes of a swimmer"),
    "diving loop (movement)": ("someone diving", "underwater bubbles and gurgling", "a diver under water"),
    "bubble (liquids)": ("bubbles", "bubbling liquid", "a bubble popping in water", "Liquid bubbles."),
    "boiling water": (
        "water boiling", "a pot of boiling water", "a kettle coming to the boil", "bubbling hot water",
        "the boil of a kettle", "Water is boiling in a pot.", "The kettle boils.",
    ),
    "boiling (liquids)": ("boiling liquid", "a bubbling boil", "Liquid is boiling."),
    "sizzle (liquids)": ("a sizzle", "something hot hissing in water", "sizzling"),
    "smoke sizzle (liquids)": ("a sizzle", "sizzling steam", "hissing smoke"),
    "corrode (liquids)": ("acid fizzing", "something being eaten away by acid"),
    "pshshsh (liquids)": ("a hiss", "a hissing spray", "a jet of steam escaping"),
    "crackling fire": (
        "a crackling fire", "a campfire", "burning wood", "flames crackling", "the crackle of a bonfire",
        "A fire is burning.", "Wood crackles in the flames.",
    ),
    "fireplace": (
        "a fire in a fireplace", "logs burning in the hearth", "a crackling fireplace", "a cosy log fire",
        "The log fire crackles.",
    ),
    "fire": ("a burning fire", "flames burning", "A fire burns."),
    "ignition (fire)": ("lighting a fire", "a fire catching", "a flame being lit", "Someone lights a fire."),
    "inflame (fire)": ("something bursting into flames", "a flame flaring up"),
    "fireball": ("a fireball whooshing past", "a whoosh of flames"),
    "blowout (fire)": ("a flame being blown out", "Someone blows out a flame."),
    "fuse (fire)": ("a burning fuse", "a hissing fuse", "A fuse burns down."),
    "fuse loop (fire)": ("a burning fuse", "the hiss of a fuse"),
    "fuse short (fire)": ("a short fuse burning", "a burning fuse"),
    "spark (fire)": ("a spark", "sparks crackling", "an electric spark"),
    "cracker (fire)": ("a firecracker", "a firecracker going off", "A firecracker pops."),
    "summer night": (
        "a summer night", "a warm night with chirping insects", "quiet night ambience outdoors",
        "insects on a summer night", "Insects chirp on a summer night.",
    ),
    "earthquake (disasters)": ("an earthquake", "the ground rumbling", "The ground is shaking."),
    "earthquake end (disasters)": ("the end of an earthquake", "a rumble of the ground dying away"),
    "rockfall": ("falling rocks", "a rock slide", "rocks tumbling down", "Rocks crash down a slope."),
    # home and kitchen
    "door wood creaks": (
        "a creaking door", "a wooden door creaking", "the creak of a door", "squeaky hinges",
        "A door creaks.", "An old door is creaking open.",
    ),
    "hinge creak (structures)": ("a creaking hinge", "a squeaky hinge", "A hinge creaks."),
    "wood creak": ("creaking wood", "a creaky floorboard", "Wood creaks under strain."),
    "door wood knock": (
        "a knock on a door", "knocking on a wooden door", "someone knocking", "a rap on the door",
        "Someone knocks on the door.", "Someone is knocking at the door.",
    ),
    "close door (door wood)": (
        "a door closing", "a wooden door being shut", "shutting a door", "Someone closes a door.",
    ),
    "door close (structures)": ("a door closing", "a door shutting", "A door closes."),
    "open door (door wood)": ("a door opening", "opening a wooden door", "Someone opens a door."),
    "door open (structures)": ("a door opening", "opening a door", "A door opens."),
    "door unlock (structures)": (
        "unlocking a door", "a key turned in a door's lock", "Someone unlocks a door.",
    ),
    "close door metal": ("closing a metal door", "a metal door slamming", "A steel door shuts."),
    "open door metal": ("opening a metal door", "a steel door being opened", "A metal door opens."),
    "close door fence": ("closing a gate", "a fence gate shutting", "A gate closes."),
    "open door fence": ("opening a gate", "a fence gate being opened", "A gate opens."),
    "door smash fail (door wood)": (
        "banging on a door", "a thud against a wooden door", "Someone tries to break down a door.",
    ),
    "door smash success (door wood)": (
        "a door being broken down", "a wooden door bursting apart", "Someone smashes a door in.",
    ),
    "close window": ("closing a window", "a window being shut", "Someone closes a window."),
    "open window": ("opening a window", "a window being opened", "Someone opens a window."),
    "close curtain (window)": (
        "closing the curtains", "drawing a curtain shut", "Someone closes the curtains.",
    ),
    "open curtain (window)": (
        "opening the curtains", "drawing a curtain back", "Someone opens the curtains.",
    ),
    "close safe (gun safe)": ("closing a safe", "a heavy safe door shutting", "Someone shuts a safe."),
    "open safe (gun safe)": ("opening a safe", "a heavy safe door being opened", "Someone opens a safe."),
    "close (chest)": ("closing a wooden chest", "a lid falling shut"),
    "open (chest)": ("opening a wooden chest", "a lid being lifted"),
    "chain (stone gate)": ("a rattling chain", "chains clanking"),
    "clock alarm": (
        "an alarm clock beeping", "an alarm clock ringing", "the beeps of a digital alarm",
        "a ringing wake-up alarm", "The alarm clock goes off.", "An alarm clock is beeping.",
    ),
    "clock tick": (
        "a ticking clock", "the tick of a clock", "tick-tock of a clock", "a watch ticking",
        "The clock ticks.", "A clock is ticking on the wall.",
    ),
    "alarm (ambient)": ("an alarm going off", "an alarm sounding", "a warning alarm", "An alarm sounds."),
    "keyboard typing": (
        "typing on a keyboard", "someone typing", "computer keys clicking", "the clatter of a keyboard",
        "Someone is typing a letter.", "Fingers type on a keyboard.",
    ),
    "mouse click": (
        "a mouse click", "clicking a computer mouse", "clicks of a mouse button", "double clicks on a mouse",
        "Someone clicks a mouse.", "Someone is clicking with a computer mouse.",
    ),
    "toilet flush": (
        "a toilet flushing", "flushing the toilet", "the flush of a toilet", "a flushing loo",
        "Someone flushes the toilet.", "The toilet is being flushed.",
    ),
    "vacuum cleaner": (
        "a vacuum cleaner", "vacuuming the carpet", "the roar of a vacuum cleaner", "a hoover running",
        "Someone is vacuuming.", "Someone hoovers the floor.",
    ),
    "washing machine": (
        "a washing machine running", "a washing machine spinning", "laundry in the washer",
        "the drum of a washing machine", "The washing machine is running.", "A washer spins the laundry.",
    ),
    "air conditioner": (
        "the hum of an air conditioner", "an air conditioning unit running", "a humming ac unit",
        "air conditioning", "a steady fan noise from an air conditioner", "The air conditioner is running.",
    ),
    "can opening": (
        "a can being opened", "opening a soda can", "the hiss of a can opening", "a pull tab cracked open",
        "Someone opens a can of soda.", "A beer can is opened.",
    ),
    "blender": (
        "a blender running", "a kitchen blender", "blending a smoothie", "crushing ice in a blender",
        "the whirr of a blender", "Someone is using a blender.", "A blender spins loudly.",
    ),
    "juicer": (
        "an electric juicer", "squeezing oranges with a juicer", "making juice", "a citrus press at work",
        "the motor of a juicer", "Someone is juicing fruit.",
    ),
    "book": (
        "turning the pages of a book", "pages turning", "flipping through a book", "rustling paper pages",
        "leafing through a book", "Someone is turning pages.", "Someone turns a page.",
    ),
    "chopping": (
        "chopping vegetables", "a knife on a cutting board", "cutting food with a knife", "dicing vegetables",
        "a chopping board", "Someone is chopping vegetables.", "A cook slices onions on a board.",
    ),
    "clean dishes": (
        "washing dishes", "washing up in the sink", "scrubbing dishes", "cleaning the dishes with water",
        "Someone is washing the dishes.", "Someone scrubs a plate at the sink.",
    ),
    "doing the dishes": (
        "washing dishes", "doing the washing up", "dishes clattering in a sink", "rinsing plates and pots",
        "Someone is washing the dishes.", "Someone does the washing up.",
    ),
    "cupboard": (
        "opening and closing a cupboard", "a cupboard door", "a kitchen cabinet being shut",
        "cupboard doors banging", "Someone opens a kitchen cupboard.", "A cabinet door closes.",
    ),
    "cutlery": (
        "clinking cutlery", "forks and knives rattling", "silverware being sorted", "spoons clattering",
        "the jingle of cutlery", "Someone is putting away the silverware.", "Knives and forks clink.",
    ),
    "dishwasher": (
        "a dishwasher running", "water sloshing inside a dishwasher", "the hum of a dishwasher",
        "a dishwasher cycle", "The dishwasher is running.", "A dishwasher washes the plates.",
    ),
    "drawer": (
        "opening and closing a drawer", "a drawer sliding", "a drawer being pulled out", "a slammed drawer",
        "Someone opens a drawer.", "A drawer slides shut.",
    ),
    "fridge": (
        "opening and closing a refrigerator", "a fridge door", "a refrigerator door closing",
        "the fridge being opened", "Someone opens the fridge.", "A refrigerator door shuts.",
    ),
    "frying pan": (
        "frying food in a pan", "food sizzling in a frying pan", "hot oil sizzling", "meat frying",
        "the sizzle of a pan", "Someone is frying food.", "Bacon sizzles in a pan.",
    ),
    "microwave": (
        "a microwave oven running", "the hum of a microwave", "heating food in a microwave",
        "a microwave beeping", "The microwave is running.", "Someone heats food in the microwave.",
    ),
    "peel": (
        "peeling vegetables", "peeling an apple", "a vegetable peeler scraping",
        "scraping the skin off a potato", "Someone is peeling fruit.", "Someone peels a carrot.",
    ),
    "plates": (
        "clattering plates", "plates being stacked", "clinking dishes", "plates set on a table",
        "ceramic dishes knocking together", "Someone is stacking plates.", "Plates clank.",
    ),
    "stove burner": (
        "lighting a gas stove", "a gas burner", "a stove being turned on",
        "the click and whoosh of a gas hob", "a gas flame burning on a stove", "Someone lights the stove.",
    ),
    "stove fan": (
        "a range hood fan", "a kitchen extractor fan", "the fan of a cooker hood",
        "an exhaust fan over a stove", "a humming kitchen vent", "The range hood is running.",
    ),
    "sweep": (
        "a floor being swept with a broom", "a broom sweeping", "the swish of a broom",
        "brushing the floor clean", "Someone is sweeping the floor.", "Someone sweeps with a broom.",
    ),
    "moving furniture": (
        "furniture being moved", "dragging a chair across the floor", "a table scraping over the floor",
        "shifting heavy furniture", "Someone is moving furniture.", "Someone drags a chair.",
    ),
    "radio": (
        "a radio playing", "voices and music on the radio", "a radio broadcast",
        "someone listening to the radio", "The radio is on.", "A radio plays in a room.",
    ),
    "static (radio)": (
        "radio static", "white noise on a radio", "crackling radio static",
        "A radio is tuned to nothing but static.",
    ),
    "camera shutter (tool)": (
        "a camera shutter click", "taking a photo", "the click of a camera", "Someone takes a picture.",
    ),
    "spray can (objects)": ("a spray can", "spraying paint from a can", "the hiss of an aerosol can"),
    "fan loop (structures)": ("a fan running", "a spinning fan", "the whirr of a fan"),
    "pop (balloon)": ("a balloon popping", "the pop of a balloon", "A balloon bursts."),
    "inflate (balloon)": ("a balloon being inflated", "blowing up a balloon", "air filling a balloon"),
    "bucket hit (hits)": ("a bucket being hit", "a clank of a bucket"),
    "electric (humming)": ("an electric hum", "the buzz of mains electricity", "humming electronics"),
    "electrical (objects)": ("electricity buzzing", "an electric crackle", "a buzzing electric arc"),
    "machinery (humming)": ("humming machinery", "the drone of a machine", "A machine hums."),
    # vehicles, engines and the street
    "airplane": (
        "an airplane flying overhead", "a plane passing by", "a jet aircraft", "the roar of an airplane",
        "A plane flies over.", "An aircraft is taking off.",
    ),
    "helicopter": (
        "a helicopter flying", "the rotor of a helicopter", "a chopper overhead",
        "helicopter blades chopping the air", "A helicopter flies past.", "A helicopter is hovering.",
    ),
    "propeller loop (plane)": (
        "a propeller plane", "a spinning propeller", "the drone of a propeller aircraft",
    ),
    "plane crash": ("a plane crashing", "an aircraft crash", "A plane hits the ground."),
    "train": (
        "a train passing by", "a train on the tracks", "a railway train", "the clatter of a passing train",
        "A train goes by.", "A train is rolling along the rails.",
    ),
    "engine": (
        "an engine running", "a car engine", "a running motor", "the rumble of an engine",
        "A motor is running.", "An engine is idling.",
    ),
    "engine idling": (
        "an engine idling", "an idling car", "a car engine", "a parked vehicle with its motor on",
        "the rumble of an idling engine", "An engine is idling.", "A truck idles.",
    ),
    "engine start combustion": ("a car engine starting", "starting a car", "An engine starts."),
    "engine start v (v8)": (
        "a car engine starting", "a V8 engine starting up", "Someone starts a big engine.",
    ),
    "engine stop combustion": ("an engine being switched off", "a car engine stopping", "The engine stops."),
    "engine stop v (v8)": ("an engine being switched off", "a V8 engine shutting down"),
    "engine working external combustion": ("a vehicle's engine at work", "the outside of a running car"),
    "engine working external v (v8)": ("a vehicle's engine at work", "a V8 engine heard from outside"),
    "engine working internal combustion": ("inside a moving car", "engine noise from inside a car"),
    "engine working internal v (v8)": ("inside a moving car", "a V8 engine heard from the driver's seat"),
    "engine die (sound)": ("an engine dying", "a motor sputtering out", "The engine stalls."),
    "steam engine (structures)": ("a steam engine", "a chugging steam engine", "puffs of a steam engine"),
    "motor start ping (electric)": ("an electric motor starting", "an electric vehicle switching on"),
    "gear shift": ("shifting gears in a car", "a gear lever being moved", "Someone changes gear."),
    "car horn": (
        "a car horn", "a car honking", "honking traffic", "the beep of a car horn", "A car honks.",
        "A driver is honking the horn.",
    ),
    "horn medium": ("a car horn", "a short honk", "A vehicle honks."),
    "car alarm": ("a car alarm", "a car alarm going off", "A car alarm is sounding."),
    "rear beeper": (
        "a truck reversing", "the backup beeper of a truck", "a reversing alarm", "A reversing truck beeps.",
    ),
    "close car door": ("a car door closing", "a car door slamming", "Someone shuts a car door."),
    "open car door": ("a car door opening", "opening a car door", "Someone opens a car door."),
    "close car door internal": (
        "a car door closing, heard from inside", "shutting the door from inside a car",
    ),
    "open car door internal": ("a car door opening, heard from inside", "opening the door from inside a car"),
    "close car trunk": ("closing the trunk of a car", "a car boot slamming", "Someone shuts the trunk."),
    "open car trunk": ("opening the trunk of a car", "a car boot being opened", "Someone opens the trunk."),
    "hit vehicle": ("a car being hit", "a bang on the body of a car", "A car crashes into something."),
    "siren": (
        "a siren", "an ambulance siren", "a police siren wailing", "the wail of an emergency vehicle",
        "A fire engine's siren blares.", "A siren is wailing.",
    ),
    "police siren (ambient)": (
        "a police siren", "a police car sounding its siren", "A police car passes with a wailing siren.",
    ),
    "city street traffic": (
        "city traffic", "cars going along a street", "a busy road in a city",
        "street noise with passing cars", "the roar of urban traffic", "Cars drive through a city.",
    ),
    "church bells": (
        "church bells ringing", "bells tolling", "the chime of a bell tower", "a church bell",
        "The church bells ring.", "Bells are ringing from a steeple.",
    ),
    "church bells (ambient)": ("church bells ringing", "ringing church bells", "A church bell tolls."),
    "fireworks": (
        "fireworks exploding", "a fireworks display", "bangs and crackles of fireworks",
        "rockets bursting in the sky", "Fireworks go off.", "Fireworks are exploding in the night sky.",
    ),
    "blast firework": ("a firework exploding", "the bang of a firework", "A firework bursts."),
    "dump (lorry)": ("a load being dumped from a truck", "tipping out a cart of rocks"),
    "wheels turn (structures)": ("creaking wheels turning", "wooden wheels rolling", "a turning wheel"),
    "moving (elevator)": ("an elevator moving", "a lift going up", "the whirr of a moving elevator"),
    "start (elevator)": ("an elevator starting", "a lift setting off"),
    "stop (elevator)": ("an elevator stopping", "a lift coming to a halt"),
    # tools and work
    "chainsaw": (
        "a chainsaw cutting wood", "a chainsaw running", "the buzz of a chainsaw", "a revving chainsaw",
        "Someone is using a chainsaw.", "A chainsaw cuts through a tree.",
    ),
    "hand saw": (
        "sawing wood by hand", "a hand saw cutting a board", "a handsaw at work", "the rasp of a saw",
        "Someone is sawing wood.", "A carpenter saws a plank.",
    ),
    "hacksaw (tool)": ("a hacksaw cutting metal", "sawing through metal", "Someone saws with a hacksaw."),
    "sawmill ripcut (structures)": (
        "a sawmill cutting a log", "a circular saw ripping wood", "A sawmill saws timber.",
    ),
    "drilling": (
        "a power drill", "drilling into a wall", "an electric drill at work", "the whine of a drill",
        "Someone is drilling a hole.", "A drill bores into concrete.",
    ),
    "drilling (elevator)": ("a drill boring into the ground", "a drilling machine underground"),
    "jackhammer": (
        "a jackhammer", "a jackhammer breaking concrete", "a pneumatic drill on a building site",
        "hammering of a road breaker", "A worker is using a jackhammer.", "A jackhammer pounds the pavement.",
    ),
    "axe (tool)": ("an axe hitting wood", "a blow of an axe", "Someone chops wood with an axe."),
    "chop (tree)": (
        "an axe hitting wood", "chopping down a tree", "an axe chopping a tree", "Someone is chopping wood.",
    ),
    "crack (tree)": ("a tree cracking", "wood splitting", "A tree trunk cracks."),
    "landing (tree)": ("a tree crashing to the ground", "A felled tree hits the ground."),
    "pickaxe (tool)": (
        "a pickaxe striking rock", "mining with a pickaxe", "Someone swings a pickaxe at stone.",
    ),
    "clang (pickaxe)": ("a pickaxe clanging", "a metal clang", "metal striking stone"),
    "clang hard (pickaxe)": (
        "a hard metal clang", "metal striking stone", "a pickaxe hitting something hard",
    ),
    "shovel (tool)": ("a shovel digging", "shovelling dirt", "Someone digs with a shovel."),
    "dig": ("digging in the ground", "digging in earth", "Someone is digging."),
    "oxytorch (tool)": ("a cutting torch", "a gas welding torch", "a blowtorch hissing"),
    "geiger low (tool)": ("a geiger counter clicking slowly", "a few slow ticks of a geiger counter"),
    "geiger medium (tool)": (
        "a geiger counter clicking", "the crackle of a geiger counter", "A geiger counter ticks.",
    ),
    "geiger high (tool)": (
        "a geiger counter clicking rapidly", "frantic clicks of a geiger counter",
        "A geiger counter warns of high radiation.",
    ),
    "pumpjack (structures)": ("an oil pump working", "a pumpjack pumping oil", "a rhythmic creaking pump"),
    "loop (furnace)": ("a furnace burning", "a roaring furnace"),
    "repair (structures)": ("hammering and repairing", "someone hammering"),
    # footsteps
    "footsteps walking on barefoot": (
        "barefoot steps", "bare feet walking on a floor", "Someone walks barefoot.",
    ),
    "footsteps walking on carpet": ("footsteps on carpet", "soft steps on a rug", "Someone walks on carpet."),
    "footsteps walking on concrete": (
        "footsteps on concrete", "steps on pavement", "Someone walks on concrete.",
    ),
    "footsteps walking on dirt": (
        "footsteps on dirt", "steps on a dirt path", "Someone walks on bare earth.",
    ),
    "footsteps walking on floor": (
        "footsteps on a floor", "steps on an indoor floor", "Someone walks across a floor.",
    ),
    "footsteps walking on grass": ("footsteps on grass", "steps across a lawn", "Someone walks on grass."),
    "footsteps walking on grass long": (
        "footsteps in long grass", "rustling steps through tall grass", "Someone walks through tall grass.",
    ),
    "footsteps walking on gravel": (
        "footsteps on gravel", "crunching steps on gravel", "Someone walks on gravel.",
    ),
    "footsteps walking on metal": (
        "footsteps on metal", "clanging steps on a metal walkway", "Someone walks on metal.",
    ),
    "footsteps walking on rock floor": (
        "footsteps on rock", "steps on a stone floor", "Someone walks on stone.",
    ),
    "footsteps walking on water": (
        "footsteps in water", "someone wading through water", "splashing steps in deep water",
    ),
    "footsteps walking on water sh": (
        "footsteps in shallow water", "splashing steps in puddles", "Someone walks through shallow water.",
    ),
    "step hard (movement)": ("a step on hard ground", "a hard footstep", "footfalls on stone"),
    "step soft (movement)": ("a step on soft ground", "a soft footstep", "footfalls on earth"),
    "rustle (movement)": ("rustling", "leaves rustling", "something rustling in the grass"),
    # impacts and breaking
    "glass breaking": (
        "breaking glass", "a glass shattering", "shattered glass", "a bottle being smashed",
        "a broken window pane", "Glass breaks.", "Someone drops a glass and it shatters.",
    ),
    "glass break": ("breaking glass", "a piece of glass breaking", "Glass breaks."),
    "glass shatter": ("a glass shattering", "glass smashed to pieces", "Glass shatters."),
    "smash glass": ("breaking glass", "glass being smashed", "Someone smashes glass."),
    "smash success glass": ("breaking glass", "glass smashed to shards", "Glass shatters."),
    "glass hit": ("a tap on glass", "something hitting glass", "a clink of glass"),
    "window smash success": ("a window being smashed", "a breaking window", "Someone breaks a window."),
    "smash success glass reinforced": ("reinforced glass breaking", "a thick pane of glass giving way"),
    "smash fail glass": ("a knock on glass", "a thump against a window pane"),
    "smash fail glass reinforced": ("a thud on reinforced glass", "a blow against thick glass"),
    "smash fail brick": ("a thud against a brick wall", "hitting a brick wall"),
    "smash success brick": ("a brick wall breaking", "bricks crumbling"),
    "smash fail ceramic": ("hitting a ceramic pot", "a knock on ceramic"),
    "smash success ceramic": ("breaking ceramic", "a pot shattering", "crockery smashing on the floor"),
    "smash fail chain link": ("a chain-link fence rattling", "something hitting a wire fence"),
    "smash success chain link": ("a chain-link fence collapsing", "a wire fence breaking"),
    "smash fail concrete": ("a blow against concrete", "something hitting concrete"),
    "smash success concrete": ("concrete breaking", "concrete crumbling to rubble"),
    "smash fail metal": ("a bang on metal", "a blow against a metal object"),
    "smash success metal": ("metal breaking apart", "a crash of metal"),
    "smash fail plastic": ("something hitting plastic", "a knock on plastic"),
    "smash success plastic": ("breaking plastic", "plastic cracking"),
    "smash fail wall (t wall)": ("a thump on a wall", "something hitting a wall"),
    "smash fail wood (wood furn)": ("a blow against wooden furniture", "a knock on wooden furniture"),
    "smash success wood (wood furn)": ("wooden furniture breaking", "wood being smashed to pieces"),
    "window boarded smash success": ("boards being torn from a window", "a boarded window being smashed"),
    "wood smash success (window)": ("wood breaking", "splintering wood"),
    "dull metal hit": ("a dull metallic thud", "a dull clank of metal"),
    "light metal hit": ("a light metallic clink", "a small piece of metal being tapped"),
    "metal hit (shield)": ("a hit on a metal shield", "a metallic clang on a shield"),
    "wood hit": ("a knock on wood", "something hitting wood", "a wooden thud"),
    "dull wood hit": ("a dull wooden thud", "a dull knock on wood"),
    "wood hit (shield)": ("a hit on a wooden shield", "something striking a wooden shield"),
    "rock hit": ("rocks knocking together", "a stone hitting rock", "a falling stone"),
    "ice hit (hits)": ("a knock on ice", "ice being struck", "cracking ice"),
    "weapon hit (weapons)": ("swords clashing", "a blade striking metal"),
    "weapon hit shield": ("a sword hitting a shield", "a weapon striking a shield"),
    "weapon swing (weapons)": ("a sword swinging through the air", "a swoosh of a blade"),
    "gate hit (stone gate)": ("a heavy stone gate slamming", "a heavy stone thud"),
    "gate move (stone gate)": ("a heavy stone gate moving", "stone grinding on stone"),
    # guns and explosions
    "gun shot": (
        "a gunshot", "gunfire", "a gun being fired", "the bang of a gun", "shots fired",
        "Someone fires a gun.", "A shot rings out.",
    ),
    "genericgun": ("a gunshot", "a gun firing", "A gun fires."),
    "gun shoot (blunderbuss)": ("a gunshot", "an old musket firing", "the shot of a musket"),
    "handgun (handguns)": ("a pistol shot", "a handgun firing", "Someone fires a pistol."),
    "rifle (rifles)": ("a rifle shot", "a rifle firing", "Someone fires a rifle."),
    "shotgun (shotguns)": ("a shotgun blast", "a shotgun firing", "Someone fires a shotgun."),
    "machinegun (machineguns)": ("machine gun fire", "a burst of machine gun fire", "A machine gun rattles."),
    "556 auto rifle shot (indoor gunfire)": (
        "an assault rifle fired indoors", "an indoor gunshot from an automatic rifle",
    ),
    "556 auto rifle shot (outdoor gunfire)": (
        "an assault rifle fired outdoors", "an outdoor gunshot from an automatic rifle",
    ),
    "lasergun (laserguns)": ("a laser gun", "a laser zap", "a science fiction ray gun"),
    "launcher (launchers)": ("a grenade launcher firing", "a thump from a grenade launcher"),
    "rocket (rockets)": ("a rocket being fired", "a rocket launch", "A rocket whooshes away."),
    "brass eject (fire gun)": (
        "a bullet casing falling to the floor", "a shell casing dropping",
        "Empty cartridges tinkle on the ground.",
    ),
    "empty (fire gun)": ("the click of an empty gun", "a dry firing gun"),
    "bolt action rifle load (mag fed bolt action rifle)": (
        "loading a bolt action rifle", "working the bolt of a rifle",
    ),
    "pocket pistol load": ("loading a pistol", "a pistol being reloaded"),
    "shell load (tube fed shotgun)": ("loading a shell into a shotgun", "a shotgun being loaded"),
    "default (reload)": ("reloading a gun", "a gun being reloaded"),
    "bullet hit ground (blunderbuss)": ("a bullet hitting the ground", "a bullet striking dirt"),
    "bow (bows)": ("an arrow shot from a bow", "a bow being fired", "the twang of a bowstring"),
    "shoot (bow)": ("an arrow shot from a bow", "shooting an arrow with a bow", "A bowstring snaps."),
    "shoot (arrow)": ("an arrow shot from a bow", "an arrow whooshing off"),
    "hit ground (arrow)": ("an arrow hitting the ground", "an arrow landing in dirt"),
    "explosion default": ("an explosion", "a bomb exploding", "Something explodes."),
    "blast (fire)": ("an explosion", "a blast", "Something blows up."),
    "blast3alt (fire)": ("an explosion", "a loud blast"),
    "explosion huge": ("a huge explosion", "a massive blast", "An enormous explosion rumbles."),
    "explosion small": ("a small explosion", "a little bang"),
    "blast liquid (fire)": ("an explosion under water", "a muffled explosion in liquid"),
    "blast liquid3alt (fire)": ("an explosion under water",),
    "blast metal (fire)": ("an explosion with a metallic ring", "a metallic blast"),
}
# fmt: on
