"""Earmark on the device: live sound matched against free-text captions, and an archive that text can search."""

from edge_runtime.bundle import Bundle
from edge_runtime.engine import Engine, Heard
from edge_runtime.errors import EarmarkError
from edge_runtime.listener import Listener, Window
from edge_runtime.phrases import Match, Phrases

__all__ = ["Bundle", "EarmarkError", "Engine", "Heard", "Listener", "Match", "Phrases", "Window"]
