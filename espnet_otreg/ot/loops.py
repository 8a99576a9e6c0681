"""The two Sinkhorn loops, in the log domain and by matrix-vector products.

The log domain is right for any cost and epsilon, and differentiable; the products are faster, and
safe while range(cost) / epsilon is moderate.
"""

from typing import NamedTuple

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

# Kernel entries are kept above exp of this: no sum underflows, and denormal numbers are slow.
_SMALLEST = -80.0

_BLOCKS_PER_KERNEL = 2  # a new kernel costs as much as eight iterations


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


def _reduced(problem: Problem) -> tuple[torch.Tensor, torch.Tensor]:
    """Return offsets that make the largest entry of each row and each column of the kernel 1."""
    K = problem.K.masked_fill(problem.padding, -torch.inf)
    f = torch.where(problem.rows, -K.amax(2), 0)
    g = torch.where(problem.columns, -K.add_(f.unsqueeze(2)).amax(1), 0)
    return f, g


class Kernel(NamedTuple):
    """exp(K + f + g) for offsets f, g that keep its rows and columns near 1."""

    matrix: torch.Tensor  # (B, T, U)
    transposed: torch.Tensor  # (B, U, T), its own memory
    f: torch.Tensor  # (B, T)
    g: torch.Tensor  # (B, U)


def _absorb(problem: Problem, f: torch.Tensor, g: torch.Tensor) -> Kernel:
    """Build the kernel, with entries of at most 1 on padding and none 0.

    Padding carries no weight, so its entries do not matter as long as no sum is 0 or infinite.
    """
    rows = torch.where(problem.rows, f, -g.amax(1, keepdim=True))
    columns = torch.where(problem.columns, g, -rows.amax(1, keepdim=True))
    exponent = (problem.K + rows.unsqueeze(2)).add_(columns.unsqueeze(1))
    matrix = exponent.clamp_(min=_SMALLEST).exp_()
    return Kernel(matrix, matrix.transpose(1, 2).contiguous(), f, g)


def _scaling(
    weight: torch.Tensor, offset: torch.Tensor, k: float
) -> tuple[torch.Tensor, float | None]:
    """Return the numerator and exponent of the update; None for a plain division.

    The damping acts on the total potential, offset included: exp(f) = S^-k with
    S = s exp(-offset) turns into exp(f - offset) = exp((k - 1) offset) s^-k.
    """
    return (weight, None) if k == 1 else (weight * torch.exp((k - 1) * offset), -k)


def _update(
    numerator: torch.Tensor, exponent: float | None, vector: torch.Tensor, kernel: torch.Tensor
) -> torch.Tensor:
    # row vector times matrix: four times faster on CPU than matrix times column vector
    sums = torch.bmm(vector, kernel)
    return numerator / sums if exponent is None else numerator * sums.pow(exponent)


def _block(
    problem: Problem, kernel: Kernel, g: torch.Tensor, steps: int
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Iterate from the potential g; return the new f, g and the error."""
    u_numerator, u_exponent = _scaling(problem.a.unsqueeze(1), kernel.f.unsqueeze(1), problem.k_a)
    v_numerator, v_exponent = _scaling(problem.b.unsqueeze(1), kernel.g.unsqueeze(1), problem.k_b)
    v = (problem.b * torch.exp(g - kernel.g)).unsqueeze(1)
    for _ in range(steps):
        u = _update(u_numerator, u_exponent, v, kernel.transposed)  # (B, 1, T)
        v = _update(v_numerator, v_exponent, u, kernel.matrix)  # (B, 1, U)
    mass = (u * torch.bmm(v, kernel.transposed)).squeeze(1)
    f = torch.where(problem.rows, kernel.f + torch.log(u.squeeze(1) / problem.a), 0)
    g = torch.where(problem.columns, kernel.g + torch.log(v.squeeze(1) / problem.b), 0)
    return f, g, speech_error(mass, f, problem.a, problem.k_a)


def solve_exp(problem: Problem, max_iters: int, tol: float) -> State:
    """Iterate from g = 0, absorbing the potentials into the kernel every few blocks."""
    kernel = _absorb(problem, *_reduced(problem))
    state = first_state(torch.zeros_like(kernel.f), torch.zeros_like(kernel.g))
    for index, steps in enumerate(blocks(max_iters)):
        if index and index % _BLOCKS_PER_KERNEL == 0:
            kernel = _absorb(problem, state.f, state.g)
        state = advance(state, *_block(problem, kernel, state.g, steps), steps, tol)
        if finished(state):
            break
    return state
