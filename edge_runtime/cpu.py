"""What this CPU is: a name for people, and a key for what was measured or optimised on it."""

import hashlib
import platform
from pathlib import Path

from edge_runtime.graph import load_onnxruntime

__all__ = ["cpu_key", "cpu_model"]

CPUINFO = Path("/proc/cpuinfo")
MODEL_FIELDS = ("model name", "Model", "CPU implementer", "CPU part", "CPU variant")
FLAG_FIELDS = ("flags", "Features")


def cpu_model() -> str:
    """As the kernel names it, e.g. 'AMD EPYC 9654' or '0x41 0xd0b 0x4' (a Cortex-A76)."""
    fields = _fields()
    if "model name" in fields:
        return fields["model name"]
    named = [fields[name] for name in MODEL_FIELDS if name in fields]
    return " ".join(named) or platform.processor() or platform.machine()


def cpu_key() -> str:
    """16 hex digits over model, instruction sets and onnxruntime's version: graphs optimised, and times measured,
    under one key do not serve another."""
    fields = _fields()
    flags = next((fields[name] for name in FLAG_FIELDS if name in fields), "")
    parts = (platform.machine(), cpu_model(), " ".join(sorted(flags.split())), load_onnxruntime().__version__)
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:16]


def _fields() -> dict[str, str]:
    """The first core's lines of /proc/cpuinfo; empty where there is none."""
    try:
        text = CPUINFO.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return {}
    found: dict[str, str] = {}
    for line in text.splitlines():
        name, colon, value = line.partition(":")
        if colon:
            found.setdefault(name.strip(), value.strip())
    return found
