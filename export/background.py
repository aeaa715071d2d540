"""What a bundle's thresholds are made of: noise made here, ambience among the recordings, and a bank of labels.

    background = background_of(engine, clips)
    spec, figures = calibrated(engine, background, clips, heard, recall=bundle.remembered)

Generated noise depends on a seed alone. What is held back to tell the rate of false alerts is noise of another seed,
and the ambience. The labels of the bank are those of the training split, filled up with the bundle's own phrases: they
are no home's. The margin that `calibrated` gives is a first one, from single sounds: `python -m benchmarks.calibrate`
chooses it on scenes.
"""

from collections.abc import Iterator, Sequence

import numpy as np

from edge_runtime.background import NO_LABEL, Background
from edge_runtime.bundle import Bundle
from edge_runtime.engine import Engine
from edge_runtime.label_bank import NEAREST, LabelBank
from edge_runtime.manifest import MatchSpec
from edge_runtime.recall import Recall
from edge_runtime.unit_rows import UnitRows
from training.evaluate import same_sound
from training.label_names import tidy_label
from training.metrics import average_precision_at_10
from training.phrasings import phrasings_of
from training.sounds import Clip

__all__ = [
    "AMBIENCE",
    "background_of",
    "bank_of",
    "best_scores",
    "calibrated",
    "equal_error",
    "noises",
    "search_of",
    "thinned",
]

AMBIENCE = ("speechcommands_noise", "blanket", "librosa_data", "skmaad")
"""Sources of long ambiences without an event of their own."""
LEVELS_DBFS = (-74, -66, -58, -50, -42, -34, -26, -18)
TILTS = (-2.0, -1.0, 0.0, 0.4, 0.8, 1.2, 1.6, 2.0, 2.5)
"""Noise power falls with frequency to this: violet, blue, white, pink at 1, brown at 2."""
HUMS_HZ = (50, 60, 100, 120)
SHORT_S = (0.4, 0.7, 1.0, 1.25, 1.5, 1.75, 2.0, 2.5, 3.0, 4.0, 5.0, 6.0, 8.0)
"""Noise is also as short as this: what is short sounds otherwise to the network, and scores otherwise."""
ALIKE = 0.9
"""Cosine from which two noises are one."""
MAX_WINDOWS = 4
"""Of one recording: an hour of one forest is no more background than a minute."""
BANK_TEXTS = 320
SHARPNESSES = (10.0, 15.0, 20.0, 25.0, 30.0, 40.0)
SHARES = (0.0, 0.15, 0.3, 0.5)
PUT_OTHERWISE = ("somewhere one hears {}", "a recording in which {} can be made out", "would that be {}?")
"""Templates that neither training nor the benchmarks use: people do not search in a model's own words."""


def noises(rate_hz: int, seconds: float, *, seed: int) -> Iterator[np.ndarray]:
    """Silence, coloured noise, hum and gusts, float32 (n,) each."""
    rng = np.random.default_rng(seed)
    count = round(rate_hz * seconds)
    t = np.arange(count) / rate_hz
    yield np.zeros(count, np.float32)
    for level in LEVELS_DBFS:
        for tilt in TILTS:
            yield at_level(coloured(count, tilt, rng), level)
        for hum_hz in HUMS_HZ:
            tones = [np.sin(2 * np.pi * k * hum_hz * t + rng.uniform(0, 6)) / k**1.5 for k in range(1, 8)]
            yield at_level(np.sum(tones, axis=0) + 0.05 * coloured(count, 1.0, rng), level)
        knots = np.linspace(0, count, 12)
        gusts = np.interp(np.arange(count), knots, rng.uniform(0.1, 1, len(knots)))
        yield at_level(gusts * coloured(count, 2.0, rng), level)


def coloured(count: int, tilt: float, rng: np.random.Generator) -> np.ndarray:
    """Noise whose power falls as frequency to the minus `tilt`."""
    spectrum = np.fft.rfft(rng.standard_normal(count))
    return np.fft.irfft(spectrum / np.arange(1, len(spectrum) + 1) ** (tilt / 2), n=count)


def at_level(sound: np.ndarray, level_dbfs: float) -> np.ndarray:
    """`level_dbfs` is of the root mean square; peaks are clipped as a converter would."""
    gain = 10 ** (level_dbfs / 20) / max(float(np.sqrt(np.mean(sound**2))), 1e-12)
    return np.clip(sound * gain, -1, 1).astype(np.float32)


def background_of(engine: Engine, clips: Sequence[Clip]) -> Background:
    """Everything through the whole runtime; windows as the archive keeps them. `clips`: of all splits."""
    manifest = engine.bundle.manifest
    rate_hz = manifest.mel.rate_hz
    ambience = [clip for clip in clips if clip.source in AMBIENCE]
    bank = bank_of(engine, [*(clip for clip in clips if clip.split == "train"), *ambience])
    rows: list[tuple[np.ndarray, bool, bool, int]] = []
    segment = round(manifest.segment_s * rate_hz)

    def hear(sound: np.ndarray, *, held: bool) -> None:
        windows = engine.listen([sound], rate_hz=rate_hz, k=1)
        rows.extend((each.window.embedding, True, held, NO_LABEL) for each in windows)

    for count in range(1, manifest.window.segments + 1):  # of silence there is one for each length, so all are known
        hear(np.zeros(count * segment, np.float32), held=False)
    lengths = [(seconds, False) for seconds in (*SHORT_S, manifest.window_s)] + [(manifest.window_s, True)]
    for seed, (seconds, held) in enumerate(lengths):
        for sound in noises(rate_hz, seconds, seed=seed):
            hear(sound, held=held)
    for clip in ambience:
        label = bank.texts.index(tidy_label(clip.label)) if bank else NO_LABEL
        rows += [(each, False, True, label) for each in engine.embed_audio(clip.path)[:MAX_WINDOWS]]
    embeddings, generated, held_rows, label_of = zip(*rows, strict=True)
    labels = np.array(label_of, np.int16)
    found = Background(UnitRows.of(np.stack(embeddings)), np.array(generated), np.array(held_rows), labels, bank)
    return thinned(found, engine.phrases.embeddings())


def bank_of(engine: Engine, clips: Sequence[Clip]) -> LabelBank | None:
    """The labels of these clips, and of the bundle's phrases so many that there are `BANK_TEXTS`; None where so few are
    known that they tell nothing of sounds at large."""
    labels = dict.fromkeys(tidy_label(clip.label) for clip in sorted(clips, key=lambda clip: clip.label))
    filling = [phrase for phrase in engine.phrases if phrase not in labels]
    texts = [*labels, *filling[: max(0, BANK_TEXTS - len(labels))]]
    return embedded_bank(engine.bundle, texts) if len(texts) >= NEAREST else None


def embedded_bank(bundle: Bundle, texts: Sequence[str]) -> LabelBank:
    return LabelBank(tuple(texts), UnitRows.of(bundle.embed_text(texts)))


def thinned(background: Background, phrases: np.ndarray) -> Background:
    """The same without generated noise that sounds like other such noise (`ALIKE`), but for what is the loudest to one
    of `phrases (P, E)`, beside its reference: their thresholds stay but for a rounding, other phrases' nearly."""
    rows = np.flatnonzero(background.generated & ~background.held)
    noise = background.rows[rows].vectors()
    scores = background.rows[rows].cosines(phrases) - background.reference(noise)
    kept = list(dict.fromkeys(scores.argmax(axis=1).tolist()))
    for row in range(len(noise)):
        if (noise[kept] @ noise[row]).max(initial=-1) < ALIKE:
            kept.append(row)
    keep = ~(background.generated & ~background.held)
    keep[rows[kept]] = True
    flags = (each[keep] for each in (background.generated, background.held, background.label_of))
    return Background(background.rows[keep], *flags, background.bank)


def calibrated(
    engine: Engine,
    background: Background,
    clips: Sequence[Clip],
    heard: Sequence[np.ndarray],
    *,
    recall: Recall | None = None,
) -> tuple[MatchSpec, dict[str, float]]:
    """From where on a phrase counts as heard, how a search holds down hubs and how far its texts go towards sounds that
    they `recall`, and the figures that say so, all on `clips` (the validation split), whose windows are `heard[i] (W,
    E)`."""
    labels = sorted({clip.label for clip in clips})
    names = engine.bundle.embed_text([tidy_label(label) for label in labels])
    relevant = same_sound(labels)[:, [labels.index(clip.label) for clip in clips]]
    raw, raw_error = equal_error(best_scores(names, heard, [np.zeros(len(each)) for each in heard]), relevant)
    match, figures = MatchSpec(round(raw, 4)), {"equal_error_raw": 100 * raw_error}
    if background.bank:
        above = best_scores(names, heard, [background.reference(each) for each in heard])
        margin, error = equal_error(above, relevant)
        sharpness, share, precision = search_of(engine, background.bank, recall, clips, heard)
        match = MatchSpec(match.heard, margin=round(margin, 4), sharpness=sharpness, recall=share)
        figures |= {"equal_error_calibrated": 100 * error} | precision
    return match, {name: round(value, 2) for name, value in figures.items()}


def search_of(
    engine: Engine, bank: LabelBank, recall: Recall | None, clips: Sequence[Clip], heard: Sequence[np.ndarray]
) -> tuple[float, float, dict[str, float]]:
    """How sharply a search holds down hubs, and how far its texts go towards sounds that they `recall`, so that labels,
    people's captions, and labels put otherwise find `clips` best, by the mean of their mAP@10; each is 0 where plain
    cosines do. Both are chosen together, since hubs held down alone make words that training never put so find less.
    And what that mean is: by cosines, with hubs held down as is best for that alone, and with both."""
    asked = _asked(clips)
    labels = sorted({clip.label for clip in clips})
    for template in PUT_OTHERWISE:
        asked.append(([template.format(phrasings_of(label)[-1]) for label in labels], asked[0][1]))
    tasks = [(engine.bundle.embed_text(texts), relevant) for texts, relevant in asked]
    found = {}
    for share in SHARES if recall is not None else SHARES[:1]:
        moved = [recall.towards(texts, share=share) if recall is not None else texts for texts, _ in tasks]
        for sharpness in (0.0, *SHARPNESSES):
            offsets = _lowered(bank, heard, sharpness)
            each = [
                average_precision_at_10(best_scores(texts, heard, offsets), right).mean()
                for texts, (_, right) in zip(moved, tasks, strict=True)
            ]
            otherwise = float(np.mean(each[-len(PUT_OTHERWISE) :]))
            found[sharpness, share] = 100 * float(np.mean([*each[: -len(PUT_OTHERWISE)], otherwise]))
    best = max(found, key=lambda chosen: found[chosen])
    figures = {
        "search_map10_raw": found[0.0, 0.0],
        "search_map10_normalised": max(found[sharpness, 0.0] for sharpness in (0.0, *SHARPNESSES)),
    }
    if recall is not None:
        figures["search_map10_recalled"] = found[best]
    return *best, figures


def _asked(clips: Sequence[Clip]) -> list[tuple[list[str], np.ndarray]]:
    """Labels, and people's captions where there are some: texts (L,), and which of `clips` fits which (L, N) bool."""
    labels = sorted({clip.label for clip in clips})
    captions = sorted({(text, clip.recording) for clip in clips for text in clip.captions})
    own = np.array([clip.recording for clip in clips])
    relevant = same_sound(labels)[:, [labels.index(clip.label) for clip in clips]]
    asked = [([tidy_label(label) for label in labels], relevant)]
    if captions:
        asked.append(([text for text, _ in captions], np.array([whose for _, whose in captions])[:, None] == own))
    return asked


def _lowered(bank: LabelBank, heard: Sequence[np.ndarray], sharpness: float) -> list[np.ndarray]:
    """What each window is held down by."""
    return [
        bank.popularity(each, sharpness=sharpness) if sharpness else np.zeros(len(each), np.float32) for each in heard
    ]


def best_scores(texts: np.ndarray, heard: Sequence[np.ndarray], offsets: Sequence[np.ndarray]) -> np.ndarray:
    """texts (L, E) against the windows (W_i, E) of each clip, less their offsets (W_i,) -> (L, N): the best window."""
    return np.stack([(texts @ each.T - less).max(axis=1) for each, less in zip(heard, offsets, strict=True)], axis=1)


def equal_error(scores: np.ndarray, relevant: np.ndarray) -> tuple[float, float]:
    """The score at which as many right labels stay below as best wrong ones stay above, and that share.

    scores (L, N): labels against clips; relevant (L, N) bool.
    """
    right = np.where(relevant, scores, -np.inf).max(axis=0)
    wrong = np.where(relevant, -np.inf, scores).max(axis=0)
    candidates = np.sort(np.concatenate((right, wrong)))
    missed = np.searchsorted(np.sort(right), candidates) / len(right)
    false = 1 - np.searchsorted(np.sort(wrong), candidates) / len(wrong)
    best = np.abs(missed - false).argmin()
    return float(candidates[best]), float((missed[best] + false[best]) / 2)
