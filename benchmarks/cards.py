"""Measure the bundles of this repository and put the figures into their model cards, so that no number is typed.

    python -m benchmarks.cards                      # every bundle: measured, its card filled, then the README
    python -m benchmarks.cards my-bundle --fp32 runs/stream/train       # one bundle, beside the checkpoint it is of
    python -m benchmarks.cards my-bundle --fp32 runs/slim/train --encoder runs/slim     # and its encoder, if int8 too
    python -m benchmarks.cards my-bundle --suite detection      # that suite anew; the others as they were measured last
    python -m benchmarks.cards --fill               # the cards alone, from what was measured last
    python -m benchmarks.cards --check              # exit code 1 if a card says anything else

What was measured is kept in the bundle (retrieval.json), with the fingerprint of what was measured, the commit and the
machine; the card's block `measured` is made from it alone. Figures beside fp32 need the checkpoint, which no bundle
brings: where it is not given, those of an earlier run stay as long as the fingerprint does, and the clips, as do those
of other suites than the ones asked for.
"""

import dataclasses
import json
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from benchmarks import readme
from benchmarks.__main__ import CACHE, JOBS, OUT, SHARED
from benchmarks.alone import run_alone
from benchmarks.blocks import filled
from benchmarks.kept import RESULTS, kept, measured_block, revived
from benchmarks.machine import machine_card
from benchmarks.report import plain, publish, say
from benchmarks.retrieval.contender import Contender
from benchmarks.retrieval.lines import told_lines
from benchmarks.retrieval.suites import Settings, retrieval
from edge_runtime.bundle import DEFAULT_BUNDLE
from edge_runtime.errors import EarmarkError
from edge_runtime.manifest import Manifest, sha256_of
from training.bootstrap import RESAMPLES

__all__ = ["BLOCK", "bundles", "card_of", "fill", "measured"]

CARD = "MODEL_CARD.md"
BLOCK = "measured"
SUITES = ("closed", "robust", "detection", "search")
ROOT = Path(__file__).parents[1]


def bundles() -> list[Path]:
    """The default one, and those of export/bundles."""
    return [DEFAULT_BUNDLE, *sorted(path.parent for path in (ROOT / "export/bundles").glob("*/manifest.json"))]


def measured(folder: Path, settings: Settings, *, out: Path) -> dict[str, Any]:
    """Run the suites over a bundle: the first profile through all, the others through the closed one. Plots go to
    `out`."""
    manifest = Manifest.read(folder)
    names: list[str | None] = list(manifest.profiles) or [None]
    first = Contender.open(folder, profile=names[0])
    report = retrieval([first], settings)
    machine = machine_card()
    publish(report, machine, out=out, as_json=True)
    found = report.figures["by"][first.name]
    if names[1:] and "closed" in settings.suites:
        others = [Contender.open(folder, profile=name) for name in names[1:]]
        alike = dataclasses.replace(settings, suites=("closed",), fp32=None, encoder=None)
        by = retrieval(others, alike).figures["by"]
        found["profiles"] = {first.name: found["closed"]} | {name: each["closed"] for name, each in by.items()}
    told = {
        "fingerprint": manifest.fingerprint,
        "contender": first.name,
        "seed": settings.seed,
        "resamples": RESAMPLES,
        "limit": settings.limit,
        "machine": {name: getattr(machine, name) for name in ("cpu", "cores", "libraries", "python", "commit")},
        "found": found,
    }
    return json.loads(json.dumps(plain(told)))


def card_of(folder: Path) -> str:
    """The card as it should be: as it is where nothing was measured. Raises EarmarkError where it has no block."""
    text = (folder / CARD).read_text(encoding="utf-8")
    if f"<!-- {BLOCK} -->" not in text:
        raise EarmarkError(f"{folder / CARD} has no block <!-- {BLOCK} -->: export the bundle again")
    known = kept(folder)
    return filled(text, {BLOCK: measured_block(known)}) if known else text


def fill(folder: Path) -> None:
    """Write the card, and what the manifest says of it and of the results."""
    (folder / CARD).write_text(card_of(folder), encoding="utf-8")
    manifest = Manifest.read(folder)
    own = {name: sha256_of(folder / name) for name in (CARD, RESULTS) if (folder / name).is_file()}
    dataclasses.replace(manifest, files=dict(sorted((manifest.files | own).items()))).write(folder)


def _keep(folder: Path, known: dict[str, Any]) -> None:
    before = kept(folder)
    if before and before["limit"] == known["limit"]:
        found = before["found"] | known["found"]
        known = known | {"found": found | {"lines": told_lines(revived(found))}}
    (folder / RESULTS).write_text(json.dumps(known, separators=(",", ":")) + "\n", encoding="utf-8")


def main(
    bundle: Annotated[list[Path] | None, typer.Argument(help="Bundles; default: all of this repository.")] = None,
    fp32: Annotated[Path | None, typer.Option(help="The checkpoint of the one bundle that is given.")] = None,
    encoder: Annotated[Path | None, typer.Option(help="With --fp32: what its int8 encoder was exported from.")] = None,
    suite: Annotated[list[str] | None, typer.Option(help="Of the suites only this; again for several.")] = None,
    fill_only: Annotated[bool, typer.Option("--fill", help="Measure nothing.")] = False,
    check: Annotated[bool, typer.Option("--check", help="Write nothing; exit code 1 where a card is not so.")] = False,
    sounds: Annotated[Path, typer.Option(help="The folder with clips.csv.")] = SHARED / "data/sounds",
    limit: Annotated[int | None, typer.Option(min=2, help="Only so many clips: to try the command.")] = None,
    hours: Annotated[float, typer.Option(help="Of synthesised scenes at each SNR.")] = 0.5,
    jobs: Annotated[int, typer.Option(min=1, help="Processes that hear.")] = JOBS,
    cache: Annotated[Path, typer.Option(help="Where what was heard is kept.")] = CACHE,
    out: Annotated[Path, typer.Option(help="Where the plots go.")] = OUT,
) -> None:
    """Measure bundles, fill their cards and the README's tables."""
    folders = bundle or bundles()
    if fp32 and len(folders) > 1:
        raise EarmarkError("--fp32 is the checkpoint of one bundle: give that bundle")
    if check:
        wrong = [folder for folder in folders if (folder / CARD).read_text(encoding="utf-8") != card_of(folder)]
        for folder in wrong:
            say(f"{folder / CARD} is not what was measured: run `python -m benchmarks.cards`")
        raise typer.Exit(int(bool(wrong)))
    for folder in folders:
        card_of(folder)  # a card without its block is told before an hour of measuring
        if not fill_only:
            settings = Settings(
                sounds,
                suite or SUITES,
                limit,
                hours,
                fp32=fp32,
                encoder=encoder,
                jobs=jobs,
                cache=cache / "heard",
            )
            _keep(folder, measured(folder, settings, out=out))
        fill(folder)
        say(f"{folder / CARD}")
    if DEFAULT_BUNDLE.resolve() in {folder.resolve() for folder in folders}:
        readme.fill()


def run() -> int:
    return run_alone(main)


if __name__ == "__main__":
    sys.exit(run())
