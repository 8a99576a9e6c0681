"""POT as the oracle; its plans are computed utterance by utterance in double precision."""

import warnings

import numpy as np
import pytest
import torch

from espnet_otreg.ot import sinkhorn

from .problems import INF, ragged, valid

ot = pytest.importorskip("ot")
RHO = 0.3


def utterances(cost: torch.Tensor, n: torch.Tensor, m: torch.Tensor):
    for b in range(len(cost)):
        M = cost[b, : n[b], : m[b]].double().numpy()
        yield b, M, np.full(M.shape[0], 1 / M.shape[0]), np.full(M.shape[1], 1 / M.shape[1])


def assert_same_plan(plan: torch.Tensor, b: int, reference: np.ndarray, tolerance: float = 1e-5):
    ours = plan[b, : reference.shape[0], : reference.shape[1]].double().numpy()
    assert np.abs(ours - reference).sum() <= tolerance * np.abs(reference).sum()


@pytest.mark.parametrize("method", ["log", "exp"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.double])
@pytest.mark.parametrize("epsilon", [0.05, 0.2])
def test_the_balanced_plan_agrees_with_pot(method, dtype, epsilon):
    cost, n, m = ragged(dtype=dtype)
    plan = sinkhorn(cost, n, m, epsilon=epsilon, max_iters=3000, tol=0.0, method=method)
    for b, M, x, y in utterances(cost, n, m):
        reference = ot.sinkhorn(
            x, y, M, epsilon, method="sinkhorn_log", numItermax=20000, stopThr=1e-13
        )
        assert_same_plan(plan.coupling, b, reference)


@pytest.mark.parametrize("method", ["log", "exp"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.double])
@pytest.mark.parametrize("relax", [(RHO, RHO), (RHO, INF), (INF, RHO)])
def test_relaxed_plans_agree_with_pot(method, dtype, relax):
    cost, n, m = ragged(dtype=dtype)
    plan = sinkhorn(
        cost,
        n,
        m,
        max_iters=3000,
        tol=0.0,
        relax_speech=relax[0],
        relax_text=relax[1],
        method=method,
    )
    for b, M, x, y in utterances(cost, n, m):
        reference = ot.unbalanced.sinkhorn_unbalanced(
            x, y, M, 0.1, relax, numItermax=20000, stopThr=1e-13
        )
        assert_same_plan(plan.coupling, b, reference)


def test_fifty_unconverged_iterations_agree_with_pots_batched_solver():
    cost, n, m = ragged(dtype=torch.float32)
    weights = [
        (torch.arange(size) < lengths.unsqueeze(1)) / lengths.unsqueeze(1)
        for size, lengths in ((9, n), (6, m))
    ]
    plan = sinkhorn(cost, n, m, epsilon=0.05, max_iters=50, tol=0.0, method="exp")
    assert plan.marginal_error.max() > 1e-4
    # POT starts with a potential on padding too; a high cost keeps it out of the first step
    far = cost.masked_fill(~valid(n, m, cost.shape), 1e4)
    reference = ot.batch.solve_batch(
        far, 0.05, *weights, max_iter=50, tol=0.0, method="log_sinkhorn", grad="detach"
    ).plan
    for b in range(len(cost)):
        assert_same_plan(plan.coupling, b, reference[b].numpy())


def test_the_cost_lies_between_the_exact_one_and_its_entropic_bound():
    cost, n, m = ragged()
    epsilon = 0.02
    plan = sinkhorn(cost, n, m, epsilon=epsilon, max_iters=5000, tol=1e-9)
    for b, M, x, y in utterances(cost, n, m):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # POT speaks of float rounding of the weights
            exact = ot.emd2(x, y, M)
        # <P, C> exceeds the optimum by less than epsilon times the largest possible divergence
        assert -1e-7 <= plan.cost[b].item() - exact <= epsilon * np.log(min(M.shape)) + 1e-7
