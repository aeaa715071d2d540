"""Measure Earmark on the machine at hand.

    python -m benchmarks latency            # time of a hop and of 10 s: every profile, mode and peer, and the ratios
    python -m benchmarks footprint          # memory, load time, bytes on disk; each in a fresh process
    python -m benchmarks parity             # stream against whole clip, int8 against fp32, both against PyTorch
    python -m benchmarks index              # HNSW: recall and time over captions
    python -m benchmarks roofline           # work against this machine's measured peaks
    python -m benchmarks peers              # the same window in PyTorch, onnxruntime and OpenVINO
    python -m benchmarks retrieval          # how well a bundle answers: every figure of its card, with intervals

Each prints tables, writes plots to --out, and prints one JSON line last (alone with --json). Without --bundle they
measure a CNN14 with random weights, which is exported once into --cache and costs what the published one costs
(--joint-width 512 makes its head a quarter as wide); `retrieval` hears the shipped bundle. On a board without PyTorch
copy that folder there (or take any bundle) and give it with --bundle.
"""

import sys
from collections.abc import Callable
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from typing import Annotated

import typer

from benchmarks.machine import condition, machine_card
from benchmarks.model import Model
from benchmarks.report import Report, publish
from benchmarks.stand_in import NOTE, RECIPE, scene, stand_in
from edge_runtime.bundle import DEFAULT_BUNDLE
from edge_runtime.errors import EarmarkError

__all__ = ["app", "main"]

app = typer.Typer(
    help="Measure Earmark on the machine at hand.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)

Bundle = Annotated[Path | None, typer.Option(help="Measure this bundle, not the stand-in CNN14.")]
Width = Annotated[float, typer.Option(min=0.01, help="The stand-in's channels, as a share of CNN14's.")]
JointWidth = Annotated[int | None, typer.Option(min=1, help="The stand-in's joint space (default: as the paper's).")]
Cache = Annotated[Path, typer.Option(help="Where the stand-in and other caches are kept.")]
Out = Annotated[Path, typer.Option(help="Where the plots go.")]
Json = Annotated[bool, typer.Option("--json", help="Print the JSON line alone.")]
Threads = Annotated[list[int], typer.Option(min=1, help="Threads; give it again for several.")]
Rounds = Annotated[int, typer.Option(min=1, help="How often each contender has its turn.")]

CACHE, OUT, FEATURES = Path("runs/bench"), Path("runs/bench/plots"), Path("runs/features")
SHARED = Path(__file__).parents[2] / "shared"
WEIGHTS = SHARED / "weights/efficientat_mn04_as"
SCENE_S = 60.0
COUNTS, BEAMS = [1_000, 10_000, 100_000], [32, 64, 128, 256, 512]


@app.callback()
def benchmarks() -> None:
    """Measure Earmark on the machine at hand: tables, plots, and one JSON line last."""


def _timed(name: str, told: str, *, rounds: int, keeps: bool = False) -> None:
    """Add a command that times contenders on a minute of sound: `name` in the module of that name, which is given the
    cache as well if it `keeps` something there."""
    usual = rounds

    def command(
        bundle: Bundle = None,
        width: Width = 1.0,
        joint_width: JointWidth = None,
        threads: Threads = [1, 2],  # noqa: B006 - typer copies it
        rounds: Rounds = usual,
        cache: Cache = CACHE,
        out: Out = OUT,
        as_json: Json = False,
    ) -> None:
        measure = getattr(import_module(f"benchmarks.{name}"), name)
        model = _model(bundle, width, joint_width, cache)
        sound = scene(model.rate_hz, SCENE_S)
        kept = {"cache": cache} if keeps else {}
        _run(lambda: measure(model, sound, threads=threads, rounds=rounds, **kept), model, out, as_json)

    app.command(name, help=told)(command)


_timed(
    "latency",
    "Time per hop and per 10 s: every profile and mode, against the windowed ways, and the ratios.",
    rounds=12,
)
_timed(
    "roofline",
    "Multiply-adds and bytes of a hop and a window against this machine's measured peaks.",
    rounds=8,
    keeps=True,
)
_timed("peers", "Ten seconds in PyTorch, onnxruntime and OpenVINO, beside a streamed hop.", rounds=12)


@app.command()
def footprint(
    bundle: Bundle = None,
    width: Width = 1.0,
    joint_width: JointWidth = None,
    rounds: Rounds = 3,
    cache: Cache = CACHE,
    out: Out = OUT,
    as_json: Json = False,
) -> None:
    """Load time, steady and peak resident memory, bytes on disk: each profile in a fresh process."""
    from benchmarks.footprint import footprint as measure

    model = _model(bundle, width, joint_width, cache)
    _run(lambda: measure(model, cache=cache, repeats=rounds), model, out, as_json)


@app.command()
def parity(
    bundle: Bundle = None,
    width: Width = 1.0,
    joint_width: JointWidth = None,
    cache: Cache = CACHE,
    out: Out = OUT,
    as_json: Json = False,
) -> None:
    """Stream against whole clip, int8 against fp32, and fp32 against PyTorch eager."""
    from benchmarks.parity import parity as measure

    model = _model(bundle, width, joint_width, cache)
    sound = scene(model.rate_hz, SCENE_S)
    _run(lambda: measure(model, sound), model, out, as_json)


@app.command()
def index(
    count: Annotated[list[int], typer.Option(min=1, help="Captions; give it again for several.")] = COUNTS,
    m: Annotated[list[int], typer.Option(min=2, help="Links a node; give it again for several.")] = [16],  # noqa: B006
    ef: Annotated[list[int], typer.Option(min=1, help="Beams of a search; give it again for several.")] = BEAMS,
    ef_construction: Annotated[int, typer.Option(min=1, help="The beam while building.")] = 200,
    build_threads: Annotated[int, typer.Option(min=1, help="Threads while building.")] = 2,
    full: Annotated[bool, typer.Option("--full", help="A million captions as well: an hour, and 5 GB.")] = False,
    cache: Cache = CACHE,
    out: Out = OUT,
    as_json: Json = False,
) -> None:
    """HNSW recall and time per query over captions, against the exact answer."""
    from benchmarks.index import index as measure

    counts = [*count, *([1_000_000] if full else [])]
    _run(
        lambda: measure(
            cache, counts=counts, links=m, beams=ef, ef_construction=ef_construction, build_threads=build_threads
        ),
        None,
        out,
        as_json,
    )


@app.command()
def retrieval(
    bundle: Annotated[list[Path], typer.Option(help="A bundle; again for several, side by side.")] = [],  # noqa: B006
    profile: Annotated[list[str], typer.Option(help="A profile of theirs; again for several.")] = [],  # noqa: B006
    suite: Annotated[str, typer.Option(help="closed, robust, detection, open, or all.")] = "all",
    sounds: Annotated[Path, typer.Option(help="The folder with clips.csv.")] = SHARED / "data/sounds",
    limit: Annotated[int | None, typer.Option(min=2, help="Only so many clips: a quick look.")] = None,
    hours: Annotated[float, typer.Option(help="Of synthesised scenes at each SNR.")] = 0.5,
    seed: Annotated[int, typer.Option(min=0)] = 0,
    checkpoint: Annotated[Path | None, typer.Option(help="open: trained with `--hold-out open`.")] = None,
    features: Annotated[Path, typer.Option(help="open: what `python -m training features` wrote.")] = FEATURES,
    weights: Annotated[Path, typer.Option(help="open: the folder with the AudioSet class names.")] = WEIGHTS,
    out: Out = OUT,
    as_json: Json = False,
) -> None:
    """How well a bundle answers: both directions, in the field, over long scenes, on what it never learned."""
    from benchmarks.retrieval.contender import Contender
    from benchmarks.retrieval.suites import SUITES, Settings
    from benchmarks.retrieval.suites import retrieval as measure

    suites = [each for each in SUITES if each != "open" or checkpoint] if suite == "all" else [suite]
    settings = Settings(sounds, suites, limit, hours, seed, checkpoint, features, weights)
    contenders = [
        Contender.open(folder, profile=name) for folder in bundle or [DEFAULT_BUNDLE] for name in profile or [None]
    ]
    _run(lambda: measure(contenders, settings), None, out, as_json)


def _model(bundle: Path | None, width: float, joint_width: int | None, cache: Path) -> Model:
    return Model(bundle if bundle is not None else stand_in(cache, width=width, joint_width=joint_width))


def _run(measure: Callable[[], Report], model: Model | None, out: Path, as_json: bool) -> None:
    """Measure between two looks at the machine, and publish."""
    card = machine_card()
    report = measure()
    if model is not None:
        random = (model.folder / RECIPE).is_file()
        report = replace(
            report,
            figures={"bundle": model.manifest.name, **report.figures},
            notes=[*([NOTE] if random else []), *report.notes],
        )
    publish(report, replace(card, after=condition()), out=out, as_json=as_json)


def main() -> None:
    try:
        app(standalone_mode=True)
    except (EarmarkError, FileNotFoundError, ValueError) as error:
        print(f"benchmarks: {error}", file=sys.stderr)
        sys.exit(2)
    except KeyboardInterrupt:
        print("benchmarks: stopped", file=sys.stderr)
        sys.exit(130)


if __name__ == "__main__":
    main()
