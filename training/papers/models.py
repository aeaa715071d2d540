"""From a configuration to its untrained model.

model = build(config, table)            # table (V + 1, 300) of word vectors, row 0 padding
parameters(model)                       # how many are trained
"""

import torch
from torch import Tensor, nn

from training.papers.collaborative import CollaborativeExperts
from training.papers.config import PaperConfig
from training.papers.dual import Dual
from training.papers.moee import MoEE
from training.papers.norm import with_synced_norms

__all__ = ["PaperModel", "build", "parameters"]

FIRST_TEMPERATURE = 0.07

PaperModel = Dual | MoEE | CollaborativeExperts


def build(config: PaperConfig, words: Tensor) -> PaperModel:
    """Weights are drawn from torch's generator. InfoNCE's temperature is one of them where it is the loss."""
    if words.shape[1] != config.word_width:
        raise ValueError(f"word vectors have {words.shape[1]} numbers, the model takes {config.word_width}")
    experts, text, padded = config.experts, config.text, config.padded
    model: PaperModel
    if config.model == "moee":
        model = MoEE(experts, text, words, padded=padded)
    elif config.model == "ce":
        model = CollaborativeExperts(
            experts, text, words, width=config.width, padded=padded, overwrite=config.overwrite
        )
    else:
        model = Dual(
            experts[0],
            text,
            words,
            width=config.width,
            audio_pooling=config.audio_pooling,
            text_pooling=config.text_pooling,
            padded=padded,
        )
    with_synced_norms(model)
    if config.loss == "infonce":
        model.register_parameter("log_temperature", nn.Parameter(torch.tensor(FIRST_TEMPERATURE).log()))
    return model


def parameters(model: nn.Module) -> int:
    return sum(weight.numel() for weight in model.parameters())
