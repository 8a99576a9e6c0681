"""Do 95 % intervals hold the truth in 93 to 97 % of 1,000 simulated test sets?

Speakers differ in how much of their speech is misheard, in how much a second system gains on them
and in how much they say, so that errors come in clusters and the truth is known.
"""

import numpy as np
import pytest

from espnet_otreg.scoring.macro import macro_difference, macro_interval, resample_macro
from espnet_otreg.scoring.significance import paired_difference, rate_interval, resample_speakers

TRIALS, SAMPLES = 1000, 400
SHAPE, RATE, GAIN = 4, 0.15, -0.02


def simulated(speakers, seed):
    """Errors of two systems, words, and speakers; one row stands for all that a speaker said.

    No rate is cut off, so that the truth is exactly RATE and GAIN.
    """
    rng = np.random.default_rng(seed)
    words = 10 * rng.geometric(1 / 6, speakers)
    rate = rng.beta(SHAPE, SHAPE / RATE - SHAPE, speakers)
    gained = rate * (1 + GAIN / RATE * rng.gamma(2, 0.5, speakers).clip(0, 7))
    return np.stack([rng.binomial(words, rate), rng.binomial(words, gained)]), words


@pytest.mark.parametrize("speakers", [20, 50, 200])
def test_intervals_of_rate_and_difference_hold_the_truth_in_93_to_97_per_cent(speakers):
    names = [f"s{i}" for i in range(speakers)]
    held = np.zeros(2)
    for trial in range(TRIALS):
        errors, words = simulated(speakers, [speakers, trial])
        drawn = resample_speakers(errors, words, names, samples=SAMPLES, seed=trial)
        difference = paired_difference(drawn, 1).absolute
        rate = rate_interval(drawn)
        held += [rate.low <= RATE <= rate.high, difference.low <= GAIN <= difference.high]
    assert all(held / TRIALS >= 0.93) and all(held / TRIALS <= 0.97), held


def test_intervals_of_the_mean_over_languages_hold_the_truth_as_often():
    speakers = 40
    names = [f"s{i}" for i in range(speakers)]
    languages = [("en", "es", "en", "fr")[i % 4] for i in range(speakers)]  # 20, 10 and 10
    held = np.zeros(2)
    for trial in range(TRIALS):
        errors, words = simulated(speakers, [speakers, trial])
        drawn = resample_macro(errors, words, names, languages, samples=SAMPLES, seed=trial)
        difference, rate = macro_difference(drawn, 1).absolute, macro_interval(drawn)
        held += [rate.low <= RATE <= rate.high, difference.low <= GAIN <= difference.high]
    assert all(held / TRIALS >= 0.93) and all(held / TRIALS <= 0.97), held
