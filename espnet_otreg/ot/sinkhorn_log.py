"""Sinkhorn in the log domain: slower, right for any cost and epsilon, differentiable."""

import torch

from espnet_otreg.ot.problem import (
    Problem,
    State,
    advance,
    blocks,
    finished,
    first_state,
    speech_error,
)


def solve_log(problem: Problem, max_iters: int, tol: float) -> State:
    """Iterate from g = 0; a gradient flows through every step when K carries one.

    Padding is masked by log-weights of -inf and not in K, so no log-sum-exp is empty.
    """
    K, (log_a, log_b) = problem.K, (problem.a.log(), problem.b.log())
    state = first_state(torch.zeros_like(log_a), torch.zeros_like(log_b))
    for steps in blocks(max_iters):
        f, g = state.f, state.g
        for _ in range(steps):
            f = -problem.k_a * torch.logsumexp(K + (g + log_b).unsqueeze(1), 2)
            g = -problem.k_b * torch.logsumexp(K + (f + log_a).unsqueeze(2), 1)
        log_sums = torch.logsumexp(K + (g + log_b).unsqueeze(1), 2)
        error = speech_error(problem.a * torch.exp(f + log_sums), f, problem.a, problem.k_a)
        state = advance(state, f, g, error.detach(), steps, tol)
        if finished(state):
            break
    return state
