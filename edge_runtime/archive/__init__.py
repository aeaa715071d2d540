"""What was heard: append-only daily files of embeddings, and a catalogue of recordings.

    archive = Archive(home, bundle.fingerprint, width=512)
    with archive.recording("field.wav") as recording:
        recording.add(window)
    for hit in archive.search(query, k=10): …

A record has a fixed size and a checksum, a day that is over is sealed (day_file.py), and the newest window of what
goes on has a place of its own until it is archived (tail.py): a kill costs a hop, a power failure seconds. Each
fingerprint has a folder: embeddings of two models never meet. Searches compare every window (scan.py).
"""

from edge_runtime.archive.archive import Archive, Popularity
from edge_runtime.archive.moments import Hit
from edge_runtime.archive.writer import RecordingWriter

__all__ = ["Archive", "Hit", "Popularity", "RecordingWriter"]
