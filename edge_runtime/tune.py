"""The device chooses: every profile of a bundle timed on this CPU, and the fastest that is close enough kept.

    for found in measure_profiles("my-bundle", home=home): …
    best = fastest(found)

int8 is several times faster than fp32 where the CPU multiplies bytes, and slower where it does not (a Cortex-A72);
some kernels of old CPUs also saturate. Neither is known before it is measured. What int8 itself costs was measured at
export, on real sounds; what this CPU makes of it the self-test shows: the two angles add at worst.
"""

import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from edge_runtime.bundle import Bundle, check_all_files
from edge_runtime.errors import BundleError
from edge_runtime.manifest import Manifest

__all__ = ["MIN_COSINE", "Measured", "fastest", "measure_profiles"]

MIN_COSINE = 0.98
"""Of an embedding with the unquantised network's, at worst: below it an embedding's neighbours change places."""
ROUNDS = 15


@dataclass(frozen=True)
class Measured:
    """One profile on this CPU: milliseconds a hop of the encoder plus one head, and its cosine with the unquantised
    network, at worst. `failure`: why it cannot be used here."""

    profile: str
    hop_ms: float
    cosine: float
    failure: str = ""

    def fits(self, min_cosine: float) -> bool:
        return not self.failure and self.cosine >= min_cosine


def measure_profiles(
    folder: Path, *, home: Path | None = None, threads: int = 1, rounds: int = ROUNDS
) -> list[Measured]:
    """Every profile of the bundle in turn, `rounds` times over, so that a busy moment disturbs all alike.

    A profile that fails its own self-test is reported, not raised. BundleError: the bundle has no profiles or files
    that are damaged.
    """
    manifest = Manifest.read(folder)
    if manifest.encoder.stream is None:
        raise BundleError(f"bundle {manifest.name} has one precision only: there is nothing to choose")
    check_all_files(folder)
    opened: dict[str, Bundle] = {}
    failures: dict[str, str] = {}
    for name in manifest.profiles:
        try:
            opened[name] = Bundle.open(folder, profile=name, home=home, threads=threads)
        except (BundleError, MemoryError) as error:
            failures[name] = str(error)
    hop = manifest.encoder.stream.chunk_for(manifest.window.hop)
    shape = (hop * manifest.encoder.segment_frames, manifest.mel.bands)
    frames = np.random.default_rng(0).normal(0, 1, shape).astype(np.float32)
    window = np.abs(np.random.default_rng(1).normal(0, 1, (manifest.window.segments, manifest.encoder.width)))
    window = window.astype(np.float32)
    streams = {name: bundle.encoder(hop=hop) for name, bundle in opened.items()}
    for stream in streams.values():
        stream.push(np.tile(frames, (-(-manifest.encoder.stream.prime_frames // len(frames)) + 1, 1)))
    times: dict[str, list[float]] = {name: [] for name in opened}
    for _ in range(rounds):
        for name, bundle in opened.items():
            started = time.perf_counter()
            streams[name].push(frames)
            bundle.embed_segments(window)
            times[name].append(1000 * (time.perf_counter() - started))
    found = []
    for name in manifest.profiles:
        if name in failures:
            found.append(Measured(name, float("inf"), 0.0, failures[name]))
            continue
        here = opened[name].self_test()["audio_cosine"]
        cosine = _at_worst(here, manifest.profiles[name].figures.get("embedding_cosine", 0.0))
        found.append(Measured(name, float(np.median(times[name])), cosine))
    return found


def fastest(found: list[Measured], *, min_cosine: float = MIN_COSINE) -> Measured:
    """The fastest profile within the bound. BundleError: none is."""
    fitting = [each for each in found if each.fits(min_cosine)]
    if not fitting:
        told = "; ".join(each.failure or f"{each.profile} has a cosine of {each.cosine:.4f}" for each in found)
        raise BundleError(f"no profile reaches a cosine of {min_cosine} on this CPU ({told}): export the bundle again")
    return min(fitting, key=lambda each: each.hop_ms)


def _at_worst(a: float, b: float) -> float:
    """The least cosine that two deviations of these cosines can add up to."""
    angle = float(np.arccos(np.clip((a, b), -1, 1)).sum())
    return float(np.cos(min(angle, np.pi)))
