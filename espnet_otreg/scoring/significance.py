"""How sure an error rate or a difference is: a bootstrap over speakers.

Utterances of one speaker share voice and microphone, so speakers are drawn, not utterances.
All systems are judged on the same draws, which is what pairs them. With several training seeds
the error counts of an utterance are averaged over the seeds before drawing, so that an interval
speaks of new speakers; how much training varies is the standard deviation over seeds, beside it.

The interval is the percentile interval with its levels widened for few speakers, as Student's t
is wider than the normal curve (expanded percentile interval, Hesterberg 2015, arXiv:1411.5279);
p inverts that interval. With many speakers both are the plain percentile bootstrap. Where some say
much more than others, the few that weigh most count: `spread_of` says how many speakers of one
weight they are worth. Without that, 50 speakers of uneven length held the truth in 92 % of trials.

Where models were trained several times over, `Models` says what that adds to a figure's variance,
and the interval is the speakers' and the models' squared and added (MOVER, Zou and Donner 2008): on
each side the root of the speakers' reach squared plus t² times the models' variance. Chance in how
a speaker fares with a model is in both, and has to be in once: f^-1.5 of it is taken from the
speakers' part and the rest from the models', f being their degrees of freedom; with two models all
from the speakers', whose number is larger. That share is chosen by simulation: `python
benchmarks/levels.py`, table in docs/SCORING.md. No interval is narrower than the speakers' alone.
"""

import math
from collections.abc import Sequence
from statistics import NormalDist
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from espnet_otreg.errors import UserError

Array = NDArray[np.float64]

SAMPLES = 10_000
CONFIDENCE = 0.95
FEWEST_SPEAKERS = 5  # with fewer the draws are too coarse for 95 %: 4 speakers give 35 of them
FEW_SPEAKERS = 10  # below this, tables ask the reader for care
_CELLS_AT_ONCE = 2_000_000  # bounds the memory of a block of draws


class Interval(NamedTuple):
    """A figure and where it probably lies; the bounds are nan where they cannot be told."""

    value: float
    low: float
    high: float


class Models(NamedTuple):
    """What trained models add to a figure's variance, beside speakers."""

    variance: float  # of the mean over models
    freedom: float  # degrees of freedom of that estimate
    chance: float  # part of it that is chance in how speakers fare with a model


class Difference(NamedTuple):
    """A system minus the baseline: negative is better."""

    absolute: Interval
    relative: Interval  # as a share of the baseline's rate
    p: float  # two-sided; nan with fewer than FEWEST_SPEAKERS
    confidence: float  # of both intervals
    held: tuple[str, ...] = ()  # what could have been another one, such as a common checkpoint

    @property
    def told_apart(self) -> bool:
        """Tell whether interval and p both exclude 0; with few draws they can part by a hair."""
        excludes_zero = self.absolute.low > 0 or self.absolute.high < 0
        return excludes_zero and self.p < 1 - self.confidence

    @property
    def verdict(self) -> str:
        """Say in one phrase what the difference allows to be said."""
        interval = self.absolute
        if math.isnan(interval.low):
            return "no interval"
        if interval.value == interval.low == interval.high == 0:
            return "identical"
        if not self.told_apart:
            return "not distinguishable"
        if not self.held:
            return "better" if interval.value < 0 else "worse"
        return f"{'lower' if interval.value < 0 else 'higher'} for this {listed(self.held)}"


class Spread(NamedTuple):
    """How the draws of few speakers fall short of how far the figure itself may lie off."""

    narrowness: float  # by what the draws scatter too little
    freedom: float  # degrees of freedom of Student's t


class Resampled(NamedTuple):
    """Error rates of several systems on the same draws of speakers."""

    rates: Array  # (systems,) as observed
    draws: Array  # (samples, systems)
    speakers: int
    spread: Spread | None  # None with too few speakers


def resample_speakers(
    errors: ArrayLike,
    words: ArrayLike,
    speakers: Sequence[str],
    *,
    samples: int = SAMPLES,
    seed: int = 0,
) -> Resampled:
    """Draw as many speakers as there are, with replacement, `samples` times.

    `errors` is (systems, utterances), or (utterances,) for one system; `words`, the reference
    length, is (utterances,) and the same for all systems.
    """
    errors_per_system = np.atleast_2d(np.asarray(errors, dtype=np.float64))
    counts = np.vstack([errors_per_system, np.asarray(words, dtype=np.float64)]).T  # (N, S + 1)
    if len(counts) != len(speakers):
        raise ValueError(f"counts for {len(counts)} utterances, but {len(speakers)} speakers")
    if samples < 1:
        raise UserError(f"the bootstrap needs at least 1 sample, not {samples}")
    names, index = np.unique(np.asarray(speakers, dtype=str), return_inverse=True)
    columns = [np.bincount(index, column, len(names)) for column in counts.T]
    sums = np.stack(columns, axis=1).astype(np.float64)  # (K, S + 1)
    return Resampled(
        rates=rates_of(sums.sum(axis=0)[None])[0],
        draws=rates_of(drawn_sums(sums, samples, np.random.default_rng(seed))),
        speakers=len(names),
        spread=spread_of(sums[:, -1]),
    )


def rate_interval(
    resampled: Resampled, system: int = 0, confidence: float = CONFIDENCE
) -> Interval:
    """Say where one system's error rate lies."""
    draws = resampled.draws[:, system]
    return interval(float(resampled.rates[system]), draws, resampled.spread, confidence)


def paired_difference(
    resampled: Resampled, system: int, baseline: int = 0, confidence: float = CONFIDENCE
) -> Difference:
    """Compare a system with the baseline, draw by draw."""
    rates, draws = resampled.rates[[system, baseline]], resampled.draws[:, [system, baseline]]
    return difference(rates, draws, resampled.spread, confidence)


def difference(
    rates: Array,
    draws: Array,
    spread: Spread | None,
    confidence: float = CONFIDENCE,
    models: tuple[Models | None, Models | None] = (None, None),
) -> Difference:
    """Compare a system with the baseline; both arrays hold the system and then the baseline.

    `models` are what training adds to the absolute and to the relative difference.
    """
    (rate, base), bases = rates, draws[:, 1]
    # Counts averaged over seeds are not whole numbers: rounding keeps equal systems equal.
    value, values = round(float(rate - base), 12), np.round(draws[:, 0] - bases, 12)
    with np.errstate(divide="ignore", invalid="ignore"):
        shares = np.where(bases > 0, values / bases, np.nan)
    share = value / float(base) if base > 0 else math.nan
    return Difference(
        absolute=interval(value, values, spread, confidence, models[0]),
        relative=interval(share, shares, spread, confidence, models[1]),
        p=_two_sided_p(value, values, spread, models[0]),
        confidence=confidence,
    )


def interval(
    value: float,
    draws: Array,
    spread: Spread | None,
    confidence: float = CONFIDENCE,
    models: Models | None = None,
) -> Interval:
    """Widen the percentiles of the draws for few speakers; none where `spread` is unknown."""
    draws = draws[~np.isnan(draws)]  # a draw without any reference word says nothing
    if spread is None or not len(draws) or math.isnan(value):
        return Interval(value, math.nan, math.nan)
    from scipy.special import stdtrit  # here, so that scoring alone starts fast

    quantile = float(stdtrit(spread.freedom, (1 - confidence) / 2))
    tail = NormalDist().cdf(spread.narrowness * quantile)
    low, high = np.quantile(draws, [tail, 1 - tail])
    if models is not None:
        variance = speakers_variance(draws, spread)
        reach = float(stdtrit(models.freedom, (1 - confidence) / 2)) ** 2
        low = value - _squared_and_added(value - low, variance, models, reach)
        high = value + _squared_and_added(high - value, variance, models, reach)
    return Interval(value, float(low), float(high))


def speakers_variance(draws: Array, spread: Spread) -> float:
    """Return the variance of a figure by drawing other speakers, chance with models included."""
    return float(draws.var()) * spread.narrowness**2


def _squared_and_added(alone: float, variance: float, models: Models, reach: float) -> float:
    """Return how far an interval reaches on one side, from how far speakers alone do."""
    chance = min(models.chance, variance)
    theirs = chance * models.freedom**-1.5  # of the speakers' part
    share = 1 - theirs / variance if variance > 0 else 1.0
    added = reach * max(0.0, models.variance - (chance - theirs))
    alone = max(0.0, alone)
    return max(alone, math.sqrt(alone**2 * share + added))


def spread_of(words: Array) -> Spread | None:
    """Tell how draws fall short, from what each speaker said; None with too few speakers.

    Speakers of uneven weight are worth Kish's effective number of even ones, K = (Σ w)² / Σ w². The
    draws of K speakers scatter too little by sqrt(K / (K - 1)), and have K - 1 degrees of freedom.
    """
    words = words[words > 0]
    if len(words) < FEWEST_SPEAKERS:
        return None
    effective = max(2.0, float(words.sum() ** 2 / (words**2).sum()))
    return Spread(math.sqrt(effective / (effective - 1)), effective - 1)


def drawn_sums(sums: Array, samples: int, generator: np.random.Generator) -> Array:
    """Draw as many rows as there are, `samples` times, and add each draw up by columns."""
    clusters = len(sums)
    block = max(1, _CELLS_AT_ONCE // clusters)
    drawn = []
    for start in range(0, samples, block):
        rows = min(block, samples - start)
        chosen = generator.integers(clusters, size=(rows, clusters))
        chosen += clusters * np.arange(rows)[:, None]
        times = np.bincount(chosen.ravel(), minlength=rows * clusters).reshape(rows, clusters)
        drawn.append(times.astype(np.float64) @ sums)
    return np.concatenate(drawn)


def rates_of(sums: Array) -> Array:
    """Divide by the last column; nan where it is zero."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(sums[:, -1:] > 0, sums[:, :-1] / sums[:, -1:], np.nan)


def listed(names: Sequence[str]) -> str:
    """Join words as English does."""
    return " and ".join([", ".join(names[:-1]), names[-1]] if len(names) > 1 else names)


def _two_sided_p(
    value: float, differences: Array, spread: Spread | None, models: Models | None
) -> float:
    differences = differences[~np.isnan(differences)]
    if spread is None or not len(differences):
        return math.nan
    from scipy.special import stdtr

    # One is added because the observed sample is itself a possible draw: p is never 0.
    below = (np.count_nonzero(differences <= 0) + 1) / (len(differences) + 1)
    above = (np.count_nonzero(differences >= 0) + 1) / (len(differences) + 1)
    tail = min(below, above)
    if tail >= 0.5:
        return 1.0
    quantile = NormalDist().inv_cdf(tail) / spread.narrowness
    p = float(2 * stdtr(spread.freedom, quantile))
    return p if models is None else max(p, _p_with_models(value, differences, spread, models))


def _p_with_models(value: float, draws: Array, spread: Spread, models: Models) -> float:
    """Find by halving the level at which the interval's end is 0."""
    low, high = 1e-6, 1.0
    for _ in range(14):
        middle = math.sqrt(low * high)
        found = interval(value, draws, spread, 1 - middle, models)
        if found.low <= 0 <= found.high:
            low = middle
        else:
            high = middle
    return high
