"""The likeliest token sequences of a CTC model: prefix beam search, no language model.

A sequence has many paths over the frames; their probabilities are added up, apart for those that
end with a blank and those that end with its last token, as a token that comes again is a new one
only after a blank (Graves 2012; Hannun et al. 2014, arXiv 1408.2873).
"""

import math
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Tokens = tuple[int, ...]
_NEVER = -math.inf


class Hypothesis(NamedTuple):
    """A token sequence and the logarithm of its probability, over the paths that were kept."""

    tokens: Tokens
    score: float


def ctc_nbest(
    log_probs: NDArray[np.float32],
    number: int,
    *,
    beam: int = 16,
    blank: int = 0,
    least: float = -9,
) -> list[Hypothesis]:
    """Return up to `number` sequences, the likeliest first.

    `log_probs` is (T, V); tokens below `least` in a frame do not lengthen a sequence there.
    """
    # prefix -> logarithms of the paths that end with a blank, and with the last token
    prefixes: dict[Tokens, tuple[float, float]] = {(): (0.0, _NEVER)}
    for frame in log_probs:
        heard = [int(token) for token in np.flatnonzero(frame > least) if token != blank]
        heard = sorted(heard, key=lambda token: -frame[token])[:beam]
        after: dict[Tokens, tuple[float, float]] = {}
        for prefix, (blanked, spoken) in prefixes.items():
            whole = _add(blanked, spoken)
            for longer, ends in _steps(prefix, frame, heard, blank, (whole, blanked, spoken)):
                before = after.get(longer, (_NEVER, _NEVER))
                after[longer] = (_add(before[0], ends[0]), _add(before[1], ends[1]))
        ranked = sorted(after.items(), key=lambda item: -_add(*item[1]))
        prefixes = dict(ranked[: max(beam, number)])
    return [Hypothesis(prefix, _add(*ends)) for prefix, ends in list(prefixes.items())[:number]]


def _steps(
    prefix: Tokens,
    frame: NDArray[np.float32],
    heard: list[int],
    blank: int,
    before: tuple[float, float, float],
) -> Iterator[tuple[Tokens, tuple[float, float]]]:
    """Yield what one frame makes of a prefix: the logarithms that it adds."""
    whole, blanked, spoken = before
    yield prefix, (whole + float(frame[blank]), _NEVER)
    if prefix:  # its last token goes on
        yield prefix, (_NEVER, spoken + float(frame[prefix[-1]]))
    for token in heard:
        start = blanked if prefix and token == prefix[-1] else whole
        if start > _NEVER:
            yield (*prefix, token), (_NEVER, start + float(frame[token]))


def _add(one: float, other: float) -> float:
    """Add two probabilities by their logarithms."""
    if one < other:
        one, other = other, one
    return one if other == _NEVER else one + math.log1p(math.exp(other - one))
