"""One's own folder of recordings -> a fine-tuned checkpoint that `python -m export` takes: one straight line.

teach(Lesson(data, checkpoint, out, sounds=…, features=…, phrases=[…]), net, front_end, FinetuneConfig())

What `out` then holds: best.pt and config.json as training writes them; finetune.json, what was measured and which words
are new; phrases.txt, the default phrases and one's own labels; clips.csv and features/, one's own clips as the export
reads sounds, so that it can calibrate on them where there are no others. A gate that fails leaves none of these.
"""

import csv
import json
import tempfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np

from edge_runtime.mel import MelSpec, MelTables
from training.features import Encoder, Features, extract, load, save
from training.finetune import FinetuneConfig, finetune, with_words
from training.finetune_gate import Standing, finetune_gates, standing
from training.gates import judge
from training.new_words import NewWord, new_words
from training.own_sounds import HELD, read_own
from training.phrasings import tidy_label
from training.sounds import COLUMNS, Clip, read_clips
from training.train import MAX_WORDS, Checkpoint

__all__ = ["Lesson", "teach"]


@dataclass(frozen=True)
class Lesson:
    """Where things lie. `sounds` and `features` are the old clips and their segments: replayed and measured where both
    are there. `phrases` are the default vocabulary."""

    data: Path
    checkpoint: Path
    out: Path
    sounds: Path
    features: Path
    phrases: Sequence[str]


def teach(lesson: Lesson, net: Encoder, front_end: tuple[MelSpec, MelTables], config: FinetuneConfig) -> Standing:
    """Raises GateError where the new sound did not gain or the old benchmark lost; then nothing is written."""
    if (lesson.out / "best.pt").exists():
        raise ValueError(f"{lesson.out} holds a checkpoint already: give a new folder with --out")
    clips = read_own(lesson.data, seed=config.seed)
    start = Checkpoint.load(lesson.checkpoint)
    texts = [text for clip in clips for text in (tidy_label(clip.label), *clip.captions)]
    vectors = start.model.words.numpy()[1:]  # row 0 is padding
    found = new_words(texts, start.words, vectors, max_words=MAX_WORDS)
    for word in found:
        print(word)
    start = with_words(start, found)
    old = _old_sounds(lesson, start.model.config.segment_width)
    with tempfile.TemporaryDirectory() as scratch:
        copies = load(extract(clips, net, *front_end, out=Path(scratch), copies=config.copies))
    if copies[0].segments.shape[2] != start.model.config.segment_width:
        raise ValueError(
            f"{lesson.checkpoint} was trained on segments of {start.model.config.segment_width} numbers, this encoder "
            f"gives {copies[0].segments.shape[2]}: give its own encoder (--student)"
        )
    taught = finetune(start, len(found), (clips, copies), old, config)
    clean = (old[0], old[1][0]) if old else None
    before, after = (standing(each, (clips, copies[0]), clean, lesson.phrases) for each in (start, taught))
    gates = finetune_gates(before, after)
    judge(gates)
    told = {f"own_{name}": round(figures.own_r1, 2) for name, figures in (("r1_before", before), ("r1", after))}
    told |= after.report.figures() if after.report else {}
    _write(lesson, replace(taught, validation=told), clips, copies[0], found, [str(gate) for gate in gates])
    return after


def _old_sounds(lesson: Lesson, width: int) -> tuple[list[Clip], list[Features]] | None:
    """The old clips and their features; None, and a line that says what is missing, where they are not there."""
    paths = sorted(lesson.features.glob("*-*.npz"))
    if not (lesson.sounds / "clips.csv").is_file() or not paths:
        missing = lesson.features if (lesson.sounds / "clips.csv").is_file() else lesson.sounds
        print(f"no old clips ({missing} has none): the audio tower stays as it is, old phrases are held and measured")
        return None
    clips, copies = read_clips(lesson.sounds), load(paths)
    if any(each.segments.shape[2] != width or int(each.clip.max()) >= len(clips) for each in copies):
        raise ValueError(
            f"{lesson.features} is not of {lesson.sounds} and this checkpoint's encoder: give its --features"
        )
    return clips, copies


def _write(
    lesson: Lesson,
    taught: Checkpoint,
    clips: Sequence[Clip],
    clean: Features,
    found: Sequence[NewWord],
    gates: list[str],
) -> None:
    """All but the checkpoint first: where best.pt is, everything is."""
    out = lesson.out
    (out / "features").mkdir(parents=True, exist_ok=True)
    (out / "config.json").write_text(json.dumps(taught.config, indent=2) + "\n")
    about = {"words": {each.word: each.begins for each in found}, "gates": gates, **taught.validation}
    (out / "finetune.json").write_text(json.dumps(about, indent=2) + "\n")
    own = dict.fromkeys(tidy_label(clip.label) for clip in clips)
    (out / "phrases.txt").write_text("".join(f"{text}\n" for text in dict.fromkeys((*lesson.phrases, *own))), "utf-8")
    # the export compares on "val" and reports on "test": one's own held-out clips are both
    held = [row for row, clip in enumerate(clips) if clip.split == HELD]
    rows = [*range(len(clips)), *held]
    with (out / "clips.csv").open("w", encoding="utf-8", newline="") as file:
        table = csv.DictWriter(file, COLUMNS)
        table.writeheader()
        for place, row in enumerate(rows):
            clip = clips[row]
            told = asdict(clip) | {"file": clip.path.absolute(), "captions": " | ".join(clip.captions), "seconds": ""}
            told["split"] = "val" if place >= len(clips) else clip.split
            table.writerow({name: told[name] for name in COLUMNS})
    windows = [np.flatnonzero(clean.clip == row) for row in rows]
    order = np.concatenate(windows)
    doubled = Features(*(getattr(clean, name)[order] for name in vars(clean)))
    owner = np.repeat(np.arange(len(rows)), [len(each) for each in windows])
    save(out / "features" / "own-0.npz", replace(doubled, clip=owner))
    taught.save(out / "best.part")
    (out / "best.part").replace(out / "best.pt")
