"""What one training step sees: a batch of clips, each with one of its captions or with all of them.

for step in epoch_of(train, stores, texts, config, world, epoch=3): …
"""

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from training.datasets.collection import Item
from training.experts.expert import ExpertBatch
from training.papers.config import PaperConfig
from training.papers.processes import World
from training.papers.scoring import Stores, clips_of
from training.papers.token_lookup import Texts

__all__ = ["Step", "epoch_of"]


@dataclass(frozen=True)
class Step:
    """What one process makes of its share of a batch of `count` clips with `captions` captions: where its own lie among
    them, and for all of them `owner (T,)`, the clip of each caption."""

    count: int
    clips: slice
    captions: slice
    owner: Tensor
    experts: ExpertBatch
    token_ids: Tensor


def epoch_of(
    train: Sequence[Item], stores: Stores, texts: Texts, config: PaperConfig, world: World, epoch: int
) -> Iterator[Step]:
    """All training clips in a new order, which depends on the seed and the epoch alone; the next batch is read while
    one is worked on. A last batch that is not full is left out, as in the authors' code."""
    rng = np.random.default_rng((config.seed, epoch))
    order = rng.permutation(len(train))
    batches = []
    for number in range(max(1, len(train) // config.batch)):
        items = [train[i] for i in order[number * config.batch :][: config.batch]]
        one = config.captions == "one"
        batches.append((items, [(str(rng.choice(item.captions)),) if one else item.captions for item in items]))
    with ThreadPoolExecutor(1) as reader:
        coming = [reader.submit(step_of, *batches[0], stores, texts, config, world)]
        for batch in [*batches[1:], None]:
            step = coming.pop().result()
            if batch is not None:
                coming.append(reader.submit(step_of, *batch, stores, texts, config, world))
            yield step


def step_of(
    items: Sequence[Item],
    captions: Sequence[Sequence[str]],
    stores: Stores,
    texts: Texts,
    config: PaperConfig,
    world: World,
) -> Step:
    """This process's share of a batch: `captions[i]` are those of `items[i]` that enter it."""
    own = world.share(len(items))
    counts = np.array([len(each) for each in captions])
    ends = np.concatenate(([0], counts.cumsum()))
    token_ids = texts.batch([text for each in captions[own] for text in each], config.text_frames)
    return Step(
        len(items),
        own,
        slice(int(ends[own.start]), int(ends[own.stop])),
        torch.from_numpy(np.repeat(np.arange(len(items)), counts)),
        clips_of(items[own], stores, config),
        torch.from_numpy(token_ids),
    )
