import math

import numpy as np
import pytest

from espnet_otreg.scoring.macro import macro_difference, macro_interval, resample_macro
from espnet_otreg.scoring.significance import paired_difference, rate_interval, resample_speakers


def simulated(seed=0, utterances=400, speakers=40):
    rng = np.random.default_rng(seed)
    words = rng.integers(5, 15, utterances)
    errors = np.stack([rng.binomial(words, 0.2), rng.binomial(words, 0.15)])
    who = rng.integers(speakers, size=utterances)
    return errors, words, [f"s{w}" for w in who], [("en", "de", "fr")[w % 3] for w in who]


def test_value_is_the_mean_of_the_languages_rates():
    errors, words, speakers, languages = simulated()
    drawn = resample_macro(errors, words, speakers, languages, samples=200)
    inside = [np.array(languages) == language for language in ("en", "de", "fr")]
    rates = [[row[i].sum() / words[i].sum() for i in inside] for row in errors]
    assert macro_interval(drawn).value == pytest.approx(np.mean(rates[0]))
    difference = macro_difference(drawn, 1)
    assert difference.absolute.value == pytest.approx(np.mean(rates[1]) - np.mean(rates[0]))
    assert difference.absolute.low < difference.absolute.value < difference.absolute.high


def test_one_language_has_the_interval_of_its_corpus_rate():
    errors, words, _, _ = simulated()
    words = np.full_like(words, 15)  # and as many utterances of each speaker: all weigh the same
    speakers = [f"s{i % 40}" for i in range(len(words))]
    drawn = resample_macro(errors, words, speakers, ["en"] * len(words), samples=20_000)
    plain = resample_speakers(errors, words, speakers, samples=20_000)
    found = [*macro_interval(drawn), *macro_difference(drawn, 1).absolute]
    expected = [*rate_interval(plain), *paired_difference(plain, 1).absolute]
    assert found == pytest.approx(expected, abs=3e-4)


def test_interval_of_independent_languages_is_as_narrow_as_their_number_says():
    errors, words, speakers, _ = simulated(utterances=2000, speakers=400)
    halves = [("en", "de")[int(s[1:]) % 2] for s in speakers]
    both = macro_interval(resample_macro(errors, words, speakers, halves, samples=4000))
    alone = []
    for language in ("en", "de"):
        inside = np.array(halves) == language
        chosen = [s for s, i in zip(speakers, inside, strict=True) if i]
        alone.append(rate_interval(resample_speakers(errors[0][inside], words[inside], chosen)))
    widths = [interval.high - interval.low for interval in alone]
    assert both.high - both.low == pytest.approx(math.hypot(*widths) / 2, rel=0.05)


def test_order_of_utterances_does_not_matter():
    errors, words, speakers, languages = simulated()
    order = np.random.default_rng(1).permutation(len(words))
    shuffled = [[column[i] for i in order] for column in (speakers, languages)]
    first = resample_macro(errors, words, speakers, languages, samples=50)
    again = resample_macro(errors[:, order], words[order], *shuffled, samples=50)
    np.testing.assert_array_equal(first.draws, again.draws)


def test_a_language_with_too_few_speakers_leaves_the_mean_without_interval():
    errors, words, speakers, languages = simulated()
    languages[0], speakers[0] = "it", "alone"
    drawn = resample_macro(errors, words, speakers, languages, samples=50)
    interval = macro_interval(drawn)
    assert interval.value > 0
    assert math.isnan(interval.low)
    assert math.isnan(macro_difference(drawn, 1).p)


def test_identical_systems_do_not_differ():
    errors, words, speakers, languages = simulated()
    drawn = resample_macro(errors[[0, 0]], words, speakers, languages, samples=50)
    assert macro_difference(drawn, 1).verdict == "identical"


def test_draws_never_fall_below_no_error_at_all():
    errors = np.zeros((2, 12), int)
    errors[:, [0, 6]] = 1  # one wrong word in each language
    words, who = np.full(12, 10), [f"s{i}" for i in range(12)]
    drawn = resample_macro(errors, words, who, ["en"] * 6 + ["fr"] * 6, samples=2000)
    assert macro_interval(drawn).low == 0
    assert macro_difference(drawn, 1).relative.low >= -1


def test_a_language_without_a_word_has_no_part_in_the_mean():
    errors, words, speakers, languages = simulated()
    more = resample_macro(
        np.pad(errors, ((0, 0), (0, 5))),
        np.pad(words, (0, 5)),
        [*speakers, *"vwxyz"],
        [*languages, *["es"] * 5],
        samples=200,
    )
    plain = resample_macro(errors, words, speakers, languages, samples=200)
    assert macro_interval(more).value == macro_interval(plain).value
    assert macro_difference(more, 1).absolute == macro_difference(plain, 1).absolute
