"""Shorten speech embeddings by what a CTC head says of them: merge repeats, drop blanks."""

import torch
from torch import Tensor

from espnet_otreg.ot.compress import Compressed
from espnet_otreg.ot.tensors import kept_first, length_mask


def ctc_compress(x: Tensor, lengths: Tensor, best: Tensor, blank: int) -> Compressed:
    """Average runs of x (B, T, D) with the same best label (B, T), then drop those of the blank.

    A nonempty utterance that is blank throughout keeps its first run. Gradients reach what is kept.
    """
    valid = length_mask(lengths.to(x.device), x.shape[1])
    opens = valid.clone()  # first frame of a run
    opens[:, 1:] &= best[:, 1:] != best[:, :-1]
    run = (opens.long().cumsum(1) - 1).clamp(min=0)  # (B, T) which run a frame belongs to
    weight = valid.to(x.dtype)
    sums = torch.zeros_like(x).scatter_add_(
        1, run.unsqueeze(2).expand_as(x), x * weight.unsqueeze(2)
    )
    sizes = torch.zeros_like(weight).scatter_add_(1, run, weight)
    means = sums / sizes.clamp(min=1).unsqueeze(2)  # (B, runs, D)
    first, runs = kept_first(opens)  # (B, runs) frame each run starts with
    labels = best.gather(1, first)
    there = length_mask(runs, first.shape[1])
    keep = there & (labels != blank)
    if keep.shape[1]:
        keep[:, 0] |= there[:, 0] & ~keep.any(1)
    index, kept = kept_first(keep)
    padding = ~length_mask(kept, index.shape[1])
    out = means.gather(1, index.unsqueeze(2).expand(-1, -1, x.shape[2]))
    return Compressed(
        out.masked_fill(padding.unsqueeze(2), 0),
        kept,
        lengths.to(x.device) - runs,
        runs - kept,
        first.gather(1, index).masked_fill(padding, -1),
        valid & ~keep.gather(1, run) if keep.shape[1] else valid,
    )
