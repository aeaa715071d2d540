"""The commands that reproduce the papers: `dataset` says what of a collection is there, `experiment` makes a table,
`system` trains one of their systems on any collection, with any of their settings.

python -m training dataset clotho data/CLOTHO
python -m training experiment --list
python -m training system ce sounddescs data/SoundDescs --experts vggish=400,vggsound=400 --text-frames 46
"""

import json
from pathlib import Path
from typing import Annotated

import typer

__all__ = ["dataset", "experiment", "system"]


def dataset(
    name: Annotated[str, typer.Argument(help="The collection: audiocaps, clotho, …; another name lists them.")],
    folder: Annotated[Path, typer.Argument(help="Where it lies; the reader's module says what it holds.")],
    every: Annotated[bool, typer.Option("--all", help="List every clip that was left out.")] = False,
) -> None:
    """What of a captioned collection is there: splits, counts against the published ones, what was left out and why.

    Exit code 1 where anything departs from what was published.
    """
    from training.datasets.readers import departures, described, reader_of, wrong_archives

    reader = reader_of(name)
    found = reader.read(folder)
    wrong = wrong_archives(reader, folder)
    print("\n".join([*described(reader, found, listed=len(found.skipped) if every else 20), *wrong]))
    if wrong or departures(reader, found):
        raise typer.Exit(1)


def experiment(
    name: Annotated[str, typer.Argument(help="The table: paper1-features, …")] = "",
    every: Annotated[bool, typer.Option("--list", help="What tables there are, and what each needs.")] = False,
    data: Annotated[Path, typer.Option(help="The folder with AudioCaps/, CLOTHO/, …")] = Path("data"),
    vectors: Annotated[
        Path | None, typer.Option(help="Word vectors: a word2vec-format file, or .npz of `words`; default: in --data.")
    ] = None,
    out: Annotated[Path, typer.Option(help="Runs, tables and plots; finished runs in it are kept.")] = Path(
        "runs/papers"
    ),
    seeds: Annotated[int, typer.Option(min=1, help="Seeds of each training.")] = 3,
    epochs: Annotated[int, typer.Option(min=0, help="Epochs of each training; 0: the paper's.")] = 0,
    joint_width: Annotated[int, typer.Option(min=0, help="Width of the joint space; 0: the paper's.")] = 0,
    padded: Annotated[
        bool, typer.Option("--padded/--masked", help="Padding in sums and statistics, as the papers had it, or not.")
    ] = True,
    query_bank: Annotated[bool, typer.Option(help="A further line a row, after query-bank normalisation.")] = False,
    device: Annotated[str, typer.Option(help="cpu, cuda, mps or auto.")] = "auto",
) -> None:
    """Reproduce a table of the papers: train its rows, write it beside the published figures. Resumable.

    Says what data is missing, and where it is expected, before anything is trained.
    """
    from training.experiments.catalogue import EXPERIMENTS, listed

    if every:
        print("\n".join(listed()))
        return
    if name not in EXPERIMENTS:
        raise ValueError(f"there is no experiment {name!r}: there are {', '.join(EXPERIMENTS)} (--list says more)")
    from training.experiments.runner import leads, make
    from training.experiments.sources import VECTORS, gathered

    other = {"epochs": epochs or None, "joint_width": joint_width or None}
    other |= {"padded": None if padded else False, "query_bank": query_bank or None}
    chosen = EXPERIMENTS[name].having({setting: value for setting, value in other.items() if value is not None})
    sources = gathered(chosen, data, vectors or data / VECTORS)
    path = make(chosen, sources, out, seeds=seeds, device=device)
    if leads():
        print(path.read_text(encoding="utf-8"), end="")


def system(
    context: typer.Context,
    model: Annotated[str, typer.Argument(help="dual (paper 1), moee or ce (paper 2).")],
    collection: Annotated[str, typer.Argument(help="A name of `dataset`: audiocaps, sounddescs, folder, …")],
    folder: Annotated[Path, typer.Argument(help="Where it lies, with the experts' features.")],
    experts: Annotated[str, typer.Option(help="Experts, each with its longest sequence.")] = "vggish=29,vggsound=29",
    clusters: Annotated[int, typer.Option(min=1, help="Of each expert's NetVLAD; paper 1 has 12.")] = 16,
    vectors: Annotated[Path, typer.Option(help="Word vectors: a word2vec-format file, or .npz of `words`.")] = Path(
        "data/GoogleNews-vectors-negative300.bin"
    ),
    joint_width: Annotated[int, typer.Option(min=0, help="Width of the joint space; 0: the paper's.")] = 0,
    start_from: Annotated[
        Path | None, typer.Option(help="A run's folder: its weights and optimiser, to go on.")
    ] = None,
    out: Annotated[Path, typer.Option(help="The run's folder; an interrupted run in it goes on.")] = Path(
        "runs/system"
    ),
) -> None:
    """Train one of the papers' systems on any collection. Every field of PaperConfig is a flag: --loss, --optimiser, …

    --padded, --overwrite, --query-bank, --lemma and --spelling take true or false.
    """
    from training.datasets.readers import reader_of
    from training.experiments.runner import GOES_ON, leads, say
    from training.experiments.sources import Aliased, vectors_of
    from training.experts.store import FeatureStore, expert_of
    from training.flags import defaults_of, parsed
    from training.papers.config import PaperConfig
    from training.papers.loop import run

    known = {name: default for name, default in defaults_of(PaperConfig).items() if name != "model"}
    settings = parsed(context.args, known) | {"joint_width": joint_width or None}
    config = PaperConfig(model, tuple(expert_of(each, clusters=clusters) for each in experts.split(",")), **settings)
    reader = reader_of(collection)
    found = reader.read(folder)
    # the shared sounds lie where nothing is written
    home = Path("runs/shared") if collection == "shared" else folder
    stores = {each.name: Aliased(FeatureStore.found(home, each.name), reader.aliases) for each in config.experts}
    try:
        results = run(found, stores, vectors_of(vectors), config, out, start_from=start_from, resume=True)
    except KeyboardInterrupt:
        say(GOES_ON)
        raise
    left_out = f"{len(results.skipped)} clips left out, {len(results.unknown)} captions without a known word"
    say(f"{out}: {left_out}: results.json lists them")
    if leads():
        print(json.dumps({"out": str(out), "epoch": results.epoch, **results.test.figures()}))
