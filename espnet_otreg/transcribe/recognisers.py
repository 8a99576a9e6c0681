"""Recognisers with a CTC branch: they write by it, or by beam search, and its path times words."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from espnet_otreg.decode.speech2text import GreedySpeech2Text, Speech2Text
from espnet_otreg.errors import UserError
from espnet_otreg.languages import has_spaces
from espnet_otreg.transcribe import Passage
from espnet_otreg.transcribe.word_times import Frames, Spelled, passage

BLANK, UNKNOWN = 0, 1  # ESPnet's places in every token list
BATCH = 16  # clips, for encoders that do not mix a batch up
SHORTEST = 0.3  # seconds: encoders shorten frames by convolutions, which need some to begin with
_PROBE_SECONDS = (1, 25)  # far apart, as their difference in frames tells how long a frame is
_SAME = 1e-3  # of a posterior


class CTCRecogniser:
    """The CTC branch of any ESPnet model: the best token of every frame."""

    def __init__(self, opened: GreedySpeech2Text, languages: Sequence[str] = ()) -> None:
        self.model, self.rate, self.languages = opened.asr_model, opened.sampling_rate, languages
        self.join, self.split = opened.join, opened.split
        self.tokens: list[str] = list(self.model.token_list)
        self.device = next(self.model.parameters()).device
        self._ids = {token: place for place, token in enumerate(self.tokens)}
        self.hop, self.begin, mixes = self._look_at_frames()
        # ESPnet's convolutional encoders see the padding of a batch, and some words would change
        self.batch_size = 1 if mixes else BATCH

    def check(self, language: str | None) -> None:
        """Raise a UserError for a language that the model was not trained on."""
        check_language(language, self.languages)

    def recognise(self, clips: Sequence[np.ndarray], language: str | None) -> list[Passage]:
        """Write down a batch; the same as each clip by itself."""
        every = self._scores(clips)
        found = []
        for clip, scores in zip(clips, every, strict=True):
            spelled = self._write(clip, scores)
            found.append(self._passage(spelled, scores, clip, language))
        return found

    def align(
        self, clips: Sequence[np.ndarray], texts: Sequence[str], languages: Sequence[str | None]
    ) -> list[Passage]:
        """Find the words of given texts."""
        every = self._scores(clips)
        found = []
        for clip, scores, text, language in zip(clips, every, texts, languages, strict=True):
            spelled = Spelled(text, *self.cut(text))
            found.append(self._passage(spelled, scores, clip, language))
        return found

    def cut(self, text: str) -> tuple[list[str], list[int]]:
        """Cut a text into tokens, and find their places in the token list."""
        pieces = list(self.split(text))
        return pieces, [self._ids.get(piece, UNKNOWN) for piece in pieces]

    def _write(self, clip: np.ndarray, scores: Tensor | None) -> Spelled:
        assert scores is not None
        best = torch.unique_consecutive(scores.argmax(1))
        return self._spelled(best[best != BLANK].tolist())

    def _spelled(self, ids: list[int]) -> Spelled:
        pieces = [self.tokens[i] for i in ids]
        return Spelled(" ".join(self.join(pieces).split()), pieces, ids)

    def _passage(
        self, spelled: Spelled, scores: Tensor | None, clip: np.ndarray, language: str | None
    ) -> Passage:
        seconds = len(clip) / self.rate
        frames = None if scores is None else Frames(scores, self.hop, seconds, self.begin)
        return passage(spelled, frames, language is None or has_spaces(language), seconds)

    @torch.inference_mode()
    def _scores(self, clips: Sequence[np.ndarray]) -> list[Tensor | None]:
        """Return each clip's log-probabilities (T, V)."""
        if self.model.ctc is None:
            return [None] * len(clips)
        shortest = int(SHORTEST * self.rate)
        waves = [torch.from_numpy(np.ascontiguousarray(clip)).float() for clip in clips]
        waves = [torch.nn.functional.pad(w, (0, max(shortest - len(w), 0))) for w in waves]
        lengths = torch.tensor([len(wave) for wave in waves], device=self.device)
        speech = torch.nn.utils.rnn.pad_sequence(waves, batch_first=True).to(self.device)
        frames, sizes = self.model.encode(speech, lengths)  # which changes `speech` in place
        frames = frames[0] if isinstance(frames, tuple) else frames  # inter-CTC
        scores = self.model.ctc.log_softmax(frames).float().cpu()
        return [row[:size] for row, size in zip(scores, sizes.tolist(), strict=True)]

    def _look_at_frames(self) -> tuple[float, float, bool]:
        """Return a frame's seconds, where the first begins, and if neighbours change an answer."""
        short, long = _PROBE_SECONDS
        noise = np.random.default_rng(0).standard_normal(long * self.rate).astype(np.float32) / 100
        alone = self._scores([noise[: short * self.rate]])[0]
        if alone is None:
            return 0.0, 0.0, True
        whole, beside = self._scores([noise, noise[: short * self.rate]])
        assert whole is not None and beside is not None
        hop = (long - short) / (len(whole) - len(alone))
        same = beside.shape == alone.shape and float((beside.exp() - alone.exp()).abs().max())
        begin = min(max((long - hop * len(whole)) / 2, 0.0), hop)
        return hop, begin, same is False or same > _SAME


class BeamRecogniser(CTCRecogniser):
    """ESPnet's own beam search, one clip at a time; times are of CTC's path of what it found."""

    def __init__(self, opened: Speech2Text, languages: Sequence[str] = ()) -> None:
        self.search = opened
        super().__init__(_greedy_of(opened), languages)
        self.batch_size = 1

    def _write(self, clip: np.ndarray, scores: Tensor | None) -> Spelled:
        shortest = int(SHORTEST * self.rate)
        answers: Any = self.search(np.pad(clip, (0, max(shortest - len(clip), 0))))
        if not answers:
            return Spelled("", [], [])
        text, pieces, ids, *_ = answers[0]
        return Spelled(" ".join((text or "").split()), list(pieces), list(ids))


def _greedy_of(opened: Speech2Text) -> GreedySpeech2Text:
    found = GreedySpeech2Text(opened.asr_model, opened.asr_train_args, opened.sampling_rate)
    if opened.join is not None:
        found.join = opened.join
    return found


def check_language(language: str | None, known: Sequence[str]) -> None:
    """Refuse a language that a model's card does not list; without a list everything passes."""
    first = {code.replace("_", "-").split("-")[0].lower() for code in known}
    if language is not None and known and language.replace("_", "-").split("-")[0] not in first:
        raise UserError(
            f"the model's card names the languages {' '.join(known)}, and --language is "
            f"{language}: give one of these, or leave it out"
        )
