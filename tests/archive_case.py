"""An archive of small windows for tests: what is kept in it, and days that are over."""

import numpy as np

from edge_runtime.archive import Archive
from edge_runtime.listener import Window

WIDTH = 64
FINGERPRINT = "a" * 16
DAY_S = 86_400.0


def unit(seed, count, width=WIDTH):
    rows = np.random.default_rng(seed).standard_normal((count, width)).astype(np.float32)
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def window(embedding, number=0, settled=True):
    return Window(number * 5.0, number * 5.0 + 5.0, embedding, settled, index=number)


def keep(archive, rows, name="garden", **options):
    with archive.recording(name, **options) as writer:
        for number, row in enumerate(rows):
            writer.add(window(row, number))
        writer.heard_s = 5.0 * len(rows)


def of_a_past_day(home, date="2020-05-06"):
    """Today's file, as if it had been written on that date."""
    (path,) = [each for each in home.glob("archive/*/*.emb") if not each.with_suffix(".seal").exists()]
    return path.rename(path.with_name(f"{date}.emb"))


def again(store):
    return Archive(store, FINGERPRINT, width=WIDTH)
