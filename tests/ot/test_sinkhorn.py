import math

import pytest
import torch
from hypothesis import given, settings

from espnet_otreg.ot import sinkhorn

from .problems import (
    INF,
    METHODS,
    RELAXATIONS,
    full,
    permutations,
    primal,
    ragged,
    relaxed_atoms,
    separable,
    solve,
    swaps,
    valid,
)


def check(problem, method: str, atol: float = 1e-8) -> None:
    speech, text = problem.relax
    plan = solve(
        problem.cost,
        epsilon=problem.epsilon,
        relax_speech=speech,
        relax_text=text,
        method=method,
    )
    torch.testing.assert_close(plan.coupling, problem.plan, atol=atol, rtol=1e-6)
    assert plan.value.item() == pytest.approx(problem.value, abs=atol)
    assert plan.converged.all()


@pytest.mark.parametrize("method", METHODS)
@settings(max_examples=15, deadline=None, derandomize=True)
@given(problem=separable())
def test_a_separable_cost_is_transported_by_the_product_measure(problem, method):
    check(problem, method)


@pytest.mark.parametrize("method", METHODS)
@settings(max_examples=15, deadline=None, derandomize=True)
@given(problem=swaps())
def test_a_symmetric_two_by_two_problem_has_its_closed_form(problem, method):
    check(problem, method)


@pytest.mark.parametrize("method", METHODS)
@settings(max_examples=15, deadline=None, derandomize=True)
@given(problem=relaxed_atoms())
def test_a_relaxed_pair_of_atoms_has_its_closed_form(problem, method):
    check(problem, method)


@pytest.mark.parametrize("method", METHODS)
@settings(max_examples=10, deadline=None, derandomize=True)
@given(problem=permutations())
def test_a_permutation_cost_at_small_epsilon_gives_the_permutation(problem, method):
    cost, matrix = problem
    plan = solve(cost, epsilon=0.02, method=method)
    torch.testing.assert_close(plan.coupling, matrix, atol=1e-9, rtol=0)
    assert plan.cost.item() == pytest.approx(0, abs=1e-9)


@pytest.mark.parametrize("method", METHODS)
def test_a_dirac_to_a_dirac_moves_everything_at_its_cost(method):
    plan = solve(torch.tensor([[[0.7]]], dtype=torch.double), method=method)
    assert plan.coupling.item() == pytest.approx(1)
    assert [plan.cost.item(), plan.value.item()] == pytest.approx([0.7, 0.7])


@pytest.mark.parametrize("method", METHODS)
def test_the_marginals_of_a_converged_plan_are_uniform_within_the_tolerance(method):
    cost, n, m = ragged()
    plan = solve(cost, n, m, tol=1e-6, method=method)
    assert plan.converged.all()
    for b in range(len(cost)):
        rows, columns = plan.coupling[b].sum(1)[: n[b]], plan.coupling[b].sum(0)[: m[b]]
        assert (rows - 1 / n[b]).abs().sum() <= 1e-6
        assert (columns - 1 / m[b]).abs().sum() <= 1e-6


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("relax", RELAXATIONS)
def test_transposing_the_cost_and_the_sides_transposes_the_plan(method, relax):
    cost, n, m = ragged()
    plan = solve(cost, n, m, relax_speech=relax[0], relax_text=relax[1], method=method)
    other = solve(
        cost.transpose(1, 2), m, n, relax_speech=relax[1], relax_text=relax[0], method=method
    )
    torch.testing.assert_close(plan.coupling, other.coupling.transpose(1, 2), atol=1e-9, rtol=0)
    torch.testing.assert_close(plan.value, other.value)


@pytest.mark.parametrize("method", METHODS)
def test_a_constant_added_to_the_cost_is_added_to_the_value_and_keeps_the_plan(method):
    cost, n, m = ragged()
    plan, other = (solve(c, n, m, method=method) for c in (cost, cost + 3))
    torch.testing.assert_close(other.value, plan.value + 3)
    torch.testing.assert_close(other.coupling, plan.coupling)


@pytest.mark.parametrize("method", METHODS)
def test_scaling_cost_and_epsilon_together_keeps_the_plan(method):
    cost, n, m = ragged()
    plan = solve(cost, n, m, epsilon=0.1, method=method)
    other = solve(7 * cost, n, m, epsilon=0.7, method=method)
    torch.testing.assert_close(other.coupling, plan.coupling)
    torch.testing.assert_close(other.value, 7 * plan.value)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("relax", RELAXATIONS)
def test_a_batch_equals_its_utterances_one_at_a_time(method, relax):
    cost, n, m = ragged(dtype=torch.float32)
    options = {"relax_speech": relax[0], "relax_text": relax[1], "method": method}
    options |= {"max_iters": 50, "tol": 1e-3}
    plan = solve(cost, n, m, **options)
    if relax == (INF, INF):  # each utterance stops by itself
        assert len(set(plan.iterations.tolist())) > 1
    for b in range(len(cost)):
        alone = solve(cost[b : b + 1, : n[b], : m[b]], **options)
        torch.testing.assert_close(plan.coupling[b, : n[b], : m[b]], alone.coupling[0])
        torch.testing.assert_close(plan.value[b], alone.value[0])
        assert plan.iterations[b] == alone.iterations[0]


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("relax", RELAXATIONS)
def test_padding_changes_neither_value_nor_gradient(method, relax):
    cost, n, m = ragged()
    results = []
    for fill in (0.0, 50.0, math.nan):
        filled = torch.where(valid(n, m, cost.shape), cost, fill).requires_grad_()
        plan = solve(
            filled, n, m, relax_speech=relax[0], relax_text=relax[1], method=method, max_iters=30
        )
        (gradient,) = torch.autograd.grad(plan.value.sum(), filled)
        results.append((plan.value, gradient, plan.coupling))
    for other in results[1:]:
        torch.testing.assert_close(results[0], other)


@pytest.mark.parametrize("method", METHODS)
def test_padding_gets_exactly_zero_plan_and_zero_gradient(method):
    cost, n, m = ragged()
    cost.requires_grad_()
    plan = solve(cost, n, m, method=method)
    plan.value.sum().backward()
    padding = ~valid(n, m, cost.shape)
    assert (plan.coupling[padding] == 0).all()
    assert (cost.grad[padding] == 0).all()


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("relax", RELAXATIONS)
def test_the_value_passes_gradcheck_in_double_precision(method, relax):
    cost = torch.rand(3, 4, 3, dtype=torch.double, requires_grad=True)
    n, m = torch.tensor([4, 3, 1]), torch.tensor([2, 3, 2])
    options = {"relax_speech": relax[0], "relax_text": relax[1], "method": method}

    def value(c: torch.Tensor) -> torch.Tensor:
        return solve(c, n, m, epsilon=0.3, max_iters=300, **options).value

    assert torch.autograd.gradcheck(value, (cost,))


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("relax", RELAXATIONS)
def test_the_gradient_of_value_and_of_cost_is_the_plan_even_before_convergence(method, relax):
    cost, n, m = ragged()
    cost.requires_grad_()
    options = {"relax_speech": relax[0], "relax_text": relax[1], "method": method}
    plan = sinkhorn(cost, n, m, max_iters=3, tol=0.0, **options)
    for output in (plan.value, plan.cost):
        (gradient,) = torch.autograd.grad(output.sum(), cost, retain_graph=True)
        torch.testing.assert_close(gradient, plan.coupling)


@pytest.mark.parametrize("relax", RELAXATIONS)
def test_the_value_is_the_objective_of_the_plan(relax):
    cost, n, m = ragged()
    plan = solve(cost, n, m, relax_speech=relax[0], relax_text=relax[1])
    for b in range(len(cost)):
        C, P = cost[b, : n[b], : m[b]], plan.coupling[b, : n[b], : m[b]]
        torch.testing.assert_close(plan.value[b], primal(C, P, 0.1, relax))
        torch.testing.assert_close(plan.cost[b], (C * P).sum())


@pytest.mark.parametrize("relax", RELAXATIONS)
def test_the_potentials_rebuild_the_plan(relax):
    cost, n, m = ragged()
    plan = solve(cost, n, m, relax_speech=relax[0], relax_text=relax[1])
    exponent = plan.speech_potential.unsqueeze(2) + plan.text_potential.unsqueeze(1) - cost / 0.1
    rebuilt = exponent.exp() / (n * m).view(-1, 1, 1)
    where = valid(n, m, cost.shape)
    torch.testing.assert_close(rebuilt[where], plan.coupling[where])


@pytest.mark.parametrize("relax", RELAXATIONS)
@pytest.mark.parametrize("steps", [1, 7, 50])
def test_exp_and_log_domain_take_the_same_steps(relax, steps):
    cost, n, m = ragged(dtype=torch.float32)
    options = {"relax_speech": relax[0], "relax_text": relax[1], "max_iters": steps, "tol": 0.0}
    log, exp = (sinkhorn(cost, n, m, epsilon=0.03, method=way, **options) for way in METHODS)
    torch.testing.assert_close(exp.coupling, log.coupling, atol=1e-7, rtol=1e-4)
    torch.testing.assert_close(exp.marginal_error, log.marginal_error, atol=1e-5, rtol=1e-3)


@pytest.mark.parametrize("relax", RELAXATIONS)
def test_unrolling_agrees_with_the_envelope_at_convergence(relax):
    cost, n, m = ragged()
    cost.requires_grad_()
    options = {"relax_speech": relax[0], "relax_text": relax[1], "max_iters": 300}
    for unroll in (False, True):
        plan = solve(cost, n, m, unroll=unroll, **options)
        (gradient,) = torch.autograd.grad(plan.value.sum(), cost)
        torch.testing.assert_close(gradient, plan.coupling.detach(), atol=1e-8, rtol=1e-5)


def test_unrolling_differentiates_the_plan_itself():
    cost = torch.rand(1, 4, 3, dtype=torch.double, requires_grad=True)

    def linear(c: torch.Tensor) -> torch.Tensor:
        return sinkhorn(c, *full(c), epsilon=0.5, max_iters=20, tol=0.0, unroll=True).cost

    assert torch.autograd.gradcheck(linear, (cost,))


def test_detached_mode_saves_at_most_three_cost_matrices_and_unrolling_many():
    cost = torch.rand(4, 50, 20, requires_grad=True)

    def saved(**options) -> float:
        held = {}

        def pack(x: torch.Tensor) -> torch.Tensor:
            storage = x.untyped_storage()
            held[storage.data_ptr()] = storage.nbytes()
            return x

        with torch.autograd.graph.saved_tensors_hooks(pack, lambda x: x):
            sinkhorn(cost, *full(cost), tol=0.0, **options).value.sum()
        return sum(held.values()) / (cost.numel() * cost.element_size())

    for method in METHODS:
        assert 0 < saved(method=method) <= 3
    assert saved(unroll=True) > 50


def test_a_prior_acts_as_cost_in_the_plan_but_not_in_the_linear_cost():
    cost, n, m = ragged()
    prior = torch.rand(9, 6, dtype=torch.double)
    cost.requires_grad_()
    plan, whole = solve(cost, n, m, prior=prior), solve(cost + prior, n, m)
    torch.testing.assert_close(plan.coupling, whole.coupling)
    torch.testing.assert_close(plan.value, whole.value)
    torch.testing.assert_close(plan.cost, (plan.coupling * cost).sum((1, 2)))
    (gradient,) = torch.autograd.grad(plan.value.sum(), cost)
    torch.testing.assert_close(gradient, plan.coupling)


@pytest.mark.parametrize("method", METHODS)
def test_iterations_error_and_convergence_are_reported_per_utterance(method):
    cost, n, m = ragged()
    short = sinkhorn(cost, n, m, epsilon=0.02, max_iters=2, tol=1e-6, method=method)
    assert short.iterations.tolist() == [2, 2, 2, 2]
    assert short.converged.tolist() == (short.marginal_error <= 1e-6).tolist()
    assert not short.converged.all()
    long = sinkhorn(cost, n, m, epsilon=0.5, max_iters=500, tol=1e-6, method=method)
    assert long.converged.all() and (long.iterations < 500).all()
    rows = torch.stack([p.sum(1) for p in short.coupling])
    a = valid(n, m, cost.shape).any(2) / n.unsqueeze(1)
    torch.testing.assert_close(short.marginal_error, (rows - a).abs().sum(1))
