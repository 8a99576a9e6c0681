"""The text side of the transport: each transcript's distinct embeddings, plus a silence anchor."""

from typing import NamedTuple

import torch
from torch.nn import functional

from espnet_otreg.ot.cost import unit_vectors
from espnet_otreg.ot.options import check_number
from espnet_otreg.ot.tensors import (
    at_least_float32,
    check_lengths,
    full_precision,
    kept_first,
    length_mask,
)


class Targets(NamedTuple):
    """Distinct targets per utterance, in order of first appearance, the anchor last."""

    embeddings: torch.Tensor  # (B, U, D) rows of the table, 0 on padding
    lengths: torch.Tensor  # (B,) targets of each utterance, the anchor counted
    ids: torch.Tensor  # (B, U) their rows in the table, -1 on padding


def unique_targets(
    ids: torch.Tensor,
    lengths: torch.Tensor,
    table: torch.Tensor,
    anchor_id: int | None,
    threshold: float = 0.99,
) -> Targets:
    """Look up the distinct tokens of ids (B, L) in table (V, D); repeats blur the plan.

    Tokens are distinct by id first, exactly. Then a token goes if an earlier one, or the anchor,
    has a cosine above threshold with it (1 keeps all). The anchor is the target of silence: it
    comes last and always stays, so an empty transcript has the anchor alone, or nothing when
    anchor_id is None. Negative ids count as padding. A gradient to the table is kept.
    """
    _check(ids, lengths, table, anchor_id, threshold)
    ids, lengths = ids.long(), lengths.to(ids.device)
    spoken = length_mask(lengths, ids.shape[1]) & (ids >= 0)
    same = ids.unsqueeze(2) == ids.unsqueeze(1)  # (B, L, L)
    keep = spoken & ~_seen_before(same, spoken)
    if anchor_id is not None:
        keep &= ids != anchor_id
    ids, lengths = _compact(ids, keep)
    keep = length_mask(lengths, ids.shape[1])
    keep = keep & ~_too_close(table.detach(), ids, keep, anchor_id, threshold)
    if anchor_id is not None:
        ids = torch.cat([ids, ids.new_full((ids.shape[0], 1), anchor_id)], 1)
        keep = torch.cat([keep, keep.new_ones((keep.shape[0], 1))], 1)
    ids, lengths = _compact(ids, keep)
    embeddings = functional.embedding(ids.clamp(min=0), table)
    return Targets(embeddings.masked_fill((ids < 0).unsqueeze(2), 0), lengths, ids)


def _seen_before(alike: torch.Tensor, present: torch.Tensor) -> torch.Tensor:
    """Tell which positions (B, L) have an earlier present position alike to them."""
    earlier = alike.new_ones(alike.shape[1:]).tril(-1)
    return (alike & earlier & present.unsqueeze(1)).any(2)


def _compact(ids: torch.Tensor, keep: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Move kept ids to the front, -1 behind them, and cut to the longest."""
    index, lengths = kept_first(keep)
    ids = ids.gather(1, index)
    return ids.masked_fill(~length_mask(lengths, ids.shape[1]), -1), lengths


def _too_close(
    table: torch.Tensor,
    ids: torch.Tensor,
    present: torch.Tensor,
    anchor_id: int | None,
    threshold: float,
) -> torch.Tensor:
    """Tell which ids (B, U) lie above the threshold from an earlier one or from the anchor."""
    with full_precision(table.device), torch.no_grad():
        units = unit_vectors(at_least_float32(functional.embedding(ids.clamp(min=0), table)))
        # rounding lifts the cosine of equal vectors above 1, which a threshold of 1 must not see
        cosine = torch.bmm(units, units.transpose(1, 2)).clamp(max=1)
        close = _seen_before(cosine > threshold, present)
        if anchor_id is not None:
            anchor = unit_vectors(at_least_float32(table[anchor_id]))
            close |= (units @ anchor).clamp(max=1) > threshold
    return close


def _check(
    ids: torch.Tensor,
    lengths: torch.Tensor,
    table: torch.Tensor,
    anchor_id: int | None,
    threshold: float,
) -> None:
    check_number("threshold", threshold, low=-1)
    if ids.dim() != 2 or table.dim() != 2:
        raise ValueError(
            f"expected ids (B, L) and a table (V, D); received {tuple(ids.shape)} and "
            f"{tuple(table.shape)}"
        )
    check_lengths("lengths", lengths, *ids.shape)
    rows = table.shape[0]
    if anchor_id is not None and not 0 <= anchor_id < rows:
        raise ValueError(
            f"anchor_id: expected a row of the table, 0 to {rows - 1}, or None; "
            f"received {anchor_id}"
        )
    if ids.device.type != "cpu" or not ids.numel():
        return  # a GPU would have to be waited for
    largest = int(ids.masked_fill(~length_mask(lengths.cpu(), ids.shape[1]), -1).max())
    if largest >= rows:
        raise ValueError(
            f"ids: expected rows of the table, 0 to {rows - 1}; received {largest}: "
            "the table and the tokenizer do not belong together"
        )
