"""The text side of `model: ot_transfer`: what a masked language model says of a transcript.

Its features come with the batch, cached, or are made anew; its input embeddings, the static
features, are looked up. Both can be whitened. None of it is a part of the model: it is in no
checkpoint, and nothing at inference asks for it.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from espnet_otreg.errors import UserError
from espnet_otreg.models.distil import Guesses
from espnet_otreg.models.options import TransferConf
from espnet_otreg.ot.tensors import full_precision
from espnet_otreg.ot.whiten import Whitening, whitening
from espnet_otreg.pretrained.lm_features import named_model, read_rows
from espnet_otreg.pretrained.masked_lm import LanguageModel

FEATURES = "text_features"  # the batch's name for what the language model made of the transcript
_UTTERANCES = 2000  # of the training text, evenly spread, from which the features' spread is told
UNKNOWN = 1  # ESPnet's place of <unk> in every token list


class Teacher:
    """Features of transcripts.

    `cached` is the feats.scp that training reads its features from; the task says where it is.
    """

    def __init__(self, conf: TransferConf, token_list: Sequence[str], width: int) -> None:
        self.conf, self.token_list, self.width = conf, token_list, width
        self.cached: Path | None = None
        self._language_model: LanguageModel | None = None
        self._guesses = Guesses(token_list)
        self._spread: Whitening | None = None  # of contextual features
        self._static: tuple[Tensor, Tensor] | None = None  # rows of tokens, and of [CLS] and [SEP]

    def features(self, text: Tensor, text_lengths: Tensor, batch: dict[str, Any]) -> Tensor:
        """Take the text's features (B, L + 2, width) out of the batch, or make them."""
        features = batch.pop(FEATURES, None)
        batch.pop(f"{FEATURES}_lengths", None)
        if features is None:
            features = self._ask(text, text_lengths)
        expected = (text.shape[0], text.shape[1] + 2, self.width)
        if features.shape != expected:
            raise UserError(
                f"{FEATURES}: expected {expected} (utterances, tokens with [CLS] and [SEP], "
                f"postencoder_conf.text_size), got {tuple(features.shape)}: make them anew with "
                "espnet_otreg.stages.lm_features from this text and this language model"
            )
        return self.whitened(features.float())

    def whitened(self, features: Tensor) -> Tensor:
        """Whiten features of the last layer, where that is asked for."""
        if not self.conf.whiten:
            return features
        if self._spread is None:
            if self.cached is None:
                raise UserError(
                    "transfer_conf.whiten needs the training text's features, cached: make them "
                    f"with espnet_otreg.stages.lm_features and pass feats.scp,{FEATURES},npy"
                )
            rows = torch.from_numpy(read_rows(self.cached, _UTTERANCES))
            self._spread = self._whitening(rows.to(features.device), str(self.cached))
        return self._spread(features)

    def static(self, text: Tensor, text_lengths: Tensor) -> Tensor:
        """Look up the input embeddings (B, L + 2, width) of [CLS], the tokens and [SEP]."""
        if self._static is None:
            self._static = self._look_up(text.device)
        rows, (cls, sep) = self._static
        cls, sep = (row.expand(len(text), 1, -1) for row in (cls, sep))
        found = torch.cat([cls, rows[text.clamp(min=0)], sep], 1)  # the longest is right already
        last = (text_lengths + 1).view(-1, 1, 1).expand(-1, 1, found.shape[2]).to(found.device)
        return found.scatter(1, last, sep)

    def _whitening(self, rows: Tensor, whose: str) -> Whitening:
        try:
            return whitening(rows, self.conf.whiten_shrinkage)
        except ValueError as error:
            raise UserError(f"transfer_conf.whiten: {whose}: {error}") from error

    def _look_up(self, device: torch.device) -> tuple[Tensor, Tensor]:
        """Return input embeddings of the token list (V, width), and of [CLS] and [SEP] (2, width).

        Rows of ESPnet's own symbols are the unknown token's.
        """
        model = self._open(device)
        known = model.tokenizer.vocabulary
        unknown = known.get(model.tokenizer.unknown, model.tokenizer.sep)
        index = torch.tensor([known.get(token, unknown) for token in self.token_list])
        ends = torch.tensor([model.tokenizer.cls, model.tokenizer.sep])
        table = model.table.to(device)
        if table.shape[1] != self.width:
            raise UserError(
                f"transfer_conf.plan_features: static: the input embeddings have {table.shape[1]} "
                f"dimensions, the features {self.width}: this language model's plan must be "
                "contextual"
            )
        rows = table[index.to(device)], table[ends.to(device)]
        if self.conf.whiten:
            there = [i for i, token in enumerate(self.token_list) if token in known]
            spread = self._whitening(rows[0][there], "the token list's input embeddings")
            rows = spread(rows[0]), spread(rows[1])
        if self.cached is not None:
            self._language_model = None  # it was needed for its table alone
        return rows

    def _ask(self, text: Tensor, text_lengths: Tensor) -> Tensor:
        if self.conf.language_model is None:
            raise UserError(
                "model ot_transfer needs the language model's features: make them with "
                f"espnet_otreg.stages.lm_features and pass feats.scp,{FEATURES},npy as data, "
                "or set transfer_conf.language_model and have them made anew for every batch"
            )
        model = self._open(text.device)
        rows = zip(text.tolist(), text_lengths.tolist(), strict=True)
        pieces = [[self.token_list[token] for token in row[:length]] for row, length in rows]
        with full_precision(text.device):  # as its cached features are made
            return model.embed(pieces, unknown=self.token_list[UNKNOWN])[0]

    def guesses(self, text: Tensor, text_lengths: Tensor) -> tuple[Tensor, Tensor]:
        """Guess each token from the others: ids and probabilities, (B, L, K) each."""
        return self._guesses(self._name("distil_weight"), text, text_lengths)

    def _open(self, device: torch.device) -> LanguageModel:
        if self._language_model is None:
            self._language_model = LanguageModel(self._name("plan_features: static"), str(device))
        return self._language_model

    def _name(self, needed_by: str) -> str:
        name = self.conf.language_model
        if name is None and self.cached is not None:
            name = named_model(self.cached)
        if name is None:
            raise UserError(
                f"transfer_conf.{needed_by} needs the language model: set "
                "transfer_conf.language_model, or train on features cached by "
                "espnet_otreg.stages.lm_features, which name it"
            )
        return name
