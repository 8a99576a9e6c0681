import math

import pytest
import torch

from espnet_otreg.ot import sinkhorn
from espnet_otreg.ot.tensors import full_precision

from .problems import INF, METHODS, RELAXATIONS, full, ragged, solve


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("relax", RELAXATIONS)
def test_lengths_of_one_work_on_either_side(method, relax):
    cost = 2 * torch.rand(2, 5, 4, dtype=torch.double)
    n, m = torch.tensor([1, 5]), torch.tensor([4, 1])
    plan = solve(cost, n, m, relax_speech=relax[0], relax_text=relax[1], method=method)
    assert plan.converged.all()
    if relax == (INF, INF):  # one atom on a side leaves the product measure only
        torch.testing.assert_close(plan.coupling[0, 0], torch.full((4,), 0.25).double())
        torch.testing.assert_close(plan.coupling[1, :, 0], torch.full((5,), 0.2).double())


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("unroll", [False, True])
@pytest.mark.parametrize("relax", RELAXATIONS)
def test_an_empty_side_gives_a_zero_plan_and_leaves_the_neighbours_alone(method, unroll, relax):
    cost, n, m = ragged()
    options = {"relax_speech": relax[0], "relax_text": relax[1], "unroll": unroll}
    options |= {"method": "auto" if unroll else method, "max_iters": 40}
    before = solve(cost, n, m, **options)
    n, m = n.clone(), m.clone()
    n[1], m[2] = 0, 0
    cost.requires_grad_()
    plan = solve(cost, n, m, **options)
    (plan.value + plan.cost).sum().backward()
    for b in (1, 2):
        assert plan.coupling[b].abs().sum() == plan.value[b] == plan.cost[b] == 0
        assert (cost.grad[b] == 0).all()
        assert plan.converged[b] and plan.marginal_error[b] == 0
    torch.testing.assert_close(plan.coupling[[0, 3]], before.coupling[[0, 3]])
    assert cost.grad.isfinite().all()


@pytest.mark.parametrize("shape", [(2, 0, 3), (2, 4, 0), (0, 4, 3)])
@pytest.mark.parametrize("method", ["auto", *METHODS])
def test_a_batch_without_any_entry_gives_zeros_with_a_graph(shape, method):
    cost = torch.zeros(shape, requires_grad=True)
    nothing = torch.zeros(shape[0], dtype=torch.long)
    plan = sinkhorn(cost, nothing, nothing, method=method)
    plan.value.sum().backward()
    assert plan.coupling.shape == shape and plan.value.tolist() == [0.0] * shape[0]


@pytest.mark.parametrize("method", METHODS)
def test_non_contiguous_views_give_the_same_plan(method):
    cost, n, m = ragged()
    wide = torch.stack([cost, cost + 1], 3).transpose(1, 2)  # (B, U, T, 2)
    view = wide[..., 0].transpose(1, 2)
    assert not view.is_contiguous()
    plan, other = solve(cost, n, m, method=method), solve(view, n, m, method=method)
    torch.testing.assert_close(plan.coupling, other.coupling)


@pytest.mark.parametrize("method", ["auto", "log"])
@pytest.mark.parametrize("relax", RELAXATIONS)
@pytest.mark.parametrize(("scale", "epsilon"), [(1e6, 0.1), (1.0, 1e-6), (1e30, 1.0), (1e36, 1e-3)])
def test_huge_costs_and_tiny_epsilons_stay_finite(method, relax, scale, epsilon):
    cost, n, m = ragged(dtype=torch.float32)
    cost = (scale * cost / 2).requires_grad_()
    plan = sinkhorn(
        cost, n, m, epsilon=epsilon, relax_speech=relax[0], relax_text=relax[1], method=method
    )
    assert plan.coupling.isfinite().all() and plan.cost.isfinite().all()
    plan.cost.sum().backward()
    assert cost.grad.isfinite().all()


def _structured_costs() -> dict[str, torch.Tensor]:
    frames, tokens = 60, 20
    one = torch.full((frames, tokens), 2.0)
    one[torch.arange(frames), torch.arange(frames) * tokens // frames] = 0
    half = 0.1 * torch.rand(frames, tokens)
    half[:, : tokens // 2] += 1.9
    binary = 2.0 * (torch.rand(frames, tokens) < 0.9)
    return {"assignment": one, "two blocks": half, "binary": binary}


@pytest.mark.parametrize("relax", RELAXATIONS)
@pytest.mark.parametrize("name", ["assignment", "two blocks", "binary"])
def test_the_exp_domain_is_right_up_to_the_range_where_auto_leaves_it(relax, name):
    cost = _structured_costs()[name].unsqueeze(0)
    epsilon = 2 / (200 if relax == (INF, INF) else 80)
    options = {"relax_speech": relax[0], "relax_text": relax[1], "max_iters": 100, "tol": 0.0}
    options |= {"epsilon": epsilon * 1.0001}
    exact = sinkhorn(cost.double(), *full(cost), method="log", **options).coupling
    plan = sinkhorn(cost, *full(cost), method="auto", **options).coupling
    assert (plan - exact).abs().sum() <= 1e-5 * exact.abs().sum()


def test_half_precision_costs_are_solved_in_single_precision_and_double_stays_double():
    cost, n, m = ragged()
    assert sinkhorn(cost.bfloat16(), n, m).coupling.dtype == torch.float32
    assert sinkhorn(cost, n, m).value.dtype == torch.double


def test_the_gpu_is_never_waited_for_when_the_cost_range_is_known():
    """A meta tensor has no data, so any look at it raises, as it would stall a GPU."""
    cost = torch.rand(2, 30, 8, device="meta", requires_grad=True)
    lengths = torch.tensor([30, 20]).to("meta"), torch.tensor([8, 5]).to("meta")
    for relax in RELAXATIONS:
        options = {"relax_speech": relax[0], "relax_text": relax[1]}
        plan = sinkhorn(cost, *lengths, cost_range=2.0, **options)
        plan.value.sum().backward()
    with pytest.raises(RuntimeError):  # the guard bites: an unknown range must be looked at
        sinkhorn(cost, *lengths)


def test_tf32_is_off_inside_and_back_afterwards():
    matmul = torch.backends.cuda.matmul
    name = "fp32_precision" if hasattr(matmul, "fp32_precision") else "allow_tf32"
    exact, rounded = ("ieee", "tf32") if name == "fp32_precision" else (False, True)
    before = getattr(matmul, name)
    setattr(matmul, name, rounded)
    try:
        with full_precision(torch.device("cuda")):
            assert getattr(matmul, name) == exact
        assert getattr(matmul, name) == rounded
    finally:
        setattr(matmul, name, before)


@pytest.mark.parametrize(
    ("option", "given", "allowed"),
    [
        ("epsilon", 0, "above 0"),
        ("epsilon", -0.1, "above 0"),
        ("epsilon", INF, "finite"),
        ("epsilon", math.nan, "above 0"),
        ("epsilon", "0.1", "above 0"),
        ("max_iters", 0, "whole number"),
        ("max_iters", 2.5, "whole number"),
        ("max_iters", True, "whole number"),
        ("tol", -1e-3, "0 or more"),
        ("relax_speech", 0, "or inf"),
        ("relax_text", -1, "or inf"),
        ("method", "fast", "auto, log, exp"),
        ("unroll", 1, "true or false"),
    ],
)
def test_a_wrong_option_is_named_with_what_was_given_and_what_is_allowed(option, given, allowed):
    cost, n, m = ragged()
    with pytest.raises(ValueError) as caught:
        sinkhorn(cost, n, m, **{option: given})
    for part in (option, repr(given), allowed):
        assert part in str(caught.value)


@pytest.mark.parametrize("lengths", [[9, 5, 7], [10, 5, 7, 1], [-1, 5, 7, 1]])
def test_lengths_that_do_not_fit_the_cost_are_refused(lengths):
    cost, _, m = ragged()
    with pytest.raises(ValueError, match="speech_lengths"):
        sinkhorn(cost, torch.tensor(lengths), m)


def test_unrolling_in_the_exp_domain_is_refused():
    cost, n, m = ragged()
    with pytest.raises(ValueError, match="method"):
        sinkhorn(cost, n, m, method="exp", unroll=True)
