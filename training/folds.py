"""Every recording of training asked once: in parts, of which a model hears all but one.

    parted = folded(clips, 2, of=4)     # the same clips in their rows; part 2 has the split `ASKED`
    asked = [clip for clip in parted if clip.split == ASKED]

The validation split has 36 captions that people wrote, of 8 recordings: two recipes can differ by ten points there and
be equal. The recordings of training and validation together have ten times as many. Each is asked by a model that has
not heard it, among as many others as the test split has; the test split takes no part. Parts are made by recording,
those with captions and those without for themselves, in the order of their names' hashes.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import replace

from training.hold_out import HELD
from training.sounds import Clip

__all__ = ["ASKED", "folded"]

ASKED = "asked"
"""The split of a clip whose part is asked."""


def folded(clips: Sequence[Clip], part: int, *, of: int) -> list[Clip]:
    """All clips in their rows: `part` of the parts is `ASKED`, the test split `HELD`, the rest as it was. ValueError:
    there is no such part."""
    if not 0 <= part < of or of < 2:
        raise ValueError(f"part {part} of {of} is not there: two parts at least, counted from 0")
    own = [clip for clip in clips if clip.split in ("train", "val")]
    told = {clip.recording for clip in own if clip.captions}
    untold = {clip.recording for clip in own} - told
    asked = {each for group in (told, untold) for each in sorted(group, key=_hash)[part::of]}
    return [
        replace(clip, split=HELD)
        if clip.split not in ("train", "val")
        else replace(clip, split=ASKED)
        if clip.recording in asked
        else clip
        for clip in clips
    ]


def _hash(recording: str) -> str:
    return hashlib.sha256(f"cf:{recording}".encode()).hexdigest()
