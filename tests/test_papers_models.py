"""The papers' retrieval models against loops written from their equations, and against their published sizes."""

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="needs the train extra")

import torch.nn.functional as F  # noqa: E402
from torch import Tensor, nn  # noqa: E402

from tests.experts_case import EXPERTS, config  # noqa: E402
from training.experts.expert import Expert, ExpertBatch  # noqa: E402
from training.papers.collaborative import CollaborativeExperts  # noqa: E402
from training.papers.config import VGGISH, VGGSOUND, PaperConfig  # noqa: E402
from training.papers.joint import similarity  # noqa: E402
from training.papers.models import build, parameters  # noqa: E402
from training.papers.norm import SyncedNorm, of_rows  # noqa: E402

TOLERANCE = 1e-5
"""fp32 sums in another order: unit vectors part by 1e-6."""
KINDS = ("moee", "ce", "dual")


def batch_of(rng: np.random.Generator, clips: int = 6, missing: tuple[tuple[int, str], ...] = ()) -> ExpertBatch:
    """Clips of 3 to 14 frames each, so that some are padded and some are cut."""
    rows = [
        {e.name: rng.standard_normal((int(rng.integers(3, 15)), e.width)).astype(np.float32) for e in EXPERTS}
        for _ in range(clips)
    ]
    for row, name in missing:
        del rows[row][name]
    return ExpertBatch.of(EXPERTS, rows)


def trained(model: nn.Module) -> nn.Module:
    """Statistics and biases as after training: the defaults of 0 and 1 would hide a norm that is left out."""
    generator = torch.Generator().manual_seed(3)
    for module in model.modules():
        if isinstance(module, nn.BatchNorm1d):
            module.running_mean.normal_(0, 0.1, generator=generator)
            module.running_var.uniform_(0.5, 2, generator=generator)
            nn.init.normal_(module.weight, 1, 0.2, generator=generator)
            nn.init.normal_(module.bias, 0, 0.2, generator=generator)
    return model.eval()


def model_of(kind: str, **settings: object) -> nn.Module:
    torch.manual_seed(0)
    table = torch.randn(9, 300)
    table[0] = 0
    return trained(build(config(kind, **settings), table))


TOKENS = torch.tensor([[1, 2, 3, 0], [4, 0, 0, 0], [5, 6, 7, 8], [2, 2, 0, 0]])


@pytest.mark.parametrize(
    ("kind", "experts", "expected"),
    [
        ("moee", (VGGISH, VGGSOUND), 8.90),
        ("ce", (VGGISH, VGGSOUND), 21.86),
        ("ce", (VGGISH,), 7.39),
        ("ce", (VGGSOUND,), 12.12),
    ],
)
def test_the_models_have_the_published_numbers_of_parameters(
    kind: str, experts: tuple[Expert, ...], expected: float
) -> None:
    assert round(parameters(build(PaperConfig(kind, experts), torch.zeros(2, 300))) / 1e6, 2) == expected


def test_the_dual_encoder_of_cnn14_has_the_papers_projections() -> None:
    cnn14 = Expert("cnn14", 2048, 31, clusters=12)
    wide = PaperConfig("dual", (cnn14,), audio_pooling="netrvlad", text_pooling="netrvlad", text_ghosts=0)
    model = build(wide, torch.zeros(2, 300))
    assert round(parameters(model.audio_tower.project) / 1e6, 1) == 50.3
    assert round(parameters(model.text_tower.project) / 1e6, 1) == 12.3
    gates = parameters(model.audio_tower.gate.linear) + parameters(model.text_tower.gate.linear)
    assert round(gates / 1e6, 1) == 8.4


def norm(layer: nn.BatchNorm1d, x: Tensor) -> Tensor:
    """One vector (C,) through a batch norm at inference, from its definition."""
    return (x - layer.running_mean) / (layer.running_var + layer.eps).sqrt() * layer.weight + layer.bias


def gated(unit: nn.Module, x: Tensor) -> Tensor:
    """A gated embedding unit of one vector."""
    y = unit.project.weight @ x + unit.project.bias
    y = y * torch.sigmoid(norm(unit.gate.norm, unit.gate.linear.weight @ y + unit.gate.linear.bias))
    return y / y.norm()


def vlad(pool: nn.Module, x: Tensor) -> Tensor:
    """NetVLAD of one sequence (S, D) without padding, cluster by cluster."""
    kept = pool.centres.shape[1]
    shares = torch.stack([norm(pool.norm, frame @ pool.assignment).softmax(dim=0)[:kept] for frame in x])
    columns = []
    for k in range(kept):
        total = sum(shares[s, k] * (x[s] - pool.centres[:, k]) for s in range(len(x)))
        columns.append(total / total.norm())
    flat = torch.stack(columns, dim=1).reshape(-1)
    return flat / flat.norm()


def pooled(model: nn.Module, batch: ExpertBatch, clip: int) -> dict[int, Tensor]:
    """The descriptors of the experts that a clip has."""
    own = {n: batch.features[e.name][clip][batch.masks[e.name][clip]] for n, e in enumerate(EXPERTS)}
    return {n: vlad(model.pools.pools[n], x) for n, x in own.items() if len(x)}


def caption_score(model: nn.Module, tokens: Tensor, experts: dict[int, Tensor]) -> float:
    """Sum over the clip's experts of renormalised weight times cosine."""
    side = model.text_side
    text = vlad(side.pool, side.words[tokens[tokens > 0]])
    weights = (side.mix.weight @ text + side.mix.bias).softmax(dim=0)
    total = sum(float(weights[n]) for n in experts)
    return sum(float(weights[n]) / total * float(gated(side.embed[n], text) @ y) for n, y in experts.items())


def collaborated(model: nn.Module, reduced: dict[int, Tensor], *, overwrite: bool) -> dict[int, Tensor]:
    """Collaborative gating of one clip's experts, by its equations."""
    current, out = dict(reduced), {}
    for i in reduced:
        masks = []
        for j in reduced:
            h = model.pairs.join.weight @ torch.cat((current[i], current[j])) + model.pairs.join.bias
            for layer, linear in zip(model.pairs.norms, model.pairs.linears, strict=True):
                n = norm(layer, h)
                h = linear.weight @ (n * torch.tanh(torch.log1p(torch.exp(n)))) + linear.bias
            masks.append(h)
        gate = model.gates[i]
        own = gate.linear.weight @ current[i] + gate.linear.bias
        mask = norm(gate.mask_norm, sum(masks) / len(masks))
        y = current[i] * torch.sigmoid(mask + norm(gate.norm, own))
        out[i] = y / y.norm()
        if overwrite:
            current[i] = out[i]
    return out


@pytest.mark.parametrize("missing", [(), ((2, "far"), (4, "near"))])
@pytest.mark.parametrize(("kind", "overwrite"), [("moee", False), ("ce", False), ("ce", True)])
@torch.no_grad()
def test_scores_are_those_of_a_loop_over_captions_clips_and_experts(
    kind: str, overwrite: bool, missing: tuple[tuple[int, str], ...]
) -> None:
    model = model_of(kind, overwrite=overwrite)
    batch = batch_of(np.random.default_rng(1), missing=missing)
    audio, available, text, weights = model(batch, TOKENS)
    found = similarity(text, weights, audio, available)
    for clip in range(6):
        descriptors = pooled(model, batch, clip)
        if kind == "moee":
            experts = {n: gated(model.embed[n], x) for n, x in descriptors.items()}
        else:
            reduced = {n: model.reduce[n](x) for n, x in descriptors.items()}
            reduced = {n: x / x.norm() for n, x in reduced.items()}
            experts = collaborated(model, reduced, overwrite=overwrite)
        for caption, tokens in enumerate(TOKENS):
            assert found[caption, clip].item() == pytest.approx(caption_score(model, tokens, experts), abs=TOLERANCE)


@torch.no_grad()
def test_the_authors_order_differs_from_the_papers_for_the_second_expert_alone() -> None:
    ours, theirs = (model_of("ce", overwrite=overwrite) for overwrite in (False, True))
    batch = batch_of(np.random.default_rng(2))
    a, b = ours.audio(batch)[0].split(16, dim=1), theirs.audio(batch)[0].split(16, dim=1)
    assert torch.equal(a[0], b[0])
    assert (a[1] - b[1]).abs().max() > 1e-4


@pytest.mark.parametrize("kind", ["moee", "ce"])
@torch.no_grad()
def test_what_a_missing_expert_holds_changes_nothing(kind: str) -> None:
    model = model_of(kind)
    batch = batch_of(np.random.default_rng(1), missing=((2, "far"),))
    before = similarity(*reversed_pairs(model(batch, TOKENS)))
    batch.features["far"][2] = 1e3
    batch.masks["far"][2] = True
    after = similarity(*reversed_pairs(model(batch, TOKENS)))
    assert torch.equal(before, after)


def reversed_pairs(found: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    audio, available, text, weights = found
    return text, weights, audio, available


def test_a_clip_without_any_expert_scores_nothing() -> None:
    text, weights = torch.ones(2, 4), torch.ones(2, 2) / 2
    assert not similarity(text, weights, torch.zeros(1, 4), torch.zeros(1, 2, dtype=torch.bool)).any()


@pytest.mark.parametrize("kind", KINDS)
def test_padding_changes_nothing_unless_it_is_to_count_as_in_the_papers(kind: str) -> None:
    batch = batch_of(np.random.default_rng(3))
    wider = ExpertBatch(
        {name: F.pad(x, (0, 0, 0, 5), value=7.0) for name, x in batch.features.items()},
        {name: F.pad(mask, (0, 5)) for name, mask in batch.masks.items()},
        batch.available,
    )
    for training in (False, True):
        masked = model_of(kind).train(training)
        # statistics over the same rows, products of other lengths
        assert torch.allclose(masked.audio(batch)[0], masked.audio(wider)[0], atol=TOLERANCE)
    padded = model_of(kind, padded=True)
    assert (padded.audio(batch)[0] - model_of(kind).audio(batch)[0]).abs().max() > 1e-3
    assert torch.allclose(padded.audio(batch)[0], padded.audio(wider)[0], atol=TOLERANCE)


@pytest.mark.parametrize("kind", ["moee", "ce"])
def test_a_missing_expert_has_no_part_in_the_batch_norms(kind: str) -> None:
    model = model_of(kind).train()
    batch = batch_of(np.random.default_rng(4), missing=((1, "far"), (5, "far")))
    loss = similarity(*reversed_pairs(model(batch, TOKENS))).sum()
    loss.backward()
    noisy = model_of(kind).train()
    batch.features["far"][[1, 5]] = 1e3
    similarity(*reversed_pairs(noisy(batch, TOKENS))).sum().backward()
    for (name, weight), other in zip(model.named_parameters(), noisy.parameters(), strict=True):
        assert torch.equal(weight.grad, other.grad), name
    for (name, kept), other in zip(model.named_buffers(), noisy.buffers(), strict=True):
        assert torch.equal(kept, other), name


def test_pairs_have_statistics_of_their_own_in_training_as_in_the_authors_loop() -> None:
    model = model_of("ce").train()
    assert isinstance(model, CollaborativeExperts)
    generator = torch.Generator().manual_seed(0)
    own, other = torch.randn(2, 8, 16, generator=generator)
    found = model.pairs(own, torch.stack((own, other), dim=1), [None, None])
    for j, second in enumerate((own, other)):
        h = model.pairs.join(torch.cat((own, second), dim=1))
        for layer, linear in zip(model.pairs.norms, model.pairs.linears, strict=True):
            h = F.batch_norm(h, None, None, layer.weight, layer.bias, training=True)
            h = linear(F.mish(h))
        # batch statistics divide by standard deviations: fp32 errors grow with them
        assert torch.allclose(found[:, j], h, atol=1e-4)


def test_a_fixed_vector_is_an_expert_without_pooling() -> None:
    inst = Expert("inst", 32, 1)
    models = [build(PaperConfig(kind, (VGGISH, inst)), torch.randn(4, 300)).eval() for kind in ("moee", "ce")]
    rows = [{"vggish": np.ones((4, 128), np.float32), "inst": np.ones((1, 32), np.float32)}]
    for model, width in zip(models, (128 + 32, 2 * 768), strict=True):
        audio, available = model.audio(ExpertBatch.of((VGGISH, inst), rows))
        assert audio.shape == (1, width) and available.all()


def test_a_synced_norm_alone_is_torchs_and_takes_one_row_and_none() -> None:
    ours, theirs = SyncedNorm(5), nn.BatchNorm1d(5)
    x = torch.randn(7, 5, generator=torch.Generator().manual_seed(0)) * 3 + 1
    assert torch.allclose(ours(x), theirs(x), atol=1e-6)  # the same two passes in another order
    assert torch.allclose(ours.running_var, theirs.running_var, atol=1e-6)
    kept = ours.running_var.clone()
    assert torch.equal(ours(x[:1]), ours.bias[None])
    assert ours(x[:0]).shape == (0, 5)
    assert torch.equal(ours.running_var, kept)
    rows = torch.tensor([True, False, True, True, False, True, True])
    assert torch.equal(of_rows(ours, rows, x)[~rows], torch.zeros(2, 5))
