"""Train the dual encoder on frozen segments: one visible loop.

    python -m training train --out runs/train --epochs 40

Every epoch takes each training recording once, through one of its windows, clean or roughened, and one of the texts
that fit it. Losses: symmetric InfoNCE with several positives (or the paper's margin loss), the encoder's own AudioSet
tags as extra audio-text pairs, and a sentence encoder's similarities between captions for the text tower. The
checkpoint with the best validation score stays in `best.pt`; `last.pt` resumes; `config.json` holds every setting.
With `--hold-out open` neither training nor the choice of a checkpoint hears what `training/hold_out.py` keeps back.
"""

import json
import random
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import nullcontext
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from edge_runtime.tokenizer import Tokenizer, batch_of
from training.evaluate import Report, evaluate, same_sound, selection_score
from training.features import Features
from training.hold_out import PROTOCOLS, HoldOut
from training.losses import cross_modal_info_nce, max_margin, similarity_distillation, soft_tags
from training.phrasings import varied
from training.retrieval import DualEncoder, RetrievalConfig
from training.sounds import Clip
from training.words import WordVectors

__all__ = ["CaptionTeacher", "Checkpoint", "TrainConfig", "train"]

MAX_WORDS = 64


@dataclass(frozen=True)
class TrainConfig:
    """Settings of one run. `loss` is "infonce" or "margin"; `hold_out` "closed" or "open"; weights of 0 leave a part
    out."""

    epochs: int = 80
    batch: int = 256
    learning_rate: float = 2e-3
    weight_decay: float = 1e-2
    loss: str = "infonce"
    margin: float = 0.2
    tag_weight: float = 0.3
    caption_weight: float = 1.0
    average: float = 0.98
    joint_width: int = 512
    audio_pooling: str = "netrvlad"
    text_pooling: str = "netrvlad"
    dropout: float = 0.4
    seed: int = 0
    device: str = "auto"
    hold_out: str = "closed"

    def __post_init__(self) -> None:
        if self.hold_out not in PROTOCOLS:
            raise ValueError(f"hold_out {self.hold_out!r} is not known; there are {' and '.join(PROTOCOLS)}")
        if self.loss not in ("infonce", "margin"):
            raise ValueError(f"loss {self.loss!r} is not known; there are infonce and margin")
        if self.epochs < 1 or self.batch < 2 or self.learning_rate <= 0 or not 0 <= self.average < 1:
            raise ValueError(f"training settings out of range: {self}")


@dataclass(frozen=True)
class CaptionTeacher:
    """Captions and their sentence embeddings `(N, H)`, unit length: what the text tower is distilled from."""

    texts: list[str]
    embeddings: np.ndarray

    def readable(self, tokenizer: Tokenizer) -> "CaptionTeacher":
        """Those that the vocabulary can read at all: tags such as `openwindowsounds` have no known word."""
        keep = [row for row, text in enumerate(self.texts) if tokenizer.reads(text)]
        return CaptionTeacher([self.texts[row] for row in keep], self.embeddings[keep])


@dataclass(frozen=True)
class Checkpoint:
    """A trained model with its vocabulary: what evaluation and export read."""

    model: DualEncoder
    words: list[str]
    words_source: str
    config: dict[str, Any]
    validation: dict[str, float]

    @property
    def tokenizer(self) -> Tokenizer:
        return Tokenizer(self.words, max_words=MAX_WORDS)

    @classmethod
    def load(cls, folder: Path, name: str = "best.pt") -> "Checkpoint":
        path = folder / name
        if not path.is_file():
            raise FileNotFoundError(f"{folder} has no {name}: give the folder that `python -m training train` wrote")
        state = torch.load(path, map_location="cpu", weights_only=True)
        model = DualEncoder(RetrievalConfig(**state["retrieval"]), state["model"]["words"])
        model.load_state_dict(state["model"])
        return cls(model.eval(), state["vocabulary"], state["words_source"], state["config"], state["validation"])

    def save(self, path: Path) -> None:
        state = {
            "model": self.model.state_dict(),
            "retrieval": asdict(self.model.config),
            "vocabulary": self.words,
            "words_source": self.words_source,
            "config": self.config,
            "validation": self.validation,
        }
        torch.save(state, path)

    def embed_text(self, texts: Sequence[str]) -> np.ndarray:
        tokenizer = self.tokenizer
        with torch.inference_mode():
            return self.model.text(torch.from_numpy(batch_of([tokenizer.encode(text) for text in texts]))).numpy()

    def embed_windows(self, features: Features, *, batch: int = 512) -> np.ndarray:
        """Embeddings of all windows, (N, E)."""
        parts = []
        with torch.inference_mode():
            for start in range(0, len(features.lengths), batch):
                rows = slice(start, start + batch)
                x, mask = _padded(features.segments[rows], features.lengths[rows])
                parts.append(self.model.audio(x, mask).numpy())
        return np.concatenate(parts)

    def evaluate(self, clips: Sequence[Clip], features: Features, split: str) -> Report:
        """`features` of all clips, clean; `clips` in the rows that they were extracted from."""
        rows = [i for i, clip in enumerate(clips) if clip.split == split]
        part = features.of_clips(rows)
        embeddings = self.embed_windows(part)
        windows = [embeddings[part.clip == row] for row in rows]
        return evaluate([clips[row] for row in rows], windows, self.embed_text)


@dataclass(frozen=True)
class Batch:
    """Segments (B, S, D), mask (B, S), token ids (B, L), positive (B, B) bool, tags (B, C)."""

    segments: Tensor
    mask: Tensor
    token_ids: Tensor
    positive: Tensor
    tags: Tensor


class Sampler:
    """Batches of one epoch: each training recording once, in a new order, a random window of a random copy."""

    def __init__(self, clips: Sequence[Clip], copies: Sequence[Features], tokenizer: Tokenizer, batch: int) -> None:
        self._clips, self._copies, self._tokenizer, self._batch = clips, copies, tokenizer, batch
        self._windows: list[dict[int, np.ndarray]] = [copy.rows_by_clip() for copy in copies]
        by_recording = defaultdict(list)
        for row, clip in enumerate(clips):
            if clip.split == "train":
                by_recording[clip.recording].append(row)
        self.recordings = list(by_recording.values())
        labels = sorted({clip.label for clip in clips})
        self._label = np.array([labels.index(clip.label) for clip in clips])
        self._same = same_sound(labels)

    def __len__(self) -> int:
        return max(1, len(self.recordings) // self._batch)

    def epoch(self, rng: np.random.Generator) -> Iterator[Batch]:
        order = rng.permutation(len(self.recordings))
        for start in range(len(self)):
            chosen = order[start * self._batch : (start + 1) * self._batch]
            rows = np.array([rng.choice(self.recordings[i]) for i in chosen])
            yield self.of(rows, rng)

    def of(self, rows: np.ndarray, rng: np.random.Generator) -> Batch:
        """A batch of these clips, each through a random window of a random copy, with a random one of its texts."""
        segments, lengths, tags = [], [], []
        for row in rows:
            copy = int(rng.integers(len(self._copies)))
            window = rng.choice(self._windows[copy][row])
            features = self._copies[copy]
            segments.append(features.segments[window])
            lengths.append(features.lengths[window])
            tags.append(features.tags[window])
        x, mask = _padded(np.stack(segments), np.array(lengths))
        texts = [_text_of(self._clips[row], rng) for row in rows]
        recordings = np.array([self._clips[row].recording for row in rows])
        positive = self._same[np.ix_(self._label[rows], self._label[rows])] | (recordings[:, None] == recordings)
        return Batch(
            x,
            mask,
            torch.from_numpy(batch_of([self._tokenizer.encode(text) for text in texts])),
            torch.from_numpy(positive),
            torch.from_numpy(np.stack(tags).astype(np.float32)),
        )


def train(
    clips: Sequence[Clip],
    copies: Sequence[Features],
    vectors: WordVectors,
    config: TrainConfig,
    out: Path,
    *,
    class_names: Sequence[str] = (),
    teacher: CaptionTeacher | None = None,
    resume: bool = False,
) -> Checkpoint:
    """Train, keep the best epoch in `out`, and return it. `copies[0]` are the clean features."""
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

    torch.manual_seed(config.seed)
    rng = np.random.default_rng(config.seed)
    clips = HoldOut.of(clips).kept_back(clips) if config.hold_out == "open" else clips
    device = device_of(config.device)
    tokenizer = Tokenizer(vectors.words, max_words=MAX_WORDS)
    padded = np.concatenate((np.zeros((1, vectors.vectors.shape[1]), np.float32), vectors.vectors))
    width = copies[0].segments.shape[2]
    sizes = {field.name for field in fields(RetrievalConfig)} & {field.name for field in fields(TrainConfig)}
    retrieval = RetrievalConfig(segment_width=width, **{name: getattr(config, name) for name in sizes})
    model = DualEncoder(retrieval, torch.from_numpy(padded))
    mean, std = copies[0].statistics(i for i, clip in enumerate(clips) if clip.split == "train")
    model.segment_mean.copy_(torch.from_numpy(mean))
    model.segment_std.copy_(torch.from_numpy(std))
    model.to(device)
    teacher = teacher.readable(tokenizer) if teacher else None
    sampler = Sampler(clips, copies, tokenizer, config.batch)
    optimiser = torch.optim.AdamW(model.parameters(), lr=config.learning_rate, weight_decay=config.weight_decay)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimiser, config.learning_rate, total_steps=config.epochs * len(sampler), pct_start=0.1
    )
    averaged = torch.optim.swa_utils.AveragedModel(
        model, multi_avg_fn=torch.optim.swa_utils.get_ema_multi_avg_fn(config.average), use_buffers=True
    )
    names = torch.from_numpy(batch_of([tokenizer.encode(n) for n in class_names])).to(device) if class_names else None
    autocast = torch.autocast("cuda", torch.bfloat16) if device.type == "cuda" else nullcontext()

    out.mkdir(parents=True, exist_ok=True)
    (out / "config.json").write_text(json.dumps(asdict(config), indent=2) + "\n")
    parts = {"model": model, "averaged": averaged, "optimiser": optimiser, "schedule": schedule}
    last = out / "last.pt"
    best, first = _resumed(last, parts, config, rng) if resume and last.exists() else (-1.0, 0)

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("epoch {task.completed} of {task.total}"),
    )
    with Progress(*columns, TimeRemainingColumn()) as progress:
        task = progress.add_task("training", total=config.epochs, completed=first)
        for epoch in range(first, config.epochs):
            model.train()
            for batch in sampler.epoch(rng):
                with autocast:
                    loss = _loss(model, batch, config, names, _captions(teacher, tokenizer, config.batch, rng), device)
                optimiser.zero_grad(set_to_none=True)
                loss.backward()
                torch.nn.utils.clip_grad_norm_(model.parameters(), 5.0)
                optimiser.step()
                schedule.step()
                averaged.update_parameters(model)
            found = Checkpoint(averaged.module.eval(), vectors.words, vectors.source, asdict(config), {})
            found.model.cpu()
            report = found.evaluate(clips, copies[0], "val")
            score = selection_score(report)
            if score > best:
                best, figures = score, report.figures() | {"selection": score, "epoch": epoch}
                replace(found, validation=figures).save(out / "best.pt")
            averaged.module.to(device)
            _keep(last, parts, config, rng, best=best, epoch=epoch)
            progress.update(task, completed=epoch + 1, description=f"loss {loss.item():.3f}, validation {score:.1f}")
    return Checkpoint.load(out)


def device_of(name: str) -> torch.device:
    """`auto`: the GPU when there is one."""
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    return torch.device(name)


def _keep(
    path: Path, parts: dict[str, Any], config: TrainConfig, rng: np.random.Generator, *, best: float, epoch: int
) -> None:
    """Write all that a run needs to go on; the old file stays until the new one is whole."""
    state = {name: part.state_dict() for name, part in parts.items()}
    state |= {"config": asdict(config), "best": best, "epoch": epoch}
    state |= {"rng": rng.bit_generator.state, "torch_rng": torch.get_rng_state()}
    part = path.with_suffix(".part")
    torch.save(state, part)
    part.replace(path)


def _resumed(path: Path, parts: dict[str, Any], config: TrainConfig, rng: np.random.Generator) -> tuple[float, int]:
    """Restore what `_keep` wrote; return the best score so far and the next epoch."""
    state = torch.load(path, map_location="cpu", weights_only=True)
    if state["config"] != asdict(config):
        raise ValueError(f"{path} was trained with other settings: give them again, or another --out")
    for name, part in parts.items():
        part.load_state_dict(state[name])
    rng.bit_generator.state = state["rng"]
    torch.set_rng_state(state["torch_rng"])
    return state["best"], state["epoch"] + 1


def _loss(
    model: DualEncoder,
    batch: Batch,
    config: TrainConfig,
    names: Tensor | None,
    captions: tuple[Tensor, Tensor] | None,
    device: torch.device,
) -> Tensor:
    temperature = model.log_temperature.exp().clamp(0.01, 1.0)
    audio = model.audio(batch.segments.to(device), batch.mask.to(device))
    cosines = audio @ model.text(batch.token_ids.to(device)).T
    positive = batch.positive.to(device)
    if config.loss == "margin":
        loss = max_margin(cosines, positive, margin=config.margin)
    else:
        loss = cross_modal_info_nce(cosines, positive, temperature)
    if config.tag_weight and names is not None:
        loss = loss + config.tag_weight * soft_tags(audio @ model.text(names).T, batch.tags.to(device), temperature)
    if config.caption_weight and captions is not None:
        ids, teacher = (part.to(device) for part in captions)
        loss = loss + config.caption_weight * similarity_distillation(model.text(ids), teacher)
    return loss


def _captions(
    teacher: CaptionTeacher | None, tokenizer: Tokenizer, count: int, rng: np.random.Generator
) -> tuple[Tensor, Tensor] | None:
    if teacher is None:
        return None
    rows = rng.choice(len(teacher.texts), size=count, replace=False)
    ids = batch_of([tokenizer.encode(teacher.texts[row]) for row in rows])
    return torch.from_numpy(ids), torch.from_numpy(teacher.embeddings[rows].astype(np.float32))


def _text_of(clip: Clip, rng: np.random.Generator) -> str:
    """A human caption half of the time where there is one, else the label in one of its phrasings."""
    if clip.captions and rng.random() < 0.5:
        return str(rng.choice(np.array(clip.captions)))
    return varied(clip.label, random.Random(int(rng.integers(2**32))))


def _padded(segments: np.ndarray, lengths: np.ndarray) -> tuple[Tensor, Tensor]:
    """float16 (B, 32, D) and lengths (B,) -> float32 (B, S, D) cut to the longest, and its mask (B, S)."""
    longest = int(lengths.max())
    x = torch.from_numpy(segments[:, :longest].astype(np.float32))
    return x, torch.arange(longest)[None, :] < torch.from_numpy(lengths)[:, None]
