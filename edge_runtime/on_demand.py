"""A graph that is open only while it is wanted.

    graph = OnDemand(lambda: open_graph(…))
    graph(token_ids=ids)        # opened here
    graph.close()               # its memory goes back to the system; the next call opens it again

A listener needs the text encoder for a moment, when a phrase is added, and not for the weeks between.
"""

from collections.abc import Callable

import numpy as np

from edge_runtime.graph import OpenGraph
from edge_runtime.heap import hand_back

__all__ = ["OnDemand"]


class OnDemand:
    """`opened` makes the graph, each time anew. Threads may share it: what is closed while another thread runs it ends
    with that run."""

    def __init__(self, opened: Callable[[], OpenGraph]) -> None:
        self._opened = opened
        self._graph: OpenGraph | None = None

    @property
    def is_open(self) -> bool:
        return self._graph is not None

    def open(self) -> OpenGraph:
        graph = self._graph
        if graph is None:
            graph = self._graph = self._opened()
        return graph

    def __call__(self, **inputs: np.ndarray) -> np.ndarray:
        """The first output."""
        return self.open()(**inputs)

    def close(self) -> None:
        if self._graph is not None:
            self._graph = None
            hand_back()
