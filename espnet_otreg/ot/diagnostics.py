"""What a training log wants to know about a transport plan; nothing here carries a gradient."""

import logging

import torch

from espnet_otreg.ot.align import Alignment
from espnet_otreg.ot.sinkhorn import TransportPlan

_LOOK_EVERY = 100  # calls between two looks at a plan on a GPU, each of which makes the host wait


def speech_marginal(plan: TransportPlan) -> torch.Tensor:
    """Return the mass of each frame (B, T)."""
    return plan.coupling.detach().sum(2)


def text_marginal(plan: TransportPlan) -> torch.Tensor:
    """Return the mass of each token (B, U)."""
    return plan.coupling.detach().sum(1)


def silence_mass(plan: TransportPlan, text_lengths: torch.Tensor) -> torch.Tensor:
    """Return the share (B,) of the transported mass on the last token, the silence anchor.

    A hard text marginal fixes it to the anchor's weight; utterances that transport nothing have 0.
    """
    masses = text_marginal(plan)
    if masses.shape[1] == 0:
        return masses.sum(1)
    last = (text_lengths.to(masses.device) - 1).clamp(min=0).unsqueeze(1)
    total = masses.sum(1)
    return masses.gather(1, last).squeeze(1) / torch.where(total > 0, total, 1)


def ends_mass(plan: Alignment, text_lengths: torch.Tensor) -> torch.Tensor:
    """Return the share (B,) of the mass on [CLS] and [SEP], where silence goes if anywhere."""
    last = (text_lengths.to(plan.text_mass.device) + 1).unsqueeze(1)
    ends = plan.text_mass[:, 0] + plan.text_mass.gather(1, last).squeeze(1)
    total = plan.text_mass.sum(1)
    return ends.detach() / torch.where(total > 0, total, 1)


def plan_entropy(plan: TransportPlan | Alignment) -> torch.Tensor:
    """Return the mean entropy (B,) in nats of a frame's choice of token, frames by their mass.

    0 means that each frame goes to one token, log U that it is spread over all of them.
    """
    P = plan.coupling.detach()
    mass = P.sum(2)
    total = mass.sum(1)
    entropy = torch.xlogy(mass, mass).sum(1) - torch.xlogy(P, P).sum((1, 2))
    return entropy / torch.where(total > 0, total, 1)


def relative_entropy(plan: TransportPlan | Alignment, text_lengths: torch.Tensor) -> torch.Tensor:
    """Return `plan_entropy` over log U (B,): 1 where frames choose nothing, 0 where they choose.

    0 too where there is no choice, of one token or of none.
    """
    most = text_lengths.to(plan.coupling.device).clamp(min=1).to(plan.coupling.dtype).log()
    return torch.where(most > 0, plan_entropy(plan) / torch.where(most > 0, most, 1), 0)


def told_of_plan(plan: Alignment, text_lengths: torch.Tensor) -> dict[str, torch.Tensor]:
    """Return what the log tells of a plan to `text_lengths` (B,) tokens between [CLS] and [SEP]."""
    return {
        "ot_mass": plan.speech_mass.sum(1).mean(),
        "ot_marginal_error": plan.marginal_error.mean(),
        "ot_entropy": relative_entropy(plan, text_lengths + 2).mean(),
        "ot_ends_mass": ends_mass(plan, text_lengths).mean(),
    }


class ConvergenceWatch:
    """Warns once when plans miss the tolerance, without making a GPU wait at every step."""

    def __init__(self) -> None:
        self._calls = 0
        self._warned = False

    def look(self, plan: TransportPlan, tol: float) -> None:
        """Check this plan, or on a GPU every hundredth one."""
        self._calls += 1
        on_gpu = plan.converged.device.type != "cpu"
        if self._warned or (on_gpu and self._calls % _LOOK_EVERY != 1):
            return
        if bool(plan.converged.all()):
            return
        self._warned = True
        logging.getLogger(__name__).warning(
            "Optimal transport stopped after %d iterations with a marginal error of %.1e, above "
            "tol=%.1e (%d of %d utterances). Raise max_iters or epsilon, or raise tol if this "
            "is close enough. Said once per run; the error of every step is in the statistics.",
            int(plan.iterations.max()),
            float(plan.marginal_error.max()),
            tol,
            int((~plan.converged).sum()),
            plan.converged.numel(),
        )
