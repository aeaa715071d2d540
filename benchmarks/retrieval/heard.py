"""What a bundle makes of clips, as they are and through every variant: each heard once, by several processes, and kept.

    heard = hear(contender, clips, partners, VARIANTS, seed=0, jobs=2, cache=Path("runs/bench/heard"))
    heard[CLEAN][i], heard["noise 20 dB SNR"][i]        # (W_i, E) of clip i

A file of the cache holds one variant. Its folder is named after all that could change what is heard: the bundle's
fingerprint and profile, the clips and their partners, the seed, and the source code on the way.
"""

import hashlib
import inspect
import json
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from multiprocessing import get_context
from pathlib import Path

import numpy as np

import edge_runtime
from benchmarks.retrieval import variants as variants_module
from benchmarks.retrieval.contender import Contender, watched
from benchmarks.retrieval.variants import VARIANTS, Variant, chance
from edge_runtime.manifest import sha256_of
from training import augment
from training.sounds import Clip, load_samples

__all__ = ["CLEAN", "Heard", "hear"]

CLEAN = "clean"
CHUNK_CLIPS = 32
"""What one process hears before it reports; a run of no more than that needs no second process."""

Heard = dict[str, list[np.ndarray]]


def hear(
    contender: Contender,
    clips: Sequence[Clip],
    partners: Sequence[int],
    variants: Sequence[Variant],
    *,
    seed: int,
    jobs: int,
    cache: Path | None = None,
) -> Heard:
    """Windows (W_i, E) of each clip, by the name of the variant; `partners[i]`: the clip that a mixture puts over clip
    i. Each process opens the contender's bundle anew."""
    names = [CLEAN, *(variant.name for variant in variants)]
    folder = cache / _key(contender, clips, partners, seed) if cache else None
    known: Heard = {name: _load(folder, name) for name in names if folder and _file(folder, name).is_file()}
    wanted = [name for name in names if name not in known]
    if not wanted:
        return known
    starts = range(0, len(clips), CHUNK_CLIPS)
    parts: dict[int, Heard] = {}
    what = f"{contender.name}, {len(clips)} clips as they are and in {len(variants)} variants"

    def chunk(start: int) -> tuple:
        rows = range(start, min(start + CHUNK_CLIPS, len(clips)))
        return [clips[i] for i in rows], [clips[partners[i]].path for i in rows], wanted, seed

    if jobs == 1 or len(starts) == 1:
        for start in watched(starts, what):
            parts[start] = _hear_chunk(contender, *chunk(start))
    else:
        bundle = contender.engine.bundle
        # onnxruntime's threads do not survive a fork
        with ProcessPoolExecutor(jobs, mp_context=get_context("spawn")) as pool:
            jobs_of = {pool.submit(_hear_apart, bundle.folder, bundle.profile, *chunk(s)): s for s in starts}
            for done in watched(as_completed(jobs_of), what, total=len(starts)):
                parts[jobs_of[done]] = done.result()
    for name in wanted:
        known[name] = [windows for start in starts for windows in parts[start][name]]
        if folder:
            _save(folder, name, known[name])
    return {name: known[name] for name in names}


def _hear_apart(folder: Path, profile: str | None, *chunk: object) -> Heard:
    return _hear_chunk(Contender.open(folder, profile=profile), *chunk)  # type: ignore[arg-type]


def _hear_chunk(
    contender: Contender, clips: Sequence[Clip], others: Sequence[Path], names: Sequence[str], seed: int
) -> Heard:
    asked = [variant for variant in VARIANTS if variant.name in names]
    heard: Heard = {name: [] for name in names}
    for clip, other in zip(clips, others, strict=True):
        if CLEAN in names:
            heard[CLEAN].append(contender.recording(clip.path))
        if asked:
            samples, partner = (load_samples(path, contender.rate_hz) for path in (clip.path, other))
            for variant in asked:
                edited = variant.of(samples, partner, chance(variant, clip, seed=seed))
                heard[variant.name].append(contender.sound(edited))
    return heard


def _key(contender: Contender, clips: Sequence[Clip], partners: Sequence[int], seed: int) -> str:
    runtime = sorted(Path(inspect.getfile(edge_runtime)).parent.glob("*.py"))
    code = [*runtime, *(Path(inspect.getfile(module)) for module in (variants_module, augment))]
    bundle = contender.engine.bundle
    told = [
        bundle.fingerprint,
        bundle.profile,
        seed,
        [(clip.path.name, clips[partner].path.name) for clip, partner in zip(clips, partners, strict=True)],
        [sha256_of(path) for path in code],
    ]
    return hashlib.sha256(json.dumps(told).encode()).hexdigest()[:16]


def _file(folder: Path, name: str) -> Path:
    return folder / f"{name.replace(' ', '-')}.npz"


def _load(folder: Path, name: str) -> list[np.ndarray]:
    with np.load(_file(folder, name), allow_pickle=False) as file:
        return np.split(file["windows"], file["counts"].cumsum()[:-1])


def _save(folder: Path, name: str, windows: Sequence[np.ndarray]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    part = folder / "being-written.npz"
    np.savez(part, windows=np.concatenate(windows), counts=np.array([len(each) for each in windows]))
    part.replace(_file(folder, name))
