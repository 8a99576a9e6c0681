"""The alignments that a trained model makes of speech and its transcript, one plan per method."""

from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple

import numpy as np
import torch
from espnet2.asr.decoder.transformer_decoder import BaseTransformerDecoder
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from espnet_otreg.compat import ESPnetASRModel
from espnet_otreg.errors import UserError
from espnet_otreg.models.ctc import forced_plan
from espnet_otreg.models.transfer import OTTransferASRModel
from espnet_otreg.ot.align_options import AlignmentConf
from espnet_otreg.pretrained.masked_lm import LanguageModel

FORCED, CLOSED, ATTENTION = "CTC forced", "CTC forced, gaps closed", "attention"
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
    """Align every utterance by CTC, by the model's own alignment and by its decoder's attention.

    The last two are there for models that have them.

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
            text, sizes = _padded(wanted, -1, speech.device)
            found, frames, lengths = model.align(
                speech, speech_lengths, text, sizes, features.to(speech.device)
            )
            own = found.coupling.cpu().numpy()
        else:
            frames, lengths = model.encode(speech, speech_lengths)
            frames = frames[0] if isinstance(frames, tuple) else frames  # inter-CTC
        log_probs = model.ctc.log_softmax(frames).cpu()
        attention = _attention(model, frames, lengths, wanted)
    aligned = []
    for row, tokens in enumerate(pieces):
        length = int(lengths[row])
        try:
            forced = forced_plan(log_probs[row, :length], wanted[row], blank=BLANK)
        except UserError as error:  # too few frames, or no path
            aligned.append(Aligned({}, length, str(error)))
            continue
        plans = {FORCED: _framed(forced), CLOSED: _framed(close_gaps(forced, longest_gap))}
        if attention is not None:
            weights = attention[row, : len(tokens), :length]
            plans[ATTENTION] = _framed(attention_plan(weights))
        if own is not None:
            plans[describe(model.alignment_conf)] = own[row, :length, : len(tokens) + 2]
        aligned.append(Aligned(plans, length, ""))
    return aligned


def describe(conf: AlignmentConf) -> str:
    """Name an alignment by its kind and what was added to it."""
    added = {
        "structure": conf.structure_weight > 0,
        "dustbin": conf.dustbin,
        "places by CTC": conf.temporal_places == "ctc",
        "prior": conf.temporal_weight > 0 and conf.temporal_places == "diagonal",
    }
    return " + ".join([conf.kind, *(name for name, there in added.items() if there)])


def _attention(
    model: ESPnetASRModel, frames: Tensor, lengths: Tensor, wanted: Sequence[Sequence[int]]
) -> np.ndarray | None:
    """Return what tokens attend to in the last layer (B, U, T), the mean over its heads.

    Row u is the attention that predicts token u. None for decoders other than ESPnet's
    transformers, and where a fused kernel does not keep it.
    """
    if not isinstance(model.decoder, BaseTransformerDecoder):
        return None
    source = getattr(model.decoder.decoders[-1], "src_attn", None)
    if source is None:
        return None
    history, sizes = _padded([[model.sos, *row] for row in wanted], model.eos, frames.device)
    model.decoder(frames, lengths, history, sizes)
    weights = source.attn  # (B, heads, U + 1, T)
    return None if weights is None else weights.mean(1).cpu().numpy()


def _padded(
    rows: Sequence[Sequence[int]], padding: int, device: torch.device
) -> tuple[Tensor, Tensor]:
    """Return rows of ids (B, U) and their lengths (B,)."""
    ids = [torch.tensor(row, dtype=torch.int64) for row in rows]
    sizes = torch.tensor([len(row) for row in rows], device=device)
    return pad_sequence(ids, batch_first=True, padding_value=padding).to(device), sizes


def _framed(plan: np.ndarray) -> np.ndarray:
    """Add the empty columns of [CLS] and [SEP]."""
    return np.pad(plan, ((0, 0), (1, 1)))


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
