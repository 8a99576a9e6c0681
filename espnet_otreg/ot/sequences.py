"""Padded sequences without a loop over utterances: joined, resampled, or shortened by CTC."""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from espnet_otreg.ot.compress import Compressed
from espnet_otreg.ot.tensors import kept_first, length_mask, zeroed


class Spliced(NamedTuple):
    """The joined sequences of a batch."""

    x: Tensor  # (B, L, D), 0 on padding
    mask: Tensor  # (B, L) true where there is something
    positions: Tensor  # (B, L) 0, 1, 2, … from each first entry on; 0 on padding


def splice(parts: Sequence[tuple[Tensor, Tensor]], side: str = "left") -> Spliced:
    """Join parts, each of (B, T, D) and lengths (B,), in order; padding goes to one side.

    Everything that counts is moved by one stable sort of the joined masks.
    """
    if side not in ("left", "right"):
        raise ValueError(f"side: expected left or right; received {side!r}")
    joined = torch.cat([x for x, _ in parts], 1)
    valid = torch.cat([length_mask(n.to(joined.device), x.shape[1]) for x, n in parts], 1)
    longest = int(valid.sum(1).max()) if valid.numel() else 0
    order = torch.argsort(valid.to(torch.uint8), dim=1, stable=True, descending=side == "right")
    order = order[:, order.shape[1] - longest :] if side == "left" else order[:, :longest]
    mask = valid.gather(1, order)
    x = joined.gather(1, order.unsqueeze(2).expand(-1, -1, joined.shape[2]))
    positions = (mask.long().cumsum(1) - 1).clamp(min=0)
    return Spliced(x.masked_fill(~mask.unsqueeze(2), 0), mask, positions)


def right_aligned(ids: Tensor, lengths: Tensor, fill: int) -> Tensor:
    """Push the entries of (B, L) to the right end; what is left of them becomes `fill`."""
    length = ids.shape[1]
    place = torch.arange(length, device=ids.device) - (length - lengths.unsqueeze(1))  # (B, L)
    return ids.gather(1, place.clamp(min=0)).masked_fill(place < 0, fill)


def resampled(x: Tensor, lengths: Tensor, longer: Tensor) -> Tensor:
    """Give sequences (B, T, D) other lengths (B,), by linear interpolation between neighbours.

    What is empty stays empty. Padding of x must be 0.
    """
    size = int(longer.max()) if len(longer) else 0
    if size == 0:
        return x[:, :0]
    # entry j of n' covers what lies around (j + ½) n / n' in entries of the n there were
    scale = lengths / longer.clamp(min=1)
    place = (torch.arange(size, device=x.device) + 0.5) * scale.unsqueeze(1) - 0.5  # (B, T')
    last = (lengths - 1).clamp(min=0).unsqueeze(1)
    place = torch.minimum(place.clamp(min=0), last)
    before = place.floor().long()
    after = torch.minimum(before + 1, last)
    share = (place - before).unsqueeze(2).to(x.dtype)
    early, late = (
        x.gather(1, index.unsqueeze(2).expand(-1, -1, x.shape[2])) for index in (before, after)
    )
    return zeroed(torch.lerp(early, late, share), longer)


def ctc_compress(x: Tensor, lengths: Tensor, best: Tensor, blank: int) -> Compressed:
    """Average runs of x (B, T, D) with the same best label (B, T), then drop those of the blank.

    A nonempty utterance that is blank throughout keeps its first run. Gradients reach what is kept.
    """
    valid = length_mask(lengths.to(x.device), x.shape[1])
    opens = valid.clone()  # first frame of a run
    opens[:, 1:] &= best[:, 1:] != best[:, :-1]
    run = (opens.long().cumsum(1) - 1).clamp(min=0)  # (B, T) which run a frame belongs to
    weight = valid.to(x.dtype)
    sums = torch.zeros_like(x).scatter_add_(1, run.unsqueeze(2).expand_as(x), zeroed(x, lengths))
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
