import math
from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from espnet_otreg.errors import UserError
from espnet_otreg.measure.alignment_scores import Counts, decide, measure, total
from espnet_otreg.measure.truth import Truth, Word, make_truth

HOP = 0.1
# frames         0    1    2    3    4    5    6    7
# truth          .   red  red  hats hats hats  .    .
WORDS = [Word("red", 0.1, 0.3), Word("hats", 0.3, 0.6)]
TOKENS = ["[CLS]", "red", "hats", "[SEP]"]
TRUTH = make_truth(WORDS, TOKENS, 8, HOP)


def path_plan(path: list[int], tokens: int = 4) -> np.ndarray:
    """One unit of mass per frame, on the token given; none at -1."""
    plan = np.zeros((len(path), tokens))
    for frame, token in enumerate(path):
        if token >= 0:
            plan[frame, token] = 1
    return plan


def test_the_perfect_plan_has_perfect_figures():
    perfect = dict.fromkeys(("precision", "recall", "f1", "coverage", "silence_auc"), 1.0)
    for silence in (-1, 0, 3):  # no mass, or mass on [CLS] or [SEP]
        path = [silence, 1, 1, 2, 2, 2, silence, silence]
        figures = measure(path_plan(path), TRUTH).figures()
        assert figures.pop("boundary_ms") == pytest.approx(0, abs=1e-9)
        assert figures == {**perfect, "missed": 0.0, "monotonicity": 1.0}


def test_a_shift_by_one_frame_costs_what_can_be_counted():
    counts = measure(path_plan([-1, -1, 1, 1, 2, 2, 2, -1]), TRUTH)
    # hits: frame 2 for red, frames 4 and 5 for hats
    assert counts.precision == counts.recall == counts.f1 == 3 / 5
    assert counts.boundary_ms == pytest.approx(100)
    assert counts.coverage == counts.monotonicity == 1
    # speech masses 0 1 1 1 1 against silence masses 0 1 0: 2 + 1/2 of frame 1, 4 x (2 + 1/2)
    assert counts.silence_auc == ((2 * 0.5) + 4 * (2 + 0.5)) / 15


def test_precision_and_recall_tell_too_much_from_too_little():
    much = measure(path_plan([1, 1, 1, 2, 2, 2, 2, 2]), TRUTH)
    assert (much.precision, much.recall, much.f1) == (5 / 8, 1, 10 / 13)
    little = measure(path_plan([-1, -1, 1, -1, -1, -1, -1, -1]), TRUTH)
    assert (little.precision, little.recall, little.f1) == (1, 1 / 5, 2 / 6)
    assert (little.coverage, little.missed) == (1 / 2, 1 / 2)
    assert little.boundary_ms == pytest.approx(50)  # red lasts from 200 to 300 ms, not from 100
    assert math.isnan(little.monotonicity)


def test_a_word_needs_one_of_its_pieces_per_frame_and_every_piece_counts_for_coverage():
    truth = make_truth(WORDS, ["red", "hat", "##s"], 8, HOP)
    one = measure(path_plan([-1, 0, 0, 1, 1, 1, -1, -1], 3), truth)
    both = measure(path_plan([-1, 0, 0, 1, 2, 2, -1, -1], 3), truth)
    assert one.f1 == both.f1 == 1
    assert (one.coverage, both.coverage) == (2 / 3, 1)
    assert one.boundary_ms == both.boundary_ms == pytest.approx(0, abs=1e-9)


def test_boundaries_are_the_outer_edges_of_all_frames_decided_for_the_word():
    counts = measure(path_plan([-1, 1, 1, 2, 2, 2, 1, -1]), TRUTH)
    # red ends at 700 instead of 300 ms; the other three boundaries are right
    assert counts.boundary_ms == pytest.approx(100)
    assert counts.monotonicity == 4 / 5


def test_monotonicity_looks_over_silence_and_ignores_special_tokens():
    plan = path_plan([2, -1, 1, 3, 1, 2, 0, 2])
    assert (measure(plan, TRUTH).steps, measure(plan, TRUTH).monotonicity) == (4, 3 / 4)


def test_a_token_too_short_for_a_frame_is_counted_apart():
    truth = make_truth([Word("a", 0.0, 0.04), Word("b", 0.04, 0.2)], ["a", "b"], 2, HOP)
    counts = measure(path_plan([1, 1], 2), truth)
    assert (counts.tokens, counts.tokens_without_frame, counts.coverage) == (1, 1, 1)
    assert (counts.words_decided, counts.words_missed) == (1, 1)


def test_silence_rejection_equals_the_share_of_pairs_in_order():
    rng = np.random.default_rng(0)
    mass = rng.integers(0, 6, 40).astype(float)
    speech = rng.random(40) < 0.6
    frames = np.stack([speech, np.zeros(40, bool)], 1)
    truth = Truth(frames, np.array([0, -1]), np.array([[0.0, 1.0]]), HOP)
    plan = np.stack([mass, rng.random(40)], 1)  # the special column does not count
    order = [
        (loud > quiet) + 0.5 * (loud == quiet)
        for loud, quiet in product(mass[speech], mass[~speech])
    ]
    assert measure(plan, truth).silence_auc == pytest.approx(np.mean(order), abs=1e-12)


def test_a_balanced_plan_rejects_nothing_whatever_the_solver_left():
    plan = np.full((8, 4), 1 / 32)
    plan[[0, 6, 7]] *= 1 - 1e-3
    assert measure(plan, TRUTH).silence_auc == 0.5
    plan[[0, 6, 7]] *= 0.95  # that is no rounding any more
    assert measure(plan, TRUTH).silence_auc == 1


def test_utterances_without_silence_are_counted_and_do_not_enter():
    truth = make_truth([Word("a", 0, 0.2)], ["a"], 2, HOP)
    counts = measure(path_plan([0, 0], 1), truth)
    assert (counts.mass_pairs, counts.utterances_unranked) == (0, 1)
    assert math.isnan(counts.silence_auc)
    both = total([counts, measure(path_plan([-1, 1, 1, 2, 2, 2, -1, -1]), TRUTH)])
    assert (both.utterances, both.utterances_unranked, both.silence_auc) == (2, 1, 1.0)


def test_frames_below_the_threshold_are_silence():
    plan = np.array([[4.0, 0], [2, 0], [1, 0], [0, 1.0]])  # mean mass 2
    spoken = np.array([True, True])
    assert decide(plan, spoken).tolist() == [0, 0, 0, 1]  # exactly half the mean still counts
    assert decide(plan, spoken, threshold=0.6).tolist() == [0, 0, -1, -1]
    assert decide(plan, spoken, threshold=1.5).tolist() == [0, -1, -1, -1]
    assert decide(np.zeros((2, 2)), spoken, threshold=0).tolist() == [-1, -1]


def test_only_mass_on_spoken_tokens_is_held_against_the_threshold():
    plan = np.array([[0.5, 0.4], [0.0, 1.0], [1.0, 0.0], [1.0, 1.5]])  # spoken mean 0.625
    spoken = np.array([True, False])
    assert decide(plan, spoken, threshold=0.7).tolist() == [0, -1, 0, -1]
    assert decide(plan, spoken, threshold=0.9).tolist() == [-1, -1, 0, -1]


def test_a_random_plan_has_low_figures_and_a_diagonal_one_better_ones():
    rng = np.random.default_rng(1)
    random, diagonal = [], []
    for _ in range(50):
        words = [Word(f"w{i}", 0.2 + 0.4 * i, 0.6 + 0.4 * i) for i in range(10)]
        truth = make_truth(words, [word.text for word in words], 44, HOP)
        random.append(measure(rng.random((44, 10)), truth))
        near = -np.abs(np.arange(44)[:, None] / 44 - (np.arange(10) + 0.5) / 10)
        diagonal.append(measure(np.exp(20 * near), truth))
    chance, better = total(random), total(diagonal)
    assert chance.precision == pytest.approx(0.1 * 40 / 44, abs=0.02)
    assert chance.silence_auc == pytest.approx(0.5, abs=0.05)
    assert chance.monotonicity == pytest.approx(0.55, abs=0.03)  # of two draws out of ten
    assert better.f1 > 0.6 > 0.15 > chance.f1
    # boundary k of the diagonal lies at frame 4.4 k, the true one at 2 + 4 k
    assert better.boundary_ms == pytest.approx(1200 / 11, abs=10)
    assert chance.boundary_ms > 500


@st.composite
def cases(draw):
    """A truth with special tokens at both ends, and any plan for it."""
    lengths = draw(st.lists(st.floats(0.02, 0.5), max_size=5))
    silences = draw(st.lists(st.floats(0, 0.4), min_size=5, max_size=5))
    words, clock = [], 0.0
    for index, (length, silence) in enumerate(zip(lengths, silences, strict=False)):
        words.append(Word(f"w{index}", clock + silence, clock + silence + length))
        clock += silence + length
    frames = draw(st.integers(1, 12))
    tokens = ["[CLS]", *(word.text for word in words), "[SEP]"]
    truth = make_truth(words, tokens, frames, HOP)
    random = np.random.default_rng(draw(st.integers(0, 999)))
    plan = random.random(truth.frames.shape) ** draw(st.integers(1, 9))
    return plan * (random.random(plan.shape) < draw(st.floats(0, 1))), truth


@settings(max_examples=60, deadline=None, derandomize=True)
@given(case=cases(), power=st.integers(-40, 40))
def test_figures_are_shares_and_do_not_depend_on_the_scale(case, power):
    plan, truth = case
    counts = measure(plan, truth)
    for name, figure in counts.figures().items():
        assert math.isnan(figure) or 0 <= figure <= (math.inf if name == "boundary_ms" else 1)
    if counts.hits:
        mean = 2 / (1 / counts.precision + 1 / counts.recall)
        assert counts.f1 == pytest.approx(mean)
    assert counts.words_decided + counts.words_missed == len(truth.spans)
    assert measure(plan * 2.0**power, truth) == counts


@settings(max_examples=60, deadline=None, derandomize=True)
@given(case=cases())
def test_the_truth_itself_is_found_whole(case):
    _, truth = case
    counts = measure(truth.frames.astype(float), truth)
    assert counts.hits == counts.decided_frames == counts.speech_frames
    assert counts.tokens_covered == counts.tokens
    assert counts.mass_pairs_ranked == counts.mass_pairs
    assert counts.steps_forward == counts.steps
    # an edge is off by half a frame at most, unless the recording ends within the word
    inside = truth.spans[:, 1].max(initial=0) <= len(truth.frames) * HOP
    assert not inside or counts.words_decided == 0 or counts.boundary_ms <= 50 + 1e-6


@settings(max_examples=30, deadline=None, derandomize=True)
@given(several=st.lists(cases(), max_size=6), seed=st.integers(0, 99))
def test_the_total_does_not_depend_on_order_and_adds_up(several, seed):
    parts = [measure(plan, truth) for plan, truth in several]
    order = np.random.default_rng(seed).permutation(len(parts))
    whole = total(parts)
    assert total([parts[i] for i in order]) == whole
    assert whole.hits == sum(part.hits for part in parts)
    assert whole.utterances == len(parts)
    assert total([]) == Counts()
    errors = [Counts(boundary_error=error) for error in (0.1, 0.2, 0.3)]
    assert total(errors) == total(errors[::-1])  # plain sums of these differ


def test_shapes_and_values_that_make_no_plan_are_refused():
    with pytest.raises(UserError, match=r"\(8, 2\) and the truth \(8, 4\)"):
        measure(np.ones((8, 2)), TRUTH)
    for bad in (np.nan, np.inf, -1):
        with pytest.raises(UserError, match="finite masses"):
            measure(np.full((8, 4), bad), TRUTH)
    with pytest.raises(UserError, match="two axes"):
        decide(np.ones(3), np.ones(3, bool))
    with pytest.raises(UserError, match="threshold"):
        measure(np.ones((8, 4)), TRUTH, threshold=math.nan)
