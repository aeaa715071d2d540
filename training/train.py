"""Train the dual encoder on frozen segments: one visible loop.

    python -m training train --out runs/train --epochs 40

Every epoch takes each training recording once, through one of its windows, clean or roughened, and one of the texts
that fit it; with `--crop` a stretch of the window alone, with `--joint` two sounds and a caption that says both. Losses
(training/objective.py): symmetric InfoNCE with several positives (or the paper's margin loss), the encoder's own
AudioSet tags as extra audio-text pairs, and a sentence encoder's teaching of the text tower (with `--bank-weight` of
both) through captions that no clip has (training/caption_teacher.py); with `--pairs-weight`, texts that people wrote of
one recording draw each other near (training/paired_texts.py); with `--told-weight`, texts learn which AudioSet classes
their sounds would have (training/told_sounds.py). The checkpoint with the best validation score
stays in `best.pt`; `last.pt` resumes; `config.json` holds every setting. With `--hold-out open` neither training nor
the choice of a checkpoint hears what `training/hold_out.py` keeps back.
"""

import json
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from edge_runtime.tokenizer import Tokenizer, batch_of
from training.caption_teacher import CaptionTeacher
from training.common import without_common
from training.evaluate import Report, evaluate, selection_score
from training.extras import Extras
from training.features import WINDOW_SEGMENTS, Features
from training.hold_out import HoldOut
from training.label_names import tidy_label
from training.objective import objective
from training.other_texts import OtherTexts
from training.own_checkpoint import read_own
from training.paired_texts import PairedTexts
from training.published import load_strict
from training.retrieval import DualEncoder, RetrievalConfig
from training.sampler import Sampler, padded
from training.sounds import Clip
from training.train_config import TrainConfig
from training.words import WordVectors

__all__ = ["Checkpoint", "TrainConfig", "class_weights", "train"]

MAX_WORDS = 64
RARE = 1e-3
"""Added to how often a class is heard in training, before the tagger's classes are weighted by it."""


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
        keys = ("model", "retrieval", "vocabulary", "words_source", "config", "validation")
        state = read_own(path, keys, by="training train")
        model = DualEncoder(RetrievalConfig(**state["retrieval"]), state["model"]["words"])
        load_strict(model, state["model"], path)
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

    def kept_back(self, clips: Sequence[Clip]) -> Sequence[Clip]:
        """The same clips, without a split those that its training was not to hear."""
        return HoldOut.of(clips).kept_back(clips) if self.config.get("hold_out") == "open" else clips

    def in_windows(self, features: Features) -> Features:
        """The same clips in windows as long as those that it was trained on."""
        window = self.config.get("window", WINDOW_SEGMENTS)
        return features if window >= WINDOW_SEGMENTS else features.cut(window)[0]

    def embed_windows(self, features: Features, *, batch: int = 512) -> np.ndarray:
        """Embeddings of all windows, (N, E)."""
        parts = []
        with torch.inference_mode():
            for start in range(0, len(features.lengths), batch):
                rows = slice(start, start + batch)
                x, mask = padded(features.segments[rows], features.lengths[rows])
                parts.append(self.model.audio(x, mask).numpy())
        return np.concatenate(parts)

    def evaluate(self, clips: Sequence[Clip], features: Features, split: str) -> Report:
        """`features` of all clips, clean; `clips` in the rows that they were extracted from."""
        rows = [i for i, clip in enumerate(clips) if clip.split == split]
        part = features.of_clips(rows)
        embeddings = self.embed_windows(part)
        windows = [embeddings[part.clip == row] for row in rows]
        return evaluate([clips[row] for row in rows], windows, self.embed_text)


def train(
    clips: Sequence[Clip],
    copies: Sequence[Features],
    vectors: WordVectors,
    config: TrainConfig,
    out: Path,
    *,
    class_names: Sequence[str] = (),
    tagger: nn.Sequential | None = None,
    teacher: CaptionTeacher | None = None,
    extras: Extras | None = None,
    pairs: PairedTexts | None = None,
    resume: bool = False,
) -> Checkpoint:
    """Train, keep the best epoch in `out`, and return it. `copies[0]` are the clean features; `tagger` is the
    classifier of the encoder that gave them, where it has one of the form that `Concepts` takes. `extras`: what
    `config.joint` and `config.still` need; `pairs`: what `config.pairs_weight` needs, else they are left alone."""
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

    torch.manual_seed(config.seed)
    rng = np.random.default_rng(config.seed)
    clips = HoldOut.of(clips).kept_back(clips) if config.hold_out == "open" else clips
    copies, extras = _in_windows(copies, extras or Extras(), config.window)
    device = device_of(config.device)
    tokenizer = Tokenizer(vectors.words, max_words=MAX_WORDS)
    heard = copies[0].of_clips(row for row, clip in enumerate(clips) if clip.split == "train")
    model = _untrained(heard, vectors, config, class_names, tagger).to(device)
    texts = OtherTexts.of(
        config, clips, class_names, tokenizer, teacher=teacher, pairs=pairs, tags=heard.tags, device=device
    )
    sampler = Sampler(clips, copies, tokenizer, config, extras)
    rate, steps = config.learning_rate, config.epochs * len(sampler)
    optimiser = torch.optim.AdamW(model.parameters(), lr=rate, weight_decay=config.weight_decay)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, rate, total_steps=steps, pct_start=0.1)
    averaged = torch.optim.swa_utils.AveragedModel(
        model, multi_avg_fn=torch.optim.swa_utils.get_ema_multi_avg_fn(config.average), use_buffers=True
    )
    labels = _label_ids(clips, tokenizer) if config.common_share else None

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
            if model.concepts is not None and config.told_weight:  # else each step sets it
                model.concepts.table.copy_(texts.directions(model.eval()))
            model.train()
            for batch in sampler.epoch(rng):
                with _autocast(config.precision, device):
                    loss = objective(model, batch, config, texts.some(rng))
                optimiser.zero_grad(set_to_none=True)
                loss.backward()
                torch.nn.utils.clip_grad_norm_(model.parameters(), 5.0)
                optimiser.step()
                schedule.step()
                averaged.update_parameters(model)
            finished = _finished(averaged.module, config, labels, texts)
            found = Checkpoint(finished, vectors.words, vectors.source, asdict(config), {})
            report = found.evaluate(clips, copies[0], "val")
            score = selection_score(report)
            if score > best:
                best, figures = score, report.figures() | {"selection": score, "epoch": epoch}
                replace(found, validation=figures).save(out / "best.pt")
            averaged.module.to(device)
            _keep(last, parts, config, rng, best=best, epoch=epoch)
            progress.update(task, completed=epoch + 1, description=f"loss {loss.item():.3f}, validation {score:.1f}")
    return Checkpoint.load(out)


def _untrained(
    heard: Features,
    vectors: WordVectors,
    config: TrainConfig,
    class_names: Sequence[str],
    tagger: nn.Sequential | None,
) -> DualEncoder:
    """A new model, with all that it takes from outside: word vectors, scales of what is heard in training, a tagger."""
    padding = np.zeros((1, vectors.vectors.shape[1]), np.float32)
    sizes = {field.name for field in fields(RetrievalConfig)} & {field.name for field in fields(TrainConfig)}
    chosen = {name: getattr(config, name) for name in sizes}
    chosen |= {"segment_width": heard.segments.shape[2], "less_common": config.common_share > 0}
    if tagger is None:
        chosen["concept_gain"] = 0.0
    elif config.concept_gain:
        chosen["classes"] = len(class_names)
    model = DualEncoder(RetrievalConfig(**chosen), torch.from_numpy(np.concatenate((padding, vectors.vectors))))
    mean, std = heard.statistics(heard.clip)
    model.segment_mean.copy_(torch.from_numpy(mean))
    model.segment_std.copy_(torch.from_numpy(std))
    if model.concepts is not None and tagger is not None:
        model.concepts.take(tagger, class_weights(heard))
    return model


def _label_ids(clips: Sequence[Clip], tokenizer: Tokenizer) -> Tensor:
    """Of the labels of training, (N, L)."""
    labels = sorted({tidy_label(clip.label) for clip in clips if clip.split == "train"})
    return torch.from_numpy(batch_of([tokenizer.encode(label) for label in labels]))


def _finished(model: DualEncoder, config: TrainConfig, labels: Tensor | None, texts: OtherTexts) -> DualEncoder:
    """As it is judged and kept. Token ids of all `labels`, where their common direction goes."""
    model = model.eval().cpu()
    if labels is not None:
        model = without_common(model, labels, share=config.common_share)
    if model.concepts is not None and texts.names is not None:
        model.concepts.table.copy_(texts.directions(model))
    return model


def class_weights(heard: Features) -> torch.Tensor:
    """(C,): what a class of the tagger weighs, the rarer in training the more."""
    return (torch.from_numpy(heard.tags.astype(np.float32).mean(axis=0)) + RARE) ** -0.5


def device_of(name: str) -> torch.device:
    """`auto`: the GPU when there is one."""
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    return torch.device(name)


def _in_windows(copies: Sequence[Features], extras: Extras, segments: int) -> tuple[Sequence[Features], Extras]:
    if segments >= WINDOW_SEGMENTS:
        return copies, extras
    return [copy.cut(segments)[0] for copy in copies], extras.cut(segments)


def _autocast(precision: str, device: torch.device) -> AbstractContextManager[Any]:
    half = precision == "bf16" or (precision == "auto" and device.type == "cuda")
    return torch.autocast(device.type, torch.bfloat16) if half else nullcontext()


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
    state = read_own(path, (*parts, "config", "best", "epoch", "rng", "torch_rng"), by="training train")
    if state["config"] != asdict(config):
        raise ValueError(f"{path} was trained with other settings: give them again, or another --out")
    for name, part in parts.items():
        part.load_state_dict(state[name])
    rng.bit_generator.state = state["rng"]
    torch.set_rng_state(state["torch_rng"])
    return state["best"], state["epoch"] + 1
