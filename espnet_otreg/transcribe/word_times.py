"""From a model's path through the frames to words with times.

A path gives each token a frame or more. CTC emits a token in one or two frames, so tokens are
drawn out: short gaps go half to either neighbour, longer ones are pauses. A word lasts from the
first frame of its first token to the last of its last.
"""

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from torch import Tensor

from espnet_otreg.errors import UserError
from espnet_otreg.measure.model_plans import close_gaps
from espnet_otreg.measure.truth import words_of_tokens
from espnet_otreg.models.ctc import forced_plan
from espnet_otreg.transcribe import Passage, TimedWord

LONGEST_GAP = 0.4  # seconds between tokens that are drawn out until they meet


class Spelled(NamedTuple):
    """A text in a model's tokens."""

    text: str
    pieces: list[str]  # of text, one for each token
    columns: list[int]  # of the scores, one for each token
    sureness: list[float] | None = None  # of each token; None: what the scores say on its frames


class Frames(NamedTuple):
    """What a model makes of one clip."""

    scores: Tensor  # (T, V) log-probabilities, column 0 being the blank
    hop: float  # seconds per frame
    seconds: float  # of the clip
    begin: float = 0.0  # where the first frame begins: unpadded convolutions cut off both ends


def passage(spelled: Spelled, frames: Frames | None, spaces: bool, seconds: float) -> Passage:
    """Give every word of a text its time; where there is no path, spread the words evenly.

    Args:
        spelled: the text
        frames: of the clip; None where the model has nothing to align with
        spaces: whether the language parts words by spaces; else every token is a word
        seconds: the clip's length
    """
    words = spelled.text.split()
    owner = np.full(len(spelled.pieces), -1)
    try:
        if spaces:
            owner = words_of_tokens(spelled.pieces, words)
        else:
            spoken = [u for u, piece in enumerate(spelled.pieces) if _letters(piece)]
            words = [spelled.pieces[u].strip("▁# ") for u in spoken]
            owner[spoken] = np.arange(len(spoken))
        if frames is None:
            raise UserError("the model has no CTC branch, whose path would tell")
        plan = forced_plan(frames.scores, spelled.columns, blank=0)
    except UserError as error:
        return Passage(spelled.text, spread(words, seconds), str(error))
    sure = _sureness(plan, frames.scores, spelled)
    return Passage(spelled.text, _timed(words, plan, owner, sure, frames))


def spread(words: Sequence[str], seconds: float) -> tuple[TimedWord, ...]:
    """Share a clip among words by their letters."""
    ends = np.cumsum([0, *(len(word) for word in words)])
    places = [float(end) * seconds / max(int(ends[-1]), 1) for end in ends]
    return tuple(
        TimedWord(word, start, end, None)
        for word, start, end in zip(words, places[:-1], places[1:], strict=True)
    )


def _letters(piece: str) -> bool:
    return any(sign.isalnum() for sign in piece) and not piece.startswith("<")


def _sureness(plan: np.ndarray, scores: Tensor, spelled: Spelled) -> np.ndarray:
    """Return how sure the model is of each token (U,)."""
    if spelled.sureness is not None:
        return np.array(spelled.sureness)
    own = scores[:, spelled.columns].exp().numpy()  # (T, U)
    return (own * plan).max(0, initial=0.0)


def _timed(
    words: Sequence[str], plan: np.ndarray, owner: np.ndarray, sure: np.ndarray, frames: Frames
) -> tuple[TimedWord, ...]:
    closed = close_gaps(plan, round(LONGEST_GAP / frames.hop))
    found: list[TimedWord] = []
    for index, word in enumerate(words):
        own = owner == index
        at = np.flatnonzero(closed[:, own].any(1))
        if not at.size:  # a word without a letter, such as a dash: never spoken
            end = found[-1].end if found else 0.0
            found.append(TimedWord(word, end, end, None))
            continue
        start, end = (frames.begin + n * frames.hop for n in (at[0], at[-1] + 1))
        certain = math.exp(np.log(np.maximum(sure[own], 1e-10)).mean())
        times = (min(start, frames.seconds), min(end, frames.seconds))
        found.append(TimedWord(word, *times, round(min(certain, 1.0), 4)))
    return tuple(found)
