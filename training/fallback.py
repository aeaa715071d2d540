"""Where the towers know nothing, the encoder's own tagger is believed: words that no training clip has stay reachable.

    python -m training fallback runs/stream/train --student runs/stream --out runs/stream/head
    python -m training fallback runs/open/train --student runs/stream --out runs/open/head --told --gain 2 --doubted 1

A trained model places a sound that training lacked anywhere: near some text that it knows, or near none. An embedding
that is near none of the texts of training is one to doubt, and there what the tagger hears, said in the joint space
(`Concepts` of training/retrieval.py), is added to it. What training knows keeps its place, nearly. Nothing is trained.

A class is said by its name. After `train --told-weight` it is better said by all texts that sound like it: with
`--told` its direction is the one along which the told sounds (training/told_sounds.py) lie by as much as the class
weighs in them, and it counts by how much more of it is heard than in the clips of training: what the tagger reports of
nearly every sound would pull all of them to the same texts.

A device keeps little of this: of the class names' directions and of the tagger's last layer the principal ones, and of
the known texts, where the space is nested (`train --narrow-weight`), the first numbers.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor, nn

from edge_runtime.tokenizer import batch_of
from training.features import Features
from training.label_names import tidy_label
from training.losses import shortened
from training.retrieval import Concepts, DualEncoder
from training.sampler import padded
from training.sounds import Clip
from training.told_sounds import ToldSounds
from training.train import Checkpoint, class_weights

__all__ = ["Sizes", "with_fallback"]


@dataclass(frozen=True)
class Sizes:
    """What is kept: of a known text the first `known` numbers, if the space is nested; ranks of the class `names`'
    embeddings and of the `tagger`'s last layer."""

    known: int = 64
    names: int = 64
    tagger: int = 128


TOLD = Sizes(known=512, names=512, tagger=512)
"""Told classes are believed more than names are: all of them, of the tagger and of what is known is worth its place."""

BATCH = 256


@torch.no_grad()
def with_fallback(
    checkpoint: Checkpoint,
    clips: Sequence[Clip],
    clean: Features,
    tagger: nn.Sequential,
    class_names: Sequence[str],
    *,
    gain: float = 0.3,
    doubted: float = 0.1,
    told: bool = False,
    sizes: Sizes | None = None,
) -> Checkpoint:
    """The same towers with a tagger beside them: at most `gain` of their 1, and half of it where they are as little
    sure as in the worst share `doubted` of the validation clips' windows; of 1, `gain` everywhere.

    `clean`: features of all `clips`, which the checkpoint was trained on, with the tags of `tagger`, whose classes
    are called `class_names`. With `told`, classes are said by the told sounds and count by the roots of their
    probabilities, less the mean of these over the windows of training. ValueError: it has a tagger already, or there
    are no validation clips.
    """
    old = checkpoint.model
    if old.concepts is not None:
        raise ValueError("this checkpoint has a tagger beside its towers already: give the one before")
    if not 0 < doubted <= 1:
        raise ValueError(f"doubted is {doubted}, expected a share of the windows above 0, at most 1")
    clips = checkpoint.kept_back(clips)
    heard = checkpoint.in_windows(clean)
    train, val = (
        heard.of_clips(row for row, clip in enumerate(clips) if clip.split == split) for split in ("train", "val")
    )
    if not len(val.lengths):
        raise ValueError("there is no validation clip: without one nobody knows when to doubt")
    sizes = sizes or (TOLD if told else Sizes())
    config = replace(
        old.config,
        classes=len(class_names),
        class_hidden=_hidden_width(tagger),
        concept_gain=gain,
        concept_root=told,
        concept_usual=told,
    )
    known = None
    if doubted < 1:
        labels = sorted({clip.label for clip in clips if clip.split == "train"})
        width = min(sizes.known, old.config.width) if checkpoint.config.get("narrow_weight") else old.config.width
        known, asked = (
            shortened(torch.from_numpy(rows), width)
            for rows in (checkpoint.embed_text([tidy_label(label) for label in labels]), checkpoint.embed_windows(val))
        )
        doubt = np.quantile((asked @ known.T).amax(dim=1).numpy(), doubted)
        config = replace(config, concept_doubt=round(float(doubt), 4), known=len(known), known_width=width)
    model = DualEncoder(config, old.words)
    own = {name: value for name, value in model.state_dict().items() if name.startswith("concepts.")}
    model.load_state_dict(own | old.state_dict())
    assert model.concepts is not None
    concepts, weights = model.concepts, class_weights(train)
    concepts.take(tagger, weights)
    concepts.classify.weight.copy_(_principal(concepts.classify.weight, sizes.tagger))
    if known is not None:
        concepts.known.copy_(known)
    if concepts.usual is not None:
        concepts.usual.copy_(_usual(concepts, train))
    names = torch.from_numpy(batch_of([checkpoint.tokenizer.encode(name) for name in class_names]))
    sounds = ToldSounds.of(class_names, checkpoint.tokenizer, clips) if told else None
    table = sounds.directions(old, names) if sounds else old.text(names)
    concepts.table.copy_(_principal(table * weights[:, None], sizes.names) / weights[:, None])
    return replace(checkpoint, model=model.eval(), validation={})


def _usual(concepts: Concepts, heard: Features) -> Tensor:
    """What the classes count in the mean window: (C,)."""
    total = torch.zeros(len(concepts.weight), dtype=torch.float64)
    for start in range(0, len(heard.lengths), BATCH):
        rows = slice(start, start + BATCH)
        total += concepts.counts(*padded(heard.segments[rows], heard.lengths[rows])).sum(dim=0)
    return total / len(heard.lengths)


def _principal(matrix: Tensor, rank: int) -> Tensor:
    """The nearest one of that rank."""
    left, singular, right = torch.linalg.svd(matrix, full_matrices=False)
    return (left[:, :rank] * singular[:rank]) @ right[:rank]


def _hidden_width(tagger: nn.Sequential) -> int:
    first: Tensor = next(layer for layer in tagger if isinstance(layer, nn.Linear)).weight
    return first.shape[0]
