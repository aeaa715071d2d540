"""`python -m benchmarks soak`: a day of sound through `earmark run`, as fast as it goes, and what that does to it.

The service is the real one, in a process of its own: it listens to PCM on standard input, matches its vocabulary,
groups and rules, keeps windows, events and clips, tells a sink, tidies its home. The sound is the demo's scene in many
versions, in an order drawn by chance. The kernel is asked after each minute or so what the process holds.

A pipe holds two seconds: when the last sample is in it, the others have been heard.
"""

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

import numpy as np

from benchmarks.report import Report, Table, say
from benchmarks.resident import memory_mib
from edge_runtime.bundle import Bundle
from edge_runtime.errors import EarmarkError
from edge_runtime.scene import demo_scene

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["Look", "soak"]

GOALS = {"growth_mib": 5 * 1e6 / 2**20, "times_real_time": 100.0}
"""5 MB from hour 2 on; of the default bundle."""
WARM_H = 2.0
"""By then caches are full, and Python has what it keeps."""
PART_H = 1.0
"""Means of so long are compared: what a moment holds depends on the clips that are open."""
MEMORY = ("resident", "anonymous")
GREW = (*MEMORY, "handles", "threads")
BLOCK_S = 0.5
SCENES = 12
WAIT_S = 120
CONFIGURATION = """
home = "home"
bundle = {bundle}
[[sources]]
name = "soak"
input = "-"
rate_hz = {rate_hz}
[groups]
bells = ["a church bell ringing", "a level crossing bell"]
[rules]
storm = "thunder rumbling in the distance AND a siren WITHIN 30 s"
[clips]
longest_s = 20
[retention]
max_clips = 200
[[sinks]]
to = "told.jsonl"
tell = ["events", "windows"]
max_mb = 5
"""


@dataclass(frozen=True)
class Look:
    """A process after so many hours of sound, `wall_s` and `cpu_s` after it began to hear: MiB, handles, threads."""

    hour: float
    resident: float
    anonymous: float
    handles: int
    threads: int
    wall_s: float
    cpu_s: float


def soak(folder: Path, *, hours: float, seed: int = 0) -> Report:
    """`hours` of sound through a service with this bundle."""
    bundle = Bundle.open(folder)
    rate_hz = bundle.manifest.mel.rate_hz
    with (
        tempfile.TemporaryDirectory(prefix="earmark-soak-") as place,
        _service(Path(place), folder, rate_hz) as process,
    ):
        looks = list(_looks(process, rate_hz, hours, seed))
        process.send_signal(signal.SIGTERM)
        if process.wait(WAIT_S) != 0:
            raise EarmarkError(f"the service ended with {process.returncode}: see what it said above")
        status = json.loads((Path(place) / "home/status.json").read_text(encoding="utf-8"))
        kept = sum(file.stat().st_size for file in Path(place, "home").rglob("*") if file.is_file())
    return _report(bundle, hours, looks, status["sources"][0], kept)


@contextmanager
def _service(place: Path, bundle: Path, rate_hz: int) -> Iterator["subprocess.Popen[bytes]"]:
    text = CONFIGURATION.format(bundle=json.dumps(str(bundle.absolute())), rate_hz=rate_hz)
    (place / "soak.toml").write_text(text, encoding="utf-8")
    command = [sys.executable, "-m", "edge_runtime", "run", str(place / "soak.toml")]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, cwd=Path(__file__).parents[1])
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def _looks(process: "subprocess.Popen[bytes]", rate_hz: int, hours: float, seed: int) -> Iterator[Look]:
    scenes = [(demo_scene(rate_hz, seed + i)[0] * 32767).astype("<i2").tobytes() for i in range(SCENES)]
    chance = np.random.default_rng(seed)
    assert process.stdin is not None
    _pour(process.stdin, scenes[0], rate_hz)  # it has opened everything, and hears
    started_s, worked_s = time.monotonic(), _cpu_s(process.pid)
    heard_s, told = len(scenes[0]) / 2 / rate_hz, 0
    while heard_s < 3600 * hours:
        sound = scenes[chance.integers(SCENES)]
        _pour(process.stdin, sound, rate_hz)
        heard_s += len(sound) / 2 / rate_hz
        look = _look(process.pid, heard_s / 3600, time.monotonic() - started_s, _cpu_s(process.pid) - worked_s)
        if look.hour >= told:
            told += 1
            say(f"hour {look.hour:.1f}: {look.resident:.1f} MiB, {look.handles} handles, {look.threads} threads")
        yield look


def _pour(pipe: BinaryIO, sound: bytes, rate_hz: int) -> None:
    step = 2 * round(BLOCK_S * rate_hz)
    try:
        for start in range(0, len(sound), step):
            pipe.write(sound[start : start + step])
        pipe.flush()
    except BrokenPipeError as error:
        raise EarmarkError("the service ended before the sound did: see what it said above") from error


def _look(process: int, hour: float, wall_s: float, cpu_s: float) -> Look:
    folder = Path("/proc") / str(process)
    memory = memory_mib(folder / "status")
    handles, threads = (sum(1 for _ in (folder / name).iterdir()) for name in ("fd", "task"))
    return Look(hour, memory["resident"], memory["anonymous"], handles, threads, wall_s, cpu_s)


def _cpu_s(process: int) -> float:
    fields = (Path("/proc") / str(process) / "stat").read_text(encoding="utf-8").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _parts(looks: list[Look], hours: float) -> list[Look]:
    """One for each part of the time, by its middle: means of memory, the most of handles and threads."""
    part_h = min(PART_H, hours / 4)
    parts = []
    for number in range(max(1, round(hours / part_h))):
        of = [look for look in looks if int(look.hour / part_h) == number]
        if of:
            resident, anonymous = (float(np.mean([getattr(look, name) for look in of])) for name in MEMORY)
            handles, threads = (max(getattr(look, name) for look in of) for name in ("handles", "threads"))
            parts.append(
                Look((number + 0.5) * part_h, resident, anonymous, handles, threads, of[-1].wall_s, of[-1].cpu_s)
            )
    return parts


def _report(bundle: Bundle, hours: float, looks: list[Look], source: dict[str, float], kept: int) -> Report:
    parts = _parts(looks, hours)
    warm = [part for part in parts if part.hour >= min(WARM_H, hours / 4)]
    last = looks[-1]
    growth = {name: max(getattr(part, name) for part in warm) - getattr(warm[0], name) for name in GREW}
    speeds = {name: 3600 * last.hour / seconds for name, seconds in (("wall", last.wall_s), ("cpu", last.cpu_s))}
    unkept = source["unkept_windows"] + source["unkept_events"]
    figures = {
        "bundle": bundle.manifest.name,
        "hours": last.hour,
        "warm_hour": warm[0].hour,
        "growth_mib": growth["resident"],
        "handles_grew": growth["handles"],
        "threads_grew": growth["threads"],
        "times_real_time": speeds["wall"],
        "times_real_time_by_cpu": speeds["cpu"],
        "heard_s": source["heard_s"],
        "windows": source["windows"],
        "unkept": unkept,
        "kept_bytes": kept,
        "goals": GOALS,
        "parts": [vars(part) for part in parts],
    }
    rows = [
        (f"memory grows after hour {warm[0].hour:.1f}, MiB", growth["resident"], f"< {GOALS['growth_mib']:.2f}"),
        ("file handles that come to it", growth["handles"], "0"),
        ("threads that come to it", growth["threads"], "0"),
        ("times real time, by the clock on the wall", speeds["wall"], f">= {GOALS['times_real_time']:.0f}"),
        ("times real time, by processor time", speeds["cpu"], ""),
        ("windows or events that were not kept", unkept, "0"),
    ]
    name = bundle.manifest.name
    columns = ("about hour", "resident MiB", "anonymous MiB", "handles", "threads")
    every = max(1, len(parts) // 12)
    held = [
        (part.hour, part.resident, part.anonymous, part.handles, part.threads)
        for part in [*parts[:-1][::every], parts[-1]]
    ]
    return Report(
        "soak",
        figures,
        [
            Table(f"{name}: {last.hour:.1f} h of sound through one service", ("", "found", "bound"), rows),
            Table(f"{name}: what the process holds, on the mean", columns, held),
        ],
        draw={"soak": partial(_draw, looks)},
    )


def _draw(looks: list[Look], figure: "Figure") -> None:
    axes = figure.add_subplot()
    for name in MEMORY:
        axes.plot([look.hour for look in looks], [getattr(look, name) for look in looks], label=name)
    axes.set(xlabel="hours of sound", ylabel="MiB", ylim=(0, None), title="A day through one service")
    axes.legend()
