"""What another training would change: the part of an interval that is not the speakers'.

A figure is an error rate, or the difference of two systems' rates, of one trained model or a pair
of them: the sum of errors over the sum of words. The figure of a system is the mean over its cells,
see `levels`. Its variance over models is that of `components`, and a speaker's influence on a
cell's figure is the linear part of what leaving them out would change.
"""

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from espnet_otreg.scoring.components import (
    CROSSED,
    Array,
    Component,
    Variances,
    levels_of,
    variances,
)
from espnet_otreg.scoring.levels import NAMES, ORDER, Labels
from espnet_otreg.scoring.significance import (
    Difference,
    Models,
    Resampled,
    difference,
    speakers_variance,
)

SPEAKERS = "speakers"
FARING = "speakers × models"  # how a speaker fares with one model and not with another


class Figures(NamedTuple):
    """A figure of each cell, and how much of it is due to each speaker.

    Squares of the influence add up to what other speakers would make of it, few as they are.
    """

    values: Array  # (cells,)
    influence: Array  # (cells, speakers), 0 on average

    def minus(self, other: "Figures", times: float = 1.0) -> "Figures":
        """Subtract, cell by cell."""
        return Figures(self.values - times * other.values, self.influence - times * other.influence)

    def over(self, number: float) -> "Figures":
        """Divide by a number."""
        return Figures(self.values / number, self.influence / number)


class Words(NamedTuple):
    """Who says how much in which language; a mean over languages counts each alike."""

    words: Array  # (utterances,)
    speaker: NDArray[np.intp]  # (utterances,)
    groups: tuple[NDArray[np.intp], ...]  # the utterances of each language; all in one for a total

    def figures(self, errors: Array) -> Figures:
        """Make figures of error counts (cells, utterances)."""
        speakers = int(self.speaker.max(initial=0)) + 1
        values = np.zeros(len(errors))
        influence = np.zeros((len(errors), speakers))
        for group in self.groups:
            said = np.bincount(self.speaker[group], self.words[group], speakers)
            wrong = np.stack(
                [np.bincount(self.speaker[group], row[group], speakers) for row in errors]
            )
            whole = said.sum() or math.nan
            rate = wrong.sum(axis=1) / whole
            effective = max(2.0, whole**2 / (float((said**2).sum()) or 1.0))  # see spread_of
            wider = math.sqrt(effective / (effective - 1)) / len(self.groups)
            influence += wider * (wrong - rate[:, None] * said) / whole
            values += rate / len(self.groups)
        return Figures(values, influence)


def estimate(figures: Figures, labels: Sequence[Labels]) -> Variances | None:
    """Estimate variances over cells; None with a single cell."""
    levels = levels_of(labels, ORDER)
    if not levels or not np.isfinite(figures.values).all():
        return None
    return variances(figures.values, figures.influence, levels)


class Apart(NamedTuple):
    """How far two systems lie apart, and what that is due to."""

    difference: Difference
    figures: Figures  # cell by cell
    variances: Variances | None
    speakers: float  # variance over speakers; nan with too few


def judge(
    ours: Array, theirs: Array, labels: Sequence[Labels], words: Words, drawn: Resampled
) -> Apart:
    """Compare errors (cells, utterances) of a system with the baseline's, cell by cell.

    `drawn` holds the means over cells of both on draws of speakers, the system's first.
    """
    base = words.figures(theirs)
    apart = words.figures(ours).minus(base)
    found = estimate(apart, labels)
    rate = float(drawn.rates[1])
    shares = None
    if rate > 0:  # relative to it, to first order around the mean
        relative = float(apart.values.mean()) / rate
        shares = models_of(estimate(apart.minus(base, relative).over(rate), labels))
    models = (models_of(found), shares)
    told = difference(drawn.rates, drawn.draws, drawn.spread, models=models)
    draws = drawn.draws[:, 0] - drawn.draws[:, 1]
    draws = draws[~np.isnan(draws)]
    by_speakers = math.nan
    if drawn.spread is not None and len(draws):
        by_speakers = speakers_variance(draws, drawn.spread)
    return Apart(told, apart, found, by_speakers)


def models_of(found: Variances | None) -> Models | None:
    """Return what an interval takes from the estimate."""
    return found and Models(found.mean, found.freedom, found.mean_chance)


def components(
    found: Variances | None, labels: Sequence[Labels], speakers: float, number: int
) -> tuple[Component, ...]:
    """Split the variance of a difference: `speakers` is that over so many speakers, of all kinds.

    What speakers and models do together is in both estimates, and is named apart.
    """
    if math.isnan(speakers):
        return ()
    if found is None:
        return (Component(SPEAKERS, speakers, number),)
    chance = min(found.mean_chance, speakers)
    parts = [Component(SPEAKERS, speakers - chance, number)]
    parts.append(Component(FARING, chance, number * len(labels)))
    for level, groups in levels_of(labels, ORDER).items():
        own = max(0.0, found.single[level] - found.chance[level]) * found.weight[level]
        parts.append(Component(spoken(level), own, len(set(groups))))
    return tuple(parts)


def spoken(level: str) -> str:
    """Call a level, or several that cannot be told apart, as people do."""
    for mark in (" + ", CROSSED):
        if mark in level:
            return mark.join(spoken(part) for part in level.split(mark))
    return f"{NAMES[level]}s"
