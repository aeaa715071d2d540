"""earmark doctor, devices, embed: what this device has, and raw embeddings."""

import platform
import sys
import time
from collections.abc import Callable
from dataclasses import asdict
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
from edge_runtime.errors import AudioError, EarmarkError, HomeError
from edge_runtime.false_alerts import FalseAlerts, Rate, false_alerts
from edge_runtime.graph_engine import DEFAULT_ENGINE, installed_engines
from edge_runtime.home import Home as Store
from edge_runtime.home import default_home
from edge_runtime.listener import Listener
from edge_runtime.manifest import Manifest
from edge_runtime.profile_choice import keep_choice
from edge_runtime.tune import MIN_COSINE, fastest, measure_profiles

__all__ = ["devices", "doctor", "embed_app"]

embed_app = typer.Typer(help="Embeddings as NumPy files.", no_args_is_help=True)

Tell = Callable[[str], None]
Out = Annotated[Path, typer.Option("--out", help="The .npy file to write.")]


def doctor(
    home: Home = None,
    bundle: Bundle = None,
    profile: Profile = None,
    graph_engine: GraphEngine = None,
    tune: Annotated[bool, typer.Option("--tune", help="Time profiles and engines here and keep the fastest.")] = False,
    repair: Annotated[
        bool, typer.Option("--repair", help="Make a damaged database again, and read every day of the archive.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Check this device: libraries, bundle, speed, microphone, home. Exit code 2 if something essential fails.

    False alerts an hour are counted on the background that the bundle brings, with the vocabulary in force; behind them
    stands their 95 % interval, and below them the phrases that are heard most often. --json tells the figures in
    one line.
    """
    tell: Tell = _nobody if as_json else print
    if repair:
        Store.open(home or default_home())
    tell(f"earmark on Python {platform.python_version()}, {platform.machine()}, {platform.system()}")
    tell(f"cpu         {cpu_model()}")
    chosen = chosen_bundle(bundle, home or default_home())
    with telling_the_way_back(chosen):
        check_all_files(chosen.folder)
        if tune:
            _tune(chosen.folder, home or default_home(), tell)
        model = Model.open(chosen.folder, profile=profile, engine=graph_engine, home=home or default_home(), write=tune)
    if model.profile:
        tell(f"profile     {model.profile} of {', '.join(model.manifest.profiles)}")
    tell(f"engine      {model.engine} of {', '.join(installed_engines())}")
    figures = ", ".join(f"{name} {value:.6f}" for name, value in model.self_test().items())
    tell(f"bundle      {model.manifest.name} {model.manifest.version}, {model.fingerprint}; {chosen.why}")
    tell(f"self-test   passed: {figures}")
    hop_s, took_s = _speed(model)
    tell(
        f"speed       {1000 * took_s:.1f} ms a window, one each {hop_s:.2f} s: {100 * took_s / hop_s:.1f} % of one core"
    )
    engine = open_engine(bundle=bundle, home=home, profile=profile, write=repair)
    expected = false_alerts(engine.bundle, engine.phrases)
    tell(f"background  {_background(engine, expected)}")
    try:
        from edge_runtime.sources.devices import input_devices

        tell(f"microphone  {', '.join(input_devices()) or 'none found: plug one in, or listen to files'}")
    except AudioError as error:
        tell(f"microphone  {error}")
    path = home or default_home()
    try:
        store = Store.open(path, write=False)
        tell(f"home        {path}{'' if store else ' (not there yet: made at the first use)'}")
    except EarmarkError as error:
        tell(f"home        {error}")
        raise
    if repair:
        tell(f"archive     {_archive(engine)}")
    if as_json:
        print_json(
            bundle=model.manifest.name,
            version=model.manifest.version,
            fingerprint=model.fingerprint,
            profile=model.profile,
            engine=model.engine,
            self_test=model.self_test(),
            hop_s=hop_s,
            window_took_s=took_s,
            phrases=len(engine.phrases),
            false_alerts=asdict(expected) if expected else None,
        )


def _archive(engine: Engine) -> str:
    """Raises HomeError where a day of this model is not what was sealed."""
    assert engine.archive is not None
    damaged = engine.archive.check()
    if damaged:
        told = "; ".join(f"{path} {why}" for path, why in damaged.items())
        raise HomeError(f"{told}: restore it from a copy, or move it out of the archive")
    return f"{engine.archive.windows()} windows, every sealed day is as it was sealed"


def devices(as_json: Json = False) -> None:
    """List the microphones; use one with `earmark listen mic:NAME`."""
    from edge_runtime.sources.devices import input_devices

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


def _tune(folder: Path, home: Path, tell: Tell) -> None:
    manifest = Manifest.read(folder)
    if len(manifest.profiles) < 2 and installed_engines() == [DEFAULT_ENGINE]:
        tell(f"tuned       nothing to choose: one precision, and {DEFAULT_ENGINE} is the only engine here")
        return
    found = measure_profiles(folder, home=home)
    for each in found:
        told = each.failure or f"{each.hop_ms:8.2f} ms a hop, cosine {each.cosine:.5f} with fp32"
        tell(f"  {each.choice!s:24}{told}")
    best = fastest(found)
    measured = {str(each.choice): {"hop_ms": each.hop_ms, "cosine": each.cosine} for each in found if not each.failure}
    keep_choice(home, manifest, best.choice, measured=measured)
    tell(f"tuned       {best.choice} is the fastest with a cosine of at least {MIN_COSINE}: kept for this CPU")


def _nobody(_: str) -> None:
    """Where only JSON is asked for."""


def _background(engine: Engine, found: FalseAlerts | None) -> str:
    """How often this vocabulary would be heard where there is nothing but background."""
    if found is None:
        return "nothing to count false alerts on: this bundle brings no background, or the vocabulary is empty"
    told = f"{len(engine.phrases)} phrases: {_told(found.rate)} false alerts an hour expected, {found.rate.alerts} in "
    told += f"{found.hours:.2f} hours of noise and ambience, {found.recorded_hours:.2f} of them recorded"
    return "\n            ".join([told, *(f"{phrase!r} {_told(rate)}" for phrase, rate in found.worst)])


def _told(rate: Rate) -> str:
    return f"{rate.per_hour:.1f} ({rate.low:.1f} to {rate.high:.1f})"


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
