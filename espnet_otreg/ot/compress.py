"""Shorten speech embeddings by what the transport taught them: merge equals, drop silence."""

from typing import NamedTuple

import torch

from espnet_otreg.ot.cost import unit_vectors
from espnet_otreg.ot.options import check_number
from espnet_otreg.ot.tensors import (
    at_least_float32,
    check_lengths,
    full_precision,
    kept_first,
    length_mask,
)


class Compressed(NamedTuple):
    """The shorter sequences, and what became of the frames."""

    x: torch.Tensor  # (B, T', D) kept embeddings, 0 on padding
    lengths: torch.Tensor  # (B,) kept embeddings of each utterance
    merged: torch.Tensor  # (B,) pairs that became one embedding
    dropped: torch.Tensor  # (B,) embeddings removed as silence, after merging
    source: torch.Tensor  # (B, T') frame each comes from, a pair's first one; -1 on padding
    silent: torch.Tensor  # (B, T) true on the frames that were dropped


def compress(
    x: torch.Tensor,
    lengths: torch.Tensor,
    anchor: torch.Tensor,
    *,
    merge_threshold: float = 0.9,
    drop_threshold: float = 0.9,
) -> Compressed:
    """Merge alike neighbours of x (B, T, D), then drop what lies near the anchor (D,).

    Of the pairs (0, 1), (2, 3), … those whose cosine is above merge_threshold become their mean;
    then embeddings whose cosine with the anchor is above drop_threshold go, except that a
    nonempty utterance keeps the one least like the anchor. A threshold of 1 switches a step off.
    Gradients reach the frames that are kept.
    """
    check_number("merge_threshold", merge_threshold, low=-1)
    check_number("drop_threshold", drop_threshold, low=-1)
    if x.dim() != 3 or anchor.shape != x.shape[2:]:
        raise ValueError(
            f"expected x (B, T, D) and an anchor (D,); received {tuple(x.shape)} and "
            f"{tuple(anchor.shape)}"
        )
    check_lengths("lengths", lengths, *x.shape[:2])
    valid = length_mask(lengths.to(x.device), x.shape[1])
    with torch.no_grad(), full_precision(x.device):
        merge = _merging(x, valid, merge_threshold)  # (B, T), true on a pair's first frame
        candidates = valid & ~merge.roll(1, 1)
        near = _cosine_with(_merged(x, merge), anchor)
        keep = candidates & (near <= drop_threshold)
        least = near.masked_fill(~candidates, torch.inf)
        best = torch.zeros_like(keep)
        if x.shape[1]:
            best.scatter_(1, least.argmin(1, keepdim=True), True)
        keep |= best & candidates & ~keep.any(1, keepdim=True)
    source, kept = kept_first(keep)
    padding = ~length_mask(kept, source.shape[1])
    # index_select, since gather would keep all of x for the backward pass
    first = torch.arange(x.shape[0], device=x.device).unsqueeze(1) * x.shape[1]
    rows = _merged(x, merge).flatten(0, 1).index_select(0, (first + source).flatten())
    return Compressed(
        rows.view(*source.shape, x.shape[2]).masked_fill(padding.unsqueeze(2), 0),
        kept,
        merge.sum(1),
        candidates.sum(1) - kept,
        source.masked_fill(padding, -1),
        valid & ~keep & ~(keep & merge).roll(1, 1),
    )


def _merging(x: torch.Tensor, valid: torch.Tensor, threshold: float) -> torch.Tensor:
    """Mark the first frame of every pair to merge; an unpaired last frame stays as it is."""
    merge = torch.zeros_like(valid)
    pairs = x.shape[1] // 2
    units = unit_vectors(at_least_float32(x[:, : 2 * pairs]))
    # rounding lifts the cosine of equal vectors above 1, which a threshold of 1 must not see
    cosine = (units[:, 0::2] * units[:, 1::2]).sum(2).clamp(max=1)
    merge[:, 0 : 2 * pairs : 2] = (cosine > threshold) & valid[:, 1 : 2 * pairs : 2]
    return merge


def _merged(x: torch.Tensor, merge: torch.Tensor) -> torch.Tensor:
    """Put the pair's mean in place of its first frame."""
    return torch.where(merge.unsqueeze(2), (x + x.roll(-1, 1)) / 2, x)


def _cosine_with(x: torch.Tensor, anchor: torch.Tensor) -> torch.Tensor:
    units = unit_vectors(at_least_float32(x))
    return (units @ unit_vectors(at_least_float32(anchor)).to(units)).clamp(max=1)
