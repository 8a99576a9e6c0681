import math

import numpy as np
import pytest

from espnet_otreg.errors import UserError
from espnet_otreg.scoring.significance import (
    FEWEST_SPEAKERS,
    Difference,
    Interval,
    paired_difference,
    rate_interval,
    resample_speakers,
)


def simulated(speakers, true_difference, seed, utterances=8):
    """Two systems with speakers that differ in difficulty and in how much they gain."""
    generator = np.random.default_rng(seed)
    speaker = np.repeat(np.arange(speakers), utterances)
    difficulty = generator.uniform(0.15, 0.35, speakers)[speaker]
    gain = generator.uniform(-0.06, 0.06, speakers)[speaker] + true_difference
    words = generator.integers(5, 15, len(speaker))
    errors = [generator.binomial(words, difficulty), generator.binomial(words, difficulty + gain)]
    return errors, words, [f"s{s}" for s in speaker]


@pytest.mark.parametrize("speakers", [8, 30])
def test_ninety_five_per_cent_intervals_hold_the_truth_that_often(speakers):
    trials, inside = 400, 0
    for trial in range(trials):
        resampled = resample_speakers(*simulated(speakers, -0.03, trial), samples=1000, seed=trial)
        interval = paired_difference(resampled, 1).absolute
        inside += interval.low <= -0.03 <= interval.high
    assert 0.91 <= inside / trials <= 0.98


def test_equal_systems_are_called_different_in_about_five_per_cent_of_trials():
    trials, wrong = 400, 0
    for trial in range(trials):
        resampled = resample_speakers(*simulated(15, 0.0, trial), samples=500, seed=trial)
        wrong += paired_difference(resampled, 1).verdict in ("better", "worse")
    assert 0.02 <= wrong / trials <= 0.09


def test_a_large_difference_is_found_and_has_its_sign():
    better = resample_speakers(*simulated(30, -0.1, 0))
    difference = paired_difference(better, 1)
    assert difference.verdict == "better"
    assert difference.p < 0.002  # 10,000 draws and 30 speakers cannot give less than 0.001
    swapped = paired_difference(better, 0, baseline=1)
    assert swapped.verdict == "worse"
    assert swapped.absolute.low == pytest.approx(-difference.absolute.high, abs=1e-9)
    assert swapped.p == pytest.approx(difference.p)


def test_identical_systems_have_a_zero_width_interval_at_zero():
    errors, words, speakers = simulated(12, 0.0, 0)
    mean = np.mean([errors[0], errors[1], errors[0]], axis=0)  # thirds: not exact in binary
    resampled = resample_speakers([mean, mean.copy()], words, speakers)
    difference = paired_difference(resampled, 1)
    assert difference.absolute == Interval(0, 0, 0)
    assert difference.relative == Interval(0, 0, 0)
    assert difference.p == 1.0
    assert difference.verdict == "identical"


def test_pairing_removes_what_the_systems_share():
    errors, words, speakers = simulated(30, 0.0, 0)
    resampled = resample_speakers([errors[0], errors[0] + 1], words, speakers)
    difference, alone = paired_difference(resampled, 1), rate_interval(resampled, 1)
    width = difference.absolute.high - difference.absolute.low
    assert width < 0.2 * (alone.high - alone.low)
    assert difference.absolute.value == pytest.approx(len(words) / words.sum())


def test_spread_of_the_draws_has_its_closed_form():
    # Equal words per speaker: a drawn rate is a mean of K draws from the K speaker rates.
    errors = np.arange(16.0)
    resampled = resample_speakers(errors, np.full(16, 10), list("abcdefghijklmnop"), samples=40_000)
    rates = errors / 10
    assert resampled.rates[0] == pytest.approx(rates.mean())
    assert resampled.draws.mean() == pytest.approx(rates.mean(), rel=0.01)
    assert resampled.draws.std() == pytest.approx(rates.std() / 4, rel=0.02)
    # Nearly normal: the widened percentiles are Student's interval.
    interval = rate_interval(resampled)
    half_width = 2.131 * rates.std(ddof=1) / 4  # t with 15 degrees of freedom
    assert interval.high - interval.low == pytest.approx(2 * half_width, rel=0.03)


def test_interval_is_the_plain_percentile_one_with_many_speakers():
    resampled = resample_speakers(*simulated(2000, 0.0, 0, utterances=1), samples=2000)
    low, high = np.quantile(resampled.draws[:, 0], [0.025, 0.975])
    interval = rate_interval(resampled)
    assert interval.low == pytest.approx(low, abs=2e-4)
    assert interval.high == pytest.approx(high, abs=2e-4)


def test_speakers_are_drawn_not_utterances():
    # Four utterances per speaker that fail together: four times the variance of lone utterances.
    errors = np.repeat(np.arange(40.0) % 2, 4)
    words = np.ones(160)
    by_speaker = resample_speakers(errors, words, [f"s{i // 4}" for i in range(160)])
    by_utterance = resample_speakers(errors, words, [f"u{i}" for i in range(160)])
    assert (by_speaker.speakers, by_utterance.speakers) == (40, 160)
    assert by_speaker.draws.std() == pytest.approx(2 * by_utterance.draws.std(), rel=0.05)


def test_order_of_utterances_does_not_matter_and_the_seed_does():
    errors, words, speakers = simulated(10, 0.0, 0)
    order = np.random.default_rng(1).permutation(len(words))
    shuffled = [e[order] for e in errors], words[order], [speakers[i] for i in order]
    first = resample_speakers(errors, words, speakers, samples=50)
    np.testing.assert_array_equal(first.draws, resample_speakers(*shuffled, samples=50).draws)
    other = resample_speakers(errors, words, speakers, samples=50, seed=1)
    assert not np.array_equal(first.draws, other.draws)


def test_blocks_of_draws_are_the_same_as_one_by_one(monkeypatch):
    data = simulated(10, 0.0, 0)
    whole = resample_speakers(*data, samples=25)
    monkeypatch.setattr("espnet_otreg.scoring.significance._CELLS_AT_ONCE", 1)
    np.testing.assert_array_equal(whole.draws, resample_speakers(*data, samples=25).draws)


def test_relative_difference_is_a_share_of_the_baseline():
    resampled = resample_speakers([[4, 4] * 5, [3, 3] * 5], [10] * 10, list("aabbccddee"))
    difference = paired_difference(resampled, 1)
    assert difference.absolute == pytest.approx((-0.1, -0.1, -0.1))
    assert difference.relative == pytest.approx((-0.25, -0.25, -0.25))


def test_a_perfect_baseline_has_no_relative_difference():
    resampled = resample_speakers([[0] * 6, [1] * 6], [10] * 6, list("abcdef"))
    difference = paired_difference(resampled, 1)
    assert difference.absolute.value == pytest.approx(0.1)
    assert all(map(math.isnan, difference.relative))


def test_too_few_speakers_get_no_interval():
    few = list("abcdef")[: FEWEST_SPEAKERS - 1]
    resampled = resample_speakers([[1] * len(few), [5] * len(few)], [10] * len(few), few)
    difference = paired_difference(resampled, 1)
    assert difference.absolute.value == pytest.approx(0.4)
    assert math.isnan(difference.absolute.low)
    assert math.isnan(difference.p)
    assert difference.verdict == "no interval"


def test_a_language_without_reference_words_has_no_rate():
    resampled = resample_speakers([[1] * 6], [0] * 6, list("abcdef"))
    assert all(map(math.isnan, rate_interval(resampled)))


@pytest.mark.parametrize(
    ("interval", "p", "verdict"),
    [
        (Interval(-0.02, -0.03, -0.01), 0.01, "better"),
        (Interval(0.02, 0.01, 0.03), 0.01, "worse"),
        (Interval(-0.02, -0.05, 0.01), 0.2, "not distinguishable"),
        (Interval(-0.02, -0.04, -0.0001), 0.06, "not distinguishable"),
        (Interval(0.0, -0.01, 0.01), 0.9, "not distinguishable"),
    ],
)
def test_verdict_wants_interval_and_p_to_agree(interval, p, verdict):
    assert Difference(interval, interval, p, 0.95).verdict == verdict


def test_counts_and_speakers_must_match():
    with pytest.raises(ValueError, match="3 utterances, but 2 speakers"):
        resample_speakers([1, 1, 1], [2, 2, 2], ["a", "b"])
    with pytest.raises(UserError, match="at least 1 sample"):
        resample_speakers([1], [2], ["a"], samples=0)
