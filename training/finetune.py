"""Teach the text side of a model where a sound of one's own lies: the audio side and the old words stay as they are.

    side = finetune(side, own, memory, FinetuneConfig())

The audio side hears far more than it was ever told the names of, so a new sound needs no new ears: its embeddings lie
together already, and the text tower learns to put its name there. Background and thresholds, which are made of audio
embeddings, stay true. Each step mixes embeddings of one's own clips with old ones (memory.py), each to find its text
among all texts and each text its sounds; and holds the model where it was: old texts keep their embeddings (learning
without forgetting, Li and Hoiem 2016, arXiv:1606.09282, on embeddings).
"""

import copy
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor, nn

from edge_runtime.tokenizer import Tokenizer, batch_of
from training.evaluate import same_sound
from training.label_names import tidy_label
from training.losses import cross_modal_info_nce, one_way_info_nce
from training.memory import Memory
from training.phrasings import PHRASINGS, phrasings_of
from training.retrieval import Tower
from training.sampler import text_of
from training.sounds import Clip
from training.text_side import TextSide

__all__ = ["FinetuneConfig", "finetune", "old_labels"]


@dataclass(frozen=True)
class FinetuneConfig:
    """Settings of one run. `own` and `replayed` are clips a step, `anchors` the old texts that a step holds, `keep` the
    weight of holding; each own clip is heard in `copies` roughened copies too."""

    steps: int = 100
    own: int = 32
    replayed: int = 128
    anchors: int = 256
    learning_rate: float = 3e-4
    word_rate: float = 3e-3
    weight_decay: float = 1e-2
    keep: float = 10.0
    copies: int = 5
    seed: int = 0

    def __post_init__(self) -> None:
        sizes = (self.steps, self.own, self.replayed, self.anchors, self.copies)
        if min(sizes) < 1 or min(self.learning_rate, self.word_rate) <= 0 or min(self.keep, self.weight_decay) < 0:
            raise ValueError(f"fine-tuning settings out of range: {self}")


def old_labels(own: Sequence[str], more: Sequence[str] = ()) -> list[str]:
    """The labels that the project knows, and `more`, less those that name the same sound as one's own."""
    known = sorted({*PHRASINGS, *more})
    labels = [*own, *known]
    same = same_sound(labels)[: len(own)].any(axis=0)
    said = {tidy_label(label) for label in own}
    return [
        name for name, alike in zip(known, same[len(own) :], strict=True) if not alike and tidy_label(name) not in said
    ]


def finetune(start: TextSide, new: int, own: Memory, old: Memory | None, config: FinetuneConfig) -> TextSide:
    """Train from `start`, whose last `new` words are new, on the training clips of `own` and, where there are any, of
    `old`; the windows of an own clip are those of its copies too."""
    from rich.progress import track

    torch.manual_seed(config.seed)
    rng = np.random.default_rng(config.seed)
    tokenizer = start.tokenizer
    tower = _copy(start.text_tower)
    known = start.words[: len(start.words) - new]
    fresh = nn.Parameter(start.words[len(start.words) - new :].clone())
    draw = Sampler([own, *([old] if old else [])], rng)
    learned = sorted({clip.label for clip in own.clips})
    rivals = _ids(tokenizer, [tidy_label(label) for label in old_labels(learned)])
    anchors = _readable(tokenizer, [text for label in old_labels(learned) for text in phrasings_of(label)])
    groups = [
        {"params": list(tower.parameters()), "lr": config.learning_rate},
        {"params": [fresh], "lr": config.word_rate, "weight_decay": 0.0},
    ]
    optimiser = torch.optim.AdamW(groups, weight_decay=config.weight_decay)
    rates = [group["lr"] for group in groups]
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, rates, total_steps=config.steps, pct_start=0.1)
    side = replace(start, text_tower=tower)

    for _ in track(range(config.steps), "fine-tuning"):
        words = torch.cat((known, fresh))
        clips, audio = draw([config.own, config.replayed])
        texts = side.embed_ids(_ids(tokenizer, [text_of(clip, rng) for clip in clips], every=True), words)
        positive = _positive(clips)
        some = rng.choice(len(anchors), min(config.anchors, len(anchors)), replace=False)
        held = _ids(tokenizer, [anchors[i] for i in some])
        cosines = audio[: config.own] @ torch.cat((texts, side.embed_ids(rivals, words))).T
        none = torch.zeros(config.own, len(rivals), dtype=torch.bool)
        loss = one_way_info_nce(cosines / start.temperature, torch.cat((positive[: config.own], none), dim=1))
        with torch.no_grad():
            before = start.embed_ids(held)
        loss = loss + config.keep * _moved(side.embed_ids(held, words), before)
        if old:
            loss = loss + cross_modal_info_nce(audio @ texts.T, positive, torch.tensor(start.temperature))
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_([*tower.parameters(), fresh], 5.0)
        optimiser.step()
        schedule.step()
    return replace(side, words=torch.cat((known, fresh.detach())), text_tower=tower.requires_grad_(requires_grad=False))


class Sampler:
    """Draws clips of several memories, each recording of the train split as likely as another, one window of each."""

    def __init__(self, memories: Sequence[Memory], rng: np.random.Generator) -> None:
        self._rng = rng
        self._windows = [memory.by_clip for memory in memories]
        self._clips = [memory.clips for memory in memories]
        self._recordings = [_by_recording(memory.clips) for memory in memories]

    def __call__(self, counts: Sequence[int]) -> tuple[list[Clip], Tensor]:
        """So many clips of each memory (again, where there are fewer), and a window (E,) of each as one (N, E)."""
        clips, windows = [], []
        for count, recordings, known, heard in zip(counts, self._recordings, self._clips, self._windows, strict=False):
            chosen = self._rng.choice(len(recordings), count, replace=count > len(recordings))
            for row in (int(self._rng.choice(recordings[i])) for i in chosen):
                clips.append(known[row])
                windows.append(heard[row][self._rng.integers(len(heard[row]))])
        return clips, torch.from_numpy(np.stack(windows))


def _by_recording(clips: Sequence[Clip]) -> list[list[int]]:
    found = defaultdict(list)
    for row, clip in enumerate(clips):
        if clip.split == "train":
            found[clip.recording].append(row)
    return list(found.values())


def _positive(clips: Sequence[Clip]) -> Tensor:
    """(N, N) bool: which clips' texts are right for which clips: those of the same sound, or of the same recording."""
    labels = sorted({clip.label for clip in clips})
    rows = [labels.index(clip.label) for clip in clips]
    recordings = np.array([f"{clip.source} {clip.recording}" for clip in clips])
    return torch.from_numpy(same_sound(labels)[np.ix_(rows, rows)] | (recordings[:, None] == recordings))


def _copy(tower: Tower) -> Tower:
    """To be trained: as at inference, since a batch of one sound is no sample of what batch norms have seen."""
    return copy.deepcopy(tower).eval().requires_grad_(requires_grad=True)


def _moved(new: Tensor, old: Tensor) -> Tensor:
    """How far unit vectors (N, E) went from where they were: the mean of 1 - cosine."""
    return 1 - (new * old).sum(dim=1).mean()


def _readable(tokenizer: Tokenizer, texts: Sequence[str]) -> list[str]:
    return [text for text in dict.fromkeys(texts) if tokenizer.reads(text)]


def _ids(tokenizer: Tokenizer, texts: Sequence[str], *, every: bool = False) -> Tensor:
    """Ids (B, L) of the texts that can be read, or of `every` one."""
    readable = texts if every else _readable(tokenizer, texts)
    return torch.from_numpy(batch_of([tokenizer.encode(text) for text in readable]))
