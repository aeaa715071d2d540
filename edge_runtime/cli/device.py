"""earmark doctor, devices, embed: what this device has, and raw embeddings."""

import platform
import sys
import time
from pathlib import Path
from typing import Annotated

import numpy as np
import typer

from edge_runtime.bundle import Bundle as Model
from edge_runtime.bundle import check_all_files
from edge_runtime.bundle_store import chosen_bundle, telling_the_way_back
from edge_runtime.cli.options import Bundle, GraphEngine, Home, Json, Profile, open_engine, print_json
from edge_runtime.cpu import cpu_model
from edge_runtime.engine import Engine
from edge_runtime.errors import AudioError, EarmarkError
from edge_runtime.graph_engine import DEFAULT_ENGINE, installed_engines
from edge_runtime.home import Home as Store
from edge_runtime.home import default_home
from edge_runtime.listener import Listener
from edge_runtime.manifest import Manifest
from edge_runtime.profile_choice import keep_choice
from edge_runtime.tune import MIN_COSINE, fastest, measure_profiles

__all__ = ["devices", "doctor", "embed_app"]

embed_app = typer.Typer(help="Embeddings as NumPy files.", no_args_is_help=True)

Out = Annotated[Path, typer.Option("--out", help="The .npy file to write.")]


def doctor(
    home: Home = None,
    bundle: Bundle = None,
    profile: Profile = None,
    graph_engine: GraphEngine = None,
    tune: Annotated[bool, typer.Option("--tune", help="Time profiles and engines here and keep the fastest.")] = False,
) -> None:
    """Check this device: libraries, bundle, speed, microphone, home. Exit code 2 if something essential fails."""
    print(f"earmark on Python {platform.python_version()}, {platform.machine()}, {platform.system()}")
    print(f"cpu         {cpu_model()}")
    chosen = chosen_bundle(bundle, home or default_home())
    with telling_the_way_back(chosen):
        check_all_files(chosen.folder)
        if tune:
            _tune(chosen.folder, home or default_home())
        model = Model.open(chosen.folder, profile=profile, engine=graph_engine, home=home or default_home(), write=tune)
    if model.profile:
        print(f"profile     {model.profile} of {', '.join(model.manifest.profiles)}")
    print(f"engine      {model.engine} of {', '.join(installed_engines())}")
    figures = ", ".join(f"{name} {value:.6f}" for name, value in model.self_test().items())
    print(f"bundle      {model.manifest.name} {model.manifest.version}, {model.fingerprint}; {chosen.why}")
    print(f"self-test   passed: {figures}")
    hop_s, took_s = _speed(model)
    print(
        f"speed       {1000 * took_s:.1f} ms a window, one each {hop_s:.2f} s: {100 * took_s / hop_s:.1f} % of one core"
    )
    print(f"background  {_false_alerts(open_engine(bundle=bundle, home=home, profile=profile, write=False))}")
    try:
        from edge_runtime.microphone import input_devices

        print(f"microphone  {', '.join(input_devices()) or 'none found: plug one in, or listen to files'}")
    except AudioError as error:
        print(f"microphone  {error}")
    path = home or default_home()
    try:
        store = Store.open(path, write=False)
        print(f"home        {path}{'' if store else ' (not there yet: made at the first use)'}")
    except EarmarkError as error:
        print(f"home        {error}")
        raise


def devices(as_json: Json = False) -> None:
    """List the microphones; use one with `earmark listen mic:NAME`."""
    from edge_runtime.microphone import input_devices

    names = input_devices()
    if not names:
        print("earmark: no microphone found: plug one in", file=sys.stderr)
    for name in names:
        if as_json:
            print_json(name=name)
        else:
            print(name)


@embed_app.command("audio")
def embed_audio(
    file: Annotated[Path, typer.Argument(help="A recording.")],
    out: Out,
    home: Home = None,
    bundle: Bundle = None,
    profile: Profile = None,
    graph_engine: GraphEngine = None,
) -> None:
    """Write the embeddings of a recording's windows, (W, E) float32."""
    _write(
        out, open_engine(bundle=bundle, home=home, profile=profile, engine=graph_engine, write=False).embed_audio(file)
    )


@embed_app.command("text")
def embed_text(
    text: Annotated[str, typer.Argument(help="A phrase.")], out: Out, home: Home = None, bundle: Bundle = None
) -> None:
    """Write a phrase's embedding, (E,) float32."""
    _write(out, open_engine(bundle=bundle, home=home, write=False).embed_text(text))


def _write(out: Path, embedding: np.ndarray) -> None:
    try:
        with out.open("wb") as file:
            np.save(file, embedding)
    except OSError as error:
        raise EarmarkError(f"cannot write {out} ({error.strerror}): choose another --out") from error
    print(f"{out}: {embedding.dtype} {embedding.shape}")


def _tune(folder: Path, home: Path) -> None:
    manifest = Manifest.read(folder)
    if not manifest.profiles and installed_engines() == [DEFAULT_ENGINE]:
        print(f"tuned       nothing to choose: one precision, and {DEFAULT_ENGINE} is the only engine here")
        return
    found = measure_profiles(folder, home=home)
    for each in found:
        told = each.failure or f"{each.hop_ms:8.2f} ms a hop, cosine {each.cosine:.5f} with fp32"
        print(f"  {each.choice!s:24}{told}")
    best = fastest(found)
    measured = {str(each.choice): {"hop_ms": each.hop_ms, "cosine": each.cosine} for each in found if not each.failure}
    keep_choice(home, manifest, best.choice, measured=measured)
    print(f"tuned       {best.choice} is the fastest with a cosine of at least {MIN_COSINE}: kept for this CPU")


def _false_alerts(engine: Engine) -> str:
    """How often this vocabulary would be heard where there is nothing but background."""
    background = engine.bundle.background
    if background is None:
        return "this bundle brings none: phrases count as heard from one score on, the same for all"
    alerts, windows = background.alerts(engine.phrases.embeddings(), engine.phrases.thresholds())
    hours = windows * engine.bundle.manifest.window_s / 3600
    return (
        f"{len(engine.phrases)} phrases are heard in {alerts} of {windows} windows of noise and ambience ({hours:.1f} "
        f"hours): at most {alerts / hours:.1f} false alerts an hour expected"
    )


def _speed(model: Model, windows: int = 8) -> tuple[float, float]:
    """The hop in seconds, and the median time of one window: front end, encoder and head."""
    hop_s = model.manifest.hop_s
    rng = np.random.default_rng(0)
    listener = Listener(model)
    list(
        listener.push(rng.normal(0, 0.1, int(model.manifest.window_s * model.manifest.mel.rate_hz)).astype(np.float32))
    )
    block = rng.normal(0, 0.1, int(hop_s * model.manifest.mel.rate_hz)).astype(np.float32)
    times = []
    for _ in range(windows):
        started = time.perf_counter()
        list(listener.push(block))
        times.append(time.perf_counter() - started)
    return hop_s, float(np.median(times))
