"""Every setting of one run of the papers' systems, and the papers' own values.

    PaperConfig("ce", (VGGISH, VGGSOUND))       # paper 2 on AudioCaps; on Clotho, captions="all" and z1:
    PaperConfig("ce", (frames(VGGISH, 31), frames(VGGSOUND, 95)), text_frames=21, captions="all")
    PaperConfig("dual", (Expert("cnn14", 2048, 31, clusters=12),), audio_pooling="netrvlad", text_pooling="netrvlad")

What trains it is `training.papers.loop.run(collection, stores, vectors, config, out, start_from=None, resume=False)`:
`stores[expert.name]` maps a clip's id to its features (T, D), `vectors` are `WordVectors`, `out` is the run's folder.
"""

import json
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from training.experts.expert import Expert

__all__ = ["MODELS", "VGGISH", "VGGSOUND", "PaperConfig", "frames"]

MODELS = ("dual", "moee", "ce")
LOSSES = ("margin", "margin-sum", "infonce")
OPTIMISERS = ("ranger", "adamw")
CAPTIONS = ("one", "all")

VGGISH = Expert("vggish", 128, 29)
VGGSOUND = Expert("vggsound", 512, 29)


def frames(expert: Expert, count: int) -> Expert:
    """The same expert, zero-padded to `count` frames (the papers' z)."""
    return replace(expert, frames=count)


@dataclass(frozen=True)
class PaperConfig:
    """`model`: "dual" (paper 1, one expert), "moee" or "ce" (paper 2). `joint_width`: of CE's experts, or of the dual
    encoder; None is the paper's (768, or the feature's own width); MoEE's subspaces have the features' widths.

    `audio_pooling` and `text_pooling` are the dual encoder's; paper 2 has NetVLAD on both sides. `padded`: frames of
    padding and missing experts enter sums and statistics, as they did in the papers. `overwrite`: CE's experts are
    gated one after another, each fused with those already gated, as in the authors' loop.

    `loss`: "margin" (mean over the hinge terms), "margin-sum" (eq. 9: sum over B) or "infonce". `decay`: of the
    learning rate, each epoch. `captions`: "one" random caption of each clip a step, or "all", their similarities
    averaged. `share`: percent of the training items. `query_bank`: test results after query-bank normalisation too,
    apart. `lemma` and `spelling`: what a word without a vector is tried as.
    """

    model: str
    experts: tuple[Expert, ...]
    joint_width: int | None = None
    audio_pooling: str = "netvlad"
    text_pooling: str = "netvlad"
    text_frames: int = 20
    text_clusters: int = 20
    text_ghosts: int = 1
    word_width: int = 300
    padded: bool = False
    overwrite: bool = False
    loss: str = "margin"
    margin: float = 0.2
    optimiser: str = "ranger"
    learning_rate: float = 0.01
    weight_decay: float = 1e-3
    decay: float = 0.95
    epochs: int = 20
    batch: int = 128
    captions: str = "one"
    share: float = 100.0
    query_bank: bool = False
    lemma: bool = True
    spelling: bool = True
    seed: int = 0
    device: str = "auto"

    def __post_init__(self) -> None:
        for name, known in (
            ("model", MODELS),
            ("loss", LOSSES),
            ("optimiser", OPTIMISERS),
            ("captions", CAPTIONS),
        ):
            if getattr(self, name) not in known:
                raise ValueError(f"{name} {getattr(self, name)!r} is not known; there are {', '.join(known)}")
        names = [expert.name for expert in self.experts]
        if not names or len(set(names)) < len(names) or (self.model == "dual" and len(names) > 1):
            raise ValueError(f"experts {names}: give one at least, each once, and one alone to the dual encoder")
        if self.epochs < 1 or self.batch < 2 or self.learning_rate <= 0 or not 0 < self.share <= 100:
            raise ValueError(f"training settings out of range: {self}")

    @property
    def text(self) -> Expert:
        """The words of a caption as one more sequence: their longest number, and how they are pooled."""
        return Expert("text", self.word_width, self.text_frames, self.text_clusters, self.text_ghosts)

    @property
    def width(self) -> int:
        """Of CE's experts and of the dual encoder's joint space."""
        return self.joint_width or (768 if self.model == "ce" else self.experts[0].width)

    def architecture(self) -> dict[str, Any]:
        """What the shapes of the model's weights depend on: two configurations that agree here can share weights.
        How far sequences are padded is no part of it."""
        experts = [(e.name, e.width, e.fixed, e.clusters, e.ghosts) for e in self.experts]
        names = ("model", "audio_pooling", "text_pooling", "text_clusters", "text_ghosts", "word_width")
        own = {name: getattr(self, name) for name in names}
        return own | {"width": self.width, "experts": experts, "temperature": self.loss == "infonce"}

    def save(self, path: Path) -> None:
        path.write_text(json.dumps(asdict(self), indent=2) + "\n")

    @classmethod
    def of(cls, settings: dict[str, Any]) -> "PaperConfig":
        """From what `asdict` or a saved file has."""
        return cls(**settings | {"experts": tuple(Expert(**each) for each in settings["experts"])})
