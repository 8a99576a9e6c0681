"""How likely a masked language model finds a sentence: each piece guessed from all the others.

The sum over pieces of the logarithm of the piece's probability where it is masked (Salazar et al.
2020, arXiv 1910.14659). It is no probability of the sentence, but ranks sentences like one.
"""

from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor, nn

from espnet_otreg.errors import UserError
from espnet_otreg.pretrained.masked_lm import LMTokenizer, import_transformers, load

_AT_ONCE = 8  # masks, each with logits over the whole vocabulary at every place


class PseudoLikelihood:
    """A masked language model with its head. Its weights stay as they are."""

    def __init__(self, lm: str | Path, device: str = "cpu", batch_size: int = 256) -> None:
        transformers = import_transformers()
        self.tokenizer = LMTokenizer(lm)
        self.mask = self.tokenizer.tokenizer.mask_token_id
        if self.mask is None:
            raise UserError(f"{self.tokenizer.folder}: its tokenizer has no mask symbol")
        folder = self.tokenizer.folder
        network = load(transformers.AutoModelForMaskedLM, folder, "a masked language model")
        self.device = torch.device(device)
        self.network: nn.Module = network.float().eval().requires_grad_(False).to(self.device)
        self.batch_size = batch_size  # sentences with one mask each

    @torch.no_grad()
    def __call__(self, sentences: Sequence[Sequence[str]]) -> list[float]:
        """Score sentences in pieces; unknown pieces count as the tokenizer's unknown symbol."""
        known, tokenizer = self.tokenizer.vocabulary, self.tokenizer
        unknown = known[tokenizer.unknown]
        scores = [0.0] * len(sentences)
        masked: list[tuple[int, int, Tensor]] = []  # sentence, place, ids
        for number, pieces in enumerate(sentences):
            ids = [known.get(piece, unknown) for piece in pieces]
            whole = torch.tensor([tokenizer.cls, *ids, tokenizer.sep])
            masked += [(number, place, whole) for place in range(1, len(ids) + 1)]
        masked.sort(key=lambda entry: len(entry[2]))  # little padding
        for first in range(0, len(masked), self.batch_size):
            some = masked[first : first + self.batch_size]
            for (number, *_), score in zip(some, self._guessed(some), strict=True):
                scores[number] += score
        return scores

    @torch.no_grad()
    def guesses(self, pieces: Sequence[str], among: Tensor) -> Tensor:
        """Return the logits (L, A) of every piece, guessed from the others, of `among` (A,) ids."""
        known, tokenizer = self.tokenizer.vocabulary, self.tokenizer
        ids = [known.get(piece, known[tokenizer.unknown]) for piece in pieces]
        whole = torch.tensor([tokenizer.cls, *ids, tokenizer.sep])
        masked = [(0, place, whole) for place in range(1, len(ids) + 1)]
        parts = [masked[i : i + _AT_ONCE] for i in range(0, len(masked), _AT_ONCE)]
        return torch.cat([self._logits(part)[0][:, among.to(self.device)] for part in parts])

    def _guessed(self, some: Sequence[tuple[int, int, Tensor]]) -> list[float]:
        logits, wanted = self._logits(some)
        guessed: list[float] = (
            logits.log_softmax(-1).cpu()[torch.arange(len(some)), wanted].tolist()
        )
        return guessed

    def _logits(self, some: Sequence[tuple[int, int, Tensor]]) -> tuple[Tensor, Tensor]:
        """Return logits (N, V) at masked places, and the ids (N,) that stood there."""
        pad = self.tokenizer.tokenizer.pad_token_id or 0
        rows = [ids for *_, ids in some]
        ids = nn.utils.rnn.pad_sequence(rows, batch_first=True, padding_value=pad)  # (B, L)
        lengths = torch.tensor([len(row) for row in rows])
        attention = torch.arange(ids.shape[1]) < lengths[:, None]
        row, place = torch.arange(len(some)), torch.tensor([place for _, place, _ in some])
        wanted = ids[row, place]
        ids[row, place] = self.mask
        inputs = {"input_ids": ids.to(self.device), "attention_mask": attention.long()}
        inputs["attention_mask"] = inputs["attention_mask"].to(self.device)
        return self.network(**inputs).logits[row, place], wanted
