"""Entropic optimal transport on padded batches: balanced, unbalanced and semi-relaxed."""

import math
from contextlib import nullcontext
from typing import Any, NamedTuple

import torch

from espnet_otreg.ot.loops import solve_exp, solve_log
from espnet_otreg.ot.options import SolverOptions, changed
from espnet_otreg.ot.problem import Problem, State, make_problem, speech_error
from espnet_otreg.ot.tensors import (
    at_least_float32,
    check_lengths,
    check_weights,
    full_precision,
    length_mask,
)

# range(cost) / epsilon up to which the exp domain gave the log domain's plan in every trial,
# structured worst cases included; beyond it kernel entries that matter underflow.
_EXP_RANGE_HARD = 200.0
_EXP_RANGE_RELAXED = 80.0

_FINITE = 1e30  # keeps -cost / epsilon finite in float32 for any cost and epsilon


class TransportPlan(NamedTuple):
    """The solution of a batch of problems, and whether to believe it."""

    coupling: torch.Tensor  # (B, T, U) the plan P; exactly 0 on padding
    value: torch.Tensor  # (B,) regularised objective; its gradient by the cost is the plan
    cost: torch.Tensor  # (B,) linear cost <P, C>, the prior not counted
    speech_potential: torch.Tensor  # (B, T) f / epsilon of P = a b exp((f + g - C) / epsilon)
    text_potential: torch.Tensor  # (B, U) g / epsilon of the same
    iterations: torch.Tensor  # (B,) iterations that each utterance took
    marginal_error: torch.Tensor  # (B,) L1 distance of the frame masses from what they must be
    converged: torch.Tensor  # (B,) true where the error came within tol


def damping(relax: float, epsilon: float) -> float:
    """Return k = rho / (rho + epsilon), 1 for a hard marginal."""
    return 1.0 if math.isinf(relax) else relax / (relax + epsilon)


def sinkhorn(
    cost: torch.Tensor,
    speech_lengths: torch.Tensor,
    text_lengths: torch.Tensor,
    options: SolverOptions | None = None,
    *,
    prior: torch.Tensor | None = None,
    text_weights: torch.Tensor | None = None,
    **changes: Any,
) -> TransportPlan:
    """Transport uniform frame weights to token weights under cost (B, T, U).

    `SolverOptions` can be given as one object, by keyword (epsilon=0.05), or both, keywords last.
    Tokens weigh the same, or as `text_weights` (B, U) says, of which only ratios count.

    Minimises <P, C + prior> + epsilon KL(P | a b) + relax_speech KL(P1 | a)
    + relax_text KL(Pᵀ1 | b), where inf makes a marginal hard. An utterance stops when its
    marginal error is within tol, looked at every ten iterations, or after max_iters.
    `method` auto takes the faster domain that is safe for the spread of C + prior; a known bound
    of it, `cost_range`, spares a GPU the wait for its size. Forced exp is wrong beyond that spread.
    A side of length 0 gives a zero plan and zero costs, with zero gradients.

    Gradients: the plan is solved without a graph, so `value` has the exact envelope gradient P,
    and `cost` is <P, C> with P held constant; `unroll=True` differentiates every iteration.
    """
    options = changed(SolverOptions, options, changes)
    if cost.dim() != 3:
        raise ValueError(f"cost: expected shape (B, T, U); received {tuple(cost.shape)}")
    check_lengths("speech_lengths", speech_lengths, cost.shape[0], cost.shape[1])
    check_lengths("text_lengths", text_lengths, cost.shape[0], cost.shape[2])
    n, m = speech_lengths.to(cost.device), text_lengths.to(cost.device)
    if text_weights is not None:
        check_weights(text_weights, cost, m)
    with full_precision(cost.device):
        cost, total = _masked(cost, n, m, prior)
        with nullcontext() if options.unroll else torch.no_grad():
            K = (total * (-1 / options.epsilon)).clamp(-_FINITE, _FINITE)
            sides = options.relax_speech, options.relax_text
            k_a, k_b = (damping(side, options.epsilon) for side in sides)
            problem = make_problem(K, n, m, k_a, k_b, text_weights)
            solve = solve_exp if _domain(total, options) == "exp" else solve_log
            state = solve(problem, options.max_iters, options.tol)
            state = _cleared(problem, state, (n > 0) & (m > 0))
            P, dual, error = _finish(problem, state, (n > 0) & (m > 0), options.epsilon)
        linear = (P * cost).sum((1, 2))
        if not options.unroll:
            # the gradient of the dual at fixed potentials is P, exactly, converged or not
            envelope = linear if prior is None else (P * total).sum((1, 2))
            dual = dual + (envelope - envelope.detach())
        error = error.detach()
        # a stop on the tolerance counts, though the plan's own rounding may lift its error again
        done = state.done | (error <= options.tol)
    return TransportPlan(P, dual, linear, state.f, state.g, state.iterations, error, done)


def _masked(
    cost: torch.Tensor, n: torch.Tensor, m: torch.Tensor, prior: torch.Tensor | None
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the cost, and the cost with prior, both 0 on padding."""
    padding = ~(
        length_mask(n, cost.shape[1]).unsqueeze(2) & length_mask(m, cost.shape[2]).unsqueeze(1)
    )
    cost = at_least_float32(cost)
    alone = cost.masked_fill(padding, 0)
    return alone, alone if prior is None else (cost + prior.to(cost)).masked_fill(padding, 0)


def _domain(total: torch.Tensor, options: SolverOptions) -> str:
    """Choose log or exp, by wish or by the spread of the costs."""
    if options.unroll or total.numel() == 0:
        return "log"
    if options.method != "auto":
        return options.method
    cost_range = options.cost_range
    if cost_range is None:
        low, high = torch.aminmax(total.detach())
        cost_range = float(high - low)  # the one time a GPU is waited for
    hard = math.isinf(options.relax_speech) and math.isinf(options.relax_text)
    limit = _EXP_RANGE_HARD if hard else _EXP_RANGE_RELAXED
    return "exp" if cost_range / options.epsilon <= limit else "log"


def _cleared(problem: Problem, state: State, nonempty: torch.Tensor) -> State:
    """Set the potentials to 0 on padding and in utterances that have an empty side."""
    present = nonempty.unsqueeze(1)
    return state._replace(
        f=torch.where(problem.rows & present, state.f, 0),
        g=torch.where(problem.columns & present, state.g, 0),
    )


def _finish(
    problem: Problem, state: State, nonempty: torch.Tensor, epsilon: float
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Return the plan, the dual objective and the marginal error, all 0 where a side is empty."""
    f, g, present = state.f, state.g, nonempty.unsqueeze(1)
    a, b = problem.a * present, problem.b * present
    exponent = problem.K + (f + a.log()).unsqueeze(2)
    P = exponent.add_((g + b.log()).unsqueeze(1)).exp_()
    dual = epsilon * (nonempty.to(P.dtype) - P.sum((1, 2)))
    for weight, potential, k in ((a, f, problem.k_a), (b, g, problem.k_b)):
        # epsilon / rho = 1/k - 1; a relaxed side pays rho (1 - exp(-potential epsilon / rho))
        strain = 1 / k - 1
        side = potential if k == 1 else -torch.expm1(-strain * potential) / strain
        dual = dual + epsilon * (weight * side).sum(1)
    return P, dual, speech_error(P.sum(2), f, a, problem.k_a)
