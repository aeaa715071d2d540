"""The sound of events, a little before and after included, one FLAC file for those that overlap.

    recorder = ClipRecorder(ClipFolder(home), "garden", settings, rate_hz=48_000, started_s=…, …)
    recorder.push(block)                            # each block, before the listener has it
    for clip in recorder.follow(builder.open, ended): …     # after each window: the clips that are whole, written
    for clip in recorder.finish(builder.flush()): …         # the stretch ends

A stretch has its own recorder: sound never goes on over a gap. Nothing is on the disk before a clip is whole, and what
the speech gate has against a part of it, silence is there instead. A clip that cannot be written (a full disk) is given
up and told once; listening goes on.
"""

import datetime
import errno
import logging
import shutil
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from math import ceil, floor, isfinite

import numpy as np

from edge_runtime.errors import HomeError
from edge_runtime.events.clip_folder import ClipFolder
from edge_runtime.events.event import Event
from edge_runtime.events.flac import FlacBuffer
from edge_runtime.events.ring import SampleRing
from edge_runtime.events.speech import SpeechGate

__all__ = ["LONGEST_BLOCK_S", "Clip", "ClipRecorder", "ClipSettings"]

log = logging.getLogger(__name__)

LONGEST_BLOCK_S = 5.0
"""Longer blocks take the place of the pre-roll in the ring."""
LATE_S = 3.0
"""What an encoder withholds of the newest sound, at most."""


@dataclass(frozen=True)
class ClipSettings:
    """`pre_s`, `post_s`: before an event's start and after its end. A clip of `longest_s` ends, whatever goes on.
    `min_free_bytes`: with less on the disk, none is written."""

    pre_s: float = 3.0
    post_s: float = 2.0
    longest_s: float = 60.0
    min_free_bytes: int = 200 << 20

    def __post_init__(self) -> None:
        for name, least, most in (("pre_s", 0, 60), ("post_s", 0, 60), ("longest_s", 1, 600)):
            value = getattr(self, name)
            if not least <= value <= most:
                raise ValueError(f"{name} is {value!r}, expected {least} to {most} seconds: change it")
        if self.min_free_bytes < 0:
            raise ValueError(f"min_free_bytes is {self.min_free_bytes!r}, expected 0 or more: change it")


@dataclass(frozen=True)
class Clip:
    """A file of `source`, `path` within the home, from `start_s` to `end_s` (monotonic), of which `gated_s` are
    silenced; `events`: the name and start of each that it is of; `name`, `excess` over its threshold: of the best."""

    path: str
    source: str
    name: str
    excess: float
    start_s: float
    end_s: float
    gated_s: float
    events: tuple[tuple[str, float], ...]


@dataclass
class Growing:
    """A clip that goes on: `next` is the sample that is written next, `until` the one that it ends before."""

    sound: FlacBuffer
    first: int
    next: int
    until: int
    gated: int = 0
    events: dict[tuple[str, float], Event] = field(default_factory=dict)
    going_on: set[tuple[str, float]] = field(default_factory=set)


class ClipRecorder:
    """One stretch's. Its memory: the ring, and the clips that are open, compressed."""

    def __init__(
        self,
        folder: ClipFolder,
        source: str,
        settings: ClipSettings,
        *,
        rate_hz: int,
        started_s: float,
        window_s: float,
        hold_s: float = 2.0,
        wall: Callable[[float], float],
        gate: SpeechGate | None = None,
    ) -> None:
        """`window_s`: of the listener; `hold_s`: of the EventBuilder; a `gate` is pushed by whoever has the windows."""
        self._folder = folder
        self._source = source
        self._settings = settings
        self._rate_hz = rate_hz
        self._started_s = started_s
        self._wall = wall
        self._gate = gate
        behind_s = settings.pre_s + 2 * window_s + hold_s + LATE_S + LONGEST_BLOCK_S
        self._ring = SampleRing(rate_hz, seconds=behind_s)
        self._clips: list[Growing] = []
        self._known: dict[tuple[str, float], Growing | None] = {}  # None: its clip has ended before it
        self._failed = False

    def push(self, block: np.ndarray) -> None:
        """Take the stretch's next samples (n,) float32."""
        self._ring.push(block)

    def follow(self, going_on: Sequence[Event], ended: Iterable[Event] = ()) -> Iterator[Clip]:
        """Take the events as they are after a window; yield the clips that are whole. Consume it whole."""
        now = {_key(event): event for event in (*ended, *going_on)}
        still = set(map(_key, going_on))
        for key, event in now.items():
            clip = self._known[key] if key in self._known else self._clip_for(event)
            if clip is not None:
                self._known[key] = clip
                clip.events[key] = event
                clip.going_on.add(key)
                until = self._sample(event.end_s + self._settings.post_s)
                clip.until = max(clip.until, min(until, clip.first + round(self._settings.longest_s * self._rate_hz)))
        for clip in self._clips:
            clip.going_on &= still
        self._known = {key: clip for key, clip in self._known.items() if key in still}
        yield from self._write()

    def finish(self, ended: Iterable[Event] = ()) -> Iterator[Clip]:
        """The stretch is over: the clips end with its last sample. Consume it whole."""
        yield from self.follow((), ended)
        if self._gate:
            self._gate.finish()
        for clip in self._clips:
            clip.until = min(clip.until, self._ring.end)
        yield from self._write()

    def _clip_for(self, event: Event) -> Growing | None:
        """The clip that the event joins, or a new one; None where no sound of it is there any more."""
        first = max(0, self._sample(event.start_s - self._settings.pre_s))
        longest = round(self._settings.longest_s * self._rate_hz)
        if self._clips:
            newest = self._clips[-1]
            if first <= newest.until and self._sample(event.end_s) <= newest.first + longest:
                return newest
        first = max(first, self._ring.first)
        if first >= self._sample(event.end_s + self._settings.post_s):
            return None
        clip = Growing(FlacBuffer(self._rate_hz), first, first, first)
        self._clips.append(clip)
        return clip

    def _write(self) -> Iterator[Clip]:
        settled = self._ring.end
        if self._gate and isfinite(self._gate.settled_s):
            settled = min(settled, floor(self._gate.settled_s * self._rate_hz))
        for clip in list(self._clips):
            self._grow(clip, min(clip.until, settled))
            full = clip.until >= clip.first + round(self._settings.longest_s * self._rate_hz)
            if clip.next >= clip.until and (full or not clip.going_on):
                self._clips.remove(clip)
                self._known = {key: None if of is clip else of for key, of in self._known.items()}
                if (written := self._keep(clip)) is not None:
                    yield written

    def _grow(self, clip: Growing, until: int) -> None:
        if until <= clip.next:
            return
        samples = self._ring.read(clip.next, until)
        lost = until - clip.next - len(samples)
        if lost:  # blocks were longer than they may be: the clip keeps its time
            samples = np.concatenate([np.zeros(lost, np.int16), samples])
        if self._gate:
            for start_s, end_s in self._gate.gated(clip.next / self._rate_hz, until / self._rate_hz):
                first = max(0, floor(start_s * self._rate_hz) - clip.next)
                last = min(len(samples), ceil(end_s * self._rate_hz) - clip.next)
                samples[first:last] = 0
                clip.gated += last - first
        clip.sound.write(samples)
        clip.next = until

    def _keep(self, clip: Growing) -> Clip | None:
        """Write it; None where there is nothing to hear in it, or no room for it."""
        if clip.gated >= clip.next - clip.first:
            return None
        start_s = self._started_s + clip.first / self._rate_hz
        end_s = self._started_s + clip.next / self._rate_hz
        best = max(clip.events.values(), key=lambda event: event.excess)
        comments = self._comments(clip, best, start_s)
        try:
            free = shutil.disk_usage(self._folder.home).free
            if free < self._settings.min_free_bytes:
                raise OSError(
                    errno.ENOSPC, f"{free >> 20} MiB are free, {self._settings.min_free_bytes >> 20} are to stay free"
                )
            path = self._folder.write(clip.sound.close(comments), self._wall(start_s), f"{self._source} {best.name}")
        except (OSError, HomeError) as error:
            if not self._failed:
                log.warning("clips are given up for now (%s); listening goes on", error)
            self._failed = True
            return None
        self._failed = False
        gated_s = clip.gated / self._rate_hz
        return Clip(path, self._source, best.name, best.excess, start_s, end_s, gated_s, tuple(clip.events))

    def _comments(self, clip: Growing, best: Event, start_s: float) -> dict[str, str]:
        events = sorted(clip.events.values(), key=lambda event: event.start_s)
        return {
            "TITLE": best.name,
            "ARTIST": self._source,
            "DATE": datetime.datetime.fromtimestamp(self._wall(start_s), datetime.UTC).isoformat(),
            "DESCRIPTION": "; ".join(
                f"{event.start_s - start_s:.2f}-{event.end_s - start_s:.2f} s: {event.name} "
                f"({event.score:.3f}, threshold {event.threshold:.3f})"
                for event in events
            ),
            "GATED_SECONDS": f"{clip.gated / self._rate_hz:.3f}",
            "FIRST_SAMPLE": str(clip.first),
            "ENCODED_BY": "earmark",
        }

    def _sample(self, moment_s: float) -> int:
        """Of a monotonic moment, counted from the stretch's first one."""
        return round((moment_s - self._started_s) * self._rate_hz)


def _key(event: Event) -> tuple[str, float]:
    return event.name, event.start_s
