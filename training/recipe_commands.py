"""The commands that choose how to train: what else is heard, what each option is worth, how wide an embedding need be,
and how good what was trained is.

python -m training extras --student runs/stream --out runs/stream/features
python -m training recipes --only "default,two sounds" --seeds 1
python -m training fallback runs/stream/train --student runs/stream --out runs/stream/head
python -m training narrow runs/stream/train --width 128 --out runs/stream/narrow
python -m training evaluate runs/seed-0 runs/seed-1 runs/seed-2 --features runs/stream/features
"""

import json
import sys
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from training.encoders import encoder_of, is_bundle, tagger_of
from training.flags import RUNS, SHARED, Sounds, Weights, defaults_of, parsed
from training.sounds import Clip, read_clips

if TYPE_CHECKING:
    from training.evaluate import Report
    from training.features import Features

__all__ = ["evaluate", "extras", "fallback", "narrow", "recipes", "widths"]


def extras(
    sounds: Sounds = SHARED / "data/sounds",
    weights: Weights = SHARED / "weights/efficientat_mn04_as",
    student: Annotated[Path | None, typer.Option(help="A folder of `distil` or `stream`: its network, not mn04.")] = (
        None
    ),
    seed: int = 0,
    out: Annotated[Path, typer.Option(help="The folder of the features that they join.")] = RUNS / "features",
) -> None:
    """Run the frozen encoder over mixtures of two clips and over silence, hum and noise: for --joint and --still."""
    from training.extras import extract_mixtures, extract_still

    net, front_end = encoder_of(student, weights)
    print(extract_still(net, *front_end, out=out, seed=seed))
    print(extract_mixtures(read_clips(sounds), net, *front_end, out=out, seed=seed))


def recipes(
    context: typer.Context,
    only: Annotated[str, typer.Option(help="Names of training/recipes.py, by commas; default: all.")] = "",
    seeds: int = 3,
    folds: Annotated[int, typer.Option(help="Ask every recording once, in so many parts, in place of validation.")] = 0,
    copies: Annotated[int, typer.Option(help="Copies of the clips to hear, the clean one first.")] = 3,
    features: Path = RUNS / "stream/features",
    student: Annotated[Path | None, typer.Option(help="The folder of the network that they are of.")] = RUNS / "stream",
    vectors: Path = RUNS / "words.npz",
    captions: Path = RUNS / "captions.npz",
    pairs: Path = RUNS / "pairs.npz",
    sounds: Sounds = SHARED / "data/sounds",
    weights: Weights = SHARED / "weights/efficientat_mn04_as",
    runs: Annotated[Path, typer.Option(help="The folder that keeps the runs.")] = RUNS / "recipes",
    out: Annotated[Path | None, typer.Option(help="Default: benchmarks/results/recipes.md")] = None,
) -> None:
    """What each option of training is worth on validation. Any field of TrainConfig is a flag: --epochs, …

    Needs `extras` beside the features. Resumable.
    """
    from training.caption_teacher import CaptionTeacher
    from training.extras import Extras
    from training.features import class_names, load
    from training.paired_texts import PairedTexts
    from training.recipes import RECIPES, Ground
    from training.recipes import recipes as run
    from training.train import TrainConfig
    from training.words import WordVectors

    base = TrainConfig(**{"epochs": 25} | parsed(context.args, defaults_of(TrainConfig)))
    found = sorted(features.glob("*-*.npz"))[:copies]
    if not found:
        raise FileNotFoundError(f"{features} holds no features: run `python -m training stream` first")
    ground = Ground(
        read_clips(sounds),
        load(found),
        WordVectors.load(vectors),
        class_names(weights),
        tagger_of(encoder_of(student, weights)[0]),
        CaptionTeacher.load(captions) if captions.exists() else None,
        Extras.load(features),
        PairedTexts.load(pairs) if pairs.exists() else None,
        runs,
    )
    path = out or Path(__file__).parents[1] / "benchmarks/results/recipes.md"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(run(ground, only.split(",") if only else list(RECIPES), base=base, seeds=seeds, folds=folds))
    print(path)


def narrow(
    model: Annotated[Path, typer.Argument(help="The folder of a trained checkpoint.")],
    width: Annotated[int, typer.Option(help="Numbers that an embedding keeps; all of them: the most telling first.")],
    out: Annotated[Path, typer.Option(help="The folder that the narrowed checkpoint goes to.")],
    sounds: Sounds = SHARED / "data/sounds",
    features: Annotated[Path, typer.Option(help="What it was trained on.")] = RUNS / "stream/features",
) -> None:
    """Turn the joint space of a trained model so that few numbers of an embedding are enough, and keep so many."""
    from training.train import Checkpoint
    from training.widths import narrowed

    clips, clean = read_clips(sounds), _clean(features)
    train = [row for row, clip in enumerate(clips) if clip.split == "train"]
    found = narrowed(Checkpoint.load(model), clean.of_clips(train), width)
    figures = found.evaluate(clips, clean, "val").figures()
    out.mkdir(parents=True, exist_ok=True)
    replace(found, validation=figures).save(out / "best.pt")
    print(json.dumps(figures))


def fallback(
    model: Annotated[Path, typer.Argument(help="The folder of a trained checkpoint.")],
    out: Annotated[Path, typer.Option(help="The folder that the checkpoint with a tagger goes to.")],
    student: Annotated[Path | None, typer.Option(help="What its features are of, as for `features`.")] = None,
    gain: Annotated[float, typer.Option(help="What the tagger weighs at most, beside the towers' 1.")] = 0.3,
    doubted: Annotated[float, typer.Option(help="The share of validation windows that it has half of that in.")] = 0.1,
    told: Annotated[
        bool, typer.Option(help="Classes are said by the told sounds, after `train --told-weight`.")
    ] = False,
    sounds: Sounds = SHARED / "data/sounds",
    features: Annotated[Path, typer.Option(help="What it was trained on.")] = RUNS / "stream/features",
    weights: Weights = SHARED / "weights/efficientat_mn04_as",
) -> None:
    """Believe the encoder's own tagger where a trained model is near nothing that it knows: for words of no clip. An
    encoder that has none of mn04's form is given one, which learns the tags of its features."""
    from training.fallback import with_fallback
    from training.features import class_names
    from training.taught_tagger import taught_tagger
    from training.train import Checkpoint

    clips, trained, names = read_clips(sounds), Checkpoint.load(model), class_names(weights)
    clean, tagger = _clean(features), tagger_of(encoder_of(student, weights)[0])
    if tagger is None:
        learnt = [row for row, clip in enumerate(trained.kept_back(clips)) if clip.split == "train"]
        tagger = taught_tagger([copy.of_clips(learnt) for copy in _copies(features)])
    found = with_fallback(trained, clips, clean, tagger, names, gain=gain, doubted=doubted, told=told)
    heard = trained.in_windows(clean)
    before, after = (each.evaluate(clips, heard, "val").figures() for each in (trained, found))
    out.mkdir(parents=True, exist_ok=True)
    replace(found, validation=after).save(out / "best.pt")
    print(json.dumps({"doubt": found.model.config.concept_doubt, "before": before, "after": after}))


def widths(
    models: Annotated[list[Path], typer.Argument(help="Folders of trained checkpoints, one of each seed.")],
    sounds: Sounds = SHARED / "data/sounds",
    features: Annotated[Path, typer.Option(help="What they were trained on.")] = RUNS / "stream/features",
    out: Annotated[Path | None, typer.Option(help="Default: benchmarks/results/widths.md")] = None,
) -> None:
    """What is left of embeddings that are cut short, as trained and turned by `narrow`."""
    from training.train import Checkpoint
    from training.widths import width_table

    clean = _clean(features)
    path = out or Path(__file__).parents[1] / "benchmarks/results/widths.md"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(width_table([(str(each), Checkpoint.load(each)) for each in models], read_clips(sounds), clean))
    print(path)


def evaluate(
    models: Annotated[list[Path], typer.Argument(help="Checkpoints' or bundles' folders; of several the mean too.")],
    split: str = "test",
    sounds: Sounds = SHARED / "data/sounds",
    features: Annotated[Path, typer.Option(help="What the checkpoints were trained on.")] = RUNS / "features",
    page: Annotated[Path | None, typer.Option(help="Also write the tables there, as Markdown.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="JSON alone, a line for each.")] = False,
) -> None:
    """Retrieval figures of one split, both directions: names, labels, captions."""
    from training.evaluate import markdown

    clips = read_clips(sounds)
    reports = [
        _through_the_runtime(model, [clip for clip in clips if clip.split == split])
        if is_bundle(model)
        else _of_checkpoint(model, clips, features, split)
        for model in models
    ]
    tables = [
        line
        for model, report in zip(models, reports, strict=True)
        for line in (*markdown(report, f"{model}, {split} split"), "")
    ]
    if len(models) > 1:
        tables += _means(reports, split)
    if as_json:
        for model, report in zip(models, reports, strict=True):
            print(json.dumps({"model": str(model), "split": split, **report.figures()}))
    else:
        print("\n".join(tables))
    if page:
        command = f"By `python -m training {' '.join(sys.argv[1:])}`."
        page.write_text("\n".join(["# Names, labels and captions", "", command, "", *tables, ""]), encoding="utf-8")


def _clean(features: Path) -> "Features":
    """The clips as they are, of the folder that a model was trained on."""
    return next(_copies(features))


def _copies(features: Path) -> Iterator["Features"]:
    """All that a model was trained on, the clips as they are first."""
    from training.features import load

    paths = sorted(features.glob("*-*.npz"))
    if not paths:
        raise FileNotFoundError(f"{features} holds no features: give --features, the folder that it was trained on")
    for path in paths:
        yield load([path])[0]


def _of_checkpoint(model: Path, clips: Sequence[Clip], features: Path, split: str) -> "Report":
    """Of clips in windows as long as those that it was trained on."""
    from training.train import Checkpoint

    checkpoint, clean = Checkpoint.load(model), _clean(features)
    return checkpoint.evaluate(clips, checkpoint.in_windows(clean), split)


def _through_the_runtime(bundle: Path, clips: Sequence[Clip]) -> "Report":
    from rich.progress import track

    from training.evaluate import bundle_embedder
    from training.evaluate import evaluate as score

    embed_audio, embed_text = bundle_embedder(bundle)
    listened = track(clips, "listening", disable=not sys.stderr.isatty())
    return score(clips, [embed_audio(clip.path) for clip in listened], embed_text)


def _means(reports: Sequence["Report"], split: str) -> list[str]:
    from training.compare import cell

    figures = [report.figures() for report in reports]
    rows = [f"| {name} | {cell([each[name] for each in figures])} |" for name in figures[0]]
    return [f"### {split} split, mean ± standard deviation of {len(reports)}", "", "| figure | % |", "|---|---|", *rows]
