"""Measures of the gap in spaces whose answers are known."""

import math
import random

import numpy as np
import pytest
import torch

from espnet_otreg.errors import UserError
from espnet_otreg.measure.gap_measures import (
    MEASURES,
    TextTable,
    chance,
    distance_matrix,
    fractions,
    linear_cka,
    measure_gap,
    owners_of_plan,
    panel,
)

ROWS, SIZE, ANCHOR = 40, 16, 0


def table(rows=ROWS, size=SIZE, seed=0):
    return TextTable(torch.randn(rows, size, generator=torch.Generator().manual_seed(seed)), ANCHOR)


def spoken(text, change=lambda x: x):
    """Every token but the anchor, one frame each: its own embedding, changed."""
    ids = list(range(1, len(text)))
    own = np.eye(len(ids), dtype=bool)
    return measure_gap(change(text.rows[1:]), ids, own, text, 0.25)


def rotation(size, seed=1):
    random = torch.randn(size, size, generator=torch.Generator().manual_seed(seed))
    return torch.linalg.qr(random).Q


def test_speech_that_is_its_own_text_has_no_gap():
    figures = panel([spoken(table())])
    for name, perfect in {
        "own_cosine": 1,
        "retrieval": 1,
        "cka": 1,
        "centroid_distance": 0,
    }.items():
        assert figures[name] == pytest.approx(perfect, abs=1e-6), name
    assert figures["ot_cost"] == 0.25
    assert math.isnan(figures["silence_at_anchor"])  # there is no silence


def test_a_rotated_space_has_the_same_structure_and_is_not_found_again():
    """The measures disagree: that is why there are several."""
    text = table(rows=400, size=64)
    part = spoken(text, lambda x: x @ rotation(64))
    figures, levels = panel([part]), chance([part])
    assert figures["cka"] == pytest.approx(1, abs=1e-6)
    assert figures["retrieval"] < 0.02 and levels["retrieval"] == pytest.approx(1 / 400)
    assert abs(figures["own_cosine"]) < 0.2


def test_a_shift_is_seen_by_the_centroids_alone_by_its_length_over_the_spread():
    text, shift = table(), torch.full((SIZE,), 0.5)
    figures = panel([spoken(text, lambda x: x + shift)])
    rows = text.rows[1:]
    spread = (rows - rows.mean(0)).square().sum(1).mean().sqrt()
    assert figures["centroid_distance"] == pytest.approx(float(shift.norm() / spread), rel=1e-5)
    assert figures["cka"] == pytest.approx(1, abs=1e-6)


def test_length_does_not_matter_to_directions_but_to_centroids():
    text = table()
    figures = panel([spoken(text, lambda x: 10 * x)])
    assert figures["own_cosine"] == pytest.approx(1) and figures["retrieval"] == 1
    rows = text.rows[1:].double()
    variance = float((rows - rows.mean(0)).square().sum(1).mean())
    expected = 9 * float(rows.mean(0).norm()) / math.sqrt((100 + 1) * variance / 2)
    assert figures["centroid_distance"] == pytest.approx(expected, rel=1e-5)


def test_other_tokens_are_all_rows_but_the_words_own():
    text = table(rows=7, size=3)
    speech = torch.randn(2, 3, generator=torch.Generator().manual_seed(5))
    own = np.array([[True, True, False], [False, False, True]])
    ids = [4, 2, 6]
    part = measure_gap(speech, ids, own, text, 0.0)
    cosine = torch.nn.functional.cosine_similarity(speech[:, None], text.rows[None], dim=2)
    words = [{4, 2}, {6}]
    others = [cosine[t, [v for v in range(7) if v not in words[t]]].mean() for t in (0, 1)]
    nearest = [max(cosine[t, v] for v in words[t]) for t in (0, 1)]
    found = [int(cosine[t].argmax()) in words[t] for t in (0, 1)]
    figures = panel([part])
    assert figures["other_cosine"] == pytest.approx(float(sum(others)) / 2, abs=1e-6)
    assert figures["own_cosine"] == pytest.approx(float(sum(nearest)) / 2, abs=1e-6)
    assert figures["retrieval"] == sum(found) / 2
    assert chance([part])["retrieval"] == pytest.approx((2 / 7 + 1 / 7) / 2)


def test_another_token_of_the_sentence_is_no_hit():
    text = table()
    own = np.array([[True, False], [False, True]])
    figures = panel([measure_gap(text.rows[[8, 5]], [5, 8], own, text, 0.0)])
    assert figures["retrieval"] == 0


def test_silence_counts_where_it_is_known():
    text = table()
    speech = torch.stack([text.rows[ANCHOR], text.rows[3], 2 * text.rows[ANCHOR], text.rows[9]])
    own = np.array([[False], [True], [False], [False]])
    known = panel([measure_gap(speech, [3], own, text, 0.0)])
    assert known["silence_at_anchor"] == pytest.approx(2 / 3)
    guessed = panel([measure_gap(speech, [3], own, text, 0.0, silence_known=False)])
    assert math.isnan(guessed["silence_at_anchor"])


def test_a_corpus_is_measured_as_one_long_utterance_in_any_order():
    text = table()
    generator = torch.Generator().manual_seed(2)
    speech = torch.randn(30, SIZE, generator=generator) + text.rows[1:31]
    own = np.eye(30, dtype=bool)
    own[[3, 17]] = False  # silence
    ids = [1 + t % 12 for t in range(30)]  # tokens come again
    whole = panel([measure_gap(speech, ids, own, text, 0.5)])
    parts = [
        measure_gap(speech[a:b], ids[a:b], own[a:b, a:b], text, 0.5)
        for a, b in ((0, 11), (11, 20), (20, 30))
    ]
    random.Random(0).shuffle(parts)
    assert panel(parts) == pytest.approx(whole, rel=1e-5)
    for name in fractions(parts[0]):
        pairs = [fractions(part)[name] for part in parts]
        ratio = sum(top for top, _ in pairs) / sum(bottom for _, bottom in pairs)
        assert ratio == pytest.approx(whole[name], rel=1e-5)


def test_cka_is_the_normalised_hsic_of_the_gram_matrices():
    rng = np.random.default_rng(0)
    x, y = rng.standard_normal((12, 5)), rng.standard_normal((12, 9))
    centre = np.eye(12) - 1 / 12

    def hsic(k, other):
        return np.trace(k @ centre @ other @ centre)

    k, other = x @ x.T, y @ y.T
    expected = hsic(k, other) / math.sqrt(hsic(k, k) * hsic(other, other))
    assert linear_cka(x, y) == pytest.approx(expected)
    assert linear_cka(x, 3 * x @ np.linalg.qr(rng.standard_normal((5, 5)))[0] - 7) == pytest.approx(
        1
    )
    assert math.isnan(linear_cka(x[:1], y[:1])) and math.isnan(linear_cka(x, np.ones((12, 2))))


def test_the_chance_of_cka_is_what_unrelated_clouds_reach():
    text = table(rows=30, size=20)
    noise = torch.randn(29, 20, generator=torch.Generator().manual_seed(9))
    part = spoken(text, lambda x: noise)
    assert panel([part])["cka"] == pytest.approx(chance([part])["cka"], abs=0.1)
    assert chance([part])["cka"] > 0.2  # few tokens in many dimensions: not 0


def test_a_plan_decides_by_its_largest_mass_and_repeated_tokens_share_it():
    plan = np.array([[0.1, 0.7, 0.2], [0.8, 0.1, 0.1], [0.1, 0.2, 0.7]])
    own = owners_of_plan(plan, [5, 9, ANCHOR], [5, 9, 5], ANCHOR)
    assert own.astype(int).tolist() == [[0, 1, 0], [1, 0, 1], [0, 0, 0]]


def test_the_distance_matrix_has_the_tokens_in_order_and_the_anchor_last():
    text = TextTable(torch.tensor([[0.0, 2.0], [3.0, 0.0], [-1.0, 0.0]]), 0)
    found = distance_matrix(torch.tensor([[5.0, 0.0], [0.0, 1.0]]), [2, 1, 2], text)
    np.testing.assert_allclose(found, [[2, 0, 2, 1], [1, 1, 1, 0]], atol=1e-6)


def test_nothing_spoken_is_nothing_measured():
    text = table()
    figures = panel([measure_gap(text.rows[:3], [4], np.zeros((3, 1), bool), text, 0.1)])
    assert {name for name, value in figures.items() if not math.isnan(value)} == {
        "silence_at_anchor", "ot_cost"
    }  # fmt: skip
    assert figures.keys() == {measure.name for measure in MEASURES}


def test_what_does_not_fit_is_refused():
    text = table()
    with pytest.raises(UserError, match="do not fit"):
        measure_gap(text.rows[:3], [4], np.zeros((2, 1), bool), text, 0.1)
    with pytest.raises(UserError, match="do not fit"):
        measure_gap(text.rows[:3, :5], [4], np.zeros((3, 1), bool), text, 0.1)
    with pytest.raises(UserError, match="row of its anchor"):
        TextTable(text.rows, ROWS)
