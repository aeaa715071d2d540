"""Measure Earmark on the machine at hand.

    python -m benchmarks listener           # a hop of the shipped bundle, stage by stage; memory while it listens
    python -m benchmarks latency            # time of a hop and of 10 s: every profile, mode and peer, and the ratios
    python -m benchmarks footprint          # memory, load time, bytes on disk; each in a fresh process
    python -m benchmarks parity             # stream against whole clip, int8 against fp32, both against PyTorch
    python -m benchmarks index              # HNSW: recall and time over captions
    python -m benchmarks archive            # a year of windows, searched: time, memory, recall; what a second takes in
    python -m benchmarks profiles           # every precision in every engine: bytes, times, memory, errors, answers
    python -m benchmarks roofline           # work against this machine's measured peaks
    python -m benchmarks peers              # the same window in PyTorch, onnxruntime and OpenVINO
    python -m benchmarks soak               # a day of sound through `earmark run`: memory, handles, threads, speed
    python -m benchmarks retrieval          # how well a bundle answers: every figure of its card, with intervals
    python -m benchmarks finetune           # what twenty clips of a new sound gain, and what they cost
    python -m benchmarks site               # thresholds by a site's own sounds: the false alerts asked for, and found
    python -m benchmarks gate SPEECH        # how much speech the gate silences, and what else

Each prints tables, writes plots to --out, and prints one JSON line last (alone with --json). Without --bundle they
measure a CNN14 with random weights, which is exported once into --cache and costs what the published one costs
(--joint-width 512 makes its head a quarter as wide); `listener`, `profiles`, `soak` and
`retrieval` take the shipped bundle. On a board without PyTorch copy that folder there (or take any bundle) and give it
with --bundle.
"""

import os
import sys
from collections.abc import Callable
from dataclasses import replace
from functools import cache as cache_of_calls
from importlib import import_module
from pathlib import Path
from typing import Annotated

import numpy as np
import typer

from benchmarks.blocks import page as page_of
from benchmarks.machine import MachineCard, condition, machine_card
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
JOBS = os.cpu_count() or 1
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
def listener(
    bundle: Annotated[Path, typer.Option(help="The bundle that listens.")] = DEFAULT_BUNDLE,
    phrases: Annotated[int, typer.Option(min=1, help="How many it matches.")] = 1000,
    rounds: Rounds = 60,
    repeats: Annotated[int, typer.Option(min=1, help="Fresh processes of each kind.")] = 3,
    out: Out = OUT,
    as_json: Json = False,
) -> None:
    """The whole listener, stage by stage, and the memory of processes that listen."""
    from benchmarks.listener import listener as measure

    sound = scene(Model(bundle).rate_hz, SCENE_S)
    _run(lambda: measure(bundle, sound, phrases=phrases, rounds=rounds, repeats=repeats), None, out, as_json)


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
    budget_s: Annotated[float, typer.Option(min=1, help="The most that building one graph may take.")] = 1500,
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
            cache,
            counts=counts,
            links=m,
            beams=ef,
            ef_construction=ef_construction,
            build_threads=build_threads,
            budget_s=budget_s,
        ),
        None,
        out,
        as_json,
    )


@app.command()
def archive(
    days: Annotated[int, typer.Option(min=1, help="How long the archive is; a day takes 14 MB and a second.")] = 365,
    rounds: Rounds = 12,
    page: Annotated[Path | None, typer.Option(help="Also write the tables there, as Markdown.")] = None,
    cache: Cache = CACHE,
    out: Out = OUT,
    as_json: Json = False,
) -> None:
    """A year of windows, generated once: searched in time, memory and recall; what a second takes in."""
    from benchmarks.archive import archive as measure

    report, card = _run(lambda: measure(cache, days=days, rounds=rounds), None, out, as_json)
    _write_page(page, "A year of windows, searched", report, card)


@app.command()
def retrieval(
    bundle: Annotated[list[Path], typer.Option(help="A bundle; again for several, side by side.")] = [],  # noqa: B006
    profile: Annotated[list[str], typer.Option(help="A profile of theirs; again for several.")] = [],  # noqa: B006
    suite: Annotated[str, typer.Option(help="closed, robust, detection, search, open, or all.")] = "all",
    sounds: Annotated[Path, typer.Option(help="The folder with clips.csv.")] = SHARED / "data/sounds",
    limit: Annotated[int | None, typer.Option(min=2, help="Only so many clips: a quick look.")] = None,
    hours: Annotated[float, typer.Option(help="Of synthesised scenes at each SNR.")] = 0.5,
    seed: Annotated[int, typer.Option(min=0)] = 0,
    checkpoint: Annotated[list[Path], typer.Option(help="open: `--hold-out open`; again for several.")] = [],  # noqa: B006
    features: Annotated[Path, typer.Option(help="open: what `python -m training features` wrote.")] = FEATURES,
    weights: Annotated[Path, typer.Option(help="open: the folder with the AudioSet class names.")] = WEIGHTS,
    fp32: Annotated[Path | None, typer.Option(help="The bundle's checkpoint: what quantisation costs.")] = None,
    encoder: Annotated[Path | None, typer.Option(help="With --fp32: what an int8 encoder was exported from.")] = None,
    jobs: Annotated[int, typer.Option(min=1, help="Processes that hear.")] = JOBS,
    page: Annotated[Path | None, typer.Option(help="Also write the tables there, as Markdown.")] = None,
    cache: Cache = CACHE,
    out: Out = OUT,
    as_json: Json = False,
) -> None:
    """How well a bundle answers: both directions, in the field, over long scenes, on what it never learned."""
    from benchmarks.retrieval.contender import Contender
    from benchmarks.retrieval.suites import SUITES, Settings
    from benchmarks.retrieval.suites import retrieval as measure

    suites = [each for each in SUITES if each != "open" or checkpoint] if suite == "all" else [suite]
    heard = cache / "heard"
    settings = Settings(sounds, suites, limit, hours, seed, checkpoint, features, weights, fp32, encoder, jobs, heard)
    contenders = [
        Contender.open(folder, profile=name) for folder in bundle or [DEFAULT_BUNDLE] for name in profile or [None]
    ]
    report, card = _run(lambda: measure(contenders, settings), None, out, as_json)
    _write_page(page, "How well a bundle answers", report, card)


@app.command()
def profiles(
    bundle: Annotated[list[Path], typer.Option(help="A bundle; again for several, side by side.")] = [],  # noqa: B006
    sounds: Annotated[Path, typer.Option(help="The folder with clips.csv.")] = SHARED / "data/sounds",
    rounds: Rounds = 12,
    repeats: Annotated[int, typer.Option(min=1, help="Fresh processes of each kind.")] = 3,
    limit: Annotated[int | None, typer.Option(min=2, help="Only so many clips: a quick look.")] = None,
    jobs: Annotated[int, typer.Option(min=1, help="Processes that hear.")] = JOBS,
    page: Annotated[Path | None, typer.Option(help="Also write the tables there, as Markdown.")] = None,
    cache: Cache = CACHE,
    out: Out = OUT,
    as_json: Json = False,
) -> None:
    """Every precision of every bundle in every engine: bytes, times, memory, what it costs, how well it answers."""
    from benchmarks.profiles import profiles as measure
    from benchmarks.retrieval.suites import Settings

    hearing = Settings(sounds, ("closed",), limit, jobs=jobs, cache=cache / "heard") if sounds.is_dir() else None
    folders = bundle or [DEFAULT_BUNDLE]

    @cache_of_calls
    def sound(rate_hz: int) -> np.ndarray:
        return scene(rate_hz, SCENE_S)

    report, card = _run(
        lambda: measure(folders, sound, rounds=rounds, repeats=repeats, hearing=hearing), None, out, as_json
    )
    _write_page(page, "The table of profiles", report, card)


@app.command()
def finetune(
    checkpoint: Annotated[Path, typer.Option(help="Trained with `--hold-out open`.")],
    features: Annotated[Path, typer.Option(help="What `python -m training features` wrote.")] = FEATURES,
    label: Annotated[list[str], typer.Option(help="A label; again for several. Default: all held out.")] = [],  # noqa: B006
    clips: Annotated[int, typer.Option(min=1, help="Clips that teach.")] = 20,
    seeds: Annotated[int, typer.Option(min=1)] = 3,
    steps: Annotated[int | None, typer.Option(min=1, help="Steps of a lesson; default: as finetune.")] = None,
    sounds: Annotated[Path, typer.Option(help="The folder with clips.csv.")] = SHARED / "data/sounds",
    page: Annotated[Path | None, typer.Option(help="Also write the tables there, as Markdown.")] = None,
    out: Out = OUT,
    as_json: Json = False,
) -> None:
    """Fine-tuning on labels that training never had: what a few clips gain, what they cost the old benchmark."""
    from benchmarks.finetune import Setting
    from benchmarks.finetune import finetune as measure
    from training.finetune import FinetuneConfig

    config = FinetuneConfig(**({"steps": steps} if steps else {}))
    asked = Setting(sounds, checkpoint, features, label, clips, seeds)
    report, card = _run(lambda: measure(asked, config), None, out, as_json)
    _write_page(page, "What a few clips of a new sound teach", report, card)


@app.command()
def soak(
    bundle: Annotated[Path, typer.Option(help="The bundle that listens.")] = DEFAULT_BUNDLE,
    hours: Annotated[float, typer.Option(min=0.05, help="Of sound; a day takes a few minutes.")] = 24.0,
    seed: Annotated[int, typer.Option(min=0)] = 0,
    page: Annotated[Path | None, typer.Option(help="Also write the tables there, as Markdown.")] = None,
    out: Out = OUT,
    as_json: Json = False,
) -> None:
    """A day of sound through `earmark run`, as fast as it goes: does memory grow, does anything leak?"""
    from benchmarks.soak import soak as measure

    report, card = _run(lambda: measure(bundle, hours=hours, seed=seed), None, out, as_json)
    _write_page(page, "A day through one service", report, card)


@app.command()
def site(
    bundle: Annotated[Path, typer.Option(help="The bundle that listens.")] = DEFAULT_BUNDLE,
    sounds: Annotated[Path, typer.Option(help="The folder with clips.csv.")] = SHARED / "data/sounds",
    orders: Annotated[int, typer.Option(min=1, help="How often the clips are cut into two anew.")] = 10,
    jobs: Annotated[int, typer.Option(min=1, help="Processes that hear.")] = JOBS,
    cache: Cache = CACHE,
    page: Annotated[Path | None, typer.Option(help="Also write the tables there, as Markdown.")] = None,
    out: Out = OUT,
    as_json: Json = False,
) -> None:
    """Thresholds by a site's own sounds: the false alerts that were asked for, and those that were found."""
    from benchmarks.retrieval.contender import Contender
    from benchmarks.site import Setting
    from benchmarks.site import site as measure

    setting = Setting(sounds, orders, jobs=jobs, cache=cache / "heard")
    report, card = _run(lambda: measure(Contender.open(bundle, profile=None), setting), None, out, as_json)
    _write_page(page, "Thresholds by a site's own sounds", report, card)


@app.command()
def gate(
    speech: Annotated[Path, typer.Argument(help="A folder of recordings in which somebody speaks.")],
    bundle: Annotated[Path, typer.Option(help="The bundle that listens.")] = DEFAULT_BUNDLE,
    sounds: Annotated[Path, typer.Option(help="The folder with clips.csv.")] = SHARED / "data/sounds",
    limit: Annotated[int, typer.Option(min=2, help="Recordings of each kind.")] = 300,
    page: Annotated[Path | None, typer.Option(help="Also write the tables there, as Markdown.")] = None,
    out: Out = OUT,
    as_json: Json = False,
) -> None:
    """The speech gate: how much speech it silences, alone and under other sounds, and what else it takes."""
    from benchmarks.gate import Setting
    from benchmarks.gate import gate as measure
    from benchmarks.retrieval.contender import Contender

    setting = Setting(speech, sounds, limit)
    report, card = _run(lambda: measure(Contender.open(bundle, profile=None), setting), None, out, as_json)
    _write_page(page, "How much speech the gate silences", report, card)


def _write_page(path: Path | None, title: str, report: Report, card: MachineCard) -> None:
    if path is not None:
        path.parent.mkdir(parents=True, exist_ok=True)
        command = f"python -m benchmarks {' '.join(sys.argv[1:])}"
        path.write_text(page_of(title, report, card, command), encoding="utf-8")


def _model(bundle: Path | None, width: float, joint_width: int | None, cache: Path) -> Model:
    return Model(bundle if bundle is not None else stand_in(cache, width=width, joint_width=joint_width))


def _run(measure: Callable[[], Report], model: Model | None, out: Path, as_json: bool) -> tuple[Report, MachineCard]:
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
    card = replace(card, after=condition())
    publish(report, card, out=out, as_json=as_json)
    return report, card


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
