"""Where sound comes from: files, folders, a pipe, microphones, streams. Each gives stretches (stretch.py).

source = open_source("mic")
for stretch in source.stretches():
    for block in stretch.blocks(): …
"""

from edge_runtime.sources.opening import open_source
from edge_runtime.sources.stretch import LiveSource, Stretch

__all__ = ["LiveSource", "Stretch", "open_source"]
