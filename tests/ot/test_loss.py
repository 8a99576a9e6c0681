import logging
import math

import pytest
import torch

from espnet_otreg.ot import (
    AlignmentConf,
    OTRegLoss,
    align,
    cosine_cost,
    plan_entropy,
    plan_sparsity,
    relative_entropy,
    silence_mass,
    sinkhorn,
    speech_marginal,
    text_marginal,
)
from espnet_otreg.ot.tensors import length_mask

from .problems import INF, RELAXATIONS


def batch(dtype: torch.dtype = torch.double):
    speech = torch.randn(3, 12, 8, dtype=dtype, requires_grad=True)
    text = torch.randn(3, 5, 8, dtype=dtype, requires_grad=True)
    return speech, torch.tensor([12, 7, 1]), text, torch.tensor([5, 2, 3])


def test_the_loss_is_the_mean_of_cost_plus_weighted_sparsity():
    inputs = batch()
    out = OTRegLoss(sparsity_weight=0.25)(*inputs)
    torch.testing.assert_close(out.loss, (out.cost + 0.25 * out.sparsity).mean())
    cost = cosine_cost(inputs[0], inputs[2])
    torch.testing.assert_close(out.cost, (out.plan.coupling * cost).sum((1, 2)))
    for b, frames in enumerate(inputs[1]):
        P = out.plan.coupling[b, :frames]
        norms = (P / P.sum(1, keepdim=True)).norm(dim=1)
        torch.testing.assert_close(out.sparsity[b], (1 - norms).mean())


def test_utterance_weights_weigh_the_mean():
    inputs = batch()
    weight = torch.tensor([1.0, 0.0, 3.0])
    out = OTRegLoss()(*inputs, utterance_weight=weight)
    each = out.cost + 0.1 * out.sparsity
    torch.testing.assert_close(out.loss, (each[0] + 3 * each[2]) / 4)


@pytest.mark.parametrize("relax", RELAXATIONS)
@pytest.mark.parametrize("unroll", [False, True])
def test_the_loss_does_not_depend_on_batch_neighbours_or_padding(relax, unroll):
    speech, n, text, m = batch()
    loss = OTRegLoss(relax_speech=relax[0], relax_text=relax[1], unroll=unroll)
    out = loss(speech, n, text, m)
    grad = torch.autograd.grad((out.cost + out.sparsity).sum(), (speech, text))
    for b in range(3):
        x, y = speech[b : b + 1, : n[b]], text[b : b + 1, : m[b]]
        alone = loss(x, n[b : b + 1], y, m[b : b + 1])
        own = torch.autograd.grad((alone.cost + alone.sparsity).sum(), (speech, text))
        torch.testing.assert_close(out.cost[b], alone.cost[0])
        torch.testing.assert_close(out.sparsity[b], alone.sparsity[0])
        for whole, part, length in zip(grad, own, (n[b], m[b]), strict=True):
            torch.testing.assert_close(whole[b], part[b])
            assert (whole[b, length:] == 0).all()


def test_an_empty_transcript_or_recording_leaves_the_mean_of_the_others():
    speech, n, text, m = batch()
    n, m = torch.tensor([12, 7, 0]), torch.tensor([5, 0, 3])
    out = OTRegLoss()(speech, n, text, m)
    alone = OTRegLoss()(speech[:1], n[:1], text[:1], m[:1])
    torch.testing.assert_close(out.loss, alone.loss)
    out.loss.backward()
    assert (speech.grad[1:] == 0).all() and speech.grad.isfinite().all()


@pytest.mark.parametrize("cost", ["cosine", "sqeuclidean"])
@pytest.mark.parametrize("unroll", [False, True])
@pytest.mark.parametrize("shape", [(12, 5), (0, 5), (12, 0)])
def test_nothing_valid_gives_zero_with_a_graph(cost, unroll, shape):
    speech, _, text, _ = batch()
    nothing = torch.zeros(3, dtype=torch.long)
    loss = OTRegLoss(cost=cost, unroll=unroll)
    out = loss(speech[:, : shape[0]], nothing, text[:, : shape[1]], nothing)
    assert out.loss.item() == 0
    out.loss.backward()
    assert (speech.grad == 0).all()


def half_step(cost, plan, n, m, epsilon: float, k: float) -> torch.Tensor:
    """Sparsity after one token half-step that autograd differentiates, written out."""
    rows, columns = length_mask(n, cost.shape[1]), length_mask(m, cost.shape[2])
    log_a = torch.where(rows, -n.unsqueeze(1).double().log(), -INF)
    log_b = torch.where(columns, -m.unsqueeze(1).double().log(), -INF)
    K = -cost / epsilon
    g = -k * torch.logsumexp(K + (plan.speech_potential + log_a).unsqueeze(2), 1)
    R = torch.softmax(K + (g + log_b).unsqueeze(1), 2)
    return ((1 - R.norm(dim=2)) * rows).sum(1) / n


@pytest.mark.parametrize("relax", RELAXATIONS)
def test_the_sparsity_gradient_is_that_of_one_differentiated_half_step(relax):
    speech, n, text, m = batch()
    cost = cosine_cost(speech, text).detach().requires_grad_()
    options = {"epsilon": 0.2, "relax_speech": relax[0], "relax_text": relax[1]}
    plan = sinkhorn(cost, n, m, **options)
    ours = plan_sparsity(plan, cost, n, epsilon=0.2, relax_text=relax[1])
    k = 1.0 if math.isinf(relax[1]) else relax[1] / (relax[1] + 0.2)
    reference = half_step(cost, plan, n, m, 0.2, k)
    torch.testing.assert_close(ours, reference)
    (gradient,) = torch.autograd.grad(ours.sum(), cost)
    torch.testing.assert_close(gradient, torch.autograd.grad(reference.sum(), cost)[0])


def noisy_speech(text: torch.Tensor, frames: int, noise: float) -> torch.Tensor:
    order = torch.randint(text.shape[1], (text.shape[0], frames)).sort(1).values
    clean = text.gather(1, order.unsqueeze(2).expand(-1, -1, text.shape[2]))
    return clean + noise * torch.randn_like(clean)


@pytest.mark.parametrize("relax", RELAXATIONS)
def test_the_sparsity_gradient_is_not_zero_and_points_where_the_unrolled_one_does(relax):
    text = torch.randn(4, 6, 16, dtype=torch.double)
    speech = noisy_speech(text, 30, 1.0).requires_grad_()
    n, m = torch.full((4,), 30), torch.full((4,), 6)
    options = {"relax_speech": relax[0], "relax_text": relax[1], "max_iters": 200, "tol": 0.0}
    gradients = []
    for unroll in (False, True):
        out = OTRegLoss(unroll=unroll, **options)(speech, n, text, m)
        gradients.append(torch.autograd.grad(out.sparsity.sum(), speech)[0].flatten())
    assert gradients[0].norm() > 0
    assert torch.cosine_similarity(*gradients, dim=0) > 0.85


def test_descending_the_loss_lowers_cost_and_sparsity():
    text = torch.randn(2, 5, 8)
    speech = noisy_speech(text, 20, 1.0).requires_grad_()
    n, m = torch.full((2,), 20), torch.full((2,), 5)
    loss = OTRegLoss(sparsity_weight=1.0)
    before = loss(speech, n, text, m)
    optimiser = torch.optim.Adam([speech], lr=0.05)
    for _ in range(20):
        optimiser.zero_grad()
        loss(speech, n, text, m).loss.backward()
        optimiser.step()
    after = loss(speech, n, text, m)
    assert (after.cost < before.cost).all() and (after.sparsity < before.sparsity).all()


def test_weight_zero_leaves_the_sparsity_out():
    out = OTRegLoss(sparsity_weight=0)(*batch())
    assert out.sparsity.tolist() == [0, 0, 0]
    torch.testing.assert_close(out.loss, out.cost.mean())


def test_a_frame_that_a_relaxed_plan_drops_has_no_sparsity_and_finite_gradients():
    speech, n, text, m = batch(torch.float32)
    loss = OTRegLoss(relax_speech=0.002, epsilon=0.03)
    with torch.no_grad():
        speech[0, 0] = -text[0].sum(0)
    out = loss(speech, n, text, m)
    out.loss.backward()
    assert out.loss.isfinite() and speech.grad.isfinite().all()


def test_bfloat16_under_autocast_equals_single_precision():
    text = torch.randn(3, 5, 8).bfloat16()
    speech = noisy_speech(text, 12, 0.5)
    n, m = torch.tensor([12, 7, 1]), torch.tensor([5, 2, 3])
    expected = OTRegLoss()(speech.float(), n, text.float(), m)
    speech.requires_grad_()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        out = OTRegLoss()(speech, n, text, m)
    assert out.loss.dtype == torch.float32
    torch.testing.assert_close(out.loss, expected.loss, atol=1e-3, rtol=0)
    torch.testing.assert_close(out.plan.coupling, expected.plan.coupling, atol=1e-3, rtol=0)
    out.loss.backward()
    assert speech.grad.dtype == torch.bfloat16 and speech.grad.isfinite().all()


def test_a_prior_moves_the_plan():
    inputs = batch()
    prior = torch.zeros(12, 5, dtype=torch.double)
    prior[:, 0] = 10
    free = OTRegLoss(relax_text=0.1)(*inputs, prior=prior)
    assert text_marginal(free.plan)[0, 0] < 1e-6


def test_the_loss_saves_few_matrices_for_the_backward_pass():
    speech = torch.randn(4, 60, 4, requires_grad=True)
    text = torch.randn(4, 30, 4)
    n, m = torch.full((4,), 60), torch.full((4,), 30)
    held = {}

    def pack(x: torch.Tensor) -> torch.Tensor:
        held[x.untyped_storage().data_ptr()] = x.untyped_storage().nbytes()
        return x

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda x: x):
        OTRegLoss()(speech, n, text, m)
    assert sum(held.values()) / (4 * 60 * 30 * 4) < 5  # plan, sparsity, cosine, two masks, x


def test_a_plan_that_missed_the_tolerance_is_warned_about_once(caplog):
    inputs = batch()
    loss = OTRegLoss(max_iters=1, epsilon=0.02)
    with caplog.at_level(logging.WARNING):
        for _ in range(3):
            loss(*inputs)
    assert len(caplog.records) == 1
    for part in ("1 iterations", "tol=1.0e-03", "Raise max_iters or epsilon"):
        assert part in caplog.text
    caplog.clear()
    OTRegLoss(max_iters=500, epsilon=0.5)(*inputs)
    assert not caplog.records


def test_the_gpu_is_not_waited_for_between_looks_at_the_convergence():
    """A meta tensor has no data, so any look at it raises, as it would stall a GPU."""
    loss = OTRegLoss()
    loss.watch._calls = 1  # the first call looks
    speech, n, text, m = (x.detach().to("meta") for x in batch(torch.float32))
    speech.requires_grad_()
    loss(speech, n, text, m).loss.backward()


@pytest.mark.parametrize(
    ("option", "given", "allowed"),
    [
        ("sparsity_weight", -0.1, "0 or more"),
        ("sparsity_weight", "x", "0 or more"),
        ("cost", "dot", "cosine, sqeuclidean"),
        ("epsilon", 0.0, "above 0"),
        ("relax_text", 0, "or inf"),
        ("method", "quick", "auto, log, exp"),
    ],
)
def test_a_wrong_option_is_refused_when_the_loss_is_built(option, given, allowed):
    with pytest.raises(ValueError) as caught:
        OTRegLoss(**{option: given})
    for part in (option, repr(given), allowed):
        assert part in str(caught.value)


def test_silence_mass_is_the_share_of_the_last_token():
    speech, n, text, m = batch()
    balanced = OTRegLoss(max_iters=500, tol=1e-9)(speech, n, text, m).plan
    torch.testing.assert_close(silence_mass(balanced, m), 1 / m.double())
    relaxed = OTRegLoss(relax_text=0.2, relax_speech=0.3)(speech, n, text, m).plan
    share = torch.stack([relaxed.coupling[b, :, m[b] - 1].sum() for b in range(3)])
    torch.testing.assert_close(silence_mass(relaxed, m), share / relaxed.coupling.sum((1, 2)))
    assert not silence_mass(relaxed, m).requires_grad


def test_plan_entropy_is_zero_for_a_choice_and_log_u_for_none():
    cost = 1 - torch.eye(4, dtype=torch.double).unsqueeze(0)
    n = torch.tensor([4])
    sharp = sinkhorn(cost, n, n, epsilon=0.01)
    flat = sinkhorn(torch.zeros_like(cost), n, n)
    assert plan_entropy(sharp).item() == pytest.approx(0, abs=1e-9)
    assert plan_entropy(flat).item() == pytest.approx(math.log(4))
    torch.testing.assert_close(speech_marginal(flat), torch.full((1, 4), 0.25).double())


def test_relative_entropy_is_of_each_utterances_own_choice():
    cost = torch.zeros(3, 5, 4)
    cost[1] = 1 - torch.eye(5, 4)
    n, m = torch.tensor([5, 4, 3]), torch.tensor([3, 4, 1])
    found = relative_entropy(sinkhorn(cost, n, m, epsilon=0.01), m)
    torch.testing.assert_close(found, torch.tensor([1.0, 0.0, 0.0]), rtol=1e-5, atol=1e-5)
    conf = AlignmentConf(kind="softmax", temperature=1e6)
    speech, text = torch.randn(2, 5, 8), torch.randn(2, 3, 8)
    plan = align(speech, torch.tensor([5, 2]), text, torch.tensor([3, 2]), conf)
    torch.testing.assert_close(relative_entropy(plan, torch.tensor([3, 2])), torch.ones(2))


def test_diagnostics_of_an_empty_utterance_are_zero():
    nothing = torch.zeros(2, dtype=torch.long)
    for tokens in (0, 3):
        plan = sinkhorn(torch.rand(2, 4, tokens), nothing, nothing)
        assert silence_mass(plan, nothing).tolist() == [0, 0]
        assert plan_entropy(plan).tolist() == [0, 0]
        assert relative_entropy(plan, nothing).tolist() == [0, 0]
