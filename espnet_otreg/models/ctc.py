"""CTC's likeliest path of a transcript: as a plan between frames and tokens, and as places."""

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torchaudio.functional import forced_align

from espnet_otreg.errors import UserError
from espnet_otreg.ot.tensors import length_mask


def forced_plan(log_probs: torch.Tensor, tokens: Sequence[int], *, blank: int = 0) -> np.ndarray:
    """Return CTC's most likely path as a plan (T, U) of zeros and ones.

    Frame t has a one in column u where the path emits token u; frames of the blank have none. CTC
    tends to emit a token in one or two frames: `measure.model_plans.close_gaps` makes it last.

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


@torch.no_grad()
def ctc_places(
    log_probs: Tensor, frame_lengths: Tensor, text: Tensor, text_lengths: Tensor, *, blank: int = 0
) -> Tensor:
    """Return places (B, L + 2) in frames from the start: of [CLS], the tokens, [SEP].

    A token's place is the middle of the frames that CTC's likeliest path of the transcript gives
    it, [CLS] and [SEP] stand at the two ends. Where there is no such path, as there are more tokens
    than frames, tokens are spread evenly.

    Args:
        log_probs: (B, T, V) of CTC
        frame_lengths: (B,)
        text: (B, L), padded with -1
        text_lengths: (B,)
        blank: index of the blank
    """
    # Only the columns of the transcript matter; all is copied at once, as a GPU is waited for
    labels = torch.nn.functional.pad(text.clamp(min=0), (1, 0), value=blank)  # (B, 1 + L)
    index = labels.unsqueeze(1).expand(-1, log_probs.shape[1], -1)
    scores = log_probs.gather(2, index).float().cpu()
    frames, sizes, tokens = frame_lengths.tolist(), text_lengths.tolist(), text.tolist()
    places = torch.zeros(text.shape[0], text.shape[1] + 2)
    for row, (length, size) in enumerate(zip(frames, sizes, strict=True)):
        places[row, 1 : size + 1] = _middles(scores[row, :length, : size + 1], tokens[row][:size])
        places[row, size + 1] = length
    return places.to(log_probs.device)


def _middles(scores: Tensor, tokens: list[int]) -> Tensor:
    """Return the places (L,) of tokens, scores (T, 1 + L) being of the blank and of each."""
    first: dict[int, int] = {}  # a repeated token is one label, with a blank in between
    columns = [first.setdefault(token, column) for column, token in enumerate(tokens, start=1)]
    frames = len(scores)
    try:
        plan = torch.from_numpy(forced_plan(scores, columns))
    except UserError:  # no path; what is told to people elsewhere is no reason to stop training
        return (torch.arange(len(tokens)) + 0.5) * frames / max(len(tokens), 1)
    middles = torch.arange(frames) + 0.5
    return (middles @ plan) / plan.sum(0)


BLANK = 0  # ESPnet's place of it in every token list


class BlankWatch:
    """Notes on which frames CTC says blank when its output layer is run anyway."""

    def __init__(self, ctc: Any, blank: int) -> None:
        self._blank, self._waits = blank, False
        self._said: Tensor | None = None  # (B, T)
        if ctc is not None:
            ctc.ctc_lo.register_forward_hook(self._look)

    def wait(self) -> None:
        """Note what the layer is run on next, and nothing after that."""
        self._waits, self._said = True, None

    def share(self, lengths: Tensor) -> Tensor | None:
        """Return the share (B,) of each utterance's frames that are blank; None where none was."""
        said, self._waits, self._said = self._said, False, None
        if said is None:
            return None
        real = length_mask(lengths.to(said.device), said.shape[1])
        return (said & real).sum(1) / real.sum(1).clamp(min=1)

    def _look(self, layer: torch.nn.Module, given: tuple, logits: Tensor) -> None:
        if self._waits:
            self._waits = False
            logits = logits.detach()
            self._said = logits[..., self._blank] >= logits.amax(-1)


def blank_share(blanks: Tensor | None) -> dict[str, Tensor]:
    """Return what the training log says of them, utterances weighted alike, if they are known."""
    return {} if blanks is None else {"ctc_blank": blanks.mean()}
