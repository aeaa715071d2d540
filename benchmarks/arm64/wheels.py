"""Which wheels a 64-bit Pi can install, and which only say so.

    wheels = read_wheels(folder)
    plan = resolve(device_requirements(pyproject), wheels, SYSTEMS["bookworm"])
    plan.missing        # requirements without a wheel, transitive ones included: () when a Pi needs no compiler
    faults(wheels[0])   # x86 code under an ARM name, -march=native, a C library newer than the tag promises

Nothing here uses the network or runs a program.
"""

import re
import tomllib
import zipfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from email.parser import HeaderParser
from functools import cached_property
from pathlib import Path

from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.tags import Tag, compatible_tags, cpython_tags
from packaging.utils import canonicalize_name, parse_wheel_filename
from packaging.version import Version

from benchmarks.arm64.boards import System

__all__ = [
    "BASELINE",
    "CROSS_BUILT",
    "Plan",
    "Wheel",
    "device_requirements",
    "faults",
    "glibc_needed",
    "read_wheels",
    "resolve",
]

CROSS_BUILT = "hnswlib"
"""The one dependency that exists as source only; its setup asks for -march=native unless told otherwise."""
BASELINE = "armv8-a"
"""What every 64-bit Pi runs. The Zero 2 W and the Pi 3 have nothing more."""

CPP_LIBRARY = b"\0libstdc++.so.6\0"
"""As an ELF file names it where it uses the system's. Two copies in one process share some symbols and not others."""
ELF_MAGIC = b"\x7fELF"
ELF_MACHINE = slice(18, 20)
ELF_MACHINES = {183: "AArch64", 62: "x86-64", 3: "x86", 40: "32-bit ARM"}
AARCH64 = 183


@dataclass(frozen=True)
class Wheel:
    """A wheel file: what its name says (no access) and what it holds (read when asked)."""

    path: Path
    name: str
    version: Version
    tags: frozenset[Tag] = field(repr=False)

    @classmethod
    def at(cls, path: Path) -> "Wheel":
        name, version, _, tags = parse_wheel_filename(path.name)
        return cls(path, name, version, tags)

    @cached_property
    def requirements(self) -> list[Requirement]:
        with zipfile.ZipFile(self.path) as archive:
            path = next(name for name in archive.namelist() if name.endswith(".dist-info/METADATA"))
            metadata = HeaderParser().parsestr(archive.read(path).decode())
        return [Requirement(text) for text in metadata.get_all("Requires-Dist", [])]

    def binaries(self) -> Iterator[tuple[str, bytes]]:
        """Name and content of each ELF file inside."""
        with zipfile.ZipFile(self.path) as archive:
            for name in archive.namelist():
                with archive.open(name) as file:
                    if file.read(4) != ELF_MAGIC:
                        continue
                yield name, archive.read(name)

    def rank(self, system: System) -> int | None:
        """The place of its best tag among those that the system's pip takes (0 is best), None if it takes none."""
        order = system_tags(system)
        return min((order[tag] for tag in self.tags if tag in order), default=None)


@dataclass(frozen=True)
class Plan:
    """What pip would install on a system: `wheels` by name, and the requirements that no wheel meets, each with the
    package that asks for it."""

    wheels: dict[str, Wheel]
    missing: dict[str, str]
    """requirement -> who asks"""


def device_requirements(pyproject: Path) -> list[Requirement]:
    """The base list of dependencies: what a device installs."""
    return [Requirement(text) for text in tomllib.loads(pyproject.read_text())["project"]["dependencies"]]


def read_wheels(folder: Path) -> list[Wheel]:
    return [Wheel.at(path) for path in sorted(folder.glob("*.whl"))]


def system_tags(system: System) -> dict[Tag, int]:
    """Tag -> its place in the order in which the system's pip prefers them."""
    own = cpython_tags(system.python, platforms=system.platforms)
    pure = compatible_tags(system.python, interpreter=system.tag, platforms=system.platforms)
    return {tag: place for place, tag in enumerate((*own, *pure))}


def resolve(
    wanted: Iterable[Requirement], wheels: Sequence[Wheel], system: System, *, pins: Mapping[str, str] | None = None
) -> Plan:
    """Follow requirements from wheel to wheel, with the markers of the target and not of this machine.

    `pins`: name -> the version to take, where the requirements allow it.
    """
    environment = marker_environment(system)
    specifiers: dict[str, SpecifierSet] = {}
    chosen: dict[str, Wheel] = {}
    missing: dict[str, str] = {}
    followed: set[tuple[Wheel, str]] = set()
    queue = [(requirement, "", "earmark") for requirement in wanted]
    while queue:
        requirement, extra, asker = queue.pop(0)
        if requirement.marker and not requirement.marker.evaluate(environment | {"extra": extra}):
            continue
        name = canonicalize_name(requirement.name)
        specifiers[name] = specifiers.get(name, SpecifierSet()) & requirement.specifier
        pin = (pins or {}).get(name)
        if pin and pin in specifiers[name]:
            specifiers[name] &= SpecifierSet(f"=={pin}")
        if name not in chosen or chosen[name].version not in specifiers[name]:
            best = _best(name, specifiers[name], wheels, system)
            if best is None:
                missing[f"{name}{specifiers[name]}"] = asker
                continue
            chosen[name] = best
        for extra_asked in ("", *requirement.extras):
            if (chosen[name], extra_asked) not in followed:
                followed.add((chosen[name], extra_asked))
                queue += [(child, extra_asked, name) for child in chosen[name].requirements]
    return Plan(chosen, missing)


def marker_environment(system: System) -> dict[str, str]:
    """The variables of dependency markers (PEP 508), as the target's own pip has them."""
    return {
        "implementation_name": "cpython",
        "implementation_version": f"{system.python_version}.0",
        "os_name": "posix",
        "platform_machine": "aarch64",
        "platform_python_implementation": "CPython",
        "platform_release": "",
        "platform_system": "Linux",
        "platform_version": "",
        "python_full_version": f"{system.python_version}.0",
        "python_version": system.python_version,
        "sys_platform": "linux",
    }


def faults(wheel: Wheel, systems: Iterable[System]) -> list[str]:
    """Why a wheel must not be shipped to a Pi; empty where nothing speaks against it."""
    if all(wheel.rank(system) is None for system in systems):
        return [f"its tags {', '.join(sorted(map(str, wheel.tags)))} fit no 64-bit Pi OS"]
    found = []
    promised = promised_glibc(wheel)
    recorded: list[str] = []
    for name, content in wheel.binaries():
        machine = int.from_bytes(content[ELF_MACHINE], "little")
        if machine != AARCH64:
            found.append(f"{name} is {ELF_MACHINES.get(machine, f'ELF machine {machine}')} code")
        if flag := re.search(rb"-m(?:arch|cpu|tune)=native", content):
            found.append(f"{name} was compiled with {flag[0].decode()}: it may not run on another board")
        needs = glibc_needed(content)
        if promised and needs > promised:
            found.append(f"{name} needs glibc {needs[0]}.{needs[1]}, its tag promises {promised[0]}.{promised[1]}")
        if wheel.name == CROSS_BUILT and CPP_LIBRARY not in content:
            found.append(f"{name} carries a C++ library of its own, which clashes with onnxruntime's")
        recorded += [flag.decode() for flag in re.findall(rb"-march=([\w.+-]+)", content)]
    if wheel.name == CROSS_BUILT and set(recorded) != {BASELINE}:
        found.append(f"its record of the compiler names -march={recorded or 'nothing'}, expected {BASELINE} alone")
    return found


def glibc_needed(content: bytes) -> tuple[int, int]:
    """The newest version of the C library that an ELF file asks for, from its table of symbol versions."""
    versions = re.findall(rb"\0GLIBC_(\d+)\.(\d+)(?:\.\d+)?(?=\0)", content)
    return max(((int(major), int(minor)) for major, minor in versions), default=(2, 17))


def promised_glibc(wheel: Wheel) -> tuple[int, int] | None:
    """The oldest C library that a wheel's tags say it runs on; None where they say nothing."""
    names = [tag.platform.replace("manylinux2014", "manylinux_2_17") for tag in wheel.tags]
    versions = [re.match(r"manylinux_(\d+)_(\d+)_", name) for name in names]
    return min(((int(found[1]), int(found[2])) for found in versions if found), default=None)


def _best(name: str, specifier: SpecifierSet, wheels: Sequence[Wheel], system: System) -> Wheel | None:
    """The newest version that fits, and of it the wheel with the best tag, as pip chooses."""
    ranked = [(wheel.version, wheel.rank(system), wheel) for wheel in wheels if wheel.name == name]
    fitting = [(version, -rank, wheel) for version, rank, wheel in ranked if rank is not None and version in specifier]
    return max(fitting, key=lambda row: row[:2])[2] if fitting else None
