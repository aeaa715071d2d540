"""One's own folder of recordings and a bundle -> a text side that `python -m export` puts into it: one straight line.

teach(Lesson(data, bundle, out), FinetuneConfig())

What `out` then holds: text.pt, the new text side; config.json; finetune.json, what was measured, which words are new
and which bundle it belongs to; phrases.txt, the bundle's phrases and one's own labels; memory.npz, the bundle's memory
and one's own clips, so that the next lesson does not unlearn this one. A gate that fails leaves none of these.
"""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np

from edge_runtime.bundle import Bundle
from edge_runtime.engine import Engine, stream
from edge_runtime.listener import Listener
from edge_runtime.phrases import default_phrases
from training.augment import RATE_HZ, roughened
from training.finetune import FinetuneConfig, finetune
from training.finetune_gate import Standing, finetune_gates, standing
from training.gates import judge
from training.label_names import tidy_label
from training.memory import MEMORY, Memory
from training.new_words import NewWord, new_words
from training.own_sounds import HELD, read_own
from training.sounds import Clip, load_samples
from training.text_side import TextSide
from training.train import MAX_WORDS

__all__ = ["TEXT_SIDE", "Lesson", "hear_copies", "teach"]

TEXT_SIDE = "text.pt"


@dataclass(frozen=True)
class Lesson:
    """One's own recordings, the bundle that is to learn them, and where the result goes."""

    data: Path
    bundle: Path
    out: Path


def teach(lesson: Lesson, config: FinetuneConfig) -> Standing:
    """Raises GateError where the new sound did not gain or the old benchmark lost; then nothing is written."""
    if (lesson.out / TEXT_SIDE).exists():
        raise ValueError(f"{lesson.out} holds a text side already: give a new folder with --out")
    clips = read_own(lesson.data, seed=config.seed)
    bundle = Bundle.open(lesson.bundle)
    start = TextSide.of_bundle(bundle)
    texts = [text for clip in clips for text in (tidy_label(clip.label), *clip.captions)]
    vectors = start.words.numpy()[1:]  # row 0 is padding
    found = new_words(texts, start.vocabulary, vectors, max_words=MAX_WORDS)
    for word in found:
        print(word)
    start = start.with_words(found)
    old = _memory_of(lesson.bundle)
    clean, rough = hear_copies(bundle, clips, copies=config.copies)
    learned = Memory.of(clips, [np.concatenate(each) for each in zip(clean, rough, strict=True)]).of_split("train")
    taught = finetune(start, len(found), learned, old.of_split("train") if old else None, config)
    held = Memory.of(clips, clean).of_split(HELD)
    asked = old.of_split("val") if old else None
    phrases = default_phrases(bundle)
    before, after = (standing(side, held, asked, phrases) for side in (start, taught))
    gates = finetune_gates(before, after)
    judge(gates)
    told = {f"own_{name}": round(figures.own_r1, 2) for name, figures in (("r1_before", before), ("r1", after))}
    told |= after.report.figures() if after.report else {}
    about = {"bundle": str(lesson.bundle.absolute()), "fingerprint": bundle.fingerprint, "quality": told}
    about |= {"own": after.clips, "words": _begins(found), "gates": [str(gate) for gate in gates]}
    lesson.out.mkdir(parents=True, exist_ok=True)
    (lesson.out / "config.json").write_text(json.dumps(asdict(config), indent=2) + "\n")
    (lesson.out / "finetune.json").write_text(json.dumps(about, indent=2) + "\n")
    spoken = dict.fromkeys((*phrases, *(tidy_label(clip.label) for clip in clips)))
    (lesson.out / "phrases.txt").write_text("".join(f"{text}\n" for text in spoken), "utf-8")
    _both(old, Memory.of(clips, clean)).save(lesson.out / MEMORY)
    taught.save(lesson.out / "text.part")
    (lesson.out / "text.part").replace(lesson.out / TEXT_SIDE)  # last: where it is, everything is
    return after


def hear_copies(bundle: Bundle, clips: Sequence[Clip], *, copies: int) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """Each clip's windows as it is, (W, E), and those of its roughened copies, (W', E)."""
    engine = Engine.open(bundle.folder, phrases=["silence"])
    clean = [engine.embed_audio(clip.path) for clip in clips]
    rough = []
    for row, clip in enumerate(clips):
        samples = load_samples(clip.path, RATE_HZ)
        heard = [
            _windows(bundle, roughened(samples, np.random.default_rng([copy, row]))) for copy in range(1, copies + 1)
        ]
        rough.append(np.concatenate(heard))
    return clean, rough


def _windows(bundle: Bundle, samples: np.ndarray) -> np.ndarray:
    """Samples (n,) at RATE_HZ as a recording of them is heard, (W, E)."""
    listener = Listener(bundle, hop=bundle.manifest.window.archive_hop)
    windows = stream(listener, [samples], rate_hz=RATE_HZ, to_hz=bundle.manifest.mel.rate_hz)
    return np.stack([window.embedding for window in windows])


def _memory_of(bundle: Path) -> Memory | None:
    """None, and a line that says so, where a bundle has none."""
    if not (bundle / MEMORY).is_file():
        print(f"{bundle} remembers no old sounds: old phrases are held and measured alone")
        return None
    return Memory.load(bundle / MEMORY)


def _both(old: Memory | None, own: Memory) -> Memory:
    """Old clips and one's own, whose held-out ones become the old benchmark of the next lesson."""
    mine = [replace(clip, split="val") if clip.split == HELD else clip for clip in own.clips]
    memories = [*([old] if old else []), replace(own, clips=mine)]
    return Memory.of([c for each in memories for c in each.clips], [w for each in memories for w in each.by_clip])


def _begins(found: Sequence[NewWord]) -> dict[str, tuple[str, ...]]:
    return {each.word: each.begins for each in found}
