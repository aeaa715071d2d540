"""Losses against loops written from their definitions."""

import math

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="needs the train extra")

from training.losses import (  # noqa: E402
    caption_bank,
    cross_modal_info_nce,
    max_margin,
    shortened,
    similarity_distillation,
    soft_tags,
)


def test_max_margin_is_the_mean_hinge_of_equations_9_and_10() -> None:
    s = np.random.default_rng(0).uniform(-1, 1, (4, 4))
    hinges = []
    for i in range(4):
        for j in range(4):
            if i != j:
                hinges += [max(0, 0.2 + s[i, j] - s[i, i]), max(0, 0.2 + s[j, i] - s[i, i])]
    found = max_margin(torch.from_numpy(s), torch.eye(4, dtype=torch.bool), margin=0.2)
    assert math.isclose(found.item(), np.mean(hinges), rel_tol=1e-9)
    as_printed = max_margin(torch.from_numpy(s), torch.eye(4, dtype=torch.bool), margin=0.2, by_batch=True)
    assert math.isclose(as_printed.item(), np.sum(hinges) / 4, rel_tol=1e-9)


def test_max_margin_takes_no_positive_for_a_negative() -> None:
    cosines = torch.tensor([[0.1, 0.9], [0.9, 0.1]])
    assert max_margin(cosines, torch.ones(2, 2, dtype=torch.bool)).item() == 0
    assert max_margin(cosines, torch.eye(2, dtype=torch.bool)).item() == pytest.approx(1.0)


def test_info_nce_with_one_positive_each_is_cross_entropy_both_ways() -> None:
    cosines = torch.randn(5, 5, generator=torch.Generator().manual_seed(0))
    target = torch.arange(5)
    logits = cosines / 0.1
    expected = (
        torch.nn.functional.cross_entropy(logits, target) + torch.nn.functional.cross_entropy(logits.T, target)
    ) / 2
    found = cross_modal_info_nce(cosines, torch.eye(5, dtype=torch.bool), torch.tensor(0.1))
    torch.testing.assert_close(found, expected)


def test_info_nce_is_least_when_the_positives_share_the_probability() -> None:
    positive = torch.tensor([[True, True, False], [True, True, False], [False, False, True]])
    at_best = cross_modal_info_nce(positive.float() * 2 - 1, positive, torch.tensor(0.05))
    one_sided = (positive.float() * 2 - 1) - torch.tensor([[0, 0.5, 0], [0, 0, 0], [0, 0, 0]])
    assert at_best < cross_modal_info_nce(one_sided, positive, torch.tensor(0.05))
    assert at_best.item() == pytest.approx(math.log(2) * 2 / 3, abs=1e-6)  # entropy of two equal targets, two rows of 3


def test_soft_tags_ignores_a_clip_whose_teacher_heard_nothing() -> None:
    cosines = torch.tensor([[0.5, -0.5], [-0.5, 0.5]])
    sure = torch.tensor([[0.9, 0.0], [0.0, 0.0]])
    alone = soft_tags(cosines[:1], sure[:1], torch.tensor(0.1))
    torch.testing.assert_close(soft_tags(cosines, sure, torch.tensor(0.1)), alone)
    assert soft_tags(-cosines[:1], sure[:1], torch.tensor(0.1)) > alone


def test_similarity_distillation_is_zero_only_for_the_teachers_own_similarities() -> None:
    torch.manual_seed(0)
    teacher = torch.nn.functional.normalize(torch.randn(6, 9), dim=1)
    turned = teacher @ torch.linalg.qr(torch.randn(9, 9)).Q  # a rotation keeps every similarity
    assert similarity_distillation(turned, teacher).item() == pytest.approx(0, abs=1e-5)
    other = torch.nn.functional.normalize(torch.randn(6, 9), dim=1)
    assert similarity_distillation(other, teacher).item() > 0.1


def test_caption_bank_is_the_mean_kl_to_the_teacher_over_captions_and_over_clips() -> None:
    rng = np.random.default_rng(0)
    cosines, likeness = rng.uniform(-1, 1, (3, 5)), rng.uniform(-1, 1, (3, 5))

    def softmax(row: np.ndarray, temperature: float) -> np.ndarray:
        exponents = np.exp(row / temperature)
        return exponents / exponents.sum()

    def divergences(ours: np.ndarray, theirs: np.ndarray) -> list[float]:
        found = []
        for row, wanted in zip(ours, theirs, strict=True):
            p, q = softmax(wanted, 0.05), softmax(row, 0.1)
            found.append(sum(p[i] * math.log(p[i] / q[i]) for i in range(len(p))))
        return found

    expected = (np.mean(divergences(cosines, likeness)) + np.mean(divergences(cosines.T, likeness.T))) / 2
    found = caption_bank(torch.from_numpy(cosines), torch.from_numpy(likeness), torch.tensor(0.1))
    assert found.item() == pytest.approx(expected, rel=1e-6)


def test_caption_bank_is_zero_where_the_towers_agree_with_the_teacher() -> None:
    likeness = torch.randn(4, 6, generator=torch.Generator().manual_seed(0))
    assert caption_bank(likeness * 2, likeness, torch.tensor(0.1)).item() == pytest.approx(0, abs=1e-5)


def test_still_sounds_are_negatives_of_every_text_and_ask_for_none() -> None:
    rng = np.random.default_rng(0)
    cosines, still = rng.uniform(-1, 1, (3, 3)), rng.uniform(-1, 1, (2, 3))

    def cross_entropy(row: np.ndarray, right: int) -> float:
        return math.log(sum(math.exp(each / 0.1) for each in row)) - row[right] / 0.1

    by_audio = np.mean([cross_entropy(cosines[i], i) for i in range(3)])
    by_text = np.mean([cross_entropy(np.concatenate((cosines[:, j], still[:, j])), j) for j in range(3)])
    own = torch.eye(3, dtype=torch.bool)
    found = cross_modal_info_nce(
        torch.from_numpy(cosines), own, torch.tensor(0.1).double(), still=torch.from_numpy(still)
    )
    assert found.item() == pytest.approx((by_audio + by_text) / 2, rel=1e-6)  # the temperature is a rounded 0.1

    hinges = [max(0, 0.2 + still[n, j] - cosines[j, j]) for n in range(2) for j in range(3)]
    without = max_margin(torch.from_numpy(cosines), own, margin=0.2)
    found = max_margin(torch.from_numpy(cosines), own, margin=0.2, still=torch.from_numpy(still))
    assert found.item() == pytest.approx(without.item() + np.mean(hinges))


def test_a_shortened_embedding_is_its_beginning_at_unit_length() -> None:
    found = shortened(torch.tensor([[3.0, 4.0, 12.0], [0.0, 2.0, -1.0]]), 2)
    torch.testing.assert_close(found, torch.tensor([[0.6, 0.8], [0.0, 1.0]]))
