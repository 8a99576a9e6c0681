"""The transport term as `ot_conf` describes it: what the models that have one share."""

import torch
from torch import Tensor

from espnet_otreg.models.otreg.conf import OTConf
from espnet_otreg.ot import OTRegLoss, OTRegOutput, Targets, unique_targets
from espnet_otreg.ot.diagnostics import silence_mass


def make_loss(conf: OTConf) -> OTRegLoss:
    """Build the loss."""
    return OTRegLoss(conf.solver(), sparsity_weight=conf.sparsity_weight, cost=conf.cost)


def make_targets(
    conf: OTConf, ids: Tensor, lengths: Tensor, table: Tensor, anchor_id: int
) -> Targets:
    """Look up what speech is drawn to: transcripts (B, L), (B,), or by `control` a neighbour's.

    What helps with a neighbour's too is not the transcript's doing. The table is detached: with
    both sides free, everything collapses to one point.
    """
    if conf.control == "shuffled":
        ids, lengths = ids.roll(1, 0), lengths.roll(1, 0)
    return unique_targets(
        ids, lengths, table.detach(), anchor_id=anchor_id, threshold=conf.unique_threshold
    )


def target_weights(conf: OTConf, targets: Targets, frame_lengths: Tensor) -> Tensor | None:
    """Weigh the targets (B, U); None: all alike.

    By `frames_per_token` each token is given that many frames, and the anchor those that are left,
    but no fewer than a token.
    """
    if conf.frames_per_token is None:
        return None
    spoken = (targets.lengths - 1).clamp(min=0)
    asked = conf.frames_per_token * spoken.to(frame_lengths.device)
    rest = (frame_lengths - asked).clamp(min=conf.frames_per_token) / conf.frames_per_token
    weights = torch.ones_like(targets.ids, dtype=torch.float32)
    return weights.scatter(1, spoken.unsqueeze(1), rest.to(weights).unsqueeze(1))


def measured(conf: OTConf, out: OTRegOutput, targets: Targets) -> dict[str, Tensor]:
    """Return what the training log says of the term, utterances weighted alike."""
    each = out.cost + conf.sparsity_weight * out.sparsity
    return {
        "loss_ot": each.detach().mean(),
        "ot_cost": out.cost.detach().mean(),
        "ot_sparsity": out.sparsity.detach().mean(),
        "ot_marginal_error": out.plan.marginal_error.detach().mean(),
        "ot_silence_mass": silence_mass(out.plan, targets.lengths).mean(),
    }
