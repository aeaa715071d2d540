"""The device chooses: every profile of a bundle, in every engine that is installed, timed on this CPU, and the fastest
that is close enough kept.

    for found in measure_profiles("my-bundle", home=home): …
    best = fastest(found)

int8 is several times faster than fp32 where the CPU multiplies bytes, and slower where it does not (a Cortex-A72);
some kernels of old CPUs also saturate; OpenVINO wins where the CPU has instructions that onnxruntime does not use. None
of that is known before it is measured. What int8 itself costs was measured at export, on real sounds; what this CPU and
engine make of it the self-test shows: the two angles add at worst.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from edge_runtime.bundle import Bundle, check_all_files
from edge_runtime.errors import BundleError, EarmarkError
from edge_runtime.graph_engine import DEFAULT_ENGINE, installed_engines
from edge_runtime.manifest import Manifest
from edge_runtime.profile_choice import Choice

__all__ = ["MIN_COSINE", "Measured", "fastest", "measure_profiles"]

MIN_COSINE = 0.98
"""Of an embedding with the unquantised network's, at worst: below it an embedding's neighbours change places."""
ROUNDS = 15


@dataclass(frozen=True)
class Measured:
    """One profile in one engine on this CPU: milliseconds a hop of the encoder plus one head, and its cosine with the
    network as it was exported without quantising the profile, at worst. `failure`: why it cannot be used here."""

    choice: Choice
    hop_ms: float
    cosine: float
    failure: str = ""

    def fits(self, min_cosine: float) -> bool:
        return not self.failure and self.cosine >= min_cosine


def measure_profiles(
    folder: Path, *, home: Path | None = None, threads: int = 1, rounds: int = ROUNDS
) -> list[Measured]:
    """Every profile of the bundle in every engine in turn, `rounds` times over, so that a busy moment disturbs all
    alike. A bundle of one precision is measured in its engines.

    What fails its own self-test is reported, not raised. BundleError: there is but one way to run this bundle, or files
    are damaged.
    """
    manifest = Manifest.read(folder)
    entered = [Choice(profile, engine) for profile in manifest.profiles or [None] for engine in installed_engines()]
    if len(entered) < 2:
        raise BundleError(
            f"bundle {manifest.name} has one precision and {DEFAULT_ENGINE} is the only engine here: there is nothing "
            "to choose (pip install 'earmark[openvino]' for another one)"
        )
    check_all_files(folder)
    opened: dict[Choice, Bundle] = {}
    failures: dict[Choice, str] = {}
    for each in entered:
        try:
            opened[each] = Bundle.open(folder, profile=each.profile, engine=each.engine, home=home, threads=threads)
        except (EarmarkError, MemoryError) as error:
            failures[each] = str(error)
    runs = {each: _running(bundle) for each, bundle in opened.items()}
    times: dict[Choice, list[float]] = {each: [] for each in opened}
    for _ in range(rounds):
        for each, run in runs.items():
            started = time.perf_counter()
            run()
            times[each].append(1000 * (time.perf_counter() - started))
    found = []
    for each in entered:
        if each in failures:
            found.append(Measured(each, float("inf"), 0.0, failures[each]))
            continue
        here = opened[each].self_test()["audio_cosine"]
        cosine = _at_worst(here, _exported_cosine(manifest, each.profile))
        found.append(Measured(each, float(np.median(times[each])), cosine))
    return found


def _running(bundle: Bundle) -> Callable[[], object]:
    """A call that takes the frames of one hop, in a recording that has long been running, and embeds its window."""
    manifest = bundle.manifest
    spec, window = manifest.encoder, manifest.window
    hop = spec.stream.chunk_for(window.hop) if spec.stream else window.hop
    frames = np.random.default_rng(0).normal(0, 1, (hop * spec.segment_frames, manifest.mel.bands)).astype(np.float32)
    encoder, experts = bundle.encoder(hop=hop if spec.stream else None), bundle.experts()
    samples = window.segments * spec.segment_frames * manifest.mel.hop_samples
    experts.push(np.zeros(samples, np.float32))

    def run() -> None:
        encoder.push(frames)
        segments = encoder.segments(encoder.available - window.segments, encoder.available)
        bundle.embed_segments(segments, experts.between(0, samples))

    while encoder.available < window.segments:
        encoder.push(frames)
    run()  # what is made at the first call is not timed
    return run


def _exported_cosine(manifest: Manifest, profile: str | None) -> float:
    """Of a profile with the unquantised network. A bundle of one precision is held against itself: it has no other."""
    return 1.0 if profile is None else manifest.profiles[profile].figures.get("embedding_cosine", 0.0)


def fastest(found: list[Measured], *, min_cosine: float = MIN_COSINE) -> Measured:
    """The fastest profile within the bound. BundleError: none is."""
    fitting = [each for each in found if each.fits(min_cosine)]
    if not fitting:
        told = "; ".join(each.failure or f"{each.choice} has a cosine of {each.cosine:.4f}" for each in found)
        raise BundleError(f"no profile reaches a cosine of {min_cosine} on this CPU ({told}): export the bundle again")
    return min(fitting, key=lambda each: each.hop_ms)


def _at_worst(a: float, b: float) -> float:
    """The least cosine that two deviations of these cosines can add up to."""
    angle = float(np.arccos(np.clip((a, b), -1, 1)).sum())
    return float(np.cos(min(angle, np.pi)))
