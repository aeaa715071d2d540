"""What an uploader called his file, as a text of the clip: "06-2011 Freight Train Pass #1.wav" -> "freight train pass".

    readable_title(clip.title, tokenizer)       # "" where nothing is left

A title often says more than a label (which train, on what floor), and often nothing. Words that only speak of files
and recorders go, as do numbers and what the vocabulary knows by neither form nor halves: a name of a place or a word of
another language would be read as the English word of the nearest spelling.
"""

import re

from edge_runtime.tokenizer import Tokenizer, words_of

__all__ = ["readable_title", "title_words"]

FILE_WORDS = frozenset(
    {
        "aif",
        "aiff",
        "flac",
        "mp3",
        "m4a",
        "ogg",
        "wav",
        "wave",
        "audio",
        "bin",
        "bit",
        "khz",
        "mono",
        "stereo",
        "binaural",
    }
    | {"bounce", "channel", "clip", "copy", "data", "edit", "edited", "edits", "export", "file", "final", "fx", "loop"}
    | {
        "loopable",
        "mix",
        "mixdown",
        "raw",
        "rec",
        "recorded",
        "recorder",
        "recording",
        "render",
        "sample",
        "sfx",
        "snd",
    }
    | {"sound", "sounds", "take", "test", "track", "untitled", "version", "zoom"}
)
CAPITAL = re.compile(r"(?<=[a-z])(?=[A-Z])")
MIN_LETTERS = 3
"""Of the longest word: a title of shorter ones says nothing."""


def title_words(title: str) -> list[str]:
    """Its words in lower case, of a file name's too: CatMewing_02.wav -> cat, mewing."""
    spaced = CAPITAL.sub(" ", re.sub(r"[\d_]+", " ", title))
    return [word for word in words_of(spaced) if word not in FILE_WORDS and (len(word) > 1 or word == "a")]


def readable_title(title: str, tokenizer: Tokenizer) -> str:
    words = title_words(title)
    guesses = {guess.word: guess.read_as for guess in tokenizer.guesses(" ".join(words))}
    kept = [word for word in words if word not in guesses or len(guesses[word]) > 1][: tokenizer.max_words]
    return " ".join(kept) if max(map(len, kept), default=0) >= MIN_LETTERS else ""
