"""The machine card: what the numbers were measured on, and how it fared meanwhile.

    card = machine_card()
    card.temperature_c      # None where the board does not tell

Everything is read from /proc and /sys (and `vcgencmd` on a Raspberry Pi); what a machine does not tell is left out.
"""

import os
import platform
import shutil
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

__all__ = ["Condition", "MachineCard", "available_bytes", "condition", "machine_card", "throttling"]

LIBRARIES = ("numpy", "onnxruntime", "hnswlib", "torch", "panns-inference", "openvino")
TELLING = ("avx2", "avx512f", "avx512_vnni", "avx512_bf16", "avx_vnni", "amx_int8", "amx_bf16", "asimd", "asimddp")
TELLING_ARM = ("i8mm", "bf16", "sve")
THROTTLE_BITS = {0: "under-voltage", 1: "frequency capped", 2: "throttled", 3: "soft temperature limit"}
"""`vcgencmd get_throttled`, the lower half: now; 16 bits higher: since the board started."""
PI_THROTTLED = "sys/devices/platform/soc/soc:firmware/get_throttled"


@dataclass(frozen=True)
class Condition:
    """What changes while a benchmark runs. `load`: processes that wanted a core in the last minute, ours included."""

    load: float | None
    temperature_c: float | None
    mhz: float | None
    throttling: list[str] | None


@dataclass(frozen=True)
class MachineCard:
    """`cores` that this process may use; `before` and `after` the measurement; `commit` of the code, if it is known."""

    board: str
    cpu: str
    architecture: str
    cores: int
    instructions: list[str]
    memory_gib: float | None
    governor: str | None
    max_mhz: float | None
    system: str
    python: str
    libraries: dict[str, str]
    commit: str | None
    before: Condition
    after: Condition | None = None


def machine_card(root: Path = Path("/"), *, ask: Callable[[list[str]], str | None] | None = None) -> MachineCard:
    """The card of this machine. `root` and `ask` (which runs a command) stand in for another one in tests."""
    ask = ask or _ask
    fields = _cpuinfo(root)
    board = _text(root, "proc/device-tree/model") or _text(root, "sys/class/dmi/id/product_name") or ""
    flags = (fields.get("flags") or fields.get("Features") or "").split()
    memory = next((line for line in (_text(root, "proc/meminfo") or "").splitlines() if line[:9] == "MemTotal:"), None)
    khz = _number(root, "sys/devices/system/cpu/cpu0/cpufreq/cpuinfo_max_freq")
    commit = ask(
        ["git", "-C", str(Path(__file__).parent), "describe", "--always", "--dirty", "--abbrev=10", "--exclude=*"]
    )
    return MachineCard(
        board=board.strip("\0 \n"),
        cpu=fields.get("model name") or fields.get("Model") or platform.processor() or platform.machine(),
        architecture=platform.machine(),
        cores=len(os.sched_getaffinity(0)),
        instructions=[flag for flag in (*TELLING, *TELLING_ARM) if flag in flags],
        memory_gib=round(int(memory.split()[1]) / 2**20, 1) if memory else None,
        governor=_text(root, "sys/devices/system/cpu/cpu0/cpufreq/scaling_governor"),
        max_mhz=khz / 1000 if khz else None,
        system=f"{platform.system()} {platform.release()}",
        python=platform.python_version(),
        libraries=dict(_versions()),
        commit=commit,
        before=condition(root, ask=ask),
    )


def condition(root: Path = Path("/"), *, ask: Callable[[list[str]], str | None] | None = None) -> Condition:
    """How the machine fares now."""
    zones = sorted((root / "sys/class/thermal").glob("thermal_zone*/temp"))
    degrees = [value / 1000 for path in zones if (value := _number(root, str(path.relative_to(root)))) is not None]
    load = _text(root, "proc/loadavg")
    khz = _number(root, "sys/devices/system/cpu/cpu0/cpufreq/scaling_cur_freq")
    return Condition(
        load=float(load.split()[0]) if load else None,
        temperature_c=max(degrees, default=None),
        mhz=khz / 1000 if khz else None,
        throttling=throttling(root, ask=ask or _ask),
    )


def available_bytes(root: Path = Path("/")) -> int | None:
    """Memory that programs can still have without swapping; None where the machine does not say."""
    lines = (_text(root, "proc/meminfo") or "").splitlines()
    return next((1024 * int(line.split()[1]) for line in lines if line.startswith("MemAvailable:")), None)


def throttling(root: Path, *, ask: Callable[[list[str]], str | None]) -> list[str] | None:
    """What has slowed the machine, in words; [] where nothing has, None where it does not say."""
    told = _text(root, PI_THROTTLED) or (ask(["vcgencmd", "get_throttled"]) or "").removeprefix("throttled=")
    if told:
        bits = int(told, 16)
        now = [name for bit, name in THROTTLE_BITS.items() if bits >> bit & 1]
        return now + [f"{name} since start" for bit, name in THROTTLE_BITS.items() if bits >> (bit + 16) & 1]
    counts = (root / "sys/devices/system/cpu").glob("cpu[0-9]*/thermal_throttle/core_throttle_count")
    found = [int(path.read_text()) for path in counts]
    return [f"throttled {sum(found)} times since start"] if sum(found) else [] if found else None


def _versions() -> Iterator[tuple[str, str]]:
    for name in LIBRARIES:
        try:
            yield name, metadata.version(name)
        except metadata.PackageNotFoundError:
            continue


def _cpuinfo(root: Path) -> dict[str, str]:
    found: dict[str, str] = {}
    for line in (_text(root, "proc/cpuinfo") or "").splitlines():
        name, colon, value = line.partition(":")
        if colon:
            found.setdefault(name.strip(), value.strip())
    return found


def _text(root: Path, path: str) -> str | None:
    try:
        return (root / path).read_text(encoding="utf-8", errors="replace").strip() or None
    except OSError:
        return None


def _number(root: Path, path: str) -> float | None:
    text = _text(root, path)
    try:
        return float(text) if text else None
    except ValueError:
        return None


def _ask(command: list[str]) -> str | None:
    """What a command prints; None where it is not there or fails."""
    if shutil.which(command[0]) is None:
        return None
    done = subprocess.run(command, capture_output=True, text=True, timeout=10, check=False)
    return done.stdout.strip() or None if done.returncode == 0 else None
