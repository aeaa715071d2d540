"""A folder like the shared sounds, of sounds synthesised here."""

import csv
from pathlib import Path

import numpy as np
import soundfile

from edge_runtime import synthesis
from edge_runtime.synthesis import Studio
from training.sounds import COLUMNS

SOUNDS = {
    "chirping birds": synthesis.birds,
    "church bells": synthesis.church_bell,
    "crickets": synthesis.crickets,
    "dog": synthesis.dog,
    "keyboard typing": synthesis.keyboard,
    "siren": synthesis.siren,
}
RATE_HZ = 32_000


def write_sounds(folder: Path, *, split: str = "test") -> Path:
    """Two recordings a label, the first of them in two clips; a few captions."""
    folder.mkdir(exist_ok=True)
    rows = []
    for label, make in SOUNDS.items():
        for seed, seconds in ((1, 3.0), (2, 2.0)):
            sound = make(Studio(RATE_HZ, seed), seconds)
            sound = 0.3 * sound / np.abs(sound).max()
            for number, part in enumerate((sound, sound[: len(sound) // 2])[: 3 - seed]):
                name = f"{label.replace(' ', '-')}-{seed}-{number}.wav"
                soundfile.write(folder / name, part, RATE_HZ, subtype="PCM_16")
                caption = f"one can hear a {label}" if seed == 1 else ""
                source = "esc50" if label != "siren" else "urbansound8k"
                rows.append((name, split, label, caption, f"{label} {seed}", source, "CC0", "-20"))
    with (folder / "clips.csv").open("w", encoding="utf-8", newline="") as file:
        table = csv.writer(file)
        table.writerow([name for name in COLUMNS if name != "seconds"] + ["seconds"])
        table.writerows([*row, "3"] for row in rows)
    return folder
