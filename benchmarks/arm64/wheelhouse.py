"""Everything a 64-bit Pi installs, as wheels: no compiler, no headers and no network needed there.

    python -m benchmarks.arm64.wheelhouse --out wheelhouse            # build, then check
    python -m benchmarks.arm64.wheelhouse --out wheelhouse --check    # only check; exit code 1 names what is missing
    pip install --no-index --find-links wheelhouse earmark            # on the Pi

The dependencies are those of pyproject.toml, in the versions that this environment has tested where it has them
(`--newest`: the newest). hnswlib exists as source only and is cross-compiled for the oldest 64-bit Pi.
"""

import argparse
import importlib.metadata
import os
import shutil
import sys
import time
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from benchmarks.arm64.boards import SYSTEMS, MissingTools, System, require_tools
from benchmarks.arm64.root import CommandFailed, Root, run_to_end, scratch
from benchmarks.arm64.turns import one_at_a_time
from benchmarks.arm64.wheels import (
    BASELINE,
    CROSS_BUILT,
    Plan,
    Wheel,
    device_requirements,
    faults,
    glibc_needed,
    read_wheels,
    resolve,
)

__all__ = ["CACHE", "IncompleteWheelhouse", "build", "check"]

PROJECT = Path(__file__).resolve().parents[2]
CACHE = PROJECT / "build/arm64"
COMPILER = "aarch64-linux-gnu-g++"
MAX_DEPTH = 10
"""Requirements are followed this deep; Earmark's are 4 deep."""


class IncompleteWheelhouse(Exception):
    """The message names each dependency without a wheel, and each wheel that must not be shipped."""


def build(out: Path, systems: Sequence[System], *, cache: Path = CACHE, newest: bool = False) -> None:
    """Fill `out` with what is missing there, and take away what no system needs. Raises IncompleteWheelhouse."""
    out.mkdir(parents=True, exist_ok=True)
    for wheel in read_wheels(out):
        if wheel.name == "earmark" or faults(wheel, systems):
            wheel.path.unlink()
    _build_own(out, cache)
    pins = {} if newest else _tested_versions()
    for system in systems:
        _fill(out, system, pins, cache)
    plans = [resolve(_wanted(), read_wheels(out), system, pins=pins) for system in systems]
    used = {wheel.path for plan in plans for wheel in plan.wheels.values()}
    for wheel in read_wheels(out):
        if wheel.path not in used:
            wheel.path.unlink()
    check(out, systems)


def check(out: Path, systems: Sequence[System]) -> dict[str, Plan]:
    """Suite -> what it would install from `out`. Raises IncompleteWheelhouse unless that is all it needs."""
    wheels = read_wheels(out)
    complaints = [f"{wheel.path.name}: {fault}" for wheel in wheels for fault in faults(wheel, systems)]
    plans = {system.suite: resolve(_wanted(), wheels, system) for system in systems}
    for system in systems:
        complaints += [
            f"no aarch64 wheel of {requirement} for Python {system.python_version} (asked for by {asker})"
            for requirement, asker in plans[system.suite].missing.items()
        ]
    if complaints:
        raise IncompleteWheelhouse("\n  ".join([f"{out} does not serve 64-bit Pi OS:", *complaints]))
    return plans


def _wanted() -> list[Requirement]:
    """pyproject.toml's list beside Earmark's own wheel: a stale wheel must not hide a new dependency."""
    return [Requirement("earmark"), *device_requirements(PROJECT / "pyproject.toml")]


def _tested_versions() -> dict[str, str]:
    """The versions in this environment: what the tests ran on is what a board gets."""
    installed = ((found.metadata["Name"], found.version) for found in importlib.metadata.distributions())
    return {canonicalize_name(name): version for name, version in installed if name and "+" not in version}


def _fill(out: Path, system: System, pins: Mapping[str, str], cache: Path) -> None:
    """Download or build, level by level, until every requirement has its wheel or cannot be had."""
    for _ in range(MAX_DEPTH):
        missing = list(resolve(_wanted(), read_wheels(out), system, pins=pins).missing)
        if not missing:
            return
        for requirement in missing:
            if Requirement(requirement).name == CROSS_BUILT:
                _cross_build(out, requirement, system, cache)
        _download(out, [text for text in missing if Requirement(text).name != CROSS_BUILT], system)
    raise IncompleteWheelhouse(f"after {MAX_DEPTH} rounds these are still missing: {', '.join(missing)}")


def _download(out: Path, requirements: Sequence[str], system: System) -> None:
    """Wheels for the target, without their dependencies: pip would follow those by this machine's markers."""
    if not requirements:
        return
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary=:all:"]
    command += ["--dest", str(out), "--implementation=cp", f"--python-version={system.python_version}"]
    command += [f"--platform={platform}" for platform in system.platforms]
    try:
        run_to_end([*command, *requirements])
    except CommandFailed as error:
        if len(requirements) > 1:
            refused = []
            for requirement in requirements:
                try:
                    _download(out, [requirement], system)
                except IncompleteWheelhouse as each:
                    refused.append(str(each))
            raise IncompleteWheelhouse("\n".join(refused) or str(error)) from error
        raise IncompleteWheelhouse(
            f"no aarch64 wheel of {requirements[0]} for Python {system.python_version} could be downloaded: {error}"
        ) from error


def _cross_build(out: Path, requirement: str, system: System, cache: Path) -> None:
    """hnswlib for the oldest 64-bit Pi. The compiler's switches are recorded in the library, for the check to read."""
    root = Root.of(system, cache=cache)
    pip = [sys.executable, "-m", "pip", "--quiet"]
    python = f"python{system.python_version}"
    # Debian's pyconfig.h only points to aarch64-linux-gnu/python3.X/pyconfig.h, below the folder of all headers
    headers = f"-I{root.headers / python} -idirafter{root.headers}"
    flags = f"-march={BASELINE} -frecord-gcc-switches {headers}"
    with scratch(cache) as folder:
        run_to_end([*pip, "download", "--no-deps", f"--no-binary={CROSS_BUILT}", "--dest", str(folder), requirement])
        source = folder / "source"
        shutil.unpack_archive(next(folder.glob("*.tar.gz")), source)
        (project,) = source.iterdir()
        needs = tomllib.loads((project / "pyproject.toml").read_text())["build-system"]["requires"]
        run_to_end([*pip, "install", "--target", str(folder / "tools"), *needs])
        environment = os.environ | {
            "PYTHONPATH": str(folder / "tools"),
            "HNSWLIB_NO_NATIVE": "1",
            "CC": COMPILER,
            "CXX": COMPILER,
            "LDSHARED": f"{COMPILER} -shared",
            "LDCXXSHARED": f"{COMPILER} -shared",
            "CFLAGS": flags,
            "CXXFLAGS": flags,  # the setuptools of today reads these for C++, the older ones CFLAGS
            # the board's own libstdc++: a copy inside would meet onnxruntime's, and crash whichever is imported second
            "LDFLAGS": "-Wl,--strip-debug,--as-needed",
            "SETUPTOOLS_EXT_SUFFIX": f".{python.replace('python', 'cpython-').replace('.', '')}-aarch64-linux-gnu.so",
        }
        built = folder / "built"
        run_to_end(
            [sys.executable, "setup.py", "--quiet", "bdist_wheel", "--dist-dir", str(built)],
            environment=environment,
            cwd=project,
        )
        (wheel,) = built.glob("*.whl")
        glibc = max(glibc_needed(content) for _, content in Wheel.at(wheel).binaries())
        tags = ["--python-tag", system.tag, "--abi-tag", system.tag]
        tags += ["--platform-tag", "manylinux_{}_{}_aarch64".format(*glibc)]
        run_to_end([sys.executable, "-m", "wheel", "tags", "--remove", *tags, str(wheel)], environment=environment)
        (wheel,) = built.glob("*.whl")
        shutil.move(wheel, out / wheel.name)


def _build_own(out: Path, cache: Path) -> None:
    """Earmark's wheel from a copy: setuptools packs what an earlier build left beside the source."""
    with scratch(cache) as folder:
        source = folder / "source"
        shutil.copytree(PROJECT / "edge_runtime", source / "edge_runtime", ignore=shutil.ignore_patterns("__pycache__"))
        for name in ("pyproject.toml", "README.md", "LICENSE"):
            if (PROJECT / name).exists():
                shutil.copy2(PROJECT / name, source / name)
        run_to_end([sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", str(out), str(source)])


def print_table(out: Path, plans: Mapping[str, Plan]) -> None:
    """One line a wheel: version, megabytes, the systems that install it; then the totals."""
    wheels = {wheel.path: wheel for plan in plans.values() for wheel in plan.wheels.values()}
    print(f"{'wheel':20} {'version':>11} {'MB':>7}  {'for':17} platform")
    for path, wheel in sorted(wheels.items(), key=lambda item: -item[0].stat().st_size):
        users = ", ".join(suite for suite, plan in plans.items() if plan.wheels.get(wheel.name) == wheel)
        platform = sorted(tag.platform for tag in wheel.tags)[0]
        print(f"{wheel.name:20} {wheel.version!s:>11} {path.stat().st_size / 1e6:7.2f}  {users:17} {platform}")
    for suite, plan in plans.items():
        size = sum(wheel.path.stat().st_size for wheel in plan.wheels.values()) / 1e6
        print(f"{suite}: {len(plan.wheels)} wheels, {size:.1f} MB; nothing to compile")
    print(f"{out}: {len(wheels)} wheels, {sum(path.stat().st_size for path in wheels) / 1e6:.1f} MB")


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.arm64.wheelhouse", description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=PROJECT / "wheelhouse", help="the folder of wheels")
    parser.add_argument("--check", action="store_true", help="build nothing; fail where a dependency has no wheel")
    parser.add_argument("--newest", action="store_true", help="the newest versions, not those of this environment")
    parser.add_argument("--suite", choices=SYSTEMS, action="append", help="only for this Debian release")
    parser.add_argument("--install", action="store_true", help="install the Debian packages that building needs")
    options = parser.parse_args()
    systems = [SYSTEMS[suite] for suite in options.suite or SYSTEMS]
    started = time.monotonic()
    try:
        if not options.check:
            require_tools(install=options.install)
            with one_at_a_time(CACHE):
                build(options.out, systems, newest=options.newest)
        plans = check(options.out, systems)
    except (IncompleteWheelhouse, MissingTools, CommandFailed) as error:
        print(error, file=sys.stderr)
        return 1
    print_table(options.out, plans)
    print(f"{time.monotonic() - started:.0f} s")
    return 0


if __name__ == "__main__":
    sys.exit(main())
