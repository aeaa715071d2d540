"""Earmark on the device: live sound matched against free-text captions, and an archive that text can search.

A name is imported when it is first asked for: whoever takes one part of the package loads that part alone.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from edge_runtime.bundle import Bundle
    from edge_runtime.engine import Engine, Heard
    from edge_runtime.errors import EarmarkError
    from edge_runtime.listener import Listener, Window
    from edge_runtime.phrases import Match, Phrases

__all__ = ["Bundle", "EarmarkError", "Engine", "Heard", "Listener", "Match", "Phrases", "Window"]

MODULES = {
    "Bundle": "bundle",
    "EarmarkError": "errors",
    "Engine": "engine",
    "Heard": "engine",
    "Listener": "listener",
    "Match": "phrases",
    "Phrases": "phrases",
    "Window": "listener",
}


def __getattr__(name: str) -> object:
    if name not in MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{MODULES[name]}"), name)
