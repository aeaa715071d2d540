"""The speech gate (edge_runtime/events/speech.py): how much speech it silences, alone and under other sounds, and what
else it takes with it.

    python -m benchmarks gate SPEECH            # a folder of recordings in which somebody speaks all the time

As a clip is silenced: each hop of sound is dropped if any window that touches it is like speech. Speech is mixed with
clips of the test split (needs ../shared), louder, as loud, and half as loud as them. What else is taken: hops of the
test split's clips, less those whose label fits one of the gate's phrases.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.report import Report, Table, plain
from benchmarks.retrieval.contender import Contender, watched
from edge_runtime.audio_file import recordings_in
from edge_runtime.engine import stream
from edge_runtime.errors import EarmarkError
from edge_runtime.events.speech import SPEECH, SpeechGate
from edge_runtime.false_alerts import ALIKE
from edge_runtime.listener import Listener
from training.augment import rms
from training.bootstrap import Draws
from training.sounds import load_samples, read_clips

__all__ = ["Setting", "gate"]

SNRS_DB = (10.0, 0.0, -6.0)
LEAST_S = 2.0
"""Of a recording of speech: shorter ones are left out."""
SHOWN = 12


@dataclass(frozen=True)
class Setting:
    """`limit`: so many recordings of speech, and of clips, at most."""

    speech: Path
    sounds: Path
    limit: int
    seed: int = 0


def gate(contender: Contender, setting: Setting) -> Report:
    """Raises EarmarkError where there is no speech."""
    rng = np.random.default_rng(setting.seed)
    texts = contender.texts(SPEECH)
    clips = [clip for clip in read_clips(setting.sounds) if clip.split == "test"]
    clips = [clips[i] for i in rng.permutation(len(clips))[: setting.limit]]
    others = [clip for clip in clips if (contender.texts([clip.label]) @ texts.T).max() < ALIKE]
    spoken = _spoken(contender, setting, rng)
    found: dict[str, Any] = {"speech alone": _silenced(contender, list(spoken.values()), list(spoken))}
    for snr_db in SNRS_DB:
        mixtures = [
            _mixed(speech, load_samples(others[int(rng.integers(len(others)))].path, contender.rate_hz), snr_db)
            for speech in spoken.values()
        ]
        found[f"speech {snr_db:+.0f} dB over another sound"] = _silenced(contender, mixtures, list(spoken))
    sounds = [load_samples(clip.path, contender.rate_hz) for clip in others]
    found["other sounds"] = _silenced(contender, sounds, [clip.recording for clip in others])
    rows = [(name, row["recordings"], row["hops"], str(row["silenced"])) for name, row in found.items()]
    taken = Counter(clip.label for clip, share in zip(others, found["other sounds"]["shares"], strict=True) if share)
    found = {name: {key: row[key] for key in row if key != "shares"} for name, row in found.items()}
    note = "other sounds of which something was taken: " + ", ".join(f"{n} {k}" for k, n in taken.most_common(SHOWN))
    table = Table(
        f"{contender.name}: hops that the gate silences, %", ("sound", "recordings", "hops", "silenced"), rows
    )
    return Report("gate", {"found": plain(found)}, [table], [note])


def _spoken(contender: Contender, setting: Setting, rng: np.random.Generator) -> dict[str, np.ndarray]:
    """Recordings of speech by name, (n,) float32 each, in an order of chance."""
    paths = recordings_in(setting.speech)
    found: dict[str, np.ndarray] = {}
    for i in rng.permutation(len(paths)).tolist():
        samples = load_samples(paths[i], contender.rate_hz)
        if len(samples) >= LEAST_S * contender.rate_hz and rms(samples) > 0:
            found[str(paths[i])] = samples
        if len(found) == setting.limit:
            break
    if not found:
        raise EarmarkError(f"{setting.speech} holds no recording of {LEAST_S:g} s or more: give recordings of speech")
    return found


def _mixed(speech: np.ndarray, other: np.ndarray, snr_db: float) -> np.ndarray:
    """Both from the start, the other over and over; its level as `snr_db` wants it."""
    other = np.resize(other, len(speech))
    gain = rms(speech) / max(rms(other), np.float32(1e-6)) * np.float32(10 ** (-snr_db / 20))
    both = speech + gain * other
    return (both / max(1.0, float(np.abs(both).max()))).astype(np.float32)


def _silenced(contender: Contender, sounds: Sequence[np.ndarray], recordings: Sequence[str]) -> dict[str, Any]:
    """What share of the hops of these sounds (n,) is dropped, with its 95 % interval over recordings."""
    hop_s = contender.engine.bundle.manifest.hop_s
    dropped, hops = [], []
    for samples in watched(sounds, "hearing", total=len(sounds)):
        speech = SpeechGate(contender.engine.bundle)
        listener = Listener(contender.engine.bundle)
        for window in stream(listener, [samples], rate_hz=contender.rate_hz, to_hz=contender.rate_hz):
            speech.push(window)
        starts = np.arange(0, len(samples) / contender.rate_hz, hop_s)
        dropped.append(sum(bool(speech.gated(start_s, start_s + hop_s)) for start_s in starts.tolist()))
        hops.append(len(starts))
    draws = Draws(recordings, seed=0)
    silenced = draws.ratio(np.array(dropped), np.array(hops), scale=100.0)
    shares = [each / count for each, count in zip(dropped, hops, strict=True)]
    return {"recordings": len(set(recordings)), "hops": int(sum(hops)), "silenced": silenced, "shares": shares}
