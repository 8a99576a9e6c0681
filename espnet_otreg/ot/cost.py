"""Cost matrices between speech frames and text embeddings, one per utterance of a batch."""

from collections.abc import Callable
from typing import Any

import torch

from espnet_otreg.ot.options import check_choice
from espnet_otreg.ot.tensors import at_least_float32, full_precision

# A shorter vector has no direction worth the name: its cosine with anything counts as 0.
_SHORTEST = 1e-6


def inverse_norms(x: torch.Tensor) -> torch.Tensor:
    """Return 1 / |x| over the last dimension, kept as size 1; 0 for a zero vector."""
    norms = torch.linalg.vector_norm(x, dim=-1, keepdim=True)
    return torch.where(norms > _SHORTEST, 1 / norms, 0)


def unit_vectors(x: torch.Tensor) -> torch.Tensor:
    """Scale the last dimension to length 1; zero vectors stay zero."""
    return x * inverse_norms(x)


class _Cosine(torch.autograd.Function):
    """Batched cosine whose norms act on the (B, T, U) result and not on (B, T, D).

    U is a fraction of D, so this halves the time of forward and backward; autograd on
    normalised vectors would pass over the embeddings seven more times.
    """

    @staticmethod
    def forward(ctx: Any, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        """Return cos(x_t, y_u) as (B, T, U)."""
        p, q = inverse_norms(x), inverse_norms(y).transpose(1, 2)  # (B, T, 1), (B, 1, U)
        cosine = torch.bmm(x, y.transpose(1, 2)).mul_(p).mul_(q)
        ctx.save_for_backward(x, y, p, q, cosine)
        return cosine

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(
        ctx: Any, gradient: torch.Tensor
    ) -> tuple[torch.Tensor | None, torch.Tensor | None]:
        """Project what comes back onto the tangent of each vector's sphere."""
        x, y, p, q, cosine = ctx.saved_tensors
        radial, dots = gradient * cosine, gradient * p * q
        grad_x = grad_y = None
        with full_precision(x.device):
            if ctx.needs_input_grad[0]:
                grad_x = torch.bmm(dots, y).addcmul_(x, radial.sum(2, True) * p.square(), value=-1)
            if ctx.needs_input_grad[1]:
                scale = radial.sum(1).unsqueeze(2) * q.square().transpose(1, 2)
                grad_y = torch.bmm(dots.transpose(1, 2), x).addcmul_(y, scale, value=-1)
        return grad_x, grad_y


def _pair(x: torch.Tensor, y: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    if x.dim() != 3 or y.dim() != 3 or x.shape[0] != y.shape[0] or x.shape[2] != y.shape[2]:
        raise ValueError(
            "expected speech (B, T, D) and text (B, U, D) of the same batch and dimension, "
            f"received {tuple(x.shape)} and {tuple(y.shape)}; project one side to the other's D"
        )
    return at_least_float32(x), at_least_float32(y)


def cosine_cost(x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    """Return 1 - cos between x (B, T, D) and y (B, U, D) as (B, T, U), in [0, 2].

    A zero vector is at cost 1 from everything and gets no gradient.
    """
    with full_precision(x.device):
        x, y = _pair(x, y)
        return 1 - _Cosine.apply(x, y)


def sqeuclidean_cost(x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    """Return |x - y|² between x (B, T, D) and y (B, U, D) as (B, T, U), never below 0."""
    with full_precision(x.device):
        x, y = _pair(x, y)
        squares = x.square().sum(2).unsqueeze(2) + y.square().sum(2).unsqueeze(1)
        return torch.baddbmm(squares, x, y.transpose(1, 2), alpha=-2).clamp_min(0)


COSTS: dict[str, Callable[[torch.Tensor, torch.Tensor], torch.Tensor]] = {
    "cosine": cosine_cost,
    "sqeuclidean": sqeuclidean_cost,
}

# Largest cost minus smallest, where the kind bounds it.
COST_RANGE = {"cosine": 2.0}


def cost_matrix(x: torch.Tensor, y: torch.Tensor, kind: str = "cosine") -> torch.Tensor:
    """Return the (B, T, U) cost of the named kind, `cosine` or `sqeuclidean`."""
    check_choice("cost", kind, COSTS)
    return COSTS[kind](x, y)
