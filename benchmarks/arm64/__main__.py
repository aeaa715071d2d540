"""Earmark on a Pi's processor without a Pi: `make test-arm64`.

    python -m benchmarks.arm64                              # Pi 5, Pi 4 and Zero 2 W
    python -m benchmarks.arm64 --cpu cortex-a76 --suite trixie
    python -m benchmarks.arm64 --stream-bundle my-cnn14 --profile exact     # in place of the slim CNN14

Builds the wheelhouse, extracts a Debian root for arm64, installs Earmark there from the wheelhouse alone with no
compiler present, and under each processor runs `earmark doctor`, `earmark caption` and every stage of two bundles, the
default one and a CNN14 in int8, compared with this machine. Emulated time says nothing of speed. Nothing is mounted
and nothing runs on afterwards.
"""

import argparse
import contextlib
import json
import os
import resource
import shutil
import signal
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from benchmarks.arm64.board import Board
from benchmarks.arm64.boards import CPUS, SYSTEMS, MissingTools, require_tools
from benchmarks.arm64.compare import Row, compare
from benchmarks.arm64.probes import int8_step, probe, probe_rest
from benchmarks.arm64.root import CommandFailed, Root, run_to_end
from benchmarks.arm64.turns import one_at_a_time
from benchmarks.arm64.wheelhouse import CACHE, PROJECT, IncompleteWheelhouse, build
from benchmarks.eight_bit import adds_in_16_bits
from edge_runtime.manifest import Manifest
from edge_runtime.scene import demo_scene

ANSWERS = Path(__file__).with_name("answers.py")
RATE_HZ = 44_100
"""Of the recording: not the model's, so that the resampler works too."""
SCENE_S = 22.0
"""Of the demo's minute: birds, a bell and a dog make three windows, the last of them not full."""
STREAM_BUNDLE = PROJECT / "export/bundles/earmark-cnn14-slim"
STREAM_S = 12.0
"""Prime, a steady hop and flush of a file's long hops, seven steady ones of a live stream's, and three windows."""
PROFILES = ("small",)
"""What a board would choose; each costs its share of the time."""
BUDGET_S = 300
"""With the wheelhouse there. Of wall clock and processor time the smaller counts: others on the same cores make a run
longer, and one step waits for another, so that an idle core takes little more than the processor time."""
MAX_SCORE = 0.005
"""Printed scores of captions: embeddings with a cosine of .9999 may differ by more, those here by far less."""


@dataclass(frozen=True)
class Case:
    """A bundle to be compared, in the precisions `profiles`, none of them where it has one only. Files of the case lie
    in `here`, a folder of the root that the board sees as `there`."""

    bundle: Path
    bundle_there: Path
    here: Path
    there: Path
    profiles: tuple[str, ...] = ()

    @classmethod
    def of(cls, board: Board, bundle: Path, name: str, *, seconds: float, profiles: Sequence[str] = ()) -> "Case":
        """Lay out the recording, the program and the laid-open graphs; `seconds` cuts the recording."""
        import soundfile

        there = Path("/check") / name
        here = board.root.folder / there.relative_to("/")
        shutil.rmtree(here, ignore_errors=True)
        (here / "probes").mkdir(parents=True)
        shutil.copy2(ANSWERS, here)
        scene, _ = demo_scene(RATE_HZ)
        soundfile.write(here / "scene.flac", scene[: int(seconds * RATE_HZ)], RATE_HZ)
        for graph in bundle.glob("*.onnx"):
            probe(graph, here / "probes")
        for graph in encoders_of(bundle, profiles).values():
            probe_rest(graph, here / "probes")
        if bundle == default_bundle():
            return cls(bundle, board.site_packages / "edge_runtime/default_bundle", here, there)
        shutil.copytree(bundle, here / "bundle")
        return cls(bundle, there / "bundle", here, there, tuple(profiles))

    def answer(self) -> str:
        """This machine's answers; returns what computed them."""
        arguments = self._arguments(self.here, self.bundle, "x86.npz")
        environment = os.environ | {"PYTHONPATH": str(PROJECT)}
        return run_to_end([sys.executable, *arguments], environment=environment).strip()

    def compare(self, board: Board, cpu: str) -> list[Row]:
        """The board's answers on `cpu`, beside this machine's."""
        arguments = self._arguments(self.there, self.bundle_there, f"{cpu}.npz")
        board.python(*arguments, "--given", str(self.there / "x86.npz"), cpu=cpu)
        with np.load(self.here / "x86.npz") as x86, np.load(self.here / f"{cpu}.npz") as found:
            return compare(dict(x86), dict(found), steps=self._steps(), overflows=adds_in_16_bits())

    def _arguments(self, folder: Path, bundle: Path, out: str) -> list[str]:
        options = {"bundle": bundle, "recording": folder / "scene.flac", "probes": folder / "probes"}
        flags = [f"--{name}={path}" for name, path in (options | {"out": folder / out}).items()]
        return [str(folder / ANSWERS.name), *flags, *(f"--profile={name}" for name in self.profiles)]

    def _steps(self) -> dict[str, np.ndarray | None]:
        """Profile -> the quantisation steps (D,) of its segments."""
        return {name: int8_step(graph, "segments") for name, graph in encoders_of(self.bundle, self.profiles).items()}


def encoders_of(bundle: Path, profiles: Sequence[str]) -> dict[str, Path]:
    """Profile -> its encoder's graph; where none is named, the bundle's own, named ''."""
    manifest = Manifest.read(bundle)
    return {name: bundle / manifest.profile(name or None).encoder.file for name in profiles or [""]}


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.arm64", description=__doc__.splitlines()[0])
    parser.add_argument("--wheelhouse", type=Path, default=PROJECT / "wheelhouse", help="built or completed there")
    parser.add_argument("--suite", choices=SYSTEMS, default="bookworm", help="the Debian release under Pi OS")
    parser.add_argument("--cpu", choices=CPUS, action="append", help="only this processor (may be given again)")
    parser.add_argument("--stream-bundle", type=Path, default=STREAM_BUNDLE, help="the second bundle: a CNN14's")
    parser.add_argument("--profile", action="append", help=f"of that bundle (default: {', '.join(PROFILES)})")
    parser.add_argument("--install", action="store_true", help="install the Debian packages that this needs")
    options = parser.parse_args()
    for number in (signal.SIGINT, signal.SIGTERM):  # a shell that starts this in the background has SIGINT ignored
        signal.signal(number, _stop)
    try:
        require_tools(install=options.install)
        with one_at_a_time(CACHE):
            started = time.monotonic()
            cpus, profiles = options.cpu or list(CPUS), options.profile or PROFILES
            failures = check(options.wheelhouse, options.suite, cpus, options.stream_bundle, profiles)
    except (MissingTools, IncompleteWheelhouse, CommandFailed) as error:
        print(f"\ntest-arm64: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\ntest-arm64: stopped; nothing is left mounted or running", file=sys.stderr)
        return 130
    took_s, spent_s = time.monotonic() - started, processor_s()
    late = f", more than the {BUDGET_S} s that it should take" if min(took_s, spent_s) > BUDGET_S else ""
    verdict = f"FAILED: {failures} checks" if failures else "passed"
    print(f"\n{verdict} in {took_s:.0f} s ({spent_s:.0f} s of processor time){late}")
    print("Emulated processors: no real board was involved, and no time above tells of one.")
    return min(failures, 1)


def check(
    wheelhouse: Path,
    suite: str,
    cpus: Sequence[str],
    stream_bundle: Path = STREAM_BUNDLE,
    profiles: Sequence[str] = PROFILES,
) -> int:
    """Run it all and print it; return how many checks failed."""
    with timed("wheelhouse for aarch64 completed, every dependency found"):
        build(wheelhouse, list(SYSTEMS.values()))
    with timed(f"Debian {suite} for arm64 extracted, or kept from before"):
        root = Root.of(SYSTEMS[suite], cache=CACHE)
    with timed("Earmark installed there"):
        board = Board.install(root, wheelhouse)
        print(f"  {board.report}")
    with timed("answers of this machine"):
        cases = {"default bundle": Case.of(board, default_bundle(), "default", seconds=SCENE_S)}
        found = stream_bundle.resolve()
        cases[found.name] = Case.of(board, found, "stream", seconds=STREAM_S, profiles=profiles)
        for case in cases.values():
            print(f"  {case.answer()}")
        recording = cases["default bundle"].here / "scene.flac"
        entry = "from edge_runtime.cli import main; main()"
        command = [sys.executable, "-c", entry, *caption_arguments(recording)]
        captions = json.loads(run_to_end(command, environment=os.environ | {"PYTHONPATH": str(PROJECT)}))
    failures = 0
    for cpu in cpus:
        print(f"\n{cpu}, as in the {CPUS[cpu]}")
        with timed("earmark doctor"):
            said = board.earmark("doctor", "--home=/check/home", cpu=cpu)
            shown = [line for line in said.splitlines() if line.startswith(("earmark", "self-test", "microphone"))]
            print("".join(f"  {line}\n" for line in shown), end="")
            failures += "aarch64" not in said
        with timed("earmark caption"):
            there = cases["default bundle"].there / "scene.flac"
            found = json.loads(board.earmark(*caption_arguments(there), cpu=cpu))
            failures += not same_captions(captions, found)
        for name, case in cases.items():
            with timed(f"{name}, stage by stage"):
                rows = case.compare(board, cpu)
                print("".join(f"  {row}\n" for row in rows), end="")
                failures += sum(not row.ok for row in rows)
    return failures


def caption_arguments(recording: Path) -> list[str]:
    return ["caption", str(recording), "--json", "--home=/check/home"]


def same_captions(x86: dict, board: dict) -> bool:
    """The same phrases in the same order with nearly the same scores; prints them."""
    pairs = list(zip(x86["matches"], board["matches"], strict=True))
    for here, there in pairs:
        print(f"  {there['score']:.4f} ({here['score']:.4f} on x86)  {there['phrase']}")
    return all(
        here["phrase"] == there["phrase"] and abs(here["score"] - there["score"]) <= MAX_SCORE for here, there in pairs
    )


def default_bundle() -> Path:
    return PROJECT / "edge_runtime/default_bundle"


def processor_s() -> float:
    """Of this process and of all that it has run."""
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(each.ru_utime + each.ru_stime for each in used)


@contextlib.contextmanager
def timed(what: str) -> Iterator[None]:
    started = time.monotonic()
    yield
    print(f"[{time.monotonic() - started:6.1f} s] {what}", flush=True)


def _stop(*_: object) -> None:
    raise KeyboardInterrupt


if __name__ == "__main__":
    sys.exit(main())
