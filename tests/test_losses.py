"""Losses against loops written from their definitions."""

import math

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="needs the train extra")

from training.losses import cross_modal_info_nce, max_margin, similarity_distillation, soft_tags  # noqa: E402


def test_max_margin_is_the_mean_hinge_of_equations_9_and_10() -> None:
    s = np.random.default_rng(0).uniform(-1, 1, (4, 4))
    hinges = []
    for i in range(4):
        for j in range(4):
            if i != j:
                hinges += [max(0, 0.2 + s[i, j] - s[i, i]), max(0, 0.2 + s[j, i] - s[i, i])]
    found = max_margin(torch.from_numpy(s), torch.eye(4, dtype=torch.bool), margin=0.2)
    assert math.isclose(found.item(), np.mean(hinges), rel_tol=1e-9)


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
