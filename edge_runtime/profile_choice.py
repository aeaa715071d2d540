"""Which profile of a bundle this device runs: what `earmark doctor --tune` chose, kept in the home.

    chosen_profile(home, manifest)              # a profile's name, or None
    keep_choice(home, manifest, choice)

A choice holds for one CPU, one onnxruntime and one bundle; for any other it is as if there were none.
"""

import json
from pathlib import Path
from typing import Any

from edge_runtime.cpu import cpu_key, cpu_model
from edge_runtime.errors import HomeError
from edge_runtime.manifest import Manifest

__all__ = ["chosen_profile", "keep_choice"]

FILE = "profiles.json"


def chosen_profile(home: Path, manifest: Manifest) -> str | None:
    """The profile that was chosen for this CPU and bundle; None where none was, or the bundle no longer has it."""
    kept = _read(home).get(_key(manifest))
    name = kept.get("profile") if isinstance(kept, dict) else None
    return name if name in manifest.profiles else None


def keep_choice(home: Path, manifest: Manifest, name: str, *, measured: dict[str, Any]) -> None:
    """Remember `name`, with what was `measured`. Raises HomeError where the home cannot be written."""
    kept = _read(home)
    kept[_key(manifest)] = {"bundle": manifest.name, "cpu": cpu_model(), "profile": name, "measured": measured}
    part = home / f"{FILE}.part"
    try:
        home.mkdir(parents=True, exist_ok=True)
        part.write_text(json.dumps(kept, indent=2) + "\n", encoding="utf-8")
        part.replace(home / FILE)
    except OSError as error:
        raise HomeError(f"cannot write to {home} ({error.strerror}): choose another folder with --home") from error


def _key(manifest: Manifest) -> str:
    return f"{cpu_key()}-{manifest.fingerprint}"


def _read(home: Path) -> dict[str, Any]:
    try:
        kept = json.loads((home / FILE).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return kept if isinstance(kept, dict) else {}
