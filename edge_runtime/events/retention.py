"""Which clips go when there are too many, they are too old, or the disk is full; the best of each name go last.

    for path in to_remove(folder.files(), catalogue, settings, now=clock.now(), free_bytes=…): folder.remove(path)

A clip's worth is how far its event was above its threshold. The `keep_best` of each name are kept whatever their age,
and are given up only where the others do not make room enough. A clip that the catalogue does not know is worth least.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from math import inf

from edge_runtime.events.clip_folder import ClipFile

__all__ = ["KnownClip", "Retention", "to_remove"]


@dataclass(frozen=True)
class Retention:
    """None: no bound. `keep_best`: clips of each name."""

    max_age_days: float | None = 90.0
    max_clips: int | None = 5000
    min_free_bytes: int = 500 << 20
    keep_best: int = 5

    def __post_init__(self) -> None:
        for name in ("max_age_days", "max_clips", "min_free_bytes", "keep_best"):
            value = getattr(self, name)
            if value is not None and not value >= 0:
                raise ValueError(f"{name} is {value!r}, expected 0 or more: change it")


@dataclass(frozen=True)
class KnownClip:
    """What the catalogue says of a clip: the `name` of its best event, how far that was above its threshold, and when
    it began, UTC seconds."""

    name: str
    excess: float
    start_at: float


def to_remove(
    files: Iterable[ClipFile],
    known: Mapping[str, KnownClip],
    settings: Retention,
    *,
    now: float | None,
    free_bytes: int,
) -> list[str]:
    """The paths to delete, least worth first. `known` by path; `now` is None while the clock is not trusted, and no
    clip is too old then; `free_bytes` are free on the disk of the clips."""
    clips = list(files)
    about = {file.path: known.get(file.path) or KnownClip("", -inf, file.written_at) for file in clips}
    best = _best(about, settings.keep_best)
    clips.sort(key=lambda file: (file.path in best, about[file.path].excess, about[file.path].start_at, file.path))
    gone = {}
    if settings.max_age_days is not None and now is not None:
        oldest = now - 86_400 * settings.max_age_days
        gone = {file.path: file for file in clips if file.path not in best and about[file.path].start_at < oldest}
    for file in clips:
        many = settings.max_clips is not None and len(clips) - len(gone) > settings.max_clips
        full = free_bytes + sum(each.size for each in gone.values()) < settings.min_free_bytes
        if not (many or full):
            break
        gone.setdefault(file.path, file)
    return list(gone)


def _best(about: Mapping[str, KnownClip], count: int) -> set[str]:
    """The paths of the `count` best of each name."""
    of_name: dict[str, list[str]] = {}
    for path, clip in about.items():
        if clip.name:
            of_name.setdefault(clip.name, []).append(path)
    return {
        path
        for paths in of_name.values()
        for path in sorted(paths, key=lambda path: (-about[path].excess, -about[path].start_at, path))[:count]
    }
