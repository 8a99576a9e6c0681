"""Joining padded sequences end to end, without a loop over utterances."""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from espnet_otreg.ot.tensors import length_mask


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
