"""Alignments that keep the order: every token after the one before, every frame to one token.

Transport knows no order: of a word that is said twice it tells no frame which one it belongs to,
and a prior along the diagonal tells it wrong after a long pause. Here all ways through the tokens
in their order compete, each as likely as exp(-its cost / epsilon); a frame's row of the plan says
how likely it lies where. A way's cost is the sum over its frames, not their mean, so the same
epsilon makes a far sharper plan than Sinkhorn's does. Frames keep their masses; a token has what
frames it is given.

Ways are CTC's paths, so that PyTorch's CTC does the work: its gradient is the plan.
"""

import torch
from torch.nn.functional import ctc_loss

from espnet_otreg.ot.tensors import length_mask

_FAR = 1e3  # nats


def monotone_plan(
    cost: torch.Tensor, n: torch.Tensor, m: torch.Tensor, epsilon: float
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the plan (B, T, U), whose rows sum to 1 / n, and whether there is one (B,).

    Every token has a frame or more, so there is no plan, but zeros, with fewer frames than tokens.

    Args:
        cost: (B, T, U)
        n: (B,) frames
        m: (B,) tokens
        epsilon: the lower, the fewer ways count
    """
    possible = (m > 0) & (n >= m)
    if not cost.numel():  # which PyTorch's CTC refuses
        return torch.zeros_like(cost), possible
    heard, said = (torch.where(possible, lengths, 0) for lengths in (n, m))
    inside = length_mask(heard, cost.shape[1]).unsqueeze(2)
    inside = inside & length_mask(said, cost.shape[2]).unsqueeze(1)
    scores = -cost.detach().double().masked_fill(~inside, 0) / epsilon
    plan = posterior(scores, heard, said).masked_fill(~inside, 0)
    return (plan / heard.clamp(min=1).view(-1, 1, 1)).to(cost.dtype), possible


@torch.inference_mode(False)
@torch.enable_grad()
def posterior(scores: torch.Tensor, heard: torch.Tensor, said: torch.Tensor) -> torch.Tensor:
    """Return how likely each frame is each token's (B, T, U), over all ways.

    The labels of CTC are the tokens' places, which all differ; its blank is dearer than any way.

    Args:
        scores: (B, T, U) logarithms of what a frame weighs at a token
        heard: (B,) frames
        said: (B,) tokens, no more than frames
    """
    # Every way passes every frame once: what is the same for all its tokens changes nothing
    scores = scores - scores.amax(2, keepdim=True)
    never = scores.amin((1, 2), keepdim=True) * scores.shape[1] - _FAR
    scores = torch.cat([never.expand(*scores.shape[:2], 1), scores], 2)
    scores = scores.clone().requires_grad_()  # a copy, as what inference mode made has no gradient
    places = torch.arange(1, scores.shape[2], device=scores.device).expand(len(scores), -1)
    given = scores.transpose(0, 1), places, heard.clamp(min=1), said.clone()
    total = ctc_loss(*given, reduction="sum", zero_infinity=True)
    (found,) = torch.autograd.grad(total, scores)
    # PyTorch takes scores for normalised: its gradient is exp(score) less the posterior
    return (scores.detach().exp() - found)[:, :, 1:].clamp(min=0)
