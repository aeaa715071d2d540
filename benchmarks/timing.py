"""Interleaved timing: all contenders in turn, round after round, so that a noisy neighbour disturbs all alike.

    timings = interleaved([Contender("eager", eager, audio_s=10), Contender("stream", hop, audio_s=0.32, calls=5)])
    ratio(timings["eager"], timings["stream"])      # how many times more the first one takes a call

Ratios are of medians, and only of one run. The processor's own time is kept beside the wall's: on a busy machine, and
on one thread, it is the nearest to what the code costs by itself.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

__all__ = ["Contender", "Timing", "interleaved", "ratio"]

WARM_UP_ROUNDS = 2


@dataclass(frozen=True)
class Contender:
    """Something to time: one call takes in `audio_s` of sound; a short one is called several times a round."""

    name: str
    call: Callable[[], object]
    audio_s: float
    calls: int = 1


@dataclass(frozen=True)
class Timing:
    """Milliseconds a call: median, quartiles, the fastest; the median of the process's time on all its processors;
    `calls` that were timed, `audio_s` that each took in."""

    median_ms: float
    q1_ms: float
    q3_ms: float
    fastest_ms: float
    cpu_ms: float
    calls: int
    audio_s: float

    @classmethod
    def of(cls, times_ms: Sequence[float], cpu_ms: Sequence[float], *, audio_s: float) -> "Timing":
        q1, median, q3 = (float(x) for x in np.percentile(times_ms, [25, 50, 75]))
        return cls(median, q1, q3, float(min(times_ms)), float(np.median(cpu_ms)), len(times_ms), audio_s)

    @property
    def per_10s_ms(self) -> float:
        """What ten seconds of sound cost, one call after another."""
        return self.median_ms * 10 / self.audio_s


def interleaved(
    contenders: Sequence[Contender],
    *,
    rounds: int,
    clock: Callable[[], float] = time.perf_counter,
    cpu_clock: Callable[[], float] = time.process_time,
) -> dict[str, Timing]:
    """Time every contender in each of `rounds`, after two rounds that do not count. Names must differ."""
    if len({each.name for each in contenders}) < len(contenders):
        raise ValueError(f"contenders need different names, got {[each.name for each in contenders]}")
    times: dict[str, list[tuple[float, float]]] = {each.name: [] for each in contenders}
    for number in range(-WARM_UP_ROUNDS, rounds):
        for each in contenders:
            for _ in range(each.calls):
                cpu_started, started = cpu_clock(), clock()
                each.call()
                took, cpu_took = clock() - started, cpu_clock() - cpu_started
                if number >= 0:
                    times[each.name].append((1000 * took, 1000 * cpu_took))
    return {each.name: Timing.of(*zip(*times[each.name], strict=True), audio_s=each.audio_s) for each in contenders}


def ratio(slow: Timing | None, fast: Timing | None, *, cpu: bool = False) -> float | None:
    """How many times longer a call of `slow` takes; None where one of the two could not run here."""
    if slow is None or fast is None:
        return None
    return slow.cpu_ms / fast.cpu_ms if cpu else slow.median_ms / fast.median_ms
