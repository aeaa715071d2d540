"""Which profile of a bundle this device runs, and in which engine: what `earmark doctor --tune` chose, in the home.

    chosen(home, manifest)                      # a Choice, or None
    settle(home, manifest, profile="small")     # what to open: what was asked for, the rest as chosen
    keep_choice(home, manifest, choice, measured=…)

A choice holds for one CPU, one onnxruntime and one bundle; for any other it is as if there were none.
"""

import json
import logging
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edge_runtime.cpu import cpu_key, cpu_model
from edge_runtime.errors import HomeError
from edge_runtime.graph_engine import DEFAULT_ENGINE, installed_engines
from edge_runtime.manifest import Manifest

__all__ = ["Choice", "chosen", "keep_choice", "settle"]

FILE = "profiles.json"

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Choice:
    """`profile`: its name; None in a bundle of one precision."""

    profile: str | None
    engine: str = DEFAULT_ENGINE

    def __str__(self) -> str:
        return f"{self.profile} in {self.engine}" if self.profile else self.engine


def chosen(home: Path, manifest: Manifest) -> Choice | None:
    """What was chosen for this CPU and bundle; None where nothing was, or the bundle no longer has that profile. An
    engine that is no longer installed gives way to onnxruntime."""
    kept = _read(home).get(_key(manifest))
    if not isinstance(kept, dict):
        return None
    profile, engine = kept.get("profile"), kept.get("engine", DEFAULT_ENGINE)
    if profile not in (manifest.profiles or [None]):
        return None
    if engine not in installed_engines():
        log.warning("the engine %s, chosen for %s, is not installed: %s runs it", engine, manifest.name, DEFAULT_ENGINE)
        engine = DEFAULT_ENGINE
    return Choice(profile, engine)


def settle(home: Path | None, manifest: Manifest, *, profile: str | None = None, engine: str | None = None) -> Choice:
    """What was asked for; the profile that was chosen where none was, and with it the engine."""
    kept = chosen(home, manifest) if home is not None and (profile is None or engine is None) else None
    if kept is not None and profile in (None, kept.profile):
        return Choice(kept.profile, engine or kept.engine)
    return Choice(profile, engine or DEFAULT_ENGINE)


def keep_choice(home: Path, manifest: Manifest, choice: Choice, *, measured: dict[str, Any]) -> None:
    """Remember the choice, with what was `measured`. Raises HomeError where the home cannot be written."""
    kept = _read(home)
    about = {"bundle": manifest.name, "cpu": cpu_model(), "profile": choice.profile, "engine": choice.engine}
    kept[_key(manifest)] = {**about, "measured": measured}
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
