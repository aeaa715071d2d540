"""A folder of one's own recordings, as clips: what `python -m training finetune` learns from.

    clips = read_own(Path("my-sounds"), seed=0)     # split "train", and "test" for the fifth that is held out

Three ways to say what a recording is; the first that fits a recording counts:

    my-sounds/captions.csv              columns file, and label or caption (captions, split by " | ", caption_1, …);
                                        if you like, too: split (train or test), recording
    my-sounds/kitchen/kettle.txt        beside kettle.wav: one caption a line
    my-sounds/boiling kettle/01.wav     the subfolder's name is the label

Where a table is there, it alone says which recordings count. A clip without a label takes its first caption as one.
Of each label a fifth of the recordings is held out, whole: clips that the table gives the same `recording` stay
together.
"""

import csv
import hashlib
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from edge_runtime.audio_file import AudioFile, recordings_in
from edge_runtime.errors import AudioError
from edge_runtime.phrases import tidy
from edge_runtime.tokenizer import words_of
from training.sounds import Clip

__all__ = ["HELD", "MIN_RECORDINGS", "read_own"]

TABLE = "captions.csv"
HELD = "test"
MIN_RECORDINGS = 5
"""Of a label: below that a fifth is no recording, and nothing could be said about what was learned."""
MAX_TEXT_BYTES = 1 << 16
LISTED = 3


def read_own(folder: Path, *, seed: int = 0) -> list[Clip]:
    """All clips of a folder. Raises FileNotFoundError, ValueError or AudioError, which say what arrived."""
    if not folder.is_dir():
        raise FileNotFoundError(f"there is no folder {folder}: give the one with your recordings")
    clips = list(_of_table(folder) if (folder / TABLE).is_file() else _of_files(folder))
    if not clips:
        raise ValueError(f"{folder} holds no recording (WAV, FLAC, OGG, MP3): put yours there")
    for clip in clips:
        _check(clip)
    given = {clip.split for clip in clips}
    if given == {"train", HELD}:
        return clips
    if given != {""}:
        raise ValueError(f"{folder / TABLE} gives the splits {sorted(given)}: give each clip train or {HELD}, or none")
    return _held_out(clips, seed)


def _of_table(folder: Path) -> Iterator[Clip]:
    table = folder / TABLE
    try:
        with table.open(encoding="utf-8-sig", newline="") as file:
            rows = csv.DictReader(file)
            names = rows.fieldnames or ()
            texts = [name for name in names if name in ("caption", "captions") or name.startswith("caption_")]
            if "file" not in names or not (texts or "label" in names):
                raise ValueError(f"{table} has the columns {list(names)}: it needs file, and caption or label")
            for line, row in enumerate(rows, start=2):
                name = (row["file"] or "").strip()
                if not name or Path(name).is_absolute() or ".." in Path(name).parts:
                    raise ValueError(f"{table}, line {line}: file is {name!r}: give a name inside the folder")
                if not (folder / name).is_file():
                    raise FileNotFoundError(f"{table}, line {line}: there is no {folder / name}: check the name")
                captions = [part for each in texts for part in (row[each] or "").split(" | ") if part.strip()]
                split = (row.get("split") or "").strip()
                if split not in ("", "train", HELD):
                    raise ValueError(f"{table}, line {line}: split is {split!r}: give train, {HELD} or nothing")
                label = (row.get("label") or "").strip()
                recording = (row.get("recording") or "").strip() or name
                yield _clip(folder / name, captions, label, recording=recording, split=split)
    except (UnicodeDecodeError, csv.Error) as error:
        raise ValueError(f"{table} cannot be read as UTF-8 CSV ({error}): save it again") from error


def _of_files(folder: Path) -> Iterator[Clip]:
    for path in recordings_in(folder):
        beside = path.with_suffix(".txt")
        captions = _lines(beside) if beside.is_file() else []
        label = path.parent.name.replace("_", " ") if path.parent != folder else ""
        yield _clip(path, captions, label, recording=str(path.relative_to(folder)), split="")


def _lines(path: Path) -> list[str]:
    if path.stat().st_size > MAX_TEXT_BYTES:
        raise ValueError(f"{path} has over {MAX_TEXT_BYTES} bytes: write one caption a line, and no more than a few")
    try:
        return [line for line in path.read_text(encoding="utf-8-sig").splitlines() if line.strip()]
    except UnicodeDecodeError as error:
        raise ValueError(f"{path} is not UTF-8 text ({error.reason}): save it as UTF-8") from error


def _clip(path: Path, captions: Sequence[str], label: str, *, recording: str, split: str) -> Clip:
    captions = [tidy(text) for text in captions]
    if not captions and not label:
        raise ValueError(
            f"nothing says what {path} is: put it into a folder named after its sound, write {path.stem}.txt beside "
            f"it, or list it in {TABLE}"
        )
    for text in (*captions, label or captions[0]):
        if not words_of(text):
            raise ValueError(f"{path} is called {text!r}, which has no English word: describe the sound in words")
    return Clip(path, split, tidy(label or captions[0]), tuple(captions), recording, "own", "own", 0.0)


def _check(clip: Clip) -> None:
    try:
        with AudioFile.open(clip.path):
            pass
    except AudioError as error:
        raise AudioError(f"{error}, or take it out of the folder") from error


def _held_out(clips: Sequence[Clip], seed: int) -> list[Clip]:
    """A fifth of each label's recordings, drawn by name: the same ones however many others are added."""
    of_label: defaultdict[str, set[str]] = defaultdict(set)
    for clip in clips:
        of_label[clip.label].add(clip.recording)
    held: set[str] = set()
    for recordings in of_label.values():
        drawn = sorted(recordings, key=lambda name: hashlib.sha256(f"{seed} {name}".encode()).digest())
        held |= set(drawn[: len(drawn) // MIN_RECORDINGS])
    if not held:
        found = ", ".join(f"{label!r} {len(names)}" for label, names in list(of_label.items())[:LISTED])
        raise ValueError(
            f"too few recordings ({found}): at least {MIN_RECORDINGS} of a label are needed, of which one is held "
            "out to hear what was learned; 20 are better"
        )
    return [replace(clip, split=HELD if clip.recording in held else "train") for clip in clips]
