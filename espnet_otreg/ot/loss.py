"""The regulariser: transport cost between speech and text embeddings, plus plan sparsity."""

import math
from typing import Any, NamedTuple

import torch

from espnet_otreg.ot.cost import COST_RANGE, COSTS, cost_matrix
from espnet_otreg.ot.diagnostics import ConvergenceWatch
from espnet_otreg.ot.options import check_choice, check_number, check_solver_options
from espnet_otreg.ot.padding import zeroed
from espnet_otreg.ot.sinkhorn import TransportPlan, sinkhorn
from espnet_otreg.ot.sparsity import plan_sparsity


class OTRegOutput(NamedTuple):
    """The loss and what it is made of."""

    loss: torch.Tensor  # scalar, weighted mean of cost + sparsity_weight * sparsity
    cost: torch.Tensor  # (B,) <P, C>, 0 where a side is empty
    sparsity: torch.Tensor  # (B,) mean over frames of 1 - |row-normalised plan|₂; 0 at weight 0
    plan: TransportPlan  # the plan and its diagnostics


def _weighted_mean(
    each: torch.Tensor, valid: torch.Tensor, weight: torch.Tensor | None
) -> torch.Tensor:
    """Return the mean of each (B,); of nothing, 0 with a graph, as other processes wait for it."""
    weight = valid.to(each) if weight is None else valid.to(each) * weight.to(each)
    total = weight.sum()
    return (weight * each).sum() / torch.where(total > 0, total, 1)


class OTRegLoss(torch.nn.Module):
    """Optimal transport regulariser of arXiv 2508.08131 (its λ_spr = 0.1); no parameters.

    >>> out = OTRegLoss(sparsity_weight=0.1)(speech, speech_lengths, text, text_lengths)
    """

    def __init__(
        self,
        *,
        sparsity_weight: float = 0.1,
        cost: str = "cosine",
        epsilon: float = 0.1,
        max_iters: int = 50,
        tol: float = 1e-3,
        relax_speech: float = math.inf,
        relax_text: float = math.inf,
        method: str = "auto",
        unroll: bool = False,
    ):
        super().__init__()
        check_number("sparsity_weight", sparsity_weight, 0)
        check_choice("cost", cost, COSTS)
        check_solver_options(epsilon, max_iters, tol, relax_speech, relax_text, method, unroll)
        self.sparsity_weight, self.kind, self.watch = sparsity_weight, cost, ConvergenceWatch()
        self.solver: dict[str, Any] = {
            "epsilon": epsilon, "max_iters": max_iters, "tol": tol, "relax_speech": relax_speech,
            "relax_text": relax_text, "method": method, "unroll": unroll,
        }  # fmt: skip

    def forward(
        self,
        speech: torch.Tensor,
        speech_lengths: torch.Tensor,
        text: torch.Tensor,
        text_lengths: torch.Tensor,
        *,
        utterance_weight: torch.Tensor | None = None,
        prior: torch.Tensor | None = None,
        text_weights: torch.Tensor | None = None,
    ) -> OTRegOutput:
        """Compare speech (B, T, D) with text (B, U, D), whose tokens weigh as text_weights (B, U).

        The loss is the mean over utterances with both sides, weighted by utterance_weight (B,).
        Gradient: the plan is constant in `cost` and follows one half-step in `sparsity`, unless
        `unroll` differentiates both through every iteration.
        """
        speech, text = zeroed(speech, speech_lengths), zeroed(text, text_lengths)
        cost = cost_matrix(speech, text, self.kind)
        # a bound known beforehand spares a GPU the wait for the costs
        bound = COST_RANGE.get(self.kind) if prior is None else None
        n, m = speech_lengths, text_lengths
        options = {"prior": prior, "text_weights": text_weights, **self.solver}
        plan = sinkhorn(cost, n, m, cost_range=bound, **options)
        self.watch.look(plan, tol=self.solver["tol"])
        sparsity = torch.zeros_like(plan.cost)
        if self.sparsity_weight > 0:
            step = {name: self.solver[name] for name in ("epsilon", "relax_text")}
            sparsity = plan_sparsity(plan, cost, n, **step)
        each = plan.cost + self.sparsity_weight * sparsity
        loss = _weighted_mean(each, (n > 0) & (m > 0), utterance_weight)
        return OTRegOutput(loss, plan.cost, sparsity, plan)
