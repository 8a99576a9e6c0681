"""`ot_conf.control`: transcripts that are not the utterance's, to see what the transcript does."""

import logging
from typing import NamedTuple

import torch
from torch import Tensor

from espnet_otreg.errors import UserError
from espnet_otreg.ot.tensors import length_mask

CONTROLS = ("none", "shuffled", "other_language", "random_tokens")
_PATIENCE = 20  # batches after which one that can be mixed should have come


class Transcripts(NamedTuple):
    """What is said in each utterance of a batch."""

    ids: Tensor  # (B, L), negative on padding
    lengths: Tensor  # (B,)
    languages: Tensor | None = None  # (B, C) bytes of the language codes, padded with -1


class Control:
    """Replaces the transcripts of a batch by what `kind` says, none by default.

    shuffled: an utterance gets its neighbour's. other_language: that of the nearest neighbour in
    another language; where the batch has one language alone, its neighbour's after all.
    random_tokens: the batch's tokens, dealt out anew to transcripts of the same lengths, so that
    each token is as frequent as it was.
    """

    def __init__(self, kind: str) -> None:
        self.kind = kind
        self._seen, self._mixed = 0, False

    def __call__(self, said: Transcripts) -> Transcripts:
        """Return what the term takes for the transcripts."""
        if self.kind in ("shuffled", "random_tokens"):
            self._look(len(said.ids) > 1, "one utterance", "take larger batches")
        if self.kind == "shuffled":
            return _rows(said, torch.arange(len(said.ids), device=said.ids.device) - 1)
        if self.kind == "other_language":
            return _rows(said, self._foreign(said))
        if self.kind == "random_tokens":
            return said._replace(ids=_dealt(said))
        return said

    def _foreign(self, said: Transcripts) -> Tensor:
        if said.languages is None:
            raise UserError(
                "ot_conf.control: other_language needs each utterance's language, and the batch "
                "carries none: give data named language (utt2lang), or another control"
            )
        codes = said.languages
        place = torch.arange(len(codes), device=codes.device)
        differ = (codes.unsqueeze(1) != codes.unsqueeze(0)).any(2)  # (B, B)
        back = (place.unsqueeze(1) - place.unsqueeze(0)) % max(len(codes), 1)
        back = torch.where(differ, back, 1 + (back - 1) % max(len(codes), 1) + len(codes))
        self._look(bool(differ.any()), "one language", "train on several")
        return back.argmin(1)

    def _look(self, mixed: bool, found: str, remedy: str) -> None:
        """Refuse batches that hold nothing else; the odd one is told once, then in the log."""
        if self._mixed:
            return
        self._seen += 1
        if mixed:
            self._mixed = True
        elif self._seen == _PATIENCE:
            raise UserError(
                f"ot_conf.control: {self.kind} met {found} alone in {_PATIENCE} batches: {remedy}, "
                "or choose another control"
            )
        elif self._seen == 1:
            logging.warning(
                "ot_conf.control: %s: this batch has %s, so its transcripts are its own or its "
                "neighbours'; ot_control_shared tells what they share",
                self.kind,
                found,
            )


def shared_tokens(targets: Tensor, anchor_id: int, said: Transcripts) -> Tensor:
    """Return the share (B,) of the targets (B, U), but for the anchor, that were really said."""
    asked = (targets >= 0) & (targets != anchor_id)
    real = length_mask(said.lengths.to(said.ids.device), said.ids.shape[1])
    spoken = said.ids.masked_fill(~real, -1).to(targets.device)
    true = (targets.unsqueeze(2) == spoken.unsqueeze(1)).any(2) & asked
    return true.sum(1) / asked.sum(1).clamp(min=1)


def _rows(said: Transcripts, index: Tensor) -> Transcripts:
    return said._replace(ids=said.ids[index], lengths=said.lengths[index.to(said.lengths.device)])


def _dealt(said: Transcripts) -> Tensor:
    """Deal the tokens of a batch out anew, by torch's generator."""
    real = length_mask(said.lengths.to(said.ids.device), said.ids.shape[1])
    ids = said.ids.clone()
    pool = ids[real]
    ids[real] = pool[torch.randperm(len(pool)).to(ids.device)]
    return ids
