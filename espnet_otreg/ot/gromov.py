"""Fused Gromov-Wasserstein: match frames to tokens and, at once, pairs of frames to pairs."""

from dataclasses import dataclass
from typing import Any, NamedTuple

import torch

from espnet_otreg.ot.options import SolverOptions, changed, check_options, option, same
from espnet_otreg.ot.sinkhorn import TransportPlan, sinkhorn
from espnet_otreg.ot.tensors import at_least_float32, check_lengths, full_precision, length_mask


class GromovPlan(NamedTuple):
    """Where the proximal steps ended; nothing here carries a gradient."""

    coupling: torch.Tensor  # (B, T, U) the plan P; exactly 0 on padding
    value: torch.Tensor  # (B,) (1 - α) <P, C> + α structure, the objective without entropy
    structure: torch.Tensor  # (B,) sum (D_ik - E_jl)² P_ij P_kl, speech D against text E
    marginal_error: torch.Tensor  # (B,) L1 distance of the frame masses from what they must be
    converged: torch.Tensor  # (B,) true where that error came within tol in the last step


@dataclass(frozen=True)
class GromovOptions:
    """How `fused_gromov` solves, and what it weighs."""

    structure_weight: float = option(
        0.02, "α: share of the structures, against the costs", low=0, high=1
    )
    proximal_weight: float = option(
        0.5, "of KL(P | last P) in each proximal step, in place of epsilon", low=0, above=True
    )
    outer_iters: int = option(5, "proximal steps", low=1)
    inner_iters: int = option(20, "Sinkhorn iterations in each step, in place of max_iters", low=1)
    tol: float = same(SolverOptions, "tol", 1e-3)
    cost_range: float | None = same(SolverOptions, "cost_range", None)

    def __post_init__(self) -> None:
        check_options(self)

    def inner(self, step: int) -> SolverOptions:
        """Return the options of a step, counted from 1."""
        # potentials shift whole rows and columns, which the exp domain takes off first
        spread = None if self.cost_range is None else step * self.cost_range
        return SolverOptions(
            self.proximal_weight, max_iters=self.inner_iters, tol=self.tol, cost_range=spread
        )


@torch.no_grad()
def fused_gromov(
    cost: torch.Tensor,
    speech_structure: torch.Tensor,
    text_structure: torch.Tensor,
    speech_lengths: torch.Tensor,
    text_lengths: torch.Tensor,
    options: GromovOptions | None = None,
    **changes: Any,
) -> GromovPlan:
    """Transport uniform weights under node costs (B, T, U) and symmetric structures.

    Minimises (1 - α) <P, C> + α sum (D_ik - E_jl)² P_ij P_kl over plans with hard marginals, for
    structures D (B, T, T) and E (B, U, U), by proximal points: from the product measure, each of
    outer_iters steps minimises the objective's linearisation at P_k plus proximal_weight
    KL(P | P_k), with inner_iters Sinkhorn iterations. The more steps, the sharper the plan; there
    is no other entropy. A prior is added to C by whoever has one. A known bound of the
    linearisation's spread, `cost_range`, spares a GPU the wait for its size. `GromovOptions` can
    be given as one object, by keyword, or both. No gradient flows through any of it.
    """
    options = changed(GromovOptions, options, changes)
    alpha = options.structure_weight
    _check_shapes(cost, speech_structure, text_structure, speech_lengths, text_lengths)
    n, m = speech_lengths.to(cost.device), text_lengths.to(cost.device)
    with full_precision(cost.device):
        node = at_least_float32(cost)
        graphs = _graphs(node, speech_structure, text_structure, n, m)
        cross = graphs.product()
        total = torch.zeros_like(node)
        for step in range(1, options.outer_iters + 1):
            # the linearisation; the factor 2 as P enters the structure term twice
            total = total.add_(node, alpha=1 - alpha)
            total.add_(graphs.mismatch(cross), alpha=2 * alpha)
            plan = sinkhorn(total, n, m, options.inner(step))
            cross = graphs.cross(plan.coupling)
            total = _proximal(total, plan, options.proximal_weight)
        return _result(plan, node, graphs.mismatch(cross), alpha)


class _Graphs(NamedTuple):
    """Both structures, with the part of their mismatch that does not depend on the plan."""

    speech: torch.Tensor  # (B, T, T) D, 0 on padding
    text: torch.Tensor  # (B, U, U) E, 0 on padding
    a: torch.Tensor  # (B, T)
    b: torch.Tensor  # (B, U)
    constant: torch.Tensor  # (B, T, U) sum_k D_ik² a_k + sum_l E_jl² b_l

    def product(self) -> torch.Tensor:
        """Return D P Eᵀ of the product measure P = a b."""
        speech, text = _times(self.speech, self.a), _times(self.text, self.b)
        return speech.unsqueeze(2) * text.unsqueeze(1)

    def cross(self, P: torch.Tensor) -> torch.Tensor:
        """Return D P Eᵀ."""
        return torch.bmm(self.speech, torch.bmm(P, self.text))

    def mismatch(self, cross: torch.Tensor) -> torch.Tensor:
        """Return sum_kl (D_ik - E_jl)² P_kl, whose square the expansion never builds."""
        return torch.add(self.constant, cross, alpha=-2)


def _times(matrix: torch.Tensor, vector: torch.Tensor) -> torch.Tensor:
    return torch.bmm(matrix, vector.unsqueeze(2)).squeeze(2)


def _graphs(
    node: torch.Tensor, speech: torch.Tensor, text: torch.Tensor, n: torch.Tensor, m: torch.Tensor
) -> _Graphs:
    sides, weights, means = [], [], []
    for matrix, lengths in ((speech, n), (text, m)):
        mask = length_mask(lengths, matrix.shape[1])
        clean = matrix.to(node).masked_fill(~(mask.unsqueeze(2) & mask.unsqueeze(1)), 0)
        weight = mask.to(node) / lengths.clamp(min=1).unsqueeze(1)
        sides.append(clean)
        weights.append(weight)
        means.append(_times(clean.square(), weight))
    constant = means[0].unsqueeze(2) + means[1].unsqueeze(1)
    return _Graphs(sides[0], sides[1], weights[0], weights[1], constant)


def _proximal(total: torch.Tensor, plan: TransportPlan, epsilon: float) -> torch.Tensor:
    """Return -epsilon log(P / ab) of a plan solved for the costs `total`.

    Taken from the potentials: the logarithm of a plan that underflows to 0 would be infinite.
    """
    potentials = plan.speech_potential.unsqueeze(2) + plan.text_potential.unsqueeze(1)
    return torch.add(total, potentials, alpha=-epsilon)


def _result(
    plan: TransportPlan, node: torch.Tensor, mismatch: torch.Tensor, structure_weight: float
) -> GromovPlan:
    P = plan.coupling
    padding = P == 0  # costs there are arbitrary
    linear, structure = (
        (P * costs.masked_fill(padding, 0)).sum((1, 2)) for costs in (node, mismatch)
    )
    value = (1 - structure_weight) * linear + structure_weight * structure
    return GromovPlan(P, value, structure, plan.marginal_error, plan.converged)


def _check_shapes(
    cost: torch.Tensor,
    speech_structure: torch.Tensor,
    text_structure: torch.Tensor,
    speech_lengths: torch.Tensor,
    text_lengths: torch.Tensor,
) -> None:
    if cost.dim() != 3:
        raise ValueError(f"cost: expected shape (B, T, U); received {tuple(cost.shape)}")
    batch = cost.shape[0]
    for name, matrix, size in (
        ("speech_structure", speech_structure, cost.shape[1]),
        ("text_structure", text_structure, cost.shape[2]),
    ):
        if matrix.shape != (batch, size, size):
            raise ValueError(
                f"{name}: expected the distances within one side of the cost, "
                f"{(batch, size, size)}; received {tuple(matrix.shape)}"
            )
    check_lengths("speech_lengths", speech_lengths, batch, cost.shape[1])
    check_lengths("text_lengths", text_lengths, batch, cost.shape[2])
