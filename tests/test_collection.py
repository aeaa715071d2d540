"""Captioned collections, and batches of several experts' features."""

import itertools

import numpy as np
import pytest

from training.datasets.collection import Collection, Item, Skipped
from training.experts.expert import Expert, ExpertBatch


def items(train: int = 20, others: int = 3) -> tuple[Item, ...]:
    made = [Item(f"a{i}", "train", (f"sound {i}",)) for i in range(train)]
    return tuple(made + [Item(f"{split}{i}", split, ("a", "b")) for split in ("val", "test") for i in range(others)])


def test_a_share_takes_training_items_alone_and_larger_shares_hold_smaller_ones() -> None:
    whole = Collection("x", items())
    parts = [{item.id for item in whole.share(percent, seed=3).items} for percent in (10, 25, 50, 75, 100)]
    assert [len(part) - 6 for part in parts] == [2, 5, 10, 15, 20]
    assert all(small < large for small, large in itertools.pairwise(parts))
    assert parts[-1] == {item.id for item in whole.items}
    assert whole.share(10, seed=4).items != whole.share(10, seed=3).items
    with pytest.raises(ValueError, match="0 and at most 100"):
        whole.share(0, seed=0)


def test_what_is_left_out_is_told_and_gone() -> None:
    less = Collection("x", items()).without([Skipped("a3", "train", "no audio")])
    assert len(less.part("train")) == 19 and less.skipped[0].reason == "no audio"
    with pytest.raises(ValueError, match="no split"):
        less.part("dev")


@pytest.mark.parametrize("captions", [(), ("",), ("a dog", "  ")])
def test_an_empty_caption_is_refused(captions: tuple[str, ...]) -> None:
    with pytest.raises(ValueError, match="caption is empty"):
        Item("a", "train", captions)


def test_an_id_stands_once() -> None:
    with pytest.raises(ValueError, match="'a'"):
        Collection("x", (Item("a", "train", ("b",)), Item("a", "test", ("b",))))


def test_a_batch_pads_cuts_and_knows_what_is_missing() -> None:
    experts = [Expert("one", 3, 4), Expert("two", 2, 1)]
    long, short = np.ones((6, 3), np.float32), np.full((2, 3), 2, np.float32)
    rows = [{"one": long, "two": np.ones((1, 2), np.float32)}, {"one": short, "two": None}, {"one": long * np.nan}]
    batch = ExpertBatch.of(experts, rows)
    assert batch.features["one"].shape == (3, 4, 3) and batch.features["two"].shape == (3, 1, 2)
    assert batch.masks["one"].tolist() == [[True] * 4, [True, True, False, False], [False] * 4]
    assert batch.available.tolist() == [[True, True], [True, False], [False, False]]
    assert not batch.features["one"][2].any() and not batch.features["one"][1, 2:].any()
    assert experts[1].fixed and not experts[0].fixed
    with pytest.raises(ValueError, match=r"\(T, 2\)"):
        ExpertBatch.of(experts, [{"two": short}])
