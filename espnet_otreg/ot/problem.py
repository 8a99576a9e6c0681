"""One padded batch of transport problems, and what both Sinkhorn loops share.

Letters are the mathematics': a, b the weights of frames and tokens, f, g the log-potentials in
units of epsilon, K = -C / epsilon, P = a b exp(K + f + g), and k = rho / (rho + epsilon) the
damping of a relaxed side, 1 where the marginal is hard.
"""

from collections.abc import Iterator
from typing import NamedTuple

import torch

from espnet_otreg.ot.tensors import length_mask

# Iterations between two looks at the error.
BLOCK = 10


class Problem(NamedTuple):
    """A batch of problems, ready to iterate on."""

    K: torch.Tensor  # (B, T, U) -cost / epsilon, finite, 0 on padding
    a: torch.Tensor  # (B, T) frame weights 1 / length, 0 on padding
    b: torch.Tensor  # (B, U) token weights, of sum 1, 0 on padding
    padding: torch.Tensor  # (B, T, U) true where the frame or the token is padding
    rows: torch.Tensor  # (B, T) true on frames
    columns: torch.Tensor  # (B, U) true on tokens
    k_a: float  # damping of the frame side
    k_b: float  # damping of the token side


class State(NamedTuple):
    """Where the iteration stands, per utterance."""

    f: torch.Tensor  # (B, T) frame log-potentials, 0 on padding
    g: torch.Tensor  # (B, U) token log-potentials, 0 on padding
    iterations: torch.Tensor  # (B,) iterations spent
    done: torch.Tensor  # (B,) true once the error is within the tolerance


def make_problem(
    K: torch.Tensor,
    n: torch.Tensor,
    m: torch.Tensor,
    k_a: float,
    k_b: float,
    text_weights: torch.Tensor | None = None,
) -> Problem:
    """Attach weights, uniform ones unless tokens have theirs (B, U).

    An empty side counts as one dummy entry so that nothing is 0/0.
    """
    present = m > 0
    n, m = n.clamp(min=1), m.clamp(min=1)
    rows, columns = length_mask(n, K.shape[1]), length_mask(m, K.shape[2])
    a = rows.to(K.dtype) / n.unsqueeze(1)
    b = columns.to(K.dtype)
    if text_weights is not None:
        given = text_weights.to(b).masked_fill(~columns, 0)
        b = torch.where(present.unsqueeze(1), given, b)
    b = b / b.sum(1, keepdim=True)
    padding = ~(rows.unsqueeze(2) & columns.unsqueeze(1))
    return Problem(K, a, b, padding, rows, columns, k_a, k_b)


def first_state(f: torch.Tensor, g: torch.Tensor) -> State:
    """Start the count at 0 with nothing done."""
    iterations = torch.zeros(f.shape[0], dtype=torch.long, device=f.device)
    return State(f, g, iterations, torch.zeros_like(iterations, dtype=torch.bool))


def blocks(max_iters: int) -> Iterator[int]:
    """Yield block sizes that add up to max_iters."""
    for start in range(0, max_iters, BLOCK):
        yield min(BLOCK, max_iters - start)


def speech_error(mass: torch.Tensor, f: torch.Tensor, a: torch.Tensor, k_a: float) -> torch.Tensor:
    """Return the L1 distance (B,) between frame masses and what optimality asks of them.

    A hard side must carry a; a relaxed one a exp(-epsilon f / rho), and epsilon / rho = 1/k - 1.
    The token side needs no look: the last update made it exact.
    """
    target = a if k_a == 1 else a * torch.exp((1 - 1 / k_a) * f)
    return (mass - target).abs().sum(1)


def advance(
    state: State, f: torch.Tensor, g: torch.Tensor, error: torch.Tensor, steps: int, tol: float
) -> State:
    """Take a block's result, except for utterances that were done before.

    Each utterance stops by itself, so no result depends on what else is in the batch.
    """
    frozen = state.done.unsqueeze(1)
    return State(
        torch.where(frozen, state.f, f),
        torch.where(frozen, state.g, g),
        state.iterations + steps * (~state.done),
        state.done | (error <= tol),
    )


def finished(state: State) -> bool:
    """Tell whether all are done; never asked of a GPU, where the answer costs a synchronisation."""
    return state.done.device.type == "cpu" and bool(state.done.all())
