"""A small captioned collection whose features say what its captions say, for the papers' models."""

import numpy as np

from training.datasets.collection import Collection, Item
from training.experts.expert import Expert
from training.papers.config import PaperConfig
from training.words import WordVectors

WORDS = ("dog", "cat", "rain", "bell", "car", "bird", "door", "wind")
EXPERTS = (Expert("near", 16, 12, clusters=4), Expert("far", 24, 12, clusters=3, ghosts=1))
Stores = dict[str, dict[str, np.ndarray]]


def vectors() -> WordVectors:
    rng = np.random.default_rng(5)
    return WordVectors(list(WORDS), rng.standard_normal((len(WORDS), 300)).astype(np.float32), "drawn")


def collection(clips: int = 60) -> tuple[Collection, Stores]:
    """Two thirds to train on; each clip has two sounds, two captions, and every seventh lacks the second expert."""
    rng = np.random.default_rng(0)
    sound = [{word: rng.standard_normal(expert.width) for word in WORDS} for expert in EXPERTS]
    stores: Stores = {expert.name: {} for expert in EXPERTS}
    items = []
    for n in range(clips):
        first, second = rng.choice(WORDS, 2, replace=False)
        split = "train" if 3 * n < 2 * clips else "val" if 6 * n < 5 * clips else "test"
        items.append(Item(f"clip{n}", split, (f"a {first} and a {second}", f"{second}, {first}")))
        for expert, of_word in zip(EXPERTS, sound, strict=True):
            parts = [of_word[word] + 0.5 * rng.standard_normal((5, expert.width)) for word in (first, second)]
            if expert.name == "near" or n % 7:
                stores[expert.name][f"clip{n}"] = np.concatenate(parts).astype(np.float32)
    return Collection("sounds", tuple(items)), stores


def config(model: str = "ce", **settings: object) -> PaperConfig:
    experts = EXPERTS[:1] if model == "dual" else EXPERTS
    sizes = {"joint_width": 16, "text_clusters": 4, "epochs": 3, "batch": 10, "device": "cpu", "captions": "all"}
    return PaperConfig(model, experts, **(sizes | settings))  # type: ignore[arg-type]
