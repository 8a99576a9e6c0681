"""Greedy CTC decoding of padded batches: the best token of every frame, in one encoder pass.

Nothing here depends on the batch neighbours, but ESPnet's convolutional encoders do: their
convolutions run over padding. So commands decode one utterance at a time unless told otherwise.
"""

import torch
from torch import Tensor

from espnet_otreg.compat import ESPnetASRModel
from espnet_otreg.errors import UserError


def ctc_greedy(model: ESPnetASRModel, speech: Tensor, speech_lengths: Tensor) -> list[list[int]]:
    """Return each utterance's token ids: best per frame, repeats merged, blanks removed.

    Args:
        model: any ESPnet ASR model with a CTC branch, in evaluation mode
        speech: (B, samples), padded with zeros
        speech_lengths: (B,)
    """
    if model.ctc is None:
        raise UserError(
            "the model has no CTC branch (ctc_weight: 0): use --inference_method beam, "
            "or train with ctc_weight above 0"
        )
    with torch.inference_mode():
        frames, lengths = model.encode(speech, speech_lengths)
        frames = frames[0] if isinstance(frames, tuple) else frames  # inter-CTC
        best = model.ctc.argmax(frames)  # (B, T)
    # a frame opens a token where it is no pad, no blank and unlike the frame before
    valid = torch.arange(best.shape[1], device=best.device) < lengths.to(best.device)[:, None]
    opens = valid & (best != model.blank_id)
    opens[:, 1:] &= best[:, 1:] != best[:, :-1]
    return [row[mask].tolist() for row, mask in zip(best.cpu(), opens.cpu(), strict=True)]
