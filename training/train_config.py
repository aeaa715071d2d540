"""Every setting of `python -m training train`, each of them a flag."""

from dataclasses import dataclass

from training.features import WINDOW_SEGMENTS
from training.hold_out import PROTOCOLS

__all__ = ["TrainConfig"]


@dataclass(frozen=True)
class TrainConfig:
    """Settings of one run. `loss` is "infonce" or "margin"; `hold_out` "closed" or "open"; weights and gains of 0 leave
    a part out. `own_share` of what the caption teacher knows of a clip is its own texts, the rest its tags: the names
    of their classes or, with `bank_told`, beside what a tagger would report of a caption (training/told_captions.py).
    `pairs_weight`: of two texts of one sound each, of corpora (training/paired_texts.py). `told_weight`: of what a
    tagger would report of sounds told in words (training/told_sounds.py). Windows of `window` segments at most are
    heard, of a streaming network's segments alone fewer than they are kept in; `crop` of all windows are heard in part;
    `joint` of all examples are two sounds, half of them at once, half one after the other; a clip that has a title is
    told by it `titles` of the times; `still` sounds in which nothing happens are each step's negatives. With
    `own_captions` a person's caption fits its own recording alone, not what else has its label. With `concept_gain` the
    tagger's classes are beside the audio tower in training too, by the roots of their probabilities with `concept_root`
    (training/retrieval.py `Concepts`). `common_share` of what all labels' texts have in common is dropped
    (training/common.py). `narrow_weight`: of the losses of shortened embeddings (training/objective.py), beside the 1
    of whole ones. `precision`: fp32, bf16 (half the time on a CPU that has it), or auto: bf16 on a GPU."""

    epochs: int = 80
    batch: int = 256
    learning_rate: float = 2e-3
    weight_decay: float = 1e-2
    loss: str = "infonce"
    margin: float = 0.2
    tag_weight: float = 0.3
    caption_weight: float = 1.0
    bank_weight: float = 0.0
    bank_told: bool = False
    pairs_weight: float = 0.0
    told_weight: float = 0.0
    own_share: float = 0.5
    concept_gain: float = 0.0
    concept_root: bool = False
    common_share: float = 0.0
    window: int = WINDOW_SEGMENTS
    crop: float = 0.0
    joint: float = 0.0
    titles: float = 0.0
    still: int = 0
    own_captions: bool = False
    narrow_weight: float = 0.0
    average: float = 0.98
    joint_width: int = 512
    audio_pooling: str = "netrvlad"
    audio_clusters: int = 12
    audio_ghosts: int = 0
    audio_padded_to: int = 0
    text_pooling: str = "netrvlad"
    text_clusters: int = 20
    text_ghosts: int = 0
    text_padded_to: int = 0
    lstm_width: int = 512
    dropout: float = 0.4
    seed: int = 0
    device: str = "auto"
    precision: str = "auto"
    hold_out: str = "closed"

    def __post_init__(self) -> None:
        if self.hold_out not in PROTOCOLS:
            raise ValueError(f"hold_out {self.hold_out!r} is not known; there are {' and '.join(PROTOCOLS)}")
        if self.loss not in ("infonce", "margin"):
            raise ValueError(f"loss {self.loss!r} is not known; there are infonce and margin")
        if self.precision not in ("auto", "fp32", "bf16"):
            raise ValueError(f"precision {self.precision!r} is not known; there are auto, fp32 and bf16")
        if self.bank_told and not self.bank_weight:
            raise ValueError("bank_told says what the teacher's bank is to teach: give a bank_weight above 0 as well")
        if not 2 <= self.window <= WINDOW_SEGMENTS:
            raise ValueError(f"windows of {self.window} segments are not there: give 2 to {WINDOW_SEGMENTS}")
        shares = (self.own_share, self.crop, self.joint, self.titles, self.common_share)
        if min(shares) < 0 or max(shares) > 1:
            raise ValueError(f"shares out of range 0 to 1: {self}")
        if self.epochs < 1 or self.batch < 2 or self.learning_rate <= 0 or not 0 <= self.average < 1:
            raise ValueError(f"training settings out of range: {self}")
