"""Tokens of unequal weight: POT as the oracle, and what must hold without one."""

import numpy as np
import pytest
import torch

from espnet_otreg.ot import OTRegLoss, sinkhorn

from .problems import INF, METHODS, RELAXATIONS, ragged
from .test_sinkhorn_pot import RHO, assert_same_plan, utterances

ot = pytest.importorskip("ot")
LONG = {"max_iters": 3000, "tol": 0.0}


def weighted(dtype=torch.double):
    """A ragged batch, and weights whose padding holds anything."""
    cost, n, m = ragged(dtype=dtype)
    generator = torch.Generator().manual_seed(3)
    weights = torch.rand(cost.shape[0], cost.shape[2], generator=generator).to(dtype) * 5 + 0.05
    padding = torch.arange(cost.shape[2]) >= m.unsqueeze(1)
    return cost, n, m, weights.masked_fill(padding, torch.nan)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("relax", [(INF, INF), (RHO, RHO), (RHO, INF), (INF, RHO)])
def test_plans_agree_with_pot(method, relax):
    cost, n, m, weights = weighted()
    options = {"relax_speech": relax[0], "relax_text": relax[1], "method": method, **LONG}
    plan = sinkhorn(cost, n, m, text_weights=weights, **options)
    for b, M, x, _ in utterances(cost, n, m):
        y = weights[b, : m[b]].numpy()
        y = y / y.sum()
        if relax == (INF, INF):
            limits = {"method": "sinkhorn_log", "numItermax": 20000, "stopThr": 1e-13}
            reference = ot.sinkhorn(x, y, M, 0.1, **limits)
        else:
            reference = ot.unbalanced.sinkhorn_unbalanced(
                x, y, M, 0.1, relax, numItermax=20000, stopThr=1e-13
            )
        assert_same_plan(plan.coupling, b, reference)
        assert np.isfinite(plan.value[b].item())


@pytest.mark.parametrize("relax", RELAXATIONS)
def test_equal_weights_are_no_weights_and_only_ratios_count(relax):
    cost, n, m, weights = weighted()
    options = {"relax_speech": relax[0], "relax_text": relax[1]}
    equal = sinkhorn(cost, n, m, text_weights=torch.full_like(weights, 7.0), **options)
    torch.testing.assert_close(equal.coupling, sinkhorn(cost, n, m, **options).coupling)
    once = sinkhorn(cost, n, m, text_weights=weights, **options)
    tenfold = sinkhorn(cost, n, m, text_weights=weights * 10, **options)
    torch.testing.assert_close(once.coupling, tenfold.coupling)


@pytest.mark.parametrize("method", METHODS)
def test_a_token_of_double_weight_is_two_tokens(method):
    cost = torch.rand(1, 9, 3, dtype=torch.double, generator=torch.Generator().manual_seed(0))
    n, three, four = torch.tensor([9]), torch.tensor([3]), torch.tensor([4])
    heavy = torch.tensor([[1.0, 1.0, 2.0]])
    one = sinkhorn(cost, n, three, text_weights=heavy, method=method, **LONG)
    two = sinkhorn(cost[:, :, [0, 1, 2, 2]], n, four, method=method, **LONG)
    joined = torch.cat([two.coupling[..., :2], two.coupling[..., 2:].sum(2, keepdim=True)], 2)
    torch.testing.assert_close(one.coupling, joined)
    torch.testing.assert_close(one.value, two.value)


@pytest.mark.parametrize("unroll", [False, True])
def test_a_batch_equals_its_utterances_and_the_gradient_is_the_plan(unroll):
    cost, n, m, weights = weighted()
    cost.requires_grad_()
    options = {"unroll": unroll, **LONG, "max_iters": 300}
    plan = sinkhorn(cost, n, m, text_weights=weights, **options)
    for b in range(len(n)):
        alone = sinkhorn(
            cost[b : b + 1, :, : m[b]], n[b : b + 1], m[b : b + 1],
            text_weights=weights[b : b + 1, : m[b]], **options,
        )  # fmt: skip
        torch.testing.assert_close(plan.coupling[b : b + 1, :, : m[b]], alone.coupling)
    (gradient,) = torch.autograd.grad(plan.value.sum(), cost)
    torch.testing.assert_close(gradient, plan.coupling.detach(), atol=1e-6, rtol=1e-5)


@pytest.mark.parametrize("method", METHODS)
def test_an_empty_side_stays_empty(method):
    cost = torch.rand(3, 4, 2, generator=torch.Generator().manual_seed(0))
    n, m = torch.tensor([4, 0, 4]), torch.tensor([0, 2, 2])
    weights = torch.tensor([[torch.nan, torch.nan], [1.0, 2.0], [1.0, 3.0]])
    plan = sinkhorn(cost, n, m, text_weights=weights, method=method)
    assert plan.coupling[:2].eq(0).all() and plan.value[:2].eq(0).all()
    torch.testing.assert_close(plan.coupling[2].sum(0), torch.tensor([0.25, 0.75]))


def test_the_loss_hands_them_on():
    generator = torch.Generator().manual_seed(0)
    speech, text = torch.randn(1, 6, 4, generator=generator), torch.randn(1, 2, 4)
    lengths, weights = (torch.tensor([6]), torch.tensor([2])), torch.tensor([[1.0, 4.0]])
    out = OTRegLoss()(speech, lengths[0], text, lengths[1], text_weights=weights)
    torch.testing.assert_close(out.plan.coupling.sum(1), torch.tensor([[0.2, 0.8]]))


@pytest.mark.parametrize(
    ("weights", "told"),
    [
        (torch.ones(1, 3), r"shape \(1, 2\), received \(1, 3\)"),
        (torch.tensor([[1.0, 0.0]]), "above 0, received 0.0"),
        (torch.tensor([[1.0, -2.0]]), "above 0, received -2.0"),
        (torch.tensor([[1.0, torch.inf]]), "above 0, received inf"),
        (torch.tensor([[torch.nan, 1.0]]), "above 0, received nan"),
    ],
)
def test_weights_that_mean_nothing_are_refused(weights, told):
    with pytest.raises(ValueError, match=told):
        sinkhorn(torch.rand(1, 3, 2), torch.tensor([3]), torch.tensor([2]), text_weights=weights)
