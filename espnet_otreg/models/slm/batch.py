"""Batches of a speech language model in its tokenizer's ids."""

from collections.abc import Sequence

import torch
from torch import Tensor

from espnet_otreg.errors import UserError
from espnet_otreg.models.slm.prompt import Prompt
from espnet_otreg.pretrained.causal_lm import CausalLM

OWN = ("<blank>", "<unk>", "<sos/eos>")  # of ESPnet's token list, not of the tokenizer


def piece_ids(token_list: Sequence[str], decoder: CausalLM) -> Tensor:
    """Return the tokenizer's id of each token of ESPnet's list; -1 for ESPnet's own symbols."""
    vocabulary = decoder.tokenizer.get_vocab()
    lost = [token for token in token_list if token not in vocabulary and token not in OWN]
    if lost:
        raise UserError(
            f"{len(lost)} of {len(token_list)} tokens are not pieces of {decoder.base.name}, "
            f"first {lost[0]!r}: make the token list with this language model (stage 5)"
        )
    return torch.tensor([-1 if token in OWN else vocabulary[token] for token in token_list])


def answer_ids(ids: Tensor, lengths: Tensor, eos: int) -> tuple[Tensor, Tensor]:
    """Append the end of the answer to ids (B, L), padded with -1."""
    ids = torch.nn.functional.pad(ids, (0, 1), value=-1)
    return ids.scatter(1, lengths.to(ids.device).unsqueeze(1), eos), lengths.to(ids.device) + 1


def language_codes(language: Tensor | None, batch: int) -> list[str | None]:
    """Read the codes that a batch carries as bytes (B, C), padded with -1."""
    if language is None:
        return [None] * batch
    return [bytes(byte for byte in row if byte >= 0).decode() for row in language.tolist()]


def prompt_sides(
    prompt: Prompt, languages: Sequence[str | None], device: torch.device
) -> tuple[Tensor, Tensor]:
    """Return the ids before and after the speech, each (B, P), padded with -1."""
    distinct = list(dict.fromkeys(languages))
    rendered = [prompt.ids(language) for language in distinct]
    which = torch.tensor([distinct.index(language) for language in languages], device=device)
    sides = []
    for side in ("before", "after"):
        rows = [torch.tensor(getattr(ids, side), dtype=torch.long) for ids in rendered]
        padded = torch.nn.utils.rnn.pad_sequence(rows, batch_first=True, padding_value=-1)
        sides.append(padded.to(device)[which])
    return sides[0], sides[1]
