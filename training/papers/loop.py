"""Train one of the papers' systems on a captioned collection: one visible loop.

    results = run(collection, stores, vectors, config, Path("runs/ce-clotho-0"), resume=True)

`stores[expert.name]` maps a clip's id to its features (T, D). The epoch with the best validation score (text to audio,
geometric mean of R@1, R@5, R@10) stays in `best.pt`; `last.pt` is written after each epoch and is where `resume` goes
on from, after Ctrl-C or a kill; `config.json` holds every setting, `results.json` what came of it.

With `torchrun --nproc_per_node 4 -m training …` the processes share each batch: embeddings are gathered, so that the
loss is that of the whole batch, batch norms take the statistics of all (norm.py), and the result is one process's up to
the order of sums; all must see the folder `out`. `start_from` fine-tunes another run's best epoch, from another data
set too: weights and the optimiser's state with its learning rate are taken over, the epoch and the best score begin
anew, as in the authors' code.
"""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from training.datasets.collection import Collection, Item, Skipped
from training.losses import cross_modal_info_nce, max_margin
from training.own_checkpoint import read_own
from training.papers.authors_evaluation import evaluate
from training.papers.checkpoint import BEST, PaperCheckpoint, save_whole
from training.papers.config import PaperConfig
from training.papers.joint import similarity
from training.papers.models import PaperModel, build
from training.papers.processes import World
from training.papers.ranger import Ranger
from training.papers.results import Results, measured
from training.papers.scoring import Stores, scored
from training.papers.steps import Step, epoch_of
from training.papers.token_lookup import Texts
from training.train import device_of
from training.words import WordVectors

__all__ = ["Results", "run"]

LAST, RESULTS = "last.pt", "results.json"


def run(
    collection: Collection,
    stores: Stores,
    vectors: WordVectors,
    config: PaperConfig,
    out: Path,
    *,
    start_from: Path | None = None,
    resume: bool = False,
) -> Results:
    """Train, keep the best epoch in `out`, measure it on the test split. Nothing is changed where `resume` finds a
    finished run: it is measured again."""
    world, device = placed(config)
    collection = heard(collection, stores, config).share(config.share, seed=config.seed)
    chosen_on = "val" if collection.part("val") else "test"
    train, choice = collection.part("train"), collection.part(chosen_on)
    check_enough(collection.name, train, choice, world)
    captions = [caption for item in collection.items for caption in item.captions]
    texts = Texts.read(captions, vectors, lemma=config.lemma, spelling=config.spelling)

    torch.manual_seed(config.seed)
    model = build(config, torch.from_numpy(texts.table)).to(device)
    optimiser = optimiser_of(model, config)
    if start_from is not None:
        take_over(start_from, model, optimiser, config)
    parts = {"model": model, "optimiser": optimiser}
    parts["schedule"] = schedule = torch.optim.lr_scheduler.ExponentialLR(optimiser, config.decay)
    net = nn.parallel.DistributedDataParallel(model, broadcast_buffers=False) if world.size > 1 else model

    about = {"config": asdict(config), "clips": digest_of(collection)}
    best, first, losses = -1.0, 0, []
    if resume and (out / LAST).exists():
        best, first, losses = resumed(out / LAST, about, parts)
    if world.rank == 0:
        out.mkdir(parents=True, exist_ok=True)
        config.save(out / "config.json")

    steps = max(1, len(train) // config.batch)
    with progress_bar(shown=world.rank == 0) as progress:
        task = progress.add_task(out.name, total=config.epochs * steps, completed=first * steps)
        for epoch in range(first, config.epochs):
            net.train()
            total = 0.0
            for step in epoch_of(train, stores, texts, config, world, epoch):
                loss = loss_of(net, step, config, world, device)
                optimiser.zero_grad(set_to_none=True)
                loss.backward()
                optimiser.step()
                total += loss.item()
                progress.advance(task)
            losses.append(total / steps)
            schedule.step()
            found = evaluate(*scored(model.eval(), choice, stores, texts, config))
            if world.rank == 0:
                if found.selection > best:
                    about_best = (texts.words, vectors.source, epoch, found.figures(), optimiser.state_dict())
                    PaperCheckpoint(model, config, *about_best).save(out)
                so_far = {"best": max(best, found.selection), "epoch": epoch, "losses": losses}
                save_whole({name: part.state_dict() for name, part in parts.items()} | about | so_far, out / LAST)
            best = max(best, found.selection)
            progress.update(task, description=told(out.name, epoch, losses[-1], found.selection))
    if world.size > 1:
        torch.distributed.barrier()  # the first process alone writes best.pt
    results = measured(collection, stores, texts, chosen_on, losses, out, device)
    if world.rank == 0:
        results.save(out / RESULTS)
    return results


def placed(config: PaperConfig) -> tuple[World, torch.device]:
    """The processes, and this one's device."""
    device = device_of(config.device)
    world = World.joined(gpus=device.type == "cuda")
    if device.type == "cuda":
        device = torch.device("cuda", world.local)
        torch.cuda.set_device(device)  # NCCL's barrier knows no other way to tell where it is
    return world, device


def progress_bar(*, shown: bool) -> Any:
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("step {task.completed} of {task.total}"))
    return Progress(*columns, TimeRemainingColumn(), console=Console(stderr=True), disable=not shown)


def told(name: str, epoch: int, loss: float, score: float) -> str:
    return f"{name}: epoch {epoch + 1}, loss {loss:.4f}, validation {score:.1f}"


def heard(collection: Collection, stores: Stores, config: PaperConfig) -> Collection:
    """The clips that one of the experts has at least; the others join the list of what was left out."""
    names = [expert.name for expert in config.experts]
    if absent := [name for name in names if name not in stores]:
        raise ValueError(f"there are no features of {', '.join(absent)}: give their stores beside {sorted(stores)}")
    why = f"no features of {' or '.join(names)}"
    silent = [
        Skipped(item.id, item.split, why) for item in collection.items if not any(item.id in stores[n] for n in names)
    ]
    return collection.without(silent)


def check_enough(name: str, train: Sequence[Item], choice: Sequence[Item], world: World) -> None:
    if len(train) < max(2, world.size) or not choice:
        raise ValueError(
            f"{name} has {len(train)} clips to train on and {len(choice)} to choose an epoch by, with features: "
            f"give {max(2, world.size)} and 1 at least"
        )


def take_over(folder: Path, model: PaperModel, optimiser: torch.optim.Optimizer, config: PaperConfig) -> None:
    """Another run's best weights and its optimiser's state; the word table stays this collection's own."""
    source = PaperCheckpoint.load(folder)
    source.check_fits(config, source=folder / BEST)
    model.load_state_dict(source.model.state_dict())
    optimiser.load_state_dict(source.optimiser)


def optimiser_of(model: nn.Module, config: PaperConfig) -> torch.optim.Optimizer:
    kind = Ranger if config.optimiser == "ranger" else torch.optim.AdamW
    return kind(model.parameters(), lr=config.learning_rate, weight_decay=config.weight_decay)


def loss_of(net: nn.Module, step: Step, config: PaperConfig, world: World, device: torch.device) -> Tensor:
    """Of the whole batch, on each process."""
    audio, available, text, weights = net(step.experts.to(device), step.token_ids.to(device))
    audio, available = (world.gathered(x, step.clips, step.count) for x in (audio, available.to(audio.dtype)))
    text, weights = (world.gathered(x, step.captions, len(step.owner)) for x in (text, weights))
    scores = similarity(text, weights, audio, available)  # (T, A)
    owner = step.owner.to(device)
    shares = torch.zeros(step.count, len(owner), device=device)
    shares[owner, torch.arange(len(owner), device=device)] = 1 / owner.bincount()[owner].to(shares.dtype)
    cosines = shares @ scores  # (A, A): a clip's captions averaged
    pairs = torch.eye(step.count, dtype=torch.bool, device=device)
    if config.loss == "infonce":
        temperature = unwrapped(net).get_parameter("log_temperature").exp().clamp(0.01, 1.0)
        return cross_modal_info_nce(cosines, pairs, temperature)
    return max_margin(cosines, pairs, margin=config.margin, by_batch=config.loss == "margin-sum")


def unwrapped(net: nn.Module) -> nn.Module:
    return net.module if isinstance(net, nn.parallel.DistributedDataParallel) else net


def digest_of(collection: Collection) -> str:
    """16 hex digits over the clips and their captions: a resumed run must meet the same ones."""
    rows = [(item.id, item.split, item.captions) for item in collection.items]
    return hashlib.sha256(json.dumps(rows).encode()).hexdigest()[:16]


def resumed(path: Path, about: dict[str, Any], parts: dict[str, Any]) -> tuple[float, int, list[float]]:
    """Restore the last epoch; return the best score so far, the next epoch, and the losses."""
    state = read_own(path, (*about, *parts, "best", "epoch", "losses"), by="training experiment")
    if state["clips"] != about["clips"]:
        raise ValueError(f"{path} was trained on other clips or captions: give them again, or another folder")
    asked = json.loads(json.dumps(about["config"]))
    kept = json.loads(json.dumps(state["config"]))
    if apart := sorted(name for name in asked if asked[name] != kept.get(name)):
        raise ValueError(f"{path} was trained with another {', '.join(apart)}: give it again, or another folder")
    for name, part in parts.items():
        part.load_state_dict(state[name])
    return state["best"], state["epoch"] + 1, state["losses"]
