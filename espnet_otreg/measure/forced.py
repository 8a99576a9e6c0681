"""Alignments that are no transport: a CTC path made to last, and attention, as plans."""

from itertools import pairwise

import numpy as np

from espnet_otreg.errors import UserError


def close_gaps(plan: np.ndarray, longest: int) -> np.ndarray:
    """Let tokens last: gaps of up to `longest` blank frames go half to either neighbour.

    Of an odd number the earlier token has one more. Longer gaps, and the frames before the first
    and after the last token, stay silence.
    """
    at = np.flatnonzero(plan.any(1))
    closed = plan.copy()
    for before, after in pairwise(at):
        if after - before - 1 <= longest:
            middle = (before + after) // 2 + 1
            closed[before + 1 : middle] = plan[before]
            closed[middle:after] = plan[after]
    return closed


def attention_plan(weights: np.ndarray) -> np.ndarray:
    """Turn attention weights (U, T), a distribution over frames per token, into a plan (T, U).

    Every column sums to one, as every token has the same mass in a balanced plan; the weights of a
    token that attends to nothing stay zero. Heads are for the caller to choose or to average.
    """
    if weights.ndim != 2:
        raise UserError(f"attention: expected (tokens, frames), got {weights.shape}")
    sums = weights.sum(1)  # (U,)
    return (weights / np.where(sums > 0, sums, 1)[:, None]).T
