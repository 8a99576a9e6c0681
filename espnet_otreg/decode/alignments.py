"""The alignments that a trained model makes of speech and its transcript, one plan per method."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from espnet_otreg.analysis.forced import close_gaps, forced_plan
from espnet_otreg.compat import ESPnetASRModel
from espnet_otreg.errors import UserError
from espnet_otreg.models.language_model import LanguageModel
from espnet_otreg.models.transfer import OTTransferASRModel

FORCED, CLOSED = "CTC forced", "CTC forced, gaps closed"
BLANK, UNKNOWN = 0, 1  # ESPnet's places in every token list


class Aligned(NamedTuple):
    """Plans of one utterance; columns are [CLS], the tokens, [SEP]."""

    plans: dict[str, np.ndarray]  # method -> (T, U + 2)
    frames: int
    problem: str  # why there is no plan; empty where there are all


def align_batch(
    model: ESPnetASRModel,
    speech: Tensor,
    speech_lengths: Tensor,
    pieces: Sequence[Sequence[str]],
    language_model: LanguageModel,
    *,
    longest_gap: int,
) -> list[Aligned]:
    """Align every utterance by CTC, and by the model's own alignment where it has one.

    Args:
        model: any ESPnet ASR model with a CTC branch, in evaluation mode
        speech: (B, samples), padded with zeros
        speech_lengths: (B,)
        pieces: tokens of each utterance
        language_model: whose features the model was taught with
        longest_gap: frames up to which a gap between CTC's tokens is closed
    """
    ids = {token: index for index, token in enumerate(model.token_list)}
    wanted = [[ids.get(token, UNKNOWN) for token in tokens] for tokens in pieces]
    own = None
    with torch.inference_mode():
        if isinstance(model, OTTransferASRModel):
            unknown = language_model.tokenizer.unknown
            features, _ = language_model.embed(pieces, unknown=unknown)
            rows = [torch.tensor(row, dtype=torch.int64) for row in wanted]
            text = pad_sequence(rows, batch_first=True, padding_value=-1).to(speech.device)
            sizes = torch.tensor([len(row) for row in wanted], device=speech.device)
            found, frames, lengths = model.align(
                speech, speech_lengths, text, sizes, features.to(speech.device)
            )
            own = found.coupling.cpu().numpy()
        else:
            frames, lengths = model.encode(speech, speech_lengths)
            frames = frames[0] if isinstance(frames, tuple) else frames  # inter-CTC
        log_probs = model.ctc.log_softmax(frames).cpu()
    aligned = []
    for row, tokens in enumerate(pieces):
        length = int(lengths[row])
        try:
            forced = forced_plan(log_probs[row, :length], wanted[row], blank=BLANK)
        except UserError as error:  # too few frames, or no path
            aligned.append(Aligned({}, length, str(error)))
            continue
        plans = {FORCED: _framed(forced), CLOSED: _framed(close_gaps(forced, longest_gap))}
        if own is not None:
            plans[model.alignment_conf.kind] = own[row, :length, : len(tokens) + 2]
        aligned.append(Aligned(plans, length, ""))
    return aligned


def _framed(plan: np.ndarray) -> np.ndarray:
    """Add the empty columns of [CLS] and [SEP]."""
    return np.pad(plan, ((0, 0), (1, 1)))
