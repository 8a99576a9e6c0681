"""Speech read by the language model's own table of embeddings, without its layers.

A phase before the language model: the adapter learns that table, nothing else runs.

CTC needs an output layer, and a frozen language model has one that speech is to speak to anyway:
the embeddings that it reads tokens by. So logits are likenesses between frames and rows of that
table, those of the token list, and the row that stands for silence is the blank. There are no new
parameters, and a step costs a small part of one through the language model. What the table reads
afterwards shortens speech to an embedding a token (`compression: table`). With `table_ctc_weight`
it goes on beside the language model's answer.
"""

from typing import Any

import torch
from rapidfuzz.distance import Levenshtein
from torch import Tensor, nn

from espnet_otreg.errors import UserError
from espnet_otreg.models.options import SLMConf
from espnet_otreg.ot import Compressed
from espnet_otreg.ot.sequences import ctc_compress
from espnet_otreg.ot.tensors import full_precision, length_mask, zeroed
from espnet_otreg.pretrained.bases import is_frozen

SCALES = {"dot": 1.0, "cosine": 20.0, "distance": 1.0}


class TableCTC(nn.Module):
    """CTC by likeness to the rows of a table.

    Args:
        conf: `table_likeness` and `table_scale`
        pieces: (V,) ids in the table of ESPnet's token list, -1 where it has none
        silence: id of the row that is the blank
    """

    ids: Tensor  # (1 + N,) the blank first

    def __init__(self, conf: SLMConf, pieces: Tensor, silence: int) -> None:
        super().__init__()
        known = pieces[pieces >= 0].unique()  # sorted
        if (known == silence).any():
            raise UserError(
                "CTC by the language model's table takes the silence token as its blank, and it is "
                "in the token list: name another in slm_conf.silence_token"
            )
        self.weight = conf.table_weight
        self.likeness = conf.table_likeness
        self.scale = conf.table_scale or SCALES[conf.table_likeness]
        ids = torch.cat([torch.tensor([silence]), known])
        self.register_buffer("ids", ids, persistent=False)

    def columns(self, spoken: Tensor) -> Tensor:
        """Return where the tokens of (B, L) stand among the rows, 0 on padding.

        One that is none of the rows has no place; where nothing is learnt of it, it is counted
        as a row that no frame comes near.
        """
        there = spoken >= 0
        place = torch.searchsorted(self.ids[1:], spoken.clamp(min=0).contiguous()) + 1
        place = place.clamp(max=len(self.ids) - 1)
        unknown = (self.ids[place] != spoken) & there
        if self.weight > 0 and unknown.any():
            raise UserError(
                f"token {int(spoken[unknown][0])} of a transcript is none of the token list, which "
                "answers were made of, so CTC by the language model's table cannot learn it: set "
                "slm_conf.table_ctc_weight: 0"
            )
        return place.masked_fill(unknown, len(self.ids)).masked_fill(~there, 0)

    def logits(self, x: Tensor, rows: Tensor) -> Tensor:
        """Compare x (B, T, D) with the rows (1 + N, D)."""
        if self.likeness == "cosine":
            x, rows = (nn.functional.normalize(y, dim=-1) for y in (x, rows))
        with full_precision(x.device):
            found = x @ rows.T
        if self.likeness == "distance":
            found = found - rows.square().sum(1) / 2
        return found * self.scale

    def shorten(self, x: Tensor, lengths: Tensor, rows: Tensor, mixture: bool) -> Compressed:
        """Let runs of one token become their mean, and silence go; see `slm_conf.table_mixture`."""
        with torch.set_grad_enabled(mixture and torch.is_grad_enabled()):
            logits = self.logits(zeroed(x, lengths).float(), rows.float())
        if mixture:
            x = (logits[..., 1:].softmax(2) @ rows[1:].float()).to(x.dtype)
        return ctc_compress(x, lengths, logits.detach().argmax(2), 0)

    def read(self, x: Tensor, lengths: Tensor, rows: Tensor) -> list[list[int]]:
        """Return the tokens that each utterance's frames are likest to, without the layers."""
        best = self.logits(zeroed(x, lengths).float(), rows.float()).argmax(2)
        there = length_mask(lengths.to(x.device), x.shape[1])
        paths = [path.unique_consecutive() for path in best.masked_fill(~there, 0)]
        return [self.ids[path[path > 0]].tolist() for path in paths]

    def heard(self, x: Tensor, rows: Tensor) -> tuple[Tensor, Tensor]:
        """Return log-probabilities (B, T, 1 + N) and each column's id, -1 of silence."""
        ids = torch.cat([self.ids.new_full((1,), -1), self.ids[1:]])
        return self.logits(x.float(), rows.float()).log_softmax(2), ids

    def forward(
        self, x: Tensor, lengths: Tensor, spoken: Tensor, spoken_lengths: Tensor, rows: Tensor
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """Return the weighted mean over utterances of the loss per token, and what the log says.

        Args:
            x: (B, T, D) of the adapter
            lengths: (B,)
            spoken: (B, L) ids of the transcript in the table, padded with -1
            spoken_lengths: (B,)
            rows: (1 + N, D) embeddings of `ids`, constant
        """
        labels = self.columns(spoken)
        logits = self.logits(zeroed(x, lengths).float(), rows.float())  # (B, T, 1 + N)
        best = logits.detach().argmax(2)
        there = length_mask(lengths.to(best.device), best.shape[1])
        stats = _grounded(best, there, labels)
        repeats = ((labels[:, 1:] == labels[:, :-1]) & (labels[:, 1:] > 0)).sum(1)
        short = lengths.to(labels.device) < spoken_lengths.to(labels.device) + repeats
        stats["too_short"] = short.float().mean()  # for CTC, which then learns nothing of it
        if not self.training:
            stats["ter"] = _token_errors(best, there, labels)
        if self.weight == 0:
            return x.new_zeros(()), stats
        each = nn.functional.ctc_loss(
            logits.log_softmax(2).transpose(0, 1), labels, lengths, spoken_lengths,
            blank=0, reduction="none", zero_infinity=True,
        )  # fmt: skip
        loss = (each / spoken_lengths.clamp(min=1)).mean()
        stats["loss_table"] = loss.detach()
        return self.weight * loss, stats


def _grounded(best: Tensor, there: Tensor, labels: Tensor) -> dict[str, Tensor]:
    """Say how far nearest rows are tokens of the transcript.

    `table_right`: of the frames that are nearest to a token and not to silence, the share whose
    token is in the transcript. `table_found`: of the transcripts' tokens, the share that some
    frame is nearest to.
    """
    same = (best.unsqueeze(2) == labels.unsqueeze(1)) & there.unsqueeze(2)  # (B, T, L)
    same &= (labels > 0).unsqueeze(1)
    speaks = there & (best > 0)
    tokens = (labels > 0).sum().clamp(min=1)
    return {
        "table_right": (same.any(2) & speaks).sum() / speaks.sum().clamp(min=1),
        "table_found": same.any(1).sum() / tokens,
    }


def _token_errors(best: Tensor, there: Tensor, labels: Tensor) -> Tensor:
    """Return the error rate of tokens that are read greedily, in per cent."""
    errors = total = 0
    rows = zip(best.masked_fill(~there, 0).cpu(), labels.cpu(), strict=True)
    for path, spoken in rows:
        read = path.unique_consecutive()
        truth = spoken[spoken > 0].tolist()
        errors += Levenshtein.distance(read[read > 0].tolist(), truth)
        total += len(truth)
    return torch.tensor(100 * errors / max(total, 1), device=best.device)


def check_table_phase(decoder: Any, conf: SLMConf, ctc_weight: float, transport: float) -> None:
    """Refuse what makes no sense where the adapter trains against the table alone."""
    if conf.objective != "table":
        return
    if ctc_weight > 0:
        raise UserError(
            "slm_conf.objective: table and ctc_weight above 0: expected ctc_weight: 0, whose head "
            "is another layer than the table; slm_conf.table_ctc_weight is the table's"
        )
    if conf.table_weight == 0 and transport == 0:
        raise UserError(
            "slm_conf.objective: table without a loss: expected slm_conf.table_ctc_weight or "
            "ot_conf.weight above 0, got 0 for both"
        )
    if not is_frozen(decoder):
        raise UserError(
            "slm_conf.objective: table trains the adapter alone: expected a frozen language model, "
            "got decoder_conf.trainable or lora_conf: set them in a later phase"
        )
