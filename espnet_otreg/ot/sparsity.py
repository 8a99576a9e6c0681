"""How far each frame is from choosing one token, with a gradient through one half-step."""

import math

import torch

from espnet_otreg.ot.sinkhorn import TransportPlan, damping

# A frame that transports less (a relaxed plan may drop it) chooses nothing and counts 0.
_NO_MASS = 1e-30


def _choices(P: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the row-normalised plan R (B, T, U) and its row norms r (B, T, 1), 1 if massless."""
    mass = P.sum(2, keepdim=True)
    moved = mass > _NO_MASS
    R = P / torch.where(moved, mass, 1)
    return R, torch.where(moved, R.square().sum(2, keepdim=True), 1).sqrt()


def _mean_over_frames(r: torch.Tensor, speech_lengths: torch.Tensor) -> torch.Tensor:
    return (1 - r).sum((1, 2)) / speech_lengths.to(r.device).clamp(min=1)


def plan_sparsity(
    plan: TransportPlan,
    cost: torch.Tensor,
    speech_lengths: torch.Tensor,
    *,
    epsilon: float,
    relax_text: float = math.inf,
) -> torch.Tensor:
    """Return the mean over frames of 1 - |row-normalised plan|₂ (B,).

    A plan with a graph (unrolled) is differentiated through. A constant one gets the gradient of
    one more token half-step: f is fixed and g_j = -k log sum_i a_i exp(K_ij + f_i) a function
    of K = -C / epsilon. Then dP_ij = P_ij (dK_ij + dg_j) with
    dg_j = -k sum_i P_ij dK_ij / sum_i P_ij, and dr_i = sum_j G_ij (dK_ij + dg_j) with
    G = R (R / r - r): a closed form that saves one matrix in place of three.
    The frame half-step would cancel in R and leave a gradient that points elsewhere: in trials
    its cosine with the fully unrolled gradient fell below 0.5, this one's stayed above 0.9.
    """
    if plan.coupling.requires_grad:
        return _mean_over_frames(_choices(plan.coupling)[1], speech_lengths)
    with torch.no_grad():
        P = plan.coupling
        R, r = _choices(P)
        G = (R / r).sub_(r).mul_(R)  # (B, T, U)
        columns = P.sum(1, keepdim=True)  # (B, 1, U)
        pull = G.sum(1, keepdim=True) / torch.where(columns > _NO_MASS, columns, 1)
        scale = epsilon * speech_lengths.to(P.device).clamp(min=1).view(-1, 1, 1)
        by_cost = G.addcmul_(P, pull, value=-damping(relax_text, epsilon)) / scale
        value = _mean_over_frames(r, speech_lengths)
    linear = (by_cost * cost.masked_fill(P == 0, 0)).sum((1, 2))
    return value + (linear - linear.detach())
