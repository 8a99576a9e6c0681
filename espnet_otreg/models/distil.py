"""What a masked language model would say in a token's place, taught where CTC says the token.

Transport draws frames to features. Here the teacher's own predictions are the target: each token is
masked, the teacher guesses it from the others, and CTC's distribution at the frame that the token's
likeliest path emits it from is drawn to those guesses. The blank has no part in it.
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from espnet_otreg.errors import UserError
from espnet_otreg.ot.tensors import full_precision, length_mask
from espnet_otreg.pretrained.pseudo_likelihood import PseudoLikelihood

TOP = 20  # guesses that are kept of each token


class Guesses:
    """Guesses of a masked language model, made once per transcript. No part of the model."""

    def __init__(self, token_list: Sequence[str]) -> None:
        self.token_list = token_list
        self._model: PseudoLikelihood | None = None
        self._place = torch.empty(0, dtype=torch.long)  # in the token list, of what is guessed from
        self._known: dict[tuple[int, ...], tuple[Tensor, Tensor]] = {}

    def __call__(self, name: str, text: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """Return ids in the token list and probabilities, (B, L, K) each, 0 on padding."""
        rows = zip(text.tolist(), lengths.tolist(), strict=True)
        found = [self._of(name, tuple(row[:size]), text.device) for row, size in rows]
        ids, shares = (
            nn.utils.rnn.pad_sequence(list(each), True) for each in zip(*found, strict=True)
        )
        return ids.to(text.device).long(), shares.to(text.device).float()

    def _of(self, name: str, said: tuple[int, ...], device: torch.device) -> tuple[Tensor, Tensor]:
        if said not in self._known:
            model = self._open(name, device)
            pieces = [self.token_list[token] for token in said]
            with full_precision(device):
                guessed = model.guesses(pieces, self._among).float().cpu().softmax(1)
            shares, ids = guessed.topk(min(TOP, guessed.shape[1]))
            shares = shares / shares.sum(1, keepdim=True).clamp(min=1e-9)
            self._known[said] = self._place[ids].int(), shares.half()  # as there may be many
        return self._known[said]

    def _open(self, name: str, device: torch.device) -> PseudoLikelihood:
        if self._model is None:
            self._model = open_guesser(name, str(device))
            known = self._model.tokenizer.vocabulary
            there = [(i, known[token]) for i, token in enumerate(self.token_list) if token in known]
            if not there:
                raise UserError(f"{name} knows none of the token list: take the model that made it")
            self._place = torch.tensor([place for place, _ in there])
            self._among = torch.tensor([piece for _, piece in there])
        return self._model


def open_guesser(name: str, device: str = "cpu") -> PseudoLikelihood:
    """Open a masked language model; one without a head that predicts words is refused."""
    try:
        return PseudoLikelihood(name, device)
    except UserError as error:
        needs = "transfer_conf.distil_weight needs a language model that predicts masked words"
        raise UserError(f"{needs}: {error}") from error


def distil(
    ctc: Any, frames: Tensor, places: Tensor, guesses: tuple[Tensor, Tensor], lengths: Tensor,
    *, blank: int = 0,
) -> Tensor:  # fmt: skip
    """Return each utterance's mean over tokens (B,) of the cross-entropy against the guesses.

    Args:
        ctc: ESPnet's CTC
        frames: (B, T, D) that CTC reads
        places: (B, L), or longer, in frames from the start, constant
        guesses: ids in the token list and probabilities, (B, L, K) each
        lengths: (B,) tokens
        blank: index of the blank
    """
    ids, shares = guesses
    last = frames.shape[1] - 1
    index = (
        places[:, : ids.shape[1]].long().clamp(0, last).unsqueeze(2).expand(-1, -1, frames.shape[2])
    )
    logits = ctc.ctc_lo(frames.gather(1, index)).float()  # (B, L, V)
    without = torch.zeros_like(logits[0, 0]).index_fill(0, logits.new_tensor([blank]).long(), -1e9)
    log_probs = (logits + without).log_softmax(2).gather(2, ids)
    there = length_mask(lengths.to(logits.device), logits.shape[1])
    each = -(shares * log_probs).sum(2).masked_fill(~there, 0)
    return each.sum(1) / lengths.to(logits.device).clamp(min=1)
