"""Poolings and the towers, against loops written from the paper's equations."""

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="needs the train extra")

from training.pooling import LstmPool, MaxPool, MeanPool, NetRVLAD, NetVLAD, pooling  # noqa: E402
from training.retrieval import DualEncoder, RetrievalConfig  # noqa: E402

pytestmark = pytest.mark.usefixtures("one_torch_thread")


def vlad_by_the_equation(
    x: np.ndarray, weights: np.ndarray, scale: np.ndarray, shift: np.ndarray, centres: np.ndarray
) -> np.ndarray:
    """Eq. 5 with the batch norm as (scale, shift), then both L2s; x (S, D) of one clip. `centres (D, K)`: NetVLAD's;
    weights beyond K are ghosts'."""
    width, clusters = centres.shape
    descriptor = np.zeros((width, clusters))
    for row in x:
        logits = [
            sum(row[d] * weights[d, k] for d in range(width)) * scale[k] + shift[k] for k in range(weights.shape[1])
        ]
        exponents = np.exp(np.array(logits) - max(logits))
        for k in range(clusters):
            descriptor[:, k] += exponents[k] / exponents.sum() * (row - centres[:, k])
    descriptor /= np.linalg.norm(descriptor, axis=0)
    flat = np.array([descriptor[d, k] for d in range(width) for k in range(clusters)])
    return flat / np.linalg.norm(flat)


def lstm_by_the_equations(x: np.ndarray, lstm: torch.nn.LSTM) -> np.ndarray:
    """States (S, H) of Hochreiter and Schmidhuber's cell with a forget gate, from 0."""

    def sigmoid(z: np.ndarray) -> np.ndarray:
        return 1 / (1 + np.exp(-z))

    from_input, from_state = lstm.weight_ih_l0.detach().double().numpy(), lstm.weight_hh_l0.detach().double().numpy()
    bias = (lstm.bias_ih_l0 + lstm.bias_hh_l0).detach().double().numpy()
    state = cell = np.zeros(lstm.hidden_size)
    states = []
    for row in x:
        let_in, forget, new, let_out = np.split(from_input @ row + from_state @ state + bias, 4)
        cell = sigmoid(forget) * cell + sigmoid(let_in) * np.tanh(new)
        state = sigmoid(let_out) * np.tanh(cell)
        states.append(state)
    return np.stack(states)


def unit(x: np.ndarray) -> np.ndarray:
    return x / np.linalg.norm(x, axis=-1, keepdims=True)


def by_the_equations(pool: torch.nn.Module, x: np.ndarray) -> np.ndarray:
    """What `pool` should make of x (S, D), all of it true elements, in float64."""
    if isinstance(pool, NetRVLAD | NetVLAD):
        norm, weights = pool.norm, pool.assignment.detach().double().numpy()
        scale = (norm.weight / (norm.running_var + norm.eps).sqrt()).detach().double().numpy()
        shift = norm.bias.detach().double().numpy() - norm.running_mean.double().numpy() * scale
        centred = isinstance(pool, NetVLAD)
        return vlad_by_the_equation(
            x, weights, scale, shift, pool.centres.detach().double().numpy() if centred else np.zeros_like(weights)
        )
    if isinstance(pool, MaxPool):
        return np.array([max(row[d] for row in x) for d in range(x.shape[1])])
    rows = lstm_by_the_equations(x, pool.lstm) if isinstance(pool, LstmPool) else x
    return unit(sum(unit(row) for row in rows) / len(rows))


CASES = [
    {"name": "mean"},
    {"name": "max"},
    {"name": "lstm", "lstm_width": 5},
    {"name": "netvlad", "clusters": 3},
    {"name": "netvlad", "clusters": 3, "ghosts": 2},
    {"name": "netrvlad", "clusters": 3},
]


def random_pool(settings: dict) -> torch.nn.Module:
    """Its batch norm, where it has one, far from the identity."""
    torch.manual_seed(0)
    pool = pooling(width=7, **settings)
    for module in pool.modules():
        if isinstance(module, torch.nn.BatchNorm1d):
            torch.nn.init.normal_(module.weight, 1, 0.2)
            torch.nn.init.normal_(module.bias)
            module.running_mean.normal_()
            module.running_var.uniform_(0.5, 2)
    return pool.eval()


@pytest.mark.parametrize("settings", CASES, ids=str)
def test_each_pooling_is_its_equation(settings: dict) -> None:
    pool = random_pool(settings)
    x = np.random.default_rng(1).standard_normal((2, 5, 7)).astype(np.float32)
    lengths = [5, 3]
    mask = torch.arange(5)[None] < torch.tensor(lengths)[:, None]
    found = pool(torch.from_numpy(x), mask).detach().numpy()
    assert found.shape == (2, pool.out_width)
    for row, length in enumerate(lengths):
        # float32 against float64
        np.testing.assert_allclose(found[row], by_the_equations(pool, x[row, :length].astype(np.float64)), atol=1e-6)


@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize("settings", CASES, ids=str)
def test_padding_changes_nothing(settings: dict, training: bool) -> None:
    pool = random_pool(settings).train(training)
    x = torch.randn(3, 5, 7)
    mask = torch.arange(5)[None] < torch.tensor([5, 2, 3])[:, None]
    other = x.masked_scatter(~mask[..., None].expand_as(x), torch.full((35,), 1e3))
    torch.testing.assert_close(pool(x, mask), pool(other, mask))
    longer = torch.cat((x, torch.randn(3, 4, 7)), dim=1)
    torch.testing.assert_close(pool(x, mask), pool(longer, torch.nn.functional.pad(mask, (0, 4))))


@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize("settings", [case for case in CASES if case["name"] not in ("mean", "lstm")], ids=str)
def test_the_papers_padding_counts_as_elements_that_are_zero(settings: dict, training: bool) -> None:
    padded = random_pool(settings | {"padded_to": 6}).train(training)
    masked = random_pool(settings).train(training)
    x, mask = torch.randn(2, 4, 7), torch.tensor([[True] * 4, [True, True, False, False]])
    zeros = torch.cat((x * mask[..., None], torch.zeros(2, 2, 7)), dim=1)
    torch.testing.assert_close(padded(x, mask), masked(zeros, torch.ones(2, 6, dtype=torch.bool)))
    longer = torch.randn(2, 9, 7)
    whole = torch.ones(2, 9, dtype=torch.bool)
    torch.testing.assert_close(padded(longer, whole), masked(longer[:, :6], whole[:, :6]))  # cut to it, as theirs


@pytest.mark.parametrize("name", ["mean", "lstm"])
def test_the_paper_masked_padding_of_mean_and_lstm_too(name: str) -> None:
    x, mask = torch.randn(2, 4, 7), torch.tensor([[True] * 4, [True, True, False, False]])
    padded, masked = (random_pool({"name": name, "padded_to": length}) for length in (6, 0))
    torch.testing.assert_close(padded(x, mask), masked(x, mask))


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
    with pytest.raises(ValueError, match="'median' is not known; there are mean, max, lstm, netvlad, netrvlad"):
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


def test_concepts_are_class_names_mixed_by_their_probabilities() -> None:
    torch.manual_seed(0)
    config = RetrievalConfig(segment_width=4, joint_width=6, classes=3, class_hidden=5, concept_gain=0.5)
    model = DualEncoder(config, torch.randn(11, 300)).eval()
    concepts = model.concepts
    concepts.weight.uniform_(0.5, 2)
    concepts.table.normal_()
    segments = torch.randn(1, 3, 4)
    mean = (segments[0, 0] + segments[0, 1]) / 2  # the third is padding
    hidden = concepts.hidden.weight @ mean + concepts.hidden.bias
    hidden = hidden * (hidden + 3).clamp(0, 6) / 6
    likely = 1 / (1 + torch.exp(-(concepts.classify.weight @ hidden + concepts.classify.bias)))
    mixture = sum(likely[c] * concepts.weight[c] * concepts.table[c] for c in range(3))
    mask = torch.tensor([[True, True, False]])
    torch.testing.assert_close(concepts(segments, mask)[0], mixture / mixture.norm())
    tower = model.audio_tower(model.standardise(segments), mask)[0]
    both = tower + 0.5 * mixture / mixture.norm()
    torch.testing.assert_close(model.audio(segments, mask)[0], both / both.norm())


def test_where_the_tower_is_near_what_it_knows_the_tagger_stands_aside() -> None:
    config = RetrievalConfig(
        segment_width=4,
        joint_width=6,
        classes=3,
        class_hidden=5,
        concept_gain=0.5,
        concept_doubt=0.4,
        known=2,
        known_width=3,
    )
    concepts = DualEncoder(config, torch.randn(11, 300)).concepts
    concepts.known.copy_(torch.eye(3)[:2])
    cosines = torch.tensor([1.0, 0.45, 0.4, 0.35, -1.0])  # to the nearer of the two; at right angles to the other
    heard = torch.stack([torch.tensor([0, c, (1 - c * c) ** 0.5, 0, 5, 0]) for c in cosines.tolist()])
    found = concepts.gain(heard)[:, 0]
    assert found[2].item() == pytest.approx(0.25)
    assert found[1].item() == pytest.approx(0.5 / (1 + np.e), abs=1e-6)
    assert found[3].item() == pytest.approx(0.5 * np.e / (1 + np.e), abs=1e-6)
    assert found[0] < 1e-5 and found[4] > 0.499


def test_a_gain_without_classes_is_refused() -> None:
    with pytest.raises(ValueError, match="needs classes and a gain"):
        RetrievalConfig(segment_width=4, concept_gain=0.3)
    with pytest.raises(ValueError, match="known texts are there for a tagger"):
        RetrievalConfig(segment_width=4, known=2, known_width=2)
    for width in (0, 513):
        with pytest.raises(ValueError, match="known texts need 1 to 512 numbers"):
            RetrievalConfig(segment_width=4, classes=3, concept_gain=0.3, known=2, known_width=width)
