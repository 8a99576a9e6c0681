"""CTC's likeliest path of a transcript, as a plan between frames and tokens."""

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
import torch
from torchaudio.functional import forced_align

from espnet_otreg.errors import UserError


def forced_plan(log_probs: torch.Tensor, tokens: Sequence[int], *, blank: int = 0) -> np.ndarray:
    """Return CTC's most likely path as a plan (T, U) of zeros and ones.

    Frame t has a one in column u where the path emits token u; frames of the blank have none. CTC
    tends to emit a token in one or two frames: `analysis.forced.close_gaps` makes it last.

    Args:
        log_probs: (T, V) of one utterance
        tokens: (U,) indices into V, without the blank
        blank: index of the blank
    """
    _check(log_probs, tokens, blank)
    if not tokens:
        return np.zeros((len(log_probs), 0), np.float32)
    given = log_probs.detach().cpu().float().contiguous()
    target = torch.tensor([tokens], dtype=torch.int64)
    paths, scores = forced_align(given[None], target, blank=blank)
    if not scores.isfinite().all():
        raise UserError(f"tokens {list(tokens)} have no CTC path of probability above 0")
    path = paths[0]
    emits = path != blank
    opens = emits.clone()  # a token that is repeated has a blank in between
    opens[1:] &= path[1:] != path[:-1]
    column = opens.cumsum(0) - 1
    plan = torch.zeros(len(path), len(tokens))
    plan[emits, column[emits]] = 1
    return plan.numpy()


def _check(log_probs: torch.Tensor, tokens: Sequence[int], blank: int) -> None:
    """Say what the C++ code would only crash on."""
    if log_probs.ndim != 2:
        raise UserError(
            "log_probs: expected (frames, vocabulary) of one utterance, "
            f"got {tuple(log_probs.shape)}"
        )
    frames, size = log_probs.shape
    if not 0 <= blank < size:
        raise UserError(f"blank {blank} is outside the vocabulary of {size}")
    wrong = [token for token in tokens if not 0 <= token < size or token == blank]
    if wrong:
        raise UserError(
            f"tokens {wrong[:5]} cannot be aligned: expected 0 to {size - 1} without blank {blank}"
        )
    repeats = sum(one == next_one for one, next_one in pairwise(tokens))
    if frames < len(tokens) + repeats:
        raise UserError(
            f"{frames} frames are too few for {len(tokens)} tokens, {repeats} of them repeated: "
            f"CTC needs {len(tokens) + repeats}. Leave the utterance out, or subsample less."
        )
