"""Teach a trained model a sound of one's own, and little else: the towers move, the encoder and the old words do not.

    python -m training finetune --data my-sounds --checkpoint runs/train --out runs/finetuned

Each step mixes windows of one's own clips with a replay of the old training clips, where their features are there,
and holds the model where it was: old texts and old sounds keep their embeddings (learning without forgetting, Li and
Hoiem 2016, arXiv:1606.09282, on embeddings). Without old clips nothing could hold the audio tower: it stays as it is,
and the text tower alone learns where the new sound lies. Batch norms keep their statistics, since a batch of one sound
is no sample of what they have seen.
"""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace

import numpy as np
import torch
from torch import Tensor

from edge_runtime.tokenizer import PADDING, Tokenizer, batch_of
from training.evaluate import same_sound
from training.features import Features
from training.losses import cross_modal_info_nce, one_way_info_nce
from training.new_words import NewWord
from training.phrasings import PHRASINGS, phrasings_of, tidy_label
from training.retrieval import DualEncoder
from training.sounds import Clip
from training.train import Batch, Checkpoint, Sampler

__all__ = ["FinetuneConfig", "finetune", "old_labels", "with_words"]


@dataclass(frozen=True)
class FinetuneConfig:
    """Settings of one run. `own` and `replayed` are clips a step, `anchors` the old texts that a step holds, `keep` the
    weight of holding; each own clip is heard in `copies` roughened copies too."""

    steps: int = 100
    own: int = 32
    replayed: int = 96
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


def with_words(checkpoint: Checkpoint, found: Sequence[NewWord]) -> Checkpoint:
    """The same model, whose word table has the new words at its end: what it says of old texts is unchanged."""
    if not found:
        return checkpoint
    state = checkpoint.model.state_dict()
    fresh = torch.from_numpy(np.stack([each.vector for each in found]))
    state["words"] = torch.cat((state["words"], fresh))
    model = DualEncoder(checkpoint.model.config, state["words"])
    model.load_state_dict(state)
    return replace(checkpoint, model=model.eval(), words=[*checkpoint.words, *(each.word for each in found)])


def finetune(
    start: Checkpoint,
    new: int,
    own: tuple[Sequence[Clip], Sequence[Features]],
    old: tuple[Sequence[Clip], Sequence[Features]] | None,
    config: FinetuneConfig,
) -> Checkpoint:
    """Train from `start`, whose last `new` words are new, on the training clips of `own` and, where it is there, `old`:
    clips and their features, a `Features` each copy, the clean one first."""
    from rich.progress import track

    torch.manual_seed(config.seed)
    rng = np.random.default_rng(config.seed)
    tokenizer = start.tokenizer
    model = DualEncoder(start.model.config, start.model.words)
    model.load_state_dict(start.model.state_dict())
    model.eval()
    known, fresh = (
        model.words[: len(model.words) - new],
        torch.nn.Parameter(model.words[len(model.words) - new :].clone()),
    )
    if old is None:
        model.audio_tower.requires_grad_(requires_grad=False)
    clips = [*(old[0] if old else ()), *own[0]]
    sampler = Sampler(clips, _joined(old[1] if old else (), own[1], len(clips) - len(own[0])), tokenizer, 1)
    mine, theirs = _by_recording(clips, mine=True), _by_recording(clips, mine=False)
    learned = sorted({clip.label for clip in own[0]})
    rivals = _ids(tokenizer, [tidy_label(label) for label in old_labels(learned)])
    anchors = _readable(tokenizer, [text for label in old_labels(learned) for text in phrasings_of(label)])
    groups = [
        {"params": [weight for weight in model.parameters() if weight.requires_grad], "lr": config.learning_rate},
        {"params": [fresh], "lr": config.word_rate, "weight_decay": 0.0},
    ]
    optimiser = torch.optim.AdamW(groups, weight_decay=config.weight_decay)
    rates = [group["lr"] for group in groups]
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, rates, total_steps=config.steps, pct_start=0.1)
    temperature = start.model.log_temperature.detach().exp().clamp(0.01, 1.0)

    def embed(ids: Tensor) -> Tensor:
        return model.text_tower(torch.cat((known, fresh))[ids], ids != PADDING)

    for _ in track(range(config.steps), "fine-tuning"):
        rows = np.concatenate((_draw(mine, config.own, rng), _draw(theirs, config.replayed, rng))).astype(int)
        batch: Batch = sampler.of(rows, rng)
        some = rng.choice(len(anchors), min(config.anchors, len(anchors)), replace=False)
        held = _ids(tokenizer, [anchors[i] for i in some])
        audio, texts = model.audio(batch.segments, batch.mask), embed(batch.token_ids)
        count = min(config.own, len(rows))
        cosines = audio[:count] @ torch.cat((texts, embed(rivals))).T
        right = torch.cat((batch.positive[:count], torch.zeros(count, len(rivals), dtype=torch.bool)), dim=1)
        loss = one_way_info_nce(cosines / temperature, right)
        loss = loss + config.keep * _moved(embed(held), start.model.text(held))
        if len(rows) > count:
            loss = loss + cross_modal_info_nce(audio @ texts.T, batch.positive, temperature)
            with torch.no_grad():
                before = start.model.audio(batch.segments[count:], batch.mask[count:])
            loss = loss + config.keep * _moved(audio[count:], before)
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 5.0)
        optimiser.step()
        schedule.step()
    model.requires_grad_(requires_grad=True)
    model.words = torch.cat((known, fresh.detach()))
    return Checkpoint(model.eval(), start.words, start.words_source, {**start.config, "finetuned": asdict(config)}, {})


def _moved(new: Tensor, old: Tensor) -> Tensor:
    """How far unit vectors (N, E) went from where they were: the mean of 1 - cosine."""
    return 1 - (new * old.detach()).sum(dim=1).mean()


def _joined(old: Sequence[Features], own: Sequence[Features], offset: int) -> list[Features]:
    """Features of all clips, own ones after the old. There may be more own copies: they become further windows."""
    joined = []
    for copy in range(max(1, min(len(old), len(own)))):
        further = own[copy :: max(1, len(old))]
        parts = [*old[copy : copy + 1], *(replace(each, clip=each.clip + offset) for each in further)]
        joined.append(Features(*(np.concatenate([getattr(part, name) for part in parts]) for name in vars(parts[0]))))
    return joined


def _by_recording(clips: Sequence[Clip], *, mine: bool) -> list[list[int]]:
    found = defaultdict(list)
    for row, clip in enumerate(clips):
        if clip.split == "train" and (clip.source == "own") == mine:
            found[clip.recording].append(row)
    return list(found.values())


def _draw(recordings: list[list[int]], count: int, rng: np.random.Generator) -> np.ndarray:
    """`count` clips, each recording as likely as another; one's own come several times where they are few."""
    if not recordings:
        return np.zeros(0, int)
    chosen = rng.choice(len(recordings), count, replace=count > len(recordings))
    return np.array([rng.choice(recordings[i]) for i in chosen])


def _readable(tokenizer: Tokenizer, texts: Sequence[str]) -> list[str]:
    return [text for text in dict.fromkeys(texts) if tokenizer.reads(text)]


def _ids(tokenizer: Tokenizer, texts: Sequence[str]) -> Tensor:
    return torch.from_numpy(batch_of([tokenizer.encode(text) for text in _readable(tokenizer, texts)]))
