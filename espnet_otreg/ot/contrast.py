"""Contrast: each frame is told from every row of a table, as the transport plan says which is its.

The transport cost draws a frame to its tokens and pushes it from nothing. Where all rows of a table
resemble each other, it is met by a place in the middle of them. Here other rows repel.
"""

import torch
from torch import Tensor
from torch.nn.functional import normalize

from espnet_otreg.ot.loss import choices
from espnet_otreg.ot.sinkhorn import TransportPlan
from espnet_otreg.ot.tensors import full_precision, zeroed


def plan_contrast(
    plan: TransportPlan,
    frames: Tensor,
    frame_lengths: Tensor,
    ids: Tensor,
    table: Tensor,
    scale: float = 20.0,
) -> Tensor:
    """Return each utterance's mean over frames (B,) of the cross-entropy against the plan's rows.

    A frame's classes are all rows of the table, its logits `scale` times the cosines with them, its
    target its row of the plan, normalised; one that a relaxed plan drops is told from nothing. Plan
    and table are constant.

    Args:
        plan: between frames and targets
        frames: (B, T, D)
        frame_lengths: (B,)
        ids: (B, U) rows of the table that the plan's columns stand for, negative on padding
        table: (V, D)
        scale: of the cosines
    """
    with torch.no_grad():
        target, _ = choices(plan.coupling)  # (B, T, U)
        rows = normalize(table.float(), dim=1)
    heard = normalize(zeroed(frames, frame_lengths).float(), dim=2)
    with full_precision(heard.device):
        logits = scale * (heard @ rows.T)  # (B, T, V)
    places = ids.clamp(min=0).unsqueeze(1).expand(target.shape)
    surprise = logits.logsumexp(2, keepdim=True) - logits.gather(2, places)
    return (target * surprise).sum((1, 2)) / frame_lengths.to(target.device).clamp(min=1)
