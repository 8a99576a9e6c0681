"""Fused Gromov-Wasserstein against POT and against the proximal iteration written out in numpy."""

import math

import numpy as np
import pytest
import torch

from espnet_otreg.ot import cosine_cost, fused_gromov

from .problems import full

ot = pytest.importorskip("ot")
LENGTHS = torch.tensor([14, 9, 5, 1]), torch.tensor([6, 6, 3, 2])


def graphs(dtype: torch.dtype = torch.double):
    """Return node costs (4, 14, 6), both structures, and lengths with one utterance full."""
    speech, text = torch.randn(4, 14, 5, dtype=dtype), torch.randn(4, 6, 5, dtype=dtype)
    node = cosine_cost(speech, text)
    return node, cosine_cost(speech, speech), cosine_cost(text, text), *LENGTHS


def utterance(b: int, node, speech, text, n, m) -> list[np.ndarray]:
    pieces = node[b, : n[b], : m[b]], speech[b, : n[b], : n[b]], text[b, : m[b], : m[b]]
    return [piece.double().numpy() for piece in pieces]


def proximal(M, D, E, alpha: float, beta: float, outer: int, inner: int) -> np.ndarray:
    """The method as loops over matrix entries: kernel P exp(-gradient / beta), scaled."""
    a, b = np.full(len(D), 1 / len(D)), np.full(len(E), 1 / len(E))
    P = np.outer(a, b)
    for _ in range(outer):
        gradient = (1 - alpha) * M
        for i in range(len(D)):
            for j in range(len(E)):
                squares = (a @ D[i] ** 2) + (b @ E[j] ** 2) - 2 * D[i] @ P @ E[j]
                gradient[i, j] += 2 * alpha * squares
        K, v = P * np.exp(-gradient / beta), np.ones(len(E))
        for _ in range(inner):
            u = a / (K @ v)
            v = b / (K.T @ u)
        P = u[:, None] * K * v
    return P


def assert_same_plan(plan: torch.Tensor, b: int, reference: np.ndarray) -> None:
    ours = plan[b, : reference.shape[0], : reference.shape[1]].double().numpy()
    assert np.abs(ours - reference).sum() <= 1e-4 * reference.sum()


@pytest.mark.parametrize("dtype", [torch.float32, torch.double])
@pytest.mark.parametrize(
    ("alpha", "beta", "outer", "inner"),
    [(0.02, 0.5, 5, 20), (0.5, 0.1, 4, 10), (1.0, 0.2, 3, 7), (0.0, 0.05, 6, 20)],
)
def test_plans_equal_the_proximal_iteration_written_as_loops(dtype, alpha, beta, outer, inner):
    cost, *others = graphs(dtype)
    inputs = (cost + torch.rand_like(cost), *others)
    plan = fused_gromov(
        *inputs,
        structure_weight=alpha,
        proximal_weight=beta,
        outer_iters=outer,
        inner_iters=inner,
        tol=0.0,
        cost_range=12.0,
    )
    assert plan.coupling.dtype == dtype
    for b in range(4):
        M, D, E = utterance(b, *inputs)
        assert_same_plan(plan.coupling, b, proximal(M, D, E, alpha, beta, outer, inner))


@pytest.mark.parametrize("dtype", [torch.float32, torch.double])
@pytest.mark.parametrize(("alpha", "beta", "outer"), [(0.02, 0.5, 5), (0.3, 0.2, 4), (0.9, 0.5, 8)])
def test_plans_and_values_agree_with_pots_proximal_solver(dtype, alpha, beta, outer):
    inputs = graphs(dtype)
    options = {"outer_iters": outer, "inner_iters": 500, "tol": 1e-7}
    plan = fused_gromov(*inputs, structure_weight=alpha, proximal_weight=beta, **options)
    for b in range(4):
        reference, log = ot.gromov.entropic_fused_gromov_wasserstein(
            *utterance(b, *inputs),
            alpha=alpha,
            epsilon=beta,
            solver="PPA",
            max_iter=outer,
            tol=0.0,
            log=True,
            numItermax=2000,
            stopThr=1e-9,
        )
        assert_same_plan(plan.coupling, b, reference)
        assert plan.value[b].item() == pytest.approx(log["fgw_dist"], abs=1e-5)


@pytest.mark.parametrize("alpha", [0.02, 0.3, 0.8])
def test_many_steps_end_no_higher_than_pots_conditional_gradient(alpha):
    inputs = graphs()
    options = {"proximal_weight": 0.2, "outer_iters": 100, "inner_iters": 50, "tol": 1e-6}
    plan = fused_gromov(*inputs, structure_weight=alpha, **options)
    for b in range(4):
        problem = utterance(b, *inputs)
        assert plan.value[b] <= ot.gromov.fused_gromov_wasserstein2(*problem, alpha=alpha) + 5e-4


def test_the_structure_term_is_the_fourfold_sum():
    node, speech, text, n, m = graphs()
    plan = fused_gromov(node, speech, text, n, m, structure_weight=0.4, inner_iters=500)
    for b in range(4):
        _, D, E = utterance(b, node, speech, text, n, m)
        P = plan.coupling[b, : n[b], : m[b]].numpy()
        mismatch = (D[:, None, :, None] - E[None, :, None, :]) ** 2
        expected = np.einsum("ijkl,ij,kl->", mismatch, P, P)
        assert plan.structure[b].item() == pytest.approx(expected, abs=1e-3)
        linear = (plan.coupling[b] * node[b]).sum().item()
        value = 0.6 * linear + 0.4 * plan.structure[b].item()
        assert plan.value[b].item() == pytest.approx(value, abs=1e-12)


def test_every_proximal_step_lowers_the_objective():
    """Between cosine distances the structure term is concave: its tangent lies above it."""
    inputs = graphs()
    values = [
        fused_gromov(*inputs, structure_weight=0.5, outer_iters=steps, inner_iters=2000, tol=1e-12)
        for steps in range(1, 9)
    ]
    values = torch.stack([plan.value for plan in values])
    assert (values.diff(dim=0) <= 1e-9).all()


def test_without_structure_the_steps_lead_to_exact_transport():
    node, speech, text, n, m = graphs()
    plan = fused_gromov(
        node, speech, text, n, m, structure_weight=0.0, outer_iters=100, inner_iters=50, tol=1e-7
    )
    for b in range(4):
        M = utterance(b, node, speech, text, n, m)[0]
        exact = ot.emd2(np.full(len(M), 1 / len(M)), np.full(M.shape[1], 1 / M.shape[1]), M)
        assert plan.value[b].item() == pytest.approx(exact, abs=5e-4)


def test_a_turned_and_shuffled_copy_is_recognised_by_its_structure():
    points = torch.randn(1, 8, 4, dtype=torch.double)
    turn = torch.linalg.qr(torch.randn(4, 4, dtype=torch.double)).Q
    order = torch.randperm(8)
    copy = points[:, order] @ turn
    structures = cosine_cost(points, points), cosine_cost(copy, copy)
    expected = torch.eye(8, dtype=torch.double)[order].T.unsqueeze(0) / 8
    hint = 0.1 * (1 - 8 * expected)  # a node cost too weak to decide alone at this smoothing
    lengths = full(hint)
    options = {"proximal_weight": 0.05, "outer_iters": 100, "inner_iters": 20}
    plan = fused_gromov(hint, *structures, *lengths, structure_weight=0.9, **options)
    torch.testing.assert_close(plan.coupling, expected, atol=1e-4, rtol=0)
    assert plan.structure.item() == pytest.approx(0, abs=1e-3)


@pytest.mark.parametrize("tol", [0.0, 1e-2])
def test_batch_neighbours_and_padding_change_no_plan(tol):
    node, speech, text, n, m = graphs()
    plan = fused_gromov(node, speech, text, n, m, tol=tol)
    for b in range(4):
        t, u = int(n[b]), int(m[b])
        alone = fused_gromov(
            node[b : b + 1, :t, :u],
            speech[b : b + 1, :t, :t],
            text[b : b + 1, :u, :u],
            n[b : b + 1],
            m[b : b + 1],
            tol=tol,
        )
        torch.testing.assert_close(plan.coupling[b, :t, :u], alone.coupling[0])
        assert (plan.coupling[b, t:] == 0).all() and (plan.coupling[b, :, u:] == 0).all()
        for name in ("value", "structure", "marginal_error", "converged"):
            torch.testing.assert_close(getattr(plan, name)[b], getattr(alone, name)[0])


def test_garbage_on_padding_changes_nothing():
    node, speech, text, n, m = graphs()
    before = fused_gromov(node, speech, text, n, m)
    node[1, 9:], speech[1, 9:], speech[1, :, 9:], text[2, 3:] = 1e9, -7.0, math.inf, math.nan
    after = fused_gromov(node, speech, text, n, m)
    for ours, theirs in zip(before, after, strict=True):
        assert torch.equal(ours, theirs)


def test_the_marginals_of_a_converged_plan_are_uniform():
    inputs = graphs()
    plan = fused_gromov(*inputs, structure_weight=0.2, inner_iters=1000, tol=1e-6)
    assert plan.converged.all() and (plan.marginal_error <= 1.1e-6).all()
    for b, (frames, tokens) in enumerate(zip(*LENGTHS, strict=True)):
        P = plan.coupling[b, :frames, :tokens]
        assert (P.sum(1) - 1 / frames).abs().sum() <= 1.1e-6
        assert (P.sum(0) - 1 / tokens).abs().sum() <= 1.1e-6


def test_an_empty_side_gives_a_zero_plan_and_leaves_the_neighbours_alone():
    node, speech, text, n, m = graphs()
    before = fused_gromov(node, speech, text, n, m)
    n, m = n.clone(), m.clone()
    n[1], m[2] = 0, 0
    plan = fused_gromov(node, speech, text, n, m)
    assert (plan.coupling[[1, 2]] == 0).all() and (plan.value[[1, 2]] == 0).all()
    torch.testing.assert_close(plan.coupling[[0, 3]], before.coupling[[0, 3]])
    nothing = torch.zeros(2, 0, 3)
    empty = fused_gromov(
        nothing, torch.zeros(2, 0, 0), torch.zeros(2, 3, 3), *torch.zeros(2, 2, dtype=torch.long)
    )
    assert empty.coupling.shape == (2, 0, 3) and empty.value.tolist() == [0, 0]


def test_small_proximal_weights_stay_finite_in_single_precision():
    inputs = graphs(torch.float32)
    for weight in (1e-2, 1e-4):
        plan = fused_gromov(*inputs, proximal_weight=weight, cost_range=12.0)
        assert all(field.isfinite().all() for field in plan)


def test_no_gradient_flows_and_half_precision_is_solved_in_single():
    node, speech, text, n, m = graphs(torch.float32)
    plan = fused_gromov(node.requires_grad_(), speech.requires_grad_(), text, n, m)
    assert not any(field.requires_grad for field in plan)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        mixed = fused_gromov(node.detach(), speech.detach(), text, n, m)
    assert torch.equal(mixed.coupling, plan.coupling)
    rounded = [tensor.bfloat16() for tensor in (node, speech, text)]
    assert fused_gromov(*rounded, n, m).coupling.dtype == torch.float32


def test_the_gpu_is_never_waited_for_when_the_cost_range_is_known():
    """A meta tensor has no data, so any look at it raises, as it would stall a GPU."""
    node, speech, text, n, m = (tensor.to("meta") for tensor in graphs())
    fused_gromov(node, speech, text, n, m, cost_range=4.0)
    with pytest.raises(RuntimeError):
        fused_gromov(node, speech, text, n, m)


@pytest.mark.parametrize(
    ("option", "given", "allowed"),
    [
        ("structure_weight", -0.1, "from 0 to 1"),
        ("structure_weight", 1.5, "from 0 to 1"),
        ("structure_weight", math.nan, "from 0 to 1"),
        ("proximal_weight", 0, "above 0"),
        ("proximal_weight", math.inf, "finite"),
        ("outer_iters", 0, "whole number"),
        ("outer_iters", True, "whole number"),
        ("inner_iters", 2.0, "whole number"),
        ("tol", -1.0, "0 or more"),
    ],
)
def test_a_wrong_option_is_named_with_what_was_given_and_what_is_allowed(option, given, allowed):
    with pytest.raises(ValueError) as caught:
        fused_gromov(*graphs(), **{option: given})
    for part in (option, repr(given), allowed):
        assert part in str(caught.value)


def test_structures_that_do_not_fit_the_cost_are_refused_with_both_sizes():
    node, speech, text, n, m = graphs()
    with pytest.raises(ValueError, match=r"speech_structure.*\(4, 14, 14\).*\(4, 6, 6\)"):
        fused_gromov(node, text, speech, n, m)
    with pytest.raises(ValueError, match=r"text_structure.*\(4, 6, 6\).*\(4, 6, 5\)"):
        fused_gromov(node, speech, text[:, :, :5], n, m)
    with pytest.raises(ValueError, match="text_lengths"):
        fused_gromov(node, speech, text, n, m + 1)
