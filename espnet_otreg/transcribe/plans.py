"""A recogniser that also shows its transport plan: which frame goes to which token of its text.

The plan is that of the model's own transport term between what it heard and what it wrote. Of a
model that was trained without the term it says how well its frames fit the tokens all the same.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from espnet_otreg.errors import UserError
from espnet_otreg.measure.spaces import Space, Spoken, Transported
from espnet_otreg.measure.truth import words_of_tokens
from espnet_otreg.transcribe import Passage, Plan, Recogniser
from espnet_otreg.transcribe.listening import ListeningRecogniser
from espnet_otreg.transcribe.recognisers import SHORTEST, CTCRecogniser


class PicturedRecogniser:
    """Another recogniser, whose passages bring their plans.

    Attributes:
        space: in which the model meets its text; None where it has none
        about: what the plans show, or why there are none
    """

    def __init__(self, recogniser: Recogniser) -> None:
        self.inner, self.rate = recogniser, recogniser.rate
        self.batch_size = recogniser.batch_size
        self.space: Space | None = None
        try:
            self.space = _space(recogniser)
        except UserError as error:
            self.about = f"There is no transport plan to show: {error}."
            return
        trained = "with" if self.space.regularised else "without"
        self.about = f"The model was trained {trained} the transport term."

    def check(self, language: str | None) -> None:
        """Raise a UserError for a language that the model does not know."""
        self.inner.check(language)

    def recognise(self, clips: Sequence[np.ndarray], language: str | None) -> list[Passage]:
        """Write down a batch, and draw up the plans."""
        return self._with_plans(clips, self.inner.recognise(clips, language))

    def align(
        self, clips: Sequence[np.ndarray], texts: Sequence[str], languages: Sequence[str | None]
    ) -> list[Passage]:
        """Find the words of given texts, and draw up the plans."""
        return self._with_plans(clips, self.inner.align(clips, texts, languages))

    def _with_plans(
        self, clips: Sequence[np.ndarray], passages: Sequence[Passage]
    ) -> list[Passage]:
        return [
            passage._replace(plans=self._plans(clip, passage))
            for clip, passage in zip(clips, passages, strict=True)
        ]

    def _plans(self, clip: np.ndarray, passage: Passage) -> tuple[Plan, ...]:
        """Solve one clip: beside others an encoder would see their padding."""
        if self.space is None or not passage.text:
            return ()
        wave = torch.from_numpy(np.ascontiguousarray(clip)).float()
        wave = torch.nn.functional.pad(wave, (0, max(int(SHORTEST * self.rate) - len(clip), 0)))
        wave = wave.to(self.space.table.device)
        size = torch.tensor([len(wave)], device=wave.device)
        (spoken,) = self.space.place(wave[None], size, [passage.text])
        if spoken.problem:
            return ()
        (found,) = self.space.transport([spoken])
        return (self._plan(spoken, found, passage),)

    def _plan(self, spoken: Spoken, found: Transported, passage: Passage) -> Plan:
        assert self.space is not None
        coupling = found.coupling
        frames = coupling.sum(1, keepdims=True)  # (T, 1)
        return Plan(
            shares=np.divide(coupling, frames, out=np.zeros_like(coupling), where=frames > 0),
            mass=coupling.sum(0) / (coupling.sum() or 1.0),
            labels=tuple(self.space.label(row) for row in found.targets),
            rows=_rows(spoken, found.targets, passage),
            hop=self.space.hop,
            start=getattr(self.inner, "begin", 0.0),
        )


def _space(recogniser: Recogniser) -> Space:
    """Find where the model meets its text; a UserError says why it does not."""
    if isinstance(recogniser, ListeningRecogniser):
        return recogniser.space
    assert isinstance(recogniser, CTCRecogniser)

    def preprocess(_: str, fields: dict[str, str]) -> dict[str, Any]:
        return {"text": np.array(recogniser.cut(fields["text"])[1], np.int64)}

    hop = recogniser.hop or None  # unknown where there is no CTC branch
    space = Space(recogniser.model, preprocess, sampling_rate=recogniser.rate, hop=hop)
    noise = torch.zeros(1, space.rate, device=space.table.device)
    length = torch.tensor([space.rate], device=space.table.device)
    space.place(noise, length, [""])  # refuses a table whose rows are wider than the frames
    return space


def _rows(spoken: Spoken, targets: list[int], passage: Passage) -> tuple[tuple[int, ...], ...]:
    """Return where each word's tokens stand among the targets; nothing where nobody can tell."""
    places = {token: place for place, token in enumerate(targets[:-1])}
    try:
        owner = words_of_tokens(spoken.pieces, [word.word for word in passage.words])
    except UserError:
        return ()
    rows: list[list[int]] = [[] for _ in passage.words]
    for word, token in zip(owner.tolist(), spoken.ids, strict=True):
        if word >= 0 and token in places and places[token] not in rows[word]:
            rows[word].append(places[token])
    return tuple(map(tuple, rows))
