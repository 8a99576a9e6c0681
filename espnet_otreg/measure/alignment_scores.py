"""Alignment as detection: what a plan decides for each frame, counted against the truth.

An utterance becomes a record of counts. Records add up, and every figure is a ratio of two sums, so
a corpus figure is a sum over a sum: long utterances weigh more, and order does not matter.
"""

import math
from collections.abc import Iterable
from dataclasses import dataclass, fields
from typing import Any

import numpy as np

from espnet_otreg.errors import UserError
from espnet_otreg.measure.truth import Truth

THRESHOLD = 0.5  # of the uniform mass: a frame with less than half of it is decided for silence
_RESOLUTION = 0.01  # of the uniform mass: what a solver leaves between equal frames is below


@dataclass(frozen=True)
class Counts:
    """What is counted in one utterance, or in the sum of many.

    A speech frame is true for at least one token, all others are silence. A decided frame is
    decided for a token; one that is decided for a special token counts as decided for silence.
    """

    utterances: int = 0
    speech_frames: int = 0
    decided_frames: int = 0
    hits: int = 0  # frames decided for a token they are true for
    tokens: int = 0  # spoken tokens that are true in at least one frame
    tokens_without_frame: int = 0  # spoken tokens too short to be true in any frame
    tokens_covered: int = 0  # tokens with at least one hit
    words_decided: int = 0  # words with a frame decided for one of their tokens
    words_missed: int = 0
    boundary_error: float = 0.0  # seconds, sum over both boundaries of the decided words
    steps: int = 0  # from one decided frame to the next
    steps_forward: int = 0  # of these, to the same token or a later one
    mass_pairs: int = 0  # of a speech frame and a silence frame in the same utterance
    mass_pairs_ranked: float = 0.0  # the speech frame has more mass; 1/2 for equal mass
    utterances_unranked: int = 0  # without such a pair: no silence, or no speech

    @property
    def precision(self) -> float:
        """Share of decided frames that are hits, nan if none is decided."""
        return _ratio(self.hits, self.decided_frames)

    @property
    def recall(self) -> float:
        """Share of speech frames that are hits.

        A frame asks for one pair: in a word of two pieces, either piece will do.
        """
        return _ratio(self.hits, self.speech_frames)

    @property
    def f1(self) -> float:
        """Harmonic mean of precision and recall, 2 hits / (decided + speech frames)."""
        return _ratio(2 * self.hits, self.decided_frames + self.speech_frames)

    @property
    def coverage(self) -> float:
        """Share of tokens with at least one hit, of those that are true in some frame."""
        return _ratio(self.tokens_covered, self.tokens)

    @property
    def silence_auc(self) -> float:
        """ROC area of the frame mass: how often speech outweighs silence, 1/2 if it tells nothing.

        The mass of a frame is its row's sum over spoken tokens, in steps of a hundredth of the mean
        over the frames. Pairs are formed within utterances, as plans have no common scale.
        """
        return _ratio(self.mass_pairs_ranked, self.mass_pairs)

    @property
    def boundary_ms(self) -> float:
        """Mean distance in milliseconds of the true starts and ends from the decided ones.

        A word is decided from the left edge of the first to the right edge of the last frame
        decided for any of its tokens; missed words are counted apart.
        """
        return 1000 * _ratio(self.boundary_error, 2 * self.words_decided)

    @property
    def missed(self) -> float:
        """Share of words for which no frame is decided."""
        return _ratio(self.words_missed, self.words_decided + self.words_missed)

    @property
    def monotonicity(self) -> float:
        """Share of steps from a decided frame to the next decided one that do not go back."""
        return _ratio(self.steps_forward, self.steps)

    def figures(self) -> dict[str, float]:
        """Return all ratios by name; nan where there was nothing to count."""
        names = ("precision", "recall", "f1", "coverage", "silence_auc", "boundary_ms", "missed")
        return {name: getattr(self, name) for name in (*names, "monotonicity")}


def total(parts: Iterable[Counts]) -> Counts:
    """Add up; the result does not depend on the order, to the last bit."""
    records = list(parts)
    sums: dict[str, Any] = {}
    for field in fields(Counts):
        values = [getattr(record, field.name) for record in records]
        sums[field.name] = math.fsum(values) if field.type is float else sum(values)
    return Counts(**sums)


def decide(plan: np.ndarray, spoken: np.ndarray, *, threshold: float = THRESHOLD) -> np.ndarray:
    """Return for each frame (T,) the token it is decided for, -1 for silence.

    That is the token of the largest entry in its row, the first of equals. It is silence where that
    token is not spoken, or where the frame's share of all mass on spoken tokens is 0 or below
    `threshold` / T, T frames having 1 / T each if the mass were uniform.

    Args:
        plan: (T, U), not negative; its scale does not matter
        spoken: (U,) bool, false for special tokens
        threshold: share of the uniform mass 1 / T
    """
    _check_plan(plan)
    if not 0 <= threshold < math.inf:
        raise UserError(f"threshold must be 0 or more and finite, got {threshold!r}")
    if not plan.size:
        return np.full(len(plan), -1)
    best = plan.argmax(1)
    mass = _relative_mass(plan, spoken)
    return np.where(spoken[best] & (mass > 0) & (mass >= threshold), best, -1)


def measure(plan: np.ndarray, truth: Truth, *, threshold: float = THRESHOLD) -> Counts:
    """Count what a plan (T, U) of one utterance gets right.

    Example:
        >>> from espnet_otreg.measure.truth import Word, make_truth
        >>> words = [Word("red", 0.0, 0.2), Word("hats", 0.2, 0.3)]
        >>> truth = make_truth(words, ["red", "hats"], 4, 0.1)
        >>> plan = np.array([[1, 0], [0, 1], [0, 1], [0, 0]])
        >>> counts = measure(plan, truth)
        >>> round(counts.f1, 3), round(counts.boundary_ms)
        (0.667, 50)
    """
    if plan.shape != truth.frames.shape:
        raise UserError(
            f"the plan has (frames, tokens) = {plan.shape} and the truth {truth.frames.shape}; "
            "make the truth for the frames and the tokens of the plan, special tokens included"
        )
    spoken = truth.owner >= 0
    decided = decide(plan, spoken, threshold=threshold)
    speech = np.any(truth.frames, 1)
    at = np.flatnonzero(decided >= 0)
    path = decided[at]
    hit = truth.frames[at, path]
    ranked, pairs = _rank(_relative_mass(plan, spoken), speech)
    error, words = _boundaries(at, truth.owner[path], truth)
    lasting = int(truth.frames.any(0).sum())
    return Counts(
        utterances=1,
        speech_frames=int(speech.sum()),
        decided_frames=len(at),
        hits=int(hit.sum()),
        tokens=lasting,
        tokens_without_frame=int(spoken.sum()) - lasting,
        tokens_covered=len(np.unique(path[hit])),
        words_decided=words,
        words_missed=len(truth.spans) - words,
        boundary_error=error,
        steps=max(len(path) - 1, 0),
        steps_forward=int((np.diff(path) >= 0).sum()),
        mass_pairs=pairs,
        mass_pairs_ranked=ranked,
        utterances_unranked=int(pairs == 0),
    )


def _ratio(part: float, whole: float) -> float:
    return part / whole if whole else math.nan


def _check_plan(plan: np.ndarray) -> None:
    if plan.ndim != 2:
        raise UserError(f"a plan has two axes, frames and tokens; got shape {plan.shape}")
    if not (np.isfinite(plan).all() and (plan >= 0).all()):
        raise UserError("a plan holds finite masses of 0 or more; this one does not")


def _relative_mass(plan: np.ndarray, spoken: np.ndarray) -> np.ndarray:
    """Return the mass of each frame (T,) on spoken tokens, relative to the mean over frames."""
    mass = plan[:, spoken].sum(1, dtype=float)
    return mass * len(mass) / (mass.sum() or 1)


def _rank(mass: np.ndarray, speech: np.ndarray) -> tuple[float, int]:
    """Return how many (speech, silence) pairs the mass ranks right, equals half, and how many."""
    steps = np.round(mass / _RESOLUTION)
    loud, quiet = steps[speech], np.sort(steps[~speech])
    below = np.searchsorted(quiet, loud, "left").sum()
    not_above = np.searchsorted(quiet, loud, "right").sum()
    return float(below + not_above) / 2, len(loud) * len(quiet)


def _boundaries(at: np.ndarray, words: np.ndarray, truth: Truth) -> tuple[float, int]:
    """Return the sum of boundary errors in seconds over decided words, and how many these are.

    `words` (N,) are the words that the frames `at` (N,), in order, are decided for.
    """
    error = 0.0
    decided = np.unique(words)
    for word in decided:
        own = at[words == word]
        start, end = truth.spans[word]
        error += abs(own[0] * truth.hop - start) + abs((own[-1] + 1) * truth.hop - end)
    return float(error), len(decided)
