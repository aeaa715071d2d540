"""A bundle and a new text side -> the same bundle with other words: what `python -m training finetune` leads to.

    python -m export runs/finetuned my-bundle           # the folder that finetune wrote

The audio side is copied as it is, file by file: encoder, head, front end. The text graph, the vocabulary, the default
phrases with their index, the background's label bank, the golden answers and the card are made anew, and what goes out
is checked against the text side in fp32.
"""

import dataclasses
import json
import shutil
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from edge_runtime.background import FILE as BACKGROUND
from edge_runtime.background import Background
from edge_runtime.bundle import Bundle
from edge_runtime.errors import EarmarkError
from edge_runtime.manifest import Manifest, digests_of
from edge_runtime.phrases import digest_of, read_phrase_file, tidy
from edge_runtime.vector_index import VectorIndex
from export.background import embedded_bank
from export.bundle import INDEX
from export.card import retext_card
from export.precision import int8_text
from export.verify import MIN_INT8_COSINE, cosines
from training.gates import Gate, judge
from training.memory import MEMORY
from training.teach import TEXT_SIDE
from training.text_side import TextSide

__all__ = ["Retext", "export_retext", "is_retext"]

GOLDEN, PHRASES, CARD = "golden.npz", "phrases.jsonl", "MODEL_CARD.md"


@dataclass(frozen=True)
class Retext:
    """`lesson`: the folder that finetune wrote; the rest as it is for any bundle."""

    lesson: Path
    name: str
    version: str
    phrases: Path


def is_retext(folder: Path) -> bool:
    return (folder / TEXT_SIDE).is_file()


def export_retext(folder: Path, asked: Retext) -> None:
    """Write the whole bundle into the empty `folder`. Raises GateError, or EarmarkError where the base has changed."""
    about = json.loads((asked.lesson / "finetune.json").read_text(encoding="utf-8"))
    base = Path(about["bundle"])
    manifest = Manifest.read(base)
    if manifest.fingerprint != about["fingerprint"]:
        raise EarmarkError(
            f"{base} has the fingerprint {manifest.fingerprint}, {asked.lesson} was made from {about['fingerprint']}: "
            "bring that bundle back, or fine-tune again"
        )
    side = TextSide.load(asked.lesson / TEXT_SIDE)
    phrases = [tidy(phrase) for phrase in read_phrase_file(asked.phrases)]
    audio = {manifest.encoder.graph.file, manifest.head.graph.file, "mel.npz"}
    audio |= {graph.file for each in manifest.profiles.values() for graph in (each.encoder, each.head)}
    for name in audio & manifest.files.keys():
        shutil.copyfile(base / name, folder / name)
    shutil.copyfile(asked.lesson / MEMORY, folder / MEMORY)
    side.tokenizer.save(folder / "tokenizer.json")
    scratch = folder / "fp32"
    scratch.mkdir()
    text = int8_text(side, side.tokenizer, scratch, folder / manifest.text.graph.file, phrases)
    shutil.rmtree(scratch)
    manifest = dataclasses.replace(
        manifest,
        name=asked.name,
        version=asked.version,
        text=dataclasses.replace(manifest.text, graph=text),
        quality=about["quality"],
        files=digests_of(folder),
    )
    manifest.write(folder)
    shipped = Bundle(folder)  # verified but for the self-test, which is written next
    lowest = float(cosines(side.embed_text(phrases), shipped.embed_text(phrases)).min())
    gate = Gate("text encoder: lowest cosine of fp32 and shipped", lowest, MIN_INT8_COSINE, at_most=False)
    judge([gate])
    if BACKGROUND in Manifest.read(base).files:
        _write_background(base, folder, shipped)
    _write_golden(base, folder, shipped)
    (folder / PHRASES).write_text("".join(json.dumps({"phrase": text}) + "\n" for text in phrases))
    index = VectorIndex.build(shipped.embed_text(phrases), INDEX)
    index.save(folder / "phrases.hnsw", fingerprint=shipped.fingerprint, content=digest_of(phrases))
    base_card = (base / CARD).read_text(encoding="utf-8")
    card = retext_card(manifest, base_card, about["fingerprint"], about["own"], [*about["gates"], str(gate)])
    (folder / CARD).write_text(card, encoding="utf-8")
    dataclasses.replace(manifest, files=digests_of(folder)).write(folder)
    for profile in manifest.profiles or [None]:
        Bundle.open(folder, profile=profile)


def _write_background(base: Path, folder: Path, shipped: Bundle) -> None:
    """The base's background; the texts of its label bank are embedded anew."""
    background = Background.load(base / BACKGROUND, width=shipped.manifest.head.width)
    if background.bank:
        background = dataclasses.replace(background, bank=embedded_bank(shipped, background.bank.texts))
    background.save(folder / BACKGROUND)


def _write_golden(base: Path, folder: Path, shipped: Bundle) -> None:
    """The base's answers to its signal, and this bundle's to its text."""
    with np.load(base / GOLDEN, allow_pickle=False) as file:
        golden = dict(file)
    told = shipped.answers(golden["signal"], shipped.tokenizer.encode("a dog barks in the rain"))
    golden |= {"token_ids": told.token_ids, "text_embedding": told.text_embedding}
    np.savez_compressed(folder / GOLDEN, **golden)
