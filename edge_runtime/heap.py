"""What the C library keeps of freed memory, and how to have it let go.

Loading a graph, and the first chunk of a stream, take many pieces and free most of them. glibc keeps these for the next
request: half of what a small listener would otherwise need. Its thresholds are left alone: with lower ones a hop, which
takes and frees the same pieces again and again, costs a tenth to a third more time.
"""

import ctypes

__all__ = ["hand_back"]


def hand_back() -> None:
    """Give the system what this process has freed, in a millisecond. Other C libraries than glibc lack the call, and
    mostly the need."""
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)
