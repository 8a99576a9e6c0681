"""The mean over languages of their error rates, with intervals over speakers.

A corpus rate lets a language count by its words; here all count alike. Speakers of all languages
are drawn together, so that one who speaks two is drawn in both. The draws of a language scatter too
little by its own number of speakers, which is mended language by language; how many degrees of
freedom their mean has is Welch and Satterthwaite's.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from espnet_otreg.scoring.significance import (
    CONFIDENCE,
    SAMPLES,
    Array,
    Difference,
    Interval,
    Resampled,
    Spread,
    difference,
    drawn_sums,
    interval,
    rates_of,
    spread_of,
)


class MacroDraws(NamedTuple):
    """Error rates by language on the same draws of speakers."""

    rates: Array  # (languages, systems), as observed
    draws: Array  # (samples, languages, systems), as wide as they should be
    spreads: list[Spread | None]  # by language; None with too few speakers
    speakers: int


def resample_macro(
    errors: ArrayLike,
    words: ArrayLike,
    speakers: Sequence[str],
    languages: Sequence[str],
    *,
    samples: int = SAMPLES,
    seed: int = 0,
) -> MacroDraws:
    """Draw speakers; `errors` is (systems, utterances), the rest is by utterance.

    A language without any word has no rate and no part in the mean. A draw without a word of some
    other language says nothing of the mean and is left out.
    """
    counts = np.vstack([np.atleast_2d(np.asarray(errors, float)), np.asarray(words, float)])
    said_in = np.asarray(languages, dtype=str)
    chosen = np.isin(said_in, said_in[counts[-1] > 0])
    counts = counts[:, chosen]
    names, speaker = np.unique(np.asarray(speakers, dtype=str)[chosen], return_inverse=True)
    codes, language = np.unique(said_in[chosen], return_inverse=True)
    cells = len(names) * len(codes)
    place = speaker * len(codes) + language
    # (speakers, languages * (systems + 1))
    columns = np.stack([np.bincount(place, row, cells) for row in counts], axis=1)
    sums: Array = columns.reshape(len(names), -1).astype(np.float64)
    shape = (-1, len(codes), len(counts))
    drawn = drawn_sums(sums, samples, np.random.default_rng(seed)).reshape(shape)
    rates = rates_of(sums.sum(axis=0).reshape(shape[1:]))
    draws = rates_of(drawn.reshape(-1, len(counts))).reshape(len(drawn), len(codes), -1)
    draws = draws[~np.isnan(draws).any(axis=(1, 2))]
    said = sums.reshape(len(names), *shape[1:])[:, :, -1]  # (speakers, languages)
    # Speakers of one weight: that the number drawn of a language varies widens the draws of
    # uneven speakers already, and mending it twice held the truth in 99 % of trials.
    spreads = [spread_of(np.ones(np.count_nonzero(column))) for column in said.T]
    widening = np.array([1.0 if spread is None else spread.narrowness for spread in spreads])
    widened = rates + widening[:, None] * (draws - rates)
    return MacroDraws(rates, np.maximum(widened, 0), spreads, len(names))


def macro_interval(
    resampled: MacroDraws, system: int = 0, confidence: float = CONFIDENCE
) -> Interval:
    """Say where one system's mean over languages lies."""
    found = over_languages(resampled, [system])
    return interval(float(found.rates[0]), found.draws[:, 0], found.spread, confidence)


def macro_difference(
    resampled: MacroDraws, system: int, baseline: int = 0, confidence: float = CONFIDENCE
) -> Difference:
    """Compare a system's mean over languages with the baseline's, draw by draw."""
    found = over_languages(resampled, [system, baseline])
    return difference(found.rates, found.draws, found.spread, confidence)


def over_languages(resampled: MacroDraws, systems: Sequence[int]) -> Resampled:
    """Average over languages: a system's rates, or those of one and of its baseline."""
    draws = resampled.draws[:, :, list(systems)]
    figure = draws[:, :, 0] - draws[:, :, 1] if len(systems) > 1 else draws[:, :, 0]
    return Resampled(
        rates=resampled.rates[:, list(systems)].mean(axis=0),
        draws=draws.mean(axis=1),
        speakers=resampled.speakers,
        spread=_spread(figure, resampled.spreads),
    )


def _spread(draws: Array, spreads: Sequence[Spread | None]) -> Spread | None:
    """Degrees of freedom of a mean over languages, whose draws (samples, languages) are given."""
    freedom = np.array([np.nan if spread is None else spread.freedom for spread in spreads])
    if np.isnan(freedom).any() or not len(draws):
        return None
    variances = draws.var(axis=0)
    total = variances.sum()
    if not total > 0:
        return Spread(1.0, float(freedom.sum()))
    return Spread(1.0, float(total**2 / (variances**2 / freedom).sum()))
