"""Ranger against its papers' equations step by step, and against torch's RAdam where the two agree."""

import math

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="needs the train extra")

from training.papers.ranger import Ranger  # noqa: E402

STEPS = 40
"""Past the fifth and sixth steps, where rectification and the first look ahead begin."""


def gradients() -> list[np.ndarray]:
    rng = np.random.default_rng(0)
    return [rng.standard_normal((3, 2)) * scale for scale in rng.uniform(0.1, 3, STEPS)]


def by_the_papers(start: np.ndarray, *, lr: float, decay: float, k: int, alpha: float) -> list[np.ndarray]:
    """Algorithm 2 of Liu et al. 2019 inside algorithm 1 of Zhang et al. 2019, in float64."""
    b1, b2, eps = 0.95, 0.999, 1e-5
    theta, slow = start.copy(), start.copy()
    m, v = np.zeros_like(start), np.zeros_like(start)
    longest = 2 / (1 - b2) - 1
    path = []
    for t, g in enumerate(gradients(), start=1):
        m = b1 * m + (1 - b1) * g
        v = b2 * v + (1 - b2) * g**2
        unbiased = m / (1 - b1**t)
        length = longest - 2 * t * b2**t / (1 - b2**t)
        theta = theta - lr * decay * theta
        if length > 5:
            r = math.sqrt((length - 4) * (length - 2) * longest / ((longest - 4) * (longest - 2) * length))
            # epsilon stands beside the root of v, before its bias is corrected, as in both implementations
            theta = theta - lr * r * unbiased * math.sqrt(1 - b2**t) / (np.sqrt(v) + eps)
        else:
            theta = theta - lr * unbiased
        if t % k == 0:
            slow = slow + alpha * (theta - slow)
            theta = slow.copy()
        path.append(theta.copy())
    return path


def walked(optimiser: torch.optim.Optimizer, p: torch.nn.Parameter, steps: list[np.ndarray]) -> list[np.ndarray]:
    path = []
    for g in steps:
        p.grad = torch.from_numpy(g)
        optimiser.step()
        path.append(p.detach().numpy().copy())
    return path


def start() -> torch.nn.Parameter:
    return torch.nn.Parameter(torch.from_numpy(np.linspace(-1, 2, 6).reshape(3, 2)))


@pytest.mark.parametrize(("lr", "decay", "k", "alpha"), [(0.01, 1e-3, 6, 0.5), (0.1, 0.1, 4, 0.3)])
def test_every_step_is_the_papers(lr: float, decay: float, k: int, alpha: float) -> None:
    p = start()
    expected = by_the_papers(p.detach().numpy(), lr=lr, decay=decay, k=k, alpha=alpha)
    found = walked(Ranger([p], lr=lr, weight_decay=decay, k=k, alpha=alpha), p, gradients())
    np.testing.assert_allclose(found, expected, rtol=1e-10)  # float64 on both sides


def test_without_looking_back_it_is_torchs_radam() -> None:
    p, q = start(), start()
    ours = walked(Ranger([p], alpha=1.0), p, gradients())
    settings = {"lr": 0.01, "betas": (0.95, 0.999), "eps": 1e-5, "weight_decay": 1e-3}
    theirs = walked(torch.optim.RAdam([q], decoupled_weight_decay=True, **settings), q, gradients())
    np.testing.assert_allclose(ours, theirs, rtol=1e-12)


def test_its_state_goes_on_where_it_was_saved() -> None:
    p = start()
    whole = walked(Ranger([p]), p, gradients())
    p = start()
    first = Ranger([p])
    walked(first, p, gradients()[:9])
    q = torch.nn.Parameter(p.detach().clone())
    second = Ranger([q], lr=9.0)
    second.load_state_dict(first.state_dict())
    np.testing.assert_array_equal(walked(second, q, gradients()[9:]), whole[9:])


def test_settings_that_make_no_sense_are_refused() -> None:
    with pytest.raises(ValueError, match="k of 1 or more"):
        Ranger([start()], k=0)
