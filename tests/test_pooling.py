"""NetRVLAD and the towers, against loops written from the paper's equations."""

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="needs the train extra")

from training.pooling import MeanPool, NetRVLAD, pooling  # noqa: E402
from training.retrieval import DualEncoder, RetrievalConfig  # noqa: E402

pytestmark = pytest.mark.usefixtures("one_torch_thread")


def netrvlad_by_the_equation(x: np.ndarray, weights: np.ndarray, scale: np.ndarray, shift: np.ndarray) -> np.ndarray:
    """Eq. 5 with the batch norm as (scale, shift), then both L2s; x (S, D) of one clip, no padding."""
    width, clusters = weights.shape
    descriptor = np.zeros((width, clusters))
    for row in x:
        logits = [sum(row[d] * weights[d, k] for d in range(width)) * scale[k] + shift[k] for k in range(clusters)]
        exponents = np.exp(np.array(logits) - max(logits))
        for k in range(clusters):
            descriptor[:, k] += exponents[k] / exponents.sum() * row
    descriptor /= np.linalg.norm(descriptor, axis=0)
    flat = np.array([descriptor[d, k] for d in range(width) for k in range(clusters)])
    return flat / np.linalg.norm(flat)


def random_pool(width: int, clusters: int) -> NetRVLAD:
    torch.manual_seed(0)
    pool = NetRVLAD(width, clusters)
    torch.nn.init.normal_(pool.norm.weight, 1, 0.2)
    torch.nn.init.normal_(pool.norm.bias)
    pool.norm.running_mean.normal_()
    pool.norm.running_var.uniform_(0.5, 2)
    return pool.eval()


def test_netrvlad_is_the_equation() -> None:
    pool = random_pool(7, 3)
    x = np.random.default_rng(1).standard_normal((5, 7))
    norm = pool.norm
    scale = (norm.weight / (norm.running_var + norm.eps).sqrt()).detach().double().numpy()
    shift = norm.bias.detach().double().numpy() - norm.running_mean.double().numpy() * scale
    expected = netrvlad_by_the_equation(x, pool.assignment.detach().double().numpy(), scale, shift)
    found = pool(torch.from_numpy(x[None].astype(np.float32)), torch.ones(1, 5, dtype=torch.bool))
    assert found.shape == (1, 21)
    np.testing.assert_allclose(found[0].detach().numpy(), expected, atol=1e-6)  # float32 against float64


@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize("name", ["netrvlad", "mean"])
def test_padding_changes_nothing(name: str, training: bool) -> None:
    torch.manual_seed(0)
    pool = pooling(name, width=6, clusters=4).train(training)
    x = torch.randn(3, 5, 6)
    mask = torch.arange(5)[None] < torch.tensor([5, 2, 3])[:, None]
    other = x.masked_scatter(~mask[..., None].expand_as(x), torch.full((30,), 1e3))
    torch.testing.assert_close(pool(x, mask), pool(other, mask))
    longer = torch.cat((x, torch.randn(3, 4, 6)), dim=1)
    torch.testing.assert_close(pool(x, mask), pool(longer, torch.nn.functional.pad(mask, (0, 4))))


def test_training_takes_its_statistics_from_true_elements_alone() -> None:
    torch.manual_seed(0)
    pool = NetRVLAD(4, 3).train()
    x, mask = torch.randn(2, 3, 4), torch.tensor([[True, True, True], [True, False, False]])
    pool(x, mask)
    logits = (x @ pool.assignment)[mask]
    torch.testing.assert_close(pool.norm.running_mean, 0.1 * logits.mean(dim=0))


def test_mean_pool_is_the_mean_of_unit_vectors() -> None:
    x = torch.tensor([[[3.0, 4.0], [0.0, 2.0], [9.0, 9.0]]])
    found = MeanPool(2)(x, torch.tensor([[True, True, False]]))
    expected = torch.tensor([0.3, 0.9])
    torch.testing.assert_close(found[0], expected / expected.norm())


def test_an_unknown_pooling_is_named() -> None:
    with pytest.raises(ValueError, match="'median' is not known; there are netrvlad, mean"):
        pooling("median", width=4, clusters=2)


def test_both_towers_give_unit_vectors_and_gate_as_equation_7() -> None:
    torch.manual_seed(0)
    model = DualEncoder(RetrievalConfig(segment_width=8, word_width=5, joint_width=6), torch.randn(11, 5)).eval()
    audio = model.audio(torch.randn(4, 3, 8), torch.ones(4, 3, dtype=torch.bool))
    text = model.text(torch.tensor([[1, 2, 0], [3, 4, 5]]))
    for embedding in (audio, text):
        torch.testing.assert_close(embedding.norm(dim=1), torch.ones(len(embedding)))
    x = torch.randn(4, 6)
    gate = model.audio_tower.gate
    expected = x / (1 + torch.exp(-gate.norm(gate.linear(x))))
    torch.testing.assert_close(gate(x), expected)
