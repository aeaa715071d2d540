"""What was measured of a bundle, kept in it (retrieval.json), and the tables that are made of it.

known = kept(folder)            # None where nothing was measured, or another model was
tables_of(known)                # as the suites print them
"""

import json
from pathlib import Path
from typing import Any

from benchmarks.blocks import markdown_table
from benchmarks.report import Table
from benchmarks.retrieval.suites import suite_tables
from edge_runtime.manifest import Manifest
from training.bootstrap import Interval

__all__ = ["NOT_YET", "RESULTS", "closed_of", "kept", "measured_block", "profile_tables", "revived", "tables_of"]

RESULTS = "retrieval.json"
NOT_YET = "Not measured yet: `python -m benchmarks.cards` does it."


def kept(folder: Path) -> dict[str, Any] | None:
    """What was measured of this very bundle; None where nothing was, or it was another model's."""
    path = folder / RESULTS
    if not path.is_file():
        return None
    known = json.loads(path.read_text(encoding="utf-8"))
    if known["fingerprint"] != Manifest.read(folder).fingerprint:
        return None
    earlier = known["found"].get("robust", {}).pop("no_sound", None)  # where it stood before it went with detection
    if earlier and "no_sound" not in known["found"]:
        known["found"]["no_sound"] = earlier["sounds"]
    return known


def tables_of(known: dict[str, Any]) -> list[Table]:
    """The tables of a bundle's kept results."""
    found = revived(known["found"])
    return [*suite_tables(known["contender"], found), *profile_tables(known["contender"], found.get("profiles", {}))]


def closed_of(known: dict[str, Any]) -> dict[str, Any]:
    """The closed protocol's figures of a bundle's kept results, by contender."""
    found = revived(known["found"])
    return {known["contender"]: found["closed"]} | found.get("profiles", {})


def measured_block(known: dict[str, Any]) -> str:
    """Markdown of the card's block."""
    machine = known["machine"]
    libraries = ", ".join(f"{name} {version}" for name, version in machine["libraries"].items())
    few = f" Only {known['limit']} clips were heard: in so small a pool figures are higher." if known["limit"] else ""
    alone = "" if "fp32" in known["found"] else " Not held against fp32: what it was exported from was not at hand."
    about = (
        f"By `python -m benchmarks.cards`, of {known['contender']} ({known['fingerprint']}) on {machine['cpu']}, "
        f"{libraries}, Python {machine['python']}, commit {machine['commit'] or 'unknown'}. Intervals: the middle 95 % "
        f"of {known['resamples']} resamples of whole recordings.{few}{alone}"
    )
    return "\n\n".join([about, *(markdown_table(table, level=3) for table in tables_of(known) if table.rows)])


def revived(value: Any) -> Any:
    """Intervals out of their JSON form, however deep."""
    if isinstance(value, dict):
        if set(value) == {"value", "low", "high"}:
            return Interval(**value)
        return {key: revived(item) for key, item in value.items()}
    return [revived(item) for item in value] if isinstance(value, list) else value


def profile_tables(name: str, profiles: dict[str, Any]) -> list[Table]:
    """The closed protocol's figures of several precisions side by side, by contender."""
    if not profiles:
        return []
    collections = list(next(iter(profiles.values()))["names"])
    rows = [
        (
            profile,
            *(str(closed["names"][each]) for each in collections),
            *(str(closed["labels"][way]["map10"]) for way in ("text->audio", "audio->text")),
            *([str(closed["captions"]["text->audio"]["r10"])] if closed["captions"] else []),
        )
        for profile, closed in profiles.items()
    ]
    pool = next(iter(profiles.values()))["labels"]
    columns = ("profile", *(f"{each} top-1" for each in collections), "labels search mAP@10", "labels told mAP@10")
    captions = ("captions search R@10",) if next(iter(profiles.values()))["captions"] else ()
    title = f"{name}: its profiles ({pool['labels']} labels, {pool['clips']} clips), %"
    return [Table(title, (*columns, *captions), rows)]
