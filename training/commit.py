"""The commit that a result was made at: for the tables that say so."""

import subprocess
from pathlib import Path

__all__ = ["commit"]


def commit() -> str:
    """Seven hex digits or so, or "unknown" outside a checkout."""
    asked = ("git", "rev-parse", "--short", "HEAD")
    try:
        found = subprocess.run(asked, capture_output=True, text=True, check=False, cwd=Path(__file__).parent)  # noqa: S603
    except FileNotFoundError:
        return "unknown"
    return found.stdout.strip() or "unknown"
