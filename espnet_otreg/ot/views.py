"""Two views of the same speech: the plan of one is the target of the other.

Frames that training stretches, masks and covers with noise are aligned worse than the clean ones.
So the plan is made of the clean frames, stretched to as many frames as the other view has, and the
transport cost draws the other view along it.
"""

from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import pad

from espnet_otreg.ot.cost import cost_matrix
from espnet_otreg.ot.loss import OTRegLoss, OTRegOutput, weighted_mean
from espnet_otreg.ot.sequences import resampled
from espnet_otreg.ot.tensors import at_least_float32, full_precision, zeroed


class View(NamedTuple):
    """Frames of a batch."""

    x: Tensor  # (B, T, D)
    lengths: Tensor  # (B,)


def carried(coupling: Tensor, lengths: Tensor, longer: Tensor) -> Tensor:
    """Stretch a plan (B, T, U) to other numbers of frames (B,).

    A frame's choice is interpolated between its neighbours', and all frames share what was moved.
    """
    scale = (lengths / longer.clamp(min=1)).view(-1, 1, 1).to(coupling)
    return resampled(coupling, lengths, longer) * scale


def follow(
    loss: OTRegLoss,
    clean: View,
    seen: View,
    text: View,
    *,
    utterance_weight: Tensor | None = None,
    text_weights: Tensor | None = None,
) -> OTRegOutput:
    """Compare what is seen with the text along the plan of the clean view, which is constant.

    The sparsity is that of the clean plan, so it draws nothing; the other diagnostics of the plan
    are those of its solution.
    """
    n, m = seen.lengths.to(seen.x.device), text.lengths
    with torch.no_grad():
        solved = loss(clean.x, clean.lengths, text.x, m, text_weights=text_weights)
        P = carried(solved.plan.coupling, clean.lengths.to(n.device), n)
        P = pad(P, (0, 0, 0, seen.x.shape[1] - P.shape[1]))
    with full_precision(seen.x.device):
        cost = cost_matrix(zeroed(seen.x, n), zeroed(text.x, m), loss.kind)
        linear = (P * at_least_float32(cost).masked_fill(P == 0, 0)).sum((1, 2))
    each = linear + loss.sparsity_weight * solved.sparsity
    mean = weighted_mean(each, (n > 0) & (m.to(n.device) > 0), utterance_weight)
    plan = solved.plan._replace(coupling=P, cost=linear)
    return OTRegOutput(mean, linear, solved.sparsity, plan)
