"""earmark bundle info, install, list, rollback, remove: the model that this device runs."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from edge_runtime.bundle import Bundle as Model
from edge_runtime.bundle_store import BundleStore, chosen_bundle, telling_the_way_back
from edge_runtime.cli.options import Bundle, Home, Json, open_engine, print_json
from edge_runtime.home import default_home

__all__ = ["app"]

PACKAGE = "the package's own"

app = typer.Typer(help="The model that this device runs.", no_args_is_help=True)


@app.command("install")
def install(
    source: Annotated[Path, typer.Argument(help="A folder that export wrote, or its .tar.gz or .zip.")],
    home: Home = None,
) -> None:
    """Verify a bundle whole and run it from now on; the one before stays for `rollback`."""
    _tell(f"installed {BundleStore(home or default_home()).install(source)}", home)


@app.command("rollback")
def rollback(home: Home = None) -> None:
    """Go back to the bundle that was active before."""
    _tell(f"back to {BundleStore(home or default_home()).rollback() or PACKAGE}", home)


@app.command("list")
def list_installed(home: Home = None, as_json: Json = False) -> None:
    """The bundles of this home; a star marks the active one."""
    store = BundleStore(home or default_home())
    rows = [(each.name, each.active, each.fault) for each in store.installed()]
    for name, active, fault in [(PACKAGE, store.active() is None, ""), *rows]:
        if as_json:
            print_json(name=name, active=active, fault=fault)
        else:
            print(f"{'*' if active else ' '} {name}{f'  damaged: {fault}' if fault else ''}")


@app.command("remove")
def remove(
    name: Annotated[str, typer.Argument(help="As `earmark bundle list` has it.")],
    home: Home = None,
) -> None:
    """Delete a bundle that is not active."""
    BundleStore(home or default_home()).remove(name)
    print(f"removed {name}")


@app.command("info")
def info(bundle: Bundle = None, home: Home = None, as_json: Json = False) -> None:
    """What the bundle is: model, precisions and why, licence, measured quality."""
    chosen = chosen_bundle(bundle, home or default_home())
    with telling_the_way_back(chosen):
        model = Model.open(chosen.folder)
    manifest = model.manifest
    graphs = {
        "encoder": manifest.encoder.graph,
        "head": manifest.head.graph,
        "text encoder": manifest.text.graph,
    }
    graphs |= {f"expert {expert.name}": expert.graph for expert in manifest.experts}
    if as_json:
        print_json(
            name=manifest.name,
            version=manifest.version,
            fingerprint=model.fingerprint,
            licence=manifest.licence,
            graphs={name: vars(graph) for name, graph in graphs.items()},
            profiles={name: each.figures for name, each in manifest.profiles.items()},
            quality=manifest.quality,
        )
        return
    print(f"{manifest.name} {manifest.version}, fingerprint {model.fingerprint}, in {model.folder}")
    print(f"window {manifest.window_s:.2f} s, hop {manifest.hop_s:.2f} s, E = {manifest.head.width}")
    for name, graph in graphs.items():
        size = (model.folder / graph.file).stat().st_size / 1e6
        print(f"{name:13} {graph.precision:12} {size:5.1f} MB  {graph.why}")
    for name, each in manifest.profiles.items():
        figures = ", ".join(f"{figure} {value:.4g}" for figure, value in each.figures.items())
        print(f"profile       {name:12} encoder {each.encoder.precision}, head {each.head.precision}; {figures}")
    print(f"licence: {manifest.licence}")
    for notice in manifest.notices:
        print(f"  {notice}")
    for name, value in manifest.quality.items():
        print(f"  {name:32} {value:.2f}")


def _tell(done: str, home: Path | None) -> None:
    """What was done, and what it means for phrases and archive. The phrases are embedded anew now, not at a start."""
    engine = open_engine(bundle=None, home=home, write=True)
    print(f"{done}: {engine.bundle.manifest.name} {engine.bundle.manifest.version}, {len(engine.phrases)} phrases")
    if engine.archive and (others := engine.archive.other_models()):
        told = f"{others} recordings were heard by another model: index them again, or search them with its --bundle"
        print(f"earmark: {told}", file=sys.stderr)
