"""Speech language models: they write by their language model, and transport times the words.

The transport plan of the adapter's output says how much of each frame goes to each token of the
answer, and how much to silence. A frame's row is read as the probabilities of these; the likeliest
path through all tokens in order is the alignment. Where the model has CTC, by its head or by the
language model's table, that one's path is taken.
"""

import logging
import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from espnet_otreg.decode.speech2text import ListeningSpeech2Text
from espnet_otreg.errors import UserError
from espnet_otreg.languages import has_spaces
from espnet_otreg.measure.spaces import Space, Spoken, spell
from espnet_otreg.models.prompt import answer_ids
from espnet_otreg.models.slm import Speech
from espnet_otreg.transcribe import Passage
from espnet_otreg.transcribe.recognisers import SHORTEST, check_language
from espnet_otreg.transcribe.word_times import Frames, Spelled, passage

BATCH = 8
_LEAST = 1e-6  # of a frame's mass, and of a token unknown to CTC: so that every order has a path


class ListeningRecogniser:
    """A speech language model."""

    batch_size = BATCH

    def __init__(self, opened: ListeningSpeech2Text, languages: Sequence[str] = ()) -> None:
        self.listener, self.languages = opened.listener, languages
        self.model, self.tokenizer = self.listener.model, self.listener.tokenizer
        self.rate = self.listener.sampling_rate
        self.options = {"num_beams": 1, "max_new_tokens": 200}
        for name, value in opened.options.items():
            self.options["num_beams" if name == "beam_size" else name] = value
        alone = self.listener.hears_tokens and not self.model.before_answers
        self._untold = alone and "ctc_weight" not in self.options
        self.space = Space(self.model, sampling_rate=self.rate)
        self._special = set(self.tokenizer.all_special_ids)

    def check(self, language: str | None) -> None:
        """Raise a UserError for a language that the model or its prompt does not know."""
        check_language(language, self.languages)
        if language is None and self.model.prompt.conf.needs_language:
            raise UserError("the model's prompt names the language: give it, as in --language fr")
        self.model.prompt.ids(language)

    @torch.inference_mode()
    def recognise(self, clips: Sequence[np.ndarray], language: str | None) -> list[Passage]:
        """Write down a batch."""
        if self._untold:  # once, and not where a given text is aligned
            self._untold = False
            logging.info(
                "the language model alone writes the answers; --ctc_weight 0.5 --beam_size 4 "
                "weighs them by what the model's CTC hears"
            )
        languages = [language] * len(clips)
        heard = self._hear(clips)
        answers = list(self.listener.answers(heard, languages, **self.options))
        rows = []
        for answer in answers:
            ids = self.tokenizer.convert_tokens_to_ids(answer.tokens)
            rows.append([i for i in ids if i not in self._special])
        return self._passages(clips, heard, [each.text for each in answers], rows, languages)

    @torch.inference_mode()
    def align(
        self, clips: Sequence[np.ndarray], texts: Sequence[str], languages: Sequence[str | None]
    ) -> list[Passage]:
        """Find the words of given texts."""
        rows = [self.tokenizer(text, add_special_tokens=False)["input_ids"] for text in texts]
        return self._passages(clips, self._hear(clips), texts, rows, languages)

    def _hear(self, clips: Sequence[np.ndarray]) -> Speech:
        shortest = int(SHORTEST * self.rate)
        waves = [np.pad(clip, (0, max(shortest - len(clip), 0))) for clip in clips]
        return self.listener.hear([torch.from_numpy(np.float32(wave)) for wave in waves])

    def _passages(
        self,
        clips: Sequence[np.ndarray],
        heard: Speech,
        texts: Sequence[str],
        rows: list[list[int]],
        languages: Sequence[str | None],
    ) -> list[Passage]:
        sureness = self._sureness(heard, rows, languages)
        timed = self._timed(heard, rows)
        found = []
        for i, (text, ids) in enumerate(zip(texts, rows, strict=True)):
            scores, columns = timed[i]
            seconds, language = len(clips[i]) / self.rate, languages[i]
            spelled = Spelled(text, spell(self.tokenizer, ids), columns, sureness[i])
            frames = Frames(scores, self.space.hop, seconds)
            spaces = language is None or has_spaces(language)
            found.append(passage(spelled, frames, spaces, seconds))
        return found

    def _sureness(
        self, heard: Speech, rows: list[list[int]], languages: Sequence[str | None]
    ) -> list[list[float]]:
        """Return the probability that the language model gives to each token of its answer."""
        device = heard.x.device
        ids = [torch.tensor(row, dtype=torch.long) for row in rows]
        padded = pad_sequence(ids, batch_first=True, padding_value=-1).to(device)
        sizes = torch.tensor([len(row) for row in rows], device=device)
        answer, _ = answer_ids(padded, sizes, self.model.decoder.eos)
        read = self.model.read(heard, languages, answer)
        logits = self.model.decoder.logits(read.inputs, answer.shape[1] + 1, read.prefix)[:, :-1]
        found = []
        for row, scores in zip(rows, logits.softmax(-1).cpu(), strict=True):
            own = scores[len(scores) - len(row) - 1 : len(scores) - 1]  # the end comes last
            found.append([float(own[u, token]) for u, token in enumerate(row)])
        return found

    def _timed(self, heard: Speech, rows: list[list[int]]) -> list[tuple[Tensor, list[int]]]:
        """Return each clip's scores (T, V), silence first, and the columns of its tokens."""
        lengths = heard.whole_lengths.tolist()
        if self.listener.hears_tokens:
            every, ids = self.listener.heard_tokens(heard)
            every = torch.nn.functional.pad(every, (0, 1), value=math.log(_LEAST))
            places = {token: column for column, token in enumerate(ids.tolist())}
            columns = [[places.get(token, len(ids)) for token in row] for row in rows]
            return [(every[i, :size].cpu(), columns[i]) for i, size in enumerate(lengths)]
        spoken = [
            Spoken(heard.whole[i, :size], row, [], None, "")
            for i, (size, row) in enumerate(zip(lengths, rows, strict=True))
        ]
        return [
            (_log_rows(plan.coupling), self._columns(row, plan.targets))
            for row, plan in zip(rows, self.space.transport(spoken), strict=True)
        ]

    def _columns(self, row: list[int], targets: list[int]) -> list[int]:
        """Find a token among the targets, or what stands for it there: the one most like it."""
        places = {token: column for column, token in enumerate(targets[:-1], start=1)}
        lost = sorted({token for token in row if token not in places})
        if lost and places:
            units = torch.nn.functional.normalize(self.space.table.float(), dim=1)
            alike: Any = units[lost] @ units[targets[:-1]].T
            places |= {t: int(c) + 1 for t, c in zip(lost, alike.argmax(1), strict=True)}
        return [places[token] for token in row] if places else []


def _log_rows(coupling: np.ndarray) -> Tensor:
    """Turn a plan (T, U), the anchor last, into log-probabilities (T, U), the anchor first."""
    rows = torch.from_numpy(np.ascontiguousarray(coupling)).float()
    rows = rows / rows.sum(1, keepdim=True).clamp(min=1e-30) + _LEAST
    return (rows / rows.sum(1, keepdim=True)).roll(1, 1).log()
