"""Where CTC emits each token of a transcript: what a temporal prior can lean on."""

import torch
from torch import Tensor

from espnet_otreg.errors import UserError
from espnet_otreg.models.ctc_path import forced_plan


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
